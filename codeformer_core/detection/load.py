"""Choosing a detector by name or weights file."""

from pathlib import Path

import torch

from .detector import Detector, DetectorConfig

BUNDLED = Path(__file__).parents[1] / "assets" / "retinaface_mobilenet0.25.safetensors"
DETECTORS = ("retinaface_mobile0.25", "retinaface_resnet50")


def load_detector(
    name_or_path: str | Path = "retinaface_mobile0.25",
    *,
    device: torch.device | str = "cpu",
    config: DetectorConfig | None = None,
    accept_license: bool = False,
    offline: bool = False,
) -> Detector:
    """A detector by name (`DETECTORS`; the first is bundled, the second is downloaded) or by weights file.

    RetinaFace of either backbone is read from .safetensors or .pth, YuNet from OpenCV's .onnx (on the CPU only).
    `accept_license` and `offline` are for `fetch_published`. Raises ValueError (no such name, or a file of something
    else) or FileNotFoundError.
    """
    config = config or DetectorConfig()
    path = Path(name_or_path)
    # Only the modules of the detector that is wanted are imported.
    if path.suffix == ".onnx":
        from .yunet import YuNetDetector

        return YuNetDetector(path, config=config)
    from .retinaface import load_retinaface

    if name_or_path == "retinaface_mobile0.25":
        path = BUNDLED
    elif name_or_path == "retinaface_resnet50":
        from ..weights.download import fetch_published

        path = fetch_published("retinaface_resnet50", accept_license=accept_license, offline=offline)
    elif path.suffix not in (".safetensors", ".pth", ".pt"):
        raise ValueError(
            f"no detector is called {str(name_or_path)!r}: give {' or '.join(DETECTORS)}, "
            "or the path of a .safetensors or .pth (RetinaFace) or .onnx (YuNet) file"
        )
    return load_retinaface(path, device=device, config=config)
