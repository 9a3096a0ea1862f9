"""The networks that facexlib defines: the one module that imports facexlib and torchvision, when they are needed."""

import warnings
from importlib import import_module
from typing import Any

from torch import nn


def build_retinaface() -> nn.Module:
    """RetinaFace on a ResNet-50 with random weights, in eval mode on the CPU; in and out as `MobileRetinaFace`."""
    retinaface = _import("facexlib.detection.retinaface")
    with warnings.catch_warnings():  # facexlib calls torchvision's resnet50 in its old way
        warnings.filterwarnings("ignore", category=UserWarning, module=r"torchvision\.models\._utils")
        return retinaface.RetinaFace(network_name="resnet50", phase="test", device="cpu").eval()


def build_parsenet() -> nn.Module:
    """ParseNet with random weights, in eval mode on the CPU: (b, 3, 512, 512) -> ((b, 19, 512, 512), picture)."""
    return _import("facexlib.parsing.parsenet").ParseNet(in_size=512, out_size=512, parsing_ch=19).eval()


def build_bisenet() -> nn.Module:
    """BiSeNet with random weights, in eval mode on the CPU: (b, 3, h, w) -> three (b, 19, h, w), the first the best."""
    return _import("facexlib.parsing.bisenet").BiSeNet(num_class=19).eval()


def _import(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{module} cannot be imported ({error}): install the face networks with `pip install facexlib`", name=module
        ) from error
