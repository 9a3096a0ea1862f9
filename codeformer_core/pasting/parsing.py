"""Face parsing: masks that follow the face's outline, from ParseNet or BiSeNet (facexlib)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ..networks.state_dicts import CheckpointError, identify, load_strictly
from ..pictures.arrays import to_network
from ..weights.checkpoint import naming, read_state_dict
from .masks import USUAL_PARTS, MaskPart, soften_parsing

SIZE = 512  # both nets were trained on faces of this side

# Classes (of 19), in each net's order: those that never belong to the face (background, necklace and cloth), and those
# of the parts that may. Earrings go with the ears.
NOT_FACE = {"ParseNet face parser": (0, 16, 18), "BiSeNet face parser": (0, 15, 16)}
PARTS: Mapping[str, Mapping[MaskPart, tuple[int, ...]]] = {
    "ParseNet face parser": {"hair": (13,), "hat": (14,), "glasses": (3,), "neck": (17,), "ears": (8, 9, 15)},
    "BiSeNet face parser": {"hair": (17,), "hat": (18,), "glasses": (6,), "neck": (14,), "ears": (7, 8, 9)},
}
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class FaceParser:
    """A parsing net with its own classes and input range."""

    def __init__(self, net: nn.Module, kind: str):
        self.net = net
        self.kind = kind

    def masks(self, faces: np.ndarray, parts: Sequence[MaskPart] = USUAL_PARTS) -> np.ndarray:
        """Soft masks (b, s, s) float32 of aligned faces (b, s, s, 3), float32 RGB in [0, 1], with these parts."""
        left_out = [c for part, classes in PARTS[self.kind].items() if part not in parts for c in classes]
        soft = [soften_parsing(~np.isin(c, [*NOT_FACE[self.kind], *left_out])) for c in self.classes(faces)]
        size = faces.shape[1]
        return np.stack([cv2.resize(m, (size, size), interpolation=cv2.INTER_LINEAR) for m in soft])

    @torch.inference_mode()
    def classes(self, faces: np.ndarray) -> np.ndarray:
        """The net's class of each place, (b, 512, 512) int64, of aligned faces (b, s, s, 3), float32 RGB in [0, 1]."""
        weight = next(self.net.parameters())
        x = to_network(faces, weight.device, weight.dtype)
        x = F.interpolate(x, (SIZE, SIZE), mode="bilinear", align_corners=False, antialias=True)
        if self.kind == "BiSeNet face parser":
            mean, std = (torch.tensor(v).to(x).reshape(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
            x = ((x + 1) / 2 - mean) / std
        return self.net(x)[0].argmax(1).cpu().numpy()


def load_parser(
    name_or_path: str | Path,
    *,
    device: torch.device | str = "cpu",
    accept_license: bool = False,
    offline: bool = False,
) -> FaceParser:
    """A parser by published name (`parsenet`, `bisenet`, downloaded with `fetch_published`) or from a file.

    Raises CheckpointError if the file holds something else.
    """
    from ..facexlib_nets import build_bisenet, build_parsenet
    from ..weights.download import fetch_published
    from ..weights.published import PUBLISHED

    known = PUBLISHED.get(str(name_or_path))
    path = Path(name_or_path)
    if known is not None and known.kind == "parsing":
        path = fetch_published(known, accept_license=accept_license, offline=offline)
    state, _ = read_state_dict(path)
    kind = identify(state)
    if kind not in NOT_FACE:
        raise CheckpointError(f"{path}: holds a {kind}, expected a face parser (facexlib's ParseNet or BiSeNet)")
    net = build_parsenet() if kind == "ParseNet face parser" else build_bisenet()
    with naming(path):
        load_strictly(net, state, kind)
    return FaceParser(net.to(device).eval().requires_grad_(False), kind)
