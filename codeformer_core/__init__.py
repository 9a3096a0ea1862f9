"""CodeFormer face restoration: networks, checkpoints, detection, alignment, paste-back, command line."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .cft import CFTWeights
    from .checkpoint import load_codeformer
    from .codeformer import CodeFormer, CodePrediction
    from .config import CodeFormerConfig, VQConfig
    from .detection import load_detector
    from .faces import Face, FaceSelection
    from .restorer import FaceRestorer
    from .vqgan import VQAutoEncoder

# Where each public name lives. It is imported on first use, so that `import codeformer_core` alone loads no torch.
_MODULES = {
    "CFTWeights": "cft",
    "CodeFormer": "codeformer",
    "CodeFormerConfig": "config",
    "CodePrediction": "codeformer",
    "Face": "faces",
    "FaceRestorer": "restorer",
    "FaceSelection": "faces",
    "VQAutoEncoder": "vqgan",
    "VQConfig": "config",
    "load_codeformer": "checkpoint",
    "load_detector": "detection",
}
__all__ = [
    "CFTWeights",
    "CodeFormer",
    "CodeFormerConfig",
    "CodePrediction",
    "Face",
    "FaceRestorer",
    "FaceSelection",
    "VQAutoEncoder",
    "VQConfig",
    "load_codeformer",
    "load_detector",
]


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
