"""CodeFormer face restoration: networks, checkpoints, detection, alignment, paste-back, command line."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .cft import CFTWeights
    from .checkpoint import load_codeformer, load_vq_autoencoder
    from .codeformer import CodeFormer, CodePrediction
    from .config import CodeFormerConfig, VQConfig
    from .detection import DetectorConfig, load_detector
    from .faces import Face, FaceSelection
    from .image_files import read_picture, write_picture
    from .parsing import load_parser
    from .restorer import AlignedFace, FaceRestorer, Restoration, RestoreConfig
    from .vqgan import VQAutoEncoder

# Where each public name lives. It is imported on first use, so that `import codeformer_core` alone loads no torch.
_MODULES = {
    "AlignedFace": "restorer",
    "CFTWeights": "cft",
    "CodeFormer": "codeformer",
    "CodeFormerConfig": "config",
    "CodePrediction": "codeformer",
    "DetectorConfig": "detection",
    "Face": "faces",
    "FaceRestorer": "restorer",
    "FaceSelection": "faces",
    "Restoration": "restorer",
    "RestoreConfig": "restorer",
    "VQAutoEncoder": "vqgan",
    "VQConfig": "config",
    "load_codeformer": "checkpoint",
    "load_detector": "detection",
    "load_parser": "parsing",
    "load_vq_autoencoder": "checkpoint",
    "read_picture": "image_files",
    "write_picture": "image_files",
}
__all__ = list(_MODULES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
