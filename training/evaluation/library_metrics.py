"""Metrics through other packages, all optional; PD-E and ST-LPIPS need a package alone, the others weights too."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from codeformer_core.networks.state_dicts import load_strictly
from codeformer_core.weights.checkpoint import naming, read_state_dict

from ..stages.perceptual import EfficientNetLite, load_perceptual
from ..stages.shift_tolerant import ShiftTolerantLPIPS
from .metrics import FaceMetric, feature_distance

NAMES = ("lpips", "musiq", "fid", "ids")


@dataclass(frozen=True, kw_only=True)
class LibraryMetrics:
    """Those that can be had, by column, and why the others cannot."""

    faces: Mapping[str, FaceMetric]  # a value per face
    sets: Mapping[str, Callable[[], Any]]  # makes a torchmetrics metric of two sets: update(faces, real=), compute()
    left_out: Mapping[str, str]


def library_metrics(
    names: Iterable[str], *, arcface: Path | None = None, device: torch.device | str = "cpu"
) -> LibraryMetrics:
    """PD-E, ST-LPIPS and those of NAMES that are asked for; where package or weights are missing, the reason instead.

    Weights are downloaded by their packages. `arcface` is facexlib's recognition_arcface_ir_se50.pth, for IDS.
    """
    wanted = set(names)
    if not wanted <= set(NAMES):
        unknown = ", ".join(sorted(wanted - set(NAMES)))
        raise ValueError(f"no metric is called {unknown}; choose from {', '.join(NAMES)}")
    faces: dict[str, FaceMetric] = {}
    sets: dict[str, Callable[[], Any]] = {}
    left_out = {name.upper(): f"not asked for; --with {name}" for name in NAMES if name not in wanted}
    makers = {"lpips": _lpips, "musiq": _musiq, "ids": lambda on: _ids(arcface, on)}
    for name, make in (("PD-E", _efficientnet), ("ST-LPIPS", _shift_tolerant)):
        try:
            faces[name] = make(device)
        except ValueError as error:
            left_out[name] = str(error)
    for name in (name for name in NAMES if name in wanted):
        try:
            if name == "fid":
                sets["FID"] = _fid(device)
            else:
                faces[name.upper()] = makers[name](device)
        except ImportError as error:
            left_out[name.upper()] = f"its package is missing ({error})"
        except OSError as error:
            left_out[name.upper()] = f"its weights cannot be had ({error})"
    return LibraryMetrics(faces=faces, sets=sets, left_out=left_out)


def _efficientnet(device: torch.device | str) -> FaceMetric:
    net = cast(EfficientNetLite, load_perceptual("efficientnet").to(device))
    return lambda restored, clean: feature_distance(net.features, restored * 2 - 1, clean * 2 - 1)


def _shift_tolerant(device: torch.device | str) -> FaceMetric:
    net = ShiftTolerantLPIPS("alex").to(device)
    return lambda restored, clean: net.per_face(restored * 2 - 1, clean * 2 - 1)


def _lpips(device: torch.device | str) -> FaceMetric:
    net = import_module("lpips").LPIPS(net="alex", verbose=False).to(device).eval()
    return lambda restored, clean: net(restored, clean, normalize=True).flatten()


def _musiq(device: torch.device | str) -> FaceMetric:
    net = import_module("pyiqa").create_metric("musiq", device=device)
    return lambda restored, clean: net(restored).flatten()  # looks at the restored face alone


def _fid(device: torch.device | str) -> Callable[[], Any]:
    cls = import_module("torchmetrics.image.fid").FrechetInceptionDistance
    try:
        cls(normalize=True)  # downloads its weights, or fails, before the first face
    except ModuleNotFoundError as error:
        raise ImportError("pip install torch-fidelity") from error
    return lambda: cls(normalize=True).to(device)


def _ids(arcface: Path | None, device: torch.device | str) -> FaceMetric:
    """Cosine of the ArcFace embeddings of restored and clean face, 1 for the same."""
    if arcface is None:
        raise FileNotFoundError("give facexlib's recognition_arcface_ir_se50.pth with --arcface")
    backbone = import_module("facexlib.recognition.arcface_arch").Backbone
    net = backbone(num_layers=50, drop_ratio=0.6, mode="ir_se")
    with naming(arcface):
        load_strictly(net, read_state_dict(arcface)[0], "ArcFace IR-SE 50")
    net.to(device).eval()

    def embed(x: Tensor) -> Tensor:
        return net(F.interpolate(x, (112, 112), mode="area") * 2 - 1)

    return lambda restored, clean: F.cosine_similarity(embed(restored), embed(clean))
