"""Which weights there are to choose from: bundled, the user's own files, and downloads; and where their files lie."""

from pathlib import Path
from typing import Any

import folder_paths
from comfy.utils import ProgressBar

from .progress import stop_if_interrupted

MODEL_FOLDER, DETECTOR_FOLDER = "facerestore_models", "facedetection"
NON_COMMERCIAL = "S-Lab 1.0, non-commercial"
# Names in the loaders' lists, which shared workflows hold: the core's name of each.
MODELS = {
    "bundled: mini": "mini",
    "bundled: mini-fill": "mini-fill",
    "bundled: mini-colour": "mini-colour",
    f"download: official ({NON_COMMERCIAL})": "official",
    f"download: inpainting ({NON_COMMERCIAL})": "inpainting",
    f"download: colorization ({NON_COMMERCIAL})": "colorization",
}
DETECTORS = {
    "bundled: retinaface_mobile0.25": "retinaface_mobile0.25",
    "download: retinaface_resnet50 (MIT)": "retinaface_resnet50",
}
PARSERS = {
    "none": None,
    "download: parsenet (CC BY-NC-SA 4.0, non-commercial)": "parsenet",
    "download: bisenet (MIT)": "bisenet",
}
# Of each job: the published weights under the names that they go by, in other packs too; and the bundled ones' choice.
DEFAULTS = {
    "restoration": (("codeformer.safetensors", "codeformer.pth", "codeformer-v0.1.0.pth"), "bundled: mini"),
    "filling": (("codeformer_inpainting.pth",), "bundled: mini-fill"),
    "colouring": (("codeformer_colorization.pth",), "bundled: mini-colour"),
}
SUFFIXES = (".safetensors", ".pth", ".pt")


def model_names() -> list[str]:
    """The choices of the model loader: the bundled model, the user's files, and what can be downloaded."""
    return _with_files(MODELS, MODEL_FOLDER)


def detector_names() -> list[str]:
    """The choices of the detector loader."""
    return _with_files(DETECTORS, DETECTOR_FOLDER, (*SUFFIXES, ".onnx"))


def parser_names() -> list[str]:
    """The choices of the parsing net."""
    return _with_files(PARSERS, DETECTOR_FOLDER)


def _with_files(known: dict[str, Any], folder: str, suffixes: tuple[str, ...] = SUFFIXES) -> list[str]:
    first, *rest = known
    files = [name for name in folder_paths.get_filename_list(folder) if name.lower().endswith(suffixes)]
    return [first, *files, *rest]


def default_model_name(job: str = "restoration") -> str:
    """The published weights for a job if one of ComfyUI's folders holds them, or else the bundled model."""
    published, bundled = DEFAULTS[job]
    files = folder_paths.get_filename_list(MODEL_FOLDER)
    return next((name for name in published if name in files), bundled)


def model_file(name: str, accept_license: bool) -> Path:
    """The file of a choice of the model loader, downloaded first where the choice says so."""
    from ...codeformer_core.models import model_path

    bundled = name.startswith("bundled: ") and MODELS.get(name)
    return model_path(bundled) if bundled else _file(name, MODELS, MODEL_FOLDER, accept_license)


def detector_file(name: str, accept_license: bool) -> Path:
    """The file of a choice of the detector loader, likewise."""
    from ...codeformer_core.detection.load import BUNDLED

    bundled = DETECTORS.get(name) == "retinaface_mobile0.25"
    return BUNDLED if bundled else _file(name, DETECTORS, DETECTOR_FOLDER, accept_license)


def parser_file(name: str, accept_license: bool) -> Path:
    """The file of a parsing net other than "none", likewise."""
    return _file(name, PARSERS, DETECTOR_FOLDER, accept_license)


def _file(name: str, known: dict[str, Any], folder: str, accept_license: bool) -> Path:
    core_name = known.get(name)
    if core_name is None:
        return Path(folder_paths.get_full_path_or_raise(folder, name))
    from ...codeformer_core.weights.download import LicenseNotAccepted, fetch_published
    from ...codeformer_core.weights.published import PUBLISHED

    there = folder_paths.get_full_path(folder, PUBLISHED[core_name].filename)
    directory = Path(there).parent if there else folder_paths.get_folder_paths(folder)[0]
    try:
        return fetch_published(
            core_name, directory=directory, accept_license=accept_license, on_progress=_DownloadProgress()
        )
    except LicenseNotAccepted as error:
        terms = str(error).partition(": read")[0]
        raise ValueError(f"{terms}: read it, then switch on accept_license in the loader") from error


class _DownloadProgress:
    """ComfyUI's progress bar, and its cross, for a download."""

    def __init__(self):
        self.bar = ProgressBar(1)

    def __call__(self, done: int, total: int) -> None:
        stop_if_interrupted()
        self.bar.update_absolute(done, total or done)


def stamp(path: Path) -> tuple[int, int]:
    """What changes when a file does."""
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


def stamp_of(known: dict[str, Any], name: str | None, folder: str) -> tuple[int, int] | None:
    """The stamp of a choice that is the user's own file; None for others, for none there, and if it comes by a link."""
    path = folder_paths.get_full_path(folder, name) if name is not None and name not in known else None
    return stamp(Path(path)) if path else None


def default_model_stamp(job: str = "restoration") -> object:
    """What changes when nodes without a loader would use another model."""
    name = default_model_name(job)
    return name, stamp_of(MODELS, name, MODEL_FOLDER)
