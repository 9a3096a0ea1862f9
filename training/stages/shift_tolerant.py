"""Shift-tolerant LPIPS (Ghildyal & Liu, ECCV 2022): VGG16 or AlexNet with learnt heads, from a package on PyPI.

The package stlpips-pytorch ships the weights (BSD-2), so nothing is downloaded at run time; its code is not imported.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeformer_core.weights.checkpoint import read_state_dict

Backbone = Literal["vgg", "alex"]
# Of each of the five slices: side of the maximum before it (0: none), its convolutions' names, their padding.
SLICES: dict[str, tuple[tuple[int, tuple[int, ...], int], ...]] = {
    "vgg": ((0, (0, 2), 1), (2, (6, 8), 1), (2, (12, 14, 16), 1), (2, (20, 22, 24), 1), (2, (28, 30, 32), 1)),
    "alex": ((0, (0,), 2), (3, (5,), 2), (3, (9,), 1), (0, (11,), 1), (0, (13,), 1)),
}


class ShiftTolerantLPIPS(nn.Module):
    """Distances of faces in features of VGG16 or AlexNet; inputs are RGB in [-1, 1]."""

    def __init__(self, backbone: Backbone):
        super().__init__()
        state, _ = read_state_dict(weights_file(backbone))
        self.shift: Tensor
        self.scale: Tensor
        self.register_buffer("shift", state["scaling_layer.shift"], persistent=False)
        self.register_buffer("scale", state["scaling_layer.scale"], persistent=False)
        self.slices = nn.ModuleList()
        self.heads = nn.ParameterList(state[f"lin{n}.model.1.weight"].flatten() for n in range(5))
        for n, (pooled, names, padding) in enumerate(SLICES[backbone], 1):
            layers: list[nn.Module] = [nn.MaxPool2d(pooled, stride=1), BlurHalf()] if pooled else []
            for name in names:
                conv = _conv(state[f"net.slice{n}.{name}.weight"], state[f"net.slice{n}.{name}.bias"], padding)
                layers += [conv, BlurHalf(), nn.ReLU()] if (backbone, n) == ("alex", 1) else [conv, nn.ReLU()]
            self.slices.append(nn.Sequential(*layers))
        self.eval().requires_grad_(False)

    def features(self, x: Tensor) -> list[Tensor]:  # (b, 3, h, w) -> (b, c, h', w') of each slice
        x = (x - self.shift) / self.scale
        features = []
        for part in self.slices:
            x = part(x)
            features.append(x)
        return features

    def per_face(self, x: Tensor, y: Tensor) -> Tensor:  # (b, 3, h, w) twice -> (b,)
        """LPIPS (Zhang et al., arXiv 1801.03924, Eq. 1), summed over the slices."""
        distances = []
        for head, a, b in zip(self.heads, self.features(x), self.features(y), strict=True):
            difference = F.normalize(a.float(), dim=1, eps=1e-10) - F.normalize(b.float(), dim=1, eps=1e-10)
            distances.append((difference.square() * head[:, None, None]).sum(1).mean((1, 2)))
        return torch.stack(distances).sum(0)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.per_face(x, y).mean()


class BlurHalf(nn.Module):
    """Half the side: a binomial blur of 3 x 3 at every second place, after two mirrored pixels on each side."""

    def forward(self, x: Tensor) -> Tensor:  # (b, c, h, w) -> (b, c, about h / 2, about w / 2)
        x = F.pad(x, (2, 2, 2, 2), mode="reflect")
        return F.avg_pool2d(F.avg_pool2d(x, 2, stride=1), 2)  # of (1 1) and (1 1) at every second place comes (1 2 1)


def weights_file(backbone: Backbone) -> Path:
    """Where the installed package has a backbone's weights; ValueError if it is not installed."""
    spec = find_spec("stlpips_pytorch")
    if spec is None or spec.origin is None:
        raise ValueError("LPIPS on crops needs the package that ships its weights: pip install stlpips-pytorch")
    return Path(spec.origin).parent / "weights" / "vST0.0" / f"{backbone}_shift_tolerant.pth"


def _conv(weight: Tensor, bias: Tensor, padding: int) -> nn.Conv2d:
    c_out, c_in, side, _ = weight.shape
    conv = nn.Conv2d(c_in, c_out, side, padding=padding)
    conv.weight, conv.bias = nn.Parameter(weight), nn.Parameter(bias)
    return conv
