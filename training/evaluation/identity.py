"""Who a face is: the recogniser of dlib (King 2017), ported to torch; its weights come with a package on PyPI.

face_recognition_models ships dlib_face_recognition_resnet_model_v1.dat (CC0); neither its code nor dlib is imported.
"""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeformer_core.networks.state_dicts import CheckpointError
from codeformer_core.weights.checkpoint import naming

SAME_PERSON = 0.6  # distances below it are of one person, by dlib's own choice on LFW
MEAN_RGB = (122.782, 117.001, 104.298)  # of 255
# Left, top, right, bottom of dlib's crop as shares of an aligned face's side: the similarity that takes the eyes of the
# FFHQ template to those of dlib's mean shape with padding 0.25.
CROP = (0.153, 0.249, 0.855, 0.951)
SIDE = 150  # px of dlib's crop
# Of each residual block, from the picture on: whether it halves the side.
HALVES = (*(False,) * 3, True, *(False,) * 3, True, *(False,) * 2, True, *(False,) * 2, True)
LAYER = re.compile(rb"\x05con_4|\x07affine_|\x04fc_2")  # how dlib names a layer with weights


class FaceRecogniser(nn.Module):
    """Descriptors of faces: (b, 3, s, s) aligned, RGB in [0, 1] -> (b, 128), near to each other for one person."""

    def __init__(self, weights: str | Path | None = None):
        """`weights` is dlib's file; None takes that of the installed package."""
        super().__init__()
        path = Path(weights) if weights else weights_file()
        with naming(path):
            layers = list(read_layers(path.read_bytes()))
            if len(layers) != 4 * len(HALVES) + 3 or layers[-1].shape != (256, 128):
                raise CheckpointError(f"{len(layers)} layers with weights: not dlib's face recogniser")
        *layers, head = layers
        pairs = list(zip(layers[::2], layers[1::2], strict=True))
        self.stem = _scaled(*pairs[0], c_in=3, side=7, stride=2)
        self.blocks = nn.ModuleList(
            Residual(pairs[1 + 2 * n], pairs[2 + 2 * n], halves=halves) for n, halves in enumerate(HALVES)
        )
        self.mean: Tensor
        self.register_buffer("mean", torch.tensor(MEAN_RGB).view(1, 3, 1, 1), persistent=False)
        self.head = nn.Parameter(head)
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        left, top, right, bottom = (round(share * x.shape[-1]) for share in CROP)
        crop = F.interpolate(x[..., top:bottom, left:right], (SIDE, SIDE), mode="bilinear", antialias=True)
        return self.describe(crop)

    def describe(self, crop: Tensor) -> Tensor:  # (b, 3, 150, 150) as dlib crops it, RGB in [0, 1] -> (b, 128)
        x = F.relu(self.stem((crop * 255 - self.mean) / 256))
        x = F.max_pool2d(x, 3, stride=2)
        for block in self.blocks:
            x = block(x)
        return x.mean((2, 3)) @ self.head

    def distance(self, restored: Tensor, clean: Tensor) -> Tensor:  # (b, 3, s, s) twice -> (b,)
        """How far two faces are apart as persons; 0 for the same picture, see SAME_PERSON."""
        return (self(restored) - self(clean)).norm(dim=1)


class Residual(nn.Module):
    """Two convolutions beside the input, which is halved with them and gets channels of zeros where they have more."""

    def __init__(self, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], *, halves: bool):
        super().__init__()
        c_out = second[1].numel() // 2
        c_in = (first[0].numel() - c_out) // c_out // 9
        self.halves = halves
        self.first = _scaled(*first, c_in=c_in, side=3, stride=2 if halves else 1)
        self.second = _scaled(*second, c_in=c_out, side=3, stride=1)

    def forward(self, x: Tensor) -> Tensor:  # (b, c, h, w) -> (b, c', h or h // 2, w or w // 2)
        h = self.second(F.relu(self.first(x)))
        x = F.avg_pool2d(x, 2) if self.halves else x
        more = [a - b for a, b in zip(x.shape[1:], h.shape[1:], strict=True)]  # either may be the larger
        h = F.pad(h, (0, max(more[2], 0), 0, max(more[1], 0)))
        return F.relu(h + F.pad(x, (0, 0, 0, 0, 0, max(-more[0], 0))))


def read_layers(data: bytes) -> Iterator[Tensor]:
    """The parameters in a file that dlib's dnn wrote, in the network's order; CheckpointError if it ends in one.

    Convolutions give filters and then biases, scales give factors and then shifts, each in one vector; the last layer
    gives its matrix (inputs, outputs).
    """
    at = 0
    while found := LAYER.search(data, at):
        at = found.end()
        if data[found.start() : at] == b"\x04fc_2":
            for _ in range(2):  # outputs, inputs, which its matrix tells too
                _, at = _integer(data, at)
        version, at = _integer(data, at)
        shape = []
        for _ in range(4):
            size, at = _integer(data, at)
            shape.append(size)
        count = int(np.prod(shape))
        if version != 2 or at + 4 * count > len(data):
            raise CheckpointError(
                f"a layer of {count} numbers (format {version}, wanted 2) is cut; fetch the file anew"
            )
        values = torch.from_numpy(np.frombuffer(data, "<f4", count, at).astype(np.float32))
        at += 4 * count
        yield values.view(shape[0], shape[1]) if shape[1] > 1 else values


def weights_file() -> Path:
    """Where the installed package has the recogniser's weights; ValueError if it is not installed."""
    spec = find_spec("face_recognition_models")
    if spec is None or spec.origin is None:
        raise ValueError("it needs the package that ships its weights: pip install face_recognition_models")
    return Path(spec.origin).parent / "models" / "dlib_face_recognition_resnet_model_v1.dat"


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """An integer as dlib writes it (a byte that counts the others, and they), and where the next thing begins."""
    count = data[at] & 0x0F
    return int.from_bytes(data[at + 1 : at + 1 + count], "little"), at + 1 + count


def _scaled(convolution: Tensor, scale: Tensor, *, c_in: int, side: int, stride: int) -> nn.Conv2d:
    """A convolution with the scale and shift of each channel, which follow it, folded in."""
    factor, shift = scale.chunk(2)
    c_out = factor.numel()
    filters, biases = convolution[:-c_out].view(c_out, c_in, side, side), convolution[-c_out:]
    conv = nn.Conv2d(c_in, c_out, side, stride, padding=side // 2 if stride == 1 else 0)
    conv.weight = nn.Parameter(filters * factor.view(-1, 1, 1, 1))
    conv.bias = nn.Parameter(biases * factor + shift)
    return conv
