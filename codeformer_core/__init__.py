"""CodeFormer face restoration: networks, checkpoints, detection, alignment, paste-back, command line."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .colouring import ColourConfig, FaceColourer
    from .detection.detector import DetectorConfig
    from .detection.faces import Face, FaceSelection
    from .detection.load import load_detector
    from .fidelity.mask import FidelityMask
    from .fidelity.plan import AutoFidelity, FidelityPlan
    from .filling import FaceFiller, FillConfig
    from .networks.cft import CFTWeights
    from .networks.codeformer import CodeFormer, CodePrediction
    from .networks.config import CodeFormerConfig, VQConfig
    from .networks.vqgan import VQAutoEncoder
    from .pasting.parsing import load_parser
    from .pictures.files import read_picture, write_picture
    from .restoration import AlignedFace, Restoration, RestoreConfig
    from .restorer import FaceRestorer
    from .weights.checkpoint import load_codeformer, load_vq_autoencoder

# Where each public name lives. It is imported on first use, so that `import codeformer_core` alone loads no torch.
_MODULES = {
    "AlignedFace": "restoration",
    "AutoFidelity": "fidelity.plan",
    "CFTWeights": "networks.cft",
    "CodeFormer": "networks.codeformer",
    "CodeFormerConfig": "networks.config",
    "CodePrediction": "networks.codeformer",
    "ColourConfig": "colouring",
    "DetectorConfig": "detection.detector",
    "Face": "detection.faces",
    "FaceColourer": "colouring",
    "FaceFiller": "filling",
    "FaceRestorer": "restorer",
    "FaceSelection": "detection.faces",
    "FidelityMask": "fidelity.mask",
    "FidelityPlan": "fidelity.plan",
    "FillConfig": "filling",
    "Restoration": "restoration",
    "RestoreConfig": "restoration",
    "VQAutoEncoder": "networks.vqgan",
    "VQConfig": "networks.config",
    "load_codeformer": "weights.checkpoint",
    "load_detector": "detection.load",
    "load_parser": "pasting.parsing",
    "load_vq_autoencoder": "weights.checkpoint",
    "read_picture": "pictures.files",
    "write_picture": "pictures.files",
}
__all__ = list(_MODULES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
