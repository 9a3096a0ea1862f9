"""The networks that facexlib defines: the one module that imports facexlib and torchvision, when they are needed."""

import warnings
from importlib import import_module
from typing import Any, Literal

from torch import Tensor, nn

RetinaFaceBackbone = Literal["mobile0.25", "resnet50"]


def build_retinaface(backbone: RetinaFaceBackbone) -> nn.Module:
    """RetinaFace with random weights, in eval mode on the CPU.

    (b, 3, h, w) BGR minus (104, 117, 123) -> box offsets (b, n, 4), probabilities (b, n, 2) of background and face,
    landmark offsets (b, n, 10), for the n anchors of `retinaface.anchors`.
    """
    retinaface = _import("facexlib.detection.retinaface")
    with warnings.catch_warnings():  # facexlib calls torchvision's resnet50 in its old way
        warnings.filterwarnings("ignore", category=UserWarning, module=r"torchvision\.models\._utils")
        return retinaface.RetinaFace(network_name=backbone, phase="test", device="cpu").eval()


def build_parsenet() -> nn.Module:
    """ParseNet with random weights, in eval mode on the CPU: (b, 3, 512, 512) -> ((b, 19, 512, 512), picture)."""
    return _import("facexlib.parsing.parsenet").ParseNet(in_size=512, out_size=512, parsing_ch=19).eval()


def build_bisenet() -> nn.Module:
    """BiSeNet with random weights, in eval mode on the CPU: (b, 3, h, w) -> three (b, 19, h, w), the first the best."""
    return _import("facexlib.parsing.bisenet").BiSeNet(num_class=19).eval()


def batched_nms(boxes: Tensor, scores: Tensor, groups: Tensor, threshold: float) -> Tensor:
    """Indices of the boxes left by non-maximum suppression within each group, highest score first."""
    return _import("torchvision.ops").batched_nms(boxes, scores, groups, threshold)


def _import(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{module} cannot be imported ({error}): install the face networks with `pip install facexlib`", name=module
        ) from error
