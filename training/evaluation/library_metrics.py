"""Metrics that want packages of their own: some bring their weights, those of the paper want files too."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from codeformer_core.weights.download import fetch_published

from ..stages.perceptual import EfficientNetLite, load_perceptual
from ..stages.shift_tolerant import Backbone, ShiftTolerantLPIPS
from .frechet import Describe
from .identity import FaceRecogniser
from .metrics import FaceMetric, feature_distance
from .official import FILES, PACKAGES, arcface, inception, lpips, musiq

ON_REQUEST = ("st-lpips-vgg", *FILES)


@dataclass(frozen=True, kw_only=True)
class LibraryMetrics:
    """Those that can be had, by column, and why the others cannot."""

    faces: Mapping[str, FaceMetric]  # a value per face, beside the clean one
    alone: Mapping[str, Callable[[Tensor], Tensor]]  # a value per face, without a clean one
    sets: Mapping[str, Describe]  # the features whose Fréchet distance from clean faces is measured
    left_out: Mapping[str, str]


def library_metrics(
    names: Iterable[str] = (),
    *,
    files: Mapping[str, Path] | None = None,
    accept_license: bool = False,
    device: torch.device | str = "cpu",
) -> LibraryMetrics:
    """What needs a package alone, and those of ON_REQUEST that are asked for; where one cannot be had, the reason.

    `files` are the weights of official metrics by name; what is asked for and not among them is fetched and checked.
    """
    wanted, files = set(names), files or {}
    if not wanted <= set(ON_REQUEST):
        unknown = ", ".join(sorted(wanted - set(ON_REQUEST)))
        raise ValueError(f"no metric is called {unknown}; choose from {', '.join(ON_REQUEST)}")
    for name, path in files.items():
        if name not in FILES or not path.is_file():
            raise ValueError(f"{name}={path}: no such file for a metric; give one to any of {', '.join(FILES)}")
    left_out = {name.upper(): f"not asked for; --with {name}" for name in ON_REQUEST if name not in wanted}

    def official(name: str, load: Callable[[Path, torch.device | str], Any]) -> Any:
        import_module(PACKAGES[name])  # before anything is fetched for it
        path = files[name] if name in files else fetch_published(FILES[name], accept_license=accept_license)
        return load(path, device)

    faces, alone, sets = {}, {}, {}
    makers: list[tuple[dict[str, Any], str, Callable[[], Any]]] = [
        (faces, "PD-E", partial(_efficientnet, device)),
        (faces, "ST-LPIPS", partial(_shift_tolerant, "alex", device)),
        (faces, "ST-LPIPS-VGG", partial(_shift_tolerant, "vgg", device)),
        (faces, "ID-D", lambda: FaceRecogniser().to(device).distance),
        (sets, "FD-A", partial(_alexnet, device)),
        (faces, "LPIPS", partial(official, "lpips", lpips)),
        (alone, "MUSIQ", partial(official, "musiq", musiq)),
        (sets, "FID", partial(official, "fid", inception)),
        (faces, "IDS", partial(official, "ids", arcface)),
    ]
    for some, column, make in makers:
        if column in left_out:
            continue
        try:
            some[column] = make()
        except ValueError as error:
            if column.lower() in FILES:
                raise  # it is not the file that it was given for
            left_out[column] = str(error)  # the package that ships its weights is missing
        except ImportError as error:
            left_out[column] = f"its package is missing ({error})"
        except OSError as error:
            left_out[column] = f"its weights cannot be had ({error})"
    return LibraryMetrics(faces=faces, alone=alone, sets=sets, left_out=left_out)


def _efficientnet(device: torch.device | str) -> FaceMetric:
    net = cast(EfficientNetLite, load_perceptual("efficientnet").to(device))
    return lambda restored, clean: feature_distance(net.features, restored * 2 - 1, clean * 2 - 1)


def _shift_tolerant(backbone: Backbone, device: torch.device | str) -> FaceMetric:
    net = ShiftTolerantLPIPS(backbone).to(device)
    return lambda restored, clean: net.per_face(restored * 2 - 1, clean * 2 - 1)


def _alexnet(device: torch.device | str) -> Describe:
    """A hundred times the means of the last convolution of ST-LPIPS' AlexNet, which no training here uses."""
    net = ShiftTolerantLPIPS("alex").to(device)
    return lambda faces: net.features(faces * 2 - 1)[-1].mean((2, 3)) * 100  # (b, 256)
