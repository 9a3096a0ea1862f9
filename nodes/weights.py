"""Weights in ComfyUI's hands: which files there are, loading them once, and memory on its device."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import comfy.model_management as mm
import folder_paths
import torch
from comfy.model_patcher import ModelPatcher

MODEL_FOLDER, DETECTOR_FOLDER = "facerestore_models", "facedetection"
NON_COMMERCIAL = "S-Lab 1.0, non-commercial"
# Names in the loaders' lists, which shared workflows hold: the core's name of each.
MODELS = {
    "bundled: mini": "mini",
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
SUFFIXES = (".safetensors", ".pth", ".pt")
# Bytes of activations at the peak for a pixel of a face, a channel of the network's width and a byte of its dtype.
# Tensors take up to 5.7 (bench/activations.py); as much again for workspaces of convolutions, unmeasured on a GPU.
ACTIVATIONS = 12.0
MOST_FACES = 8  # at once through the network; more gain nothing

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedModel:
    """A CodeFormer network under ComfyUI's memory management, and how it is meant to be used."""

    patcher: ModelPatcher
    usage: Any  # codeformer_core.models.Usage

    @property
    def net(self) -> Any:
        """The network, a codeformer_core.CodeFormer."""
        return self.patcher.model

    def batch_size(self) -> int:
        """How many faces go through the network together: 1 on a CPU, where more gain nothing."""
        device = self.patcher.load_device
        if mm.is_device_cpu(device):
            return 1
        return int(min(max(mm.get_free_memory(device) // self._activations(), 1), MOST_FACES))

    def _activations(self) -> int:
        vq, dtype = self.net.config.vq, next(self.net.parameters()).dtype
        return int(ACTIVATIONS * vq.image_size**2 * vq.width * dtype.itemsize)

    def restorer(self, detector: "LoadedDetector | None", config: Any) -> Any:
        """The core's pipeline; `config` is a RestoreConfig, in which what this kind of model needs is set."""
        from ..codeformer_core.restorer import FaceRestorer

        config = replace(config, adain=self.usage.adain, keep_grey=self.usage.keep_grey, batch_size=self.batch_size())
        return FaceRestorer(self.net, detector, config, parser=detector.parse() if detector else None)

    @contextmanager
    def on_device(self, faces: int) -> Iterator[None]:
        """Weights on the device, with room for so many faces at once; an interrupt stops the network between blocks."""
        mm.load_models_gpu([self.patcher], memory_required=faces * self._activations(), force_full_load=True)
        blocks = [*self.net.encoder.blocks, *self.net.ft_layers, *self.net.generator.blocks]
        hooks = [block.register_forward_pre_hook(stop_if_interrupted) for block in blocks]
        try:
            yield
        except torch.cuda.OutOfMemoryError as error:
            size = self.net.config.vq.image_size
            raise RuntimeError(
                f"one face of {size} px does not fit into the memory of {self.patcher.load_device}, which needs about "
                f"{self._activations() / 2**20:.0f} MiB free besides the weights: close what else uses it, "
                "or start ComfyUI with --fp16-vae or --cpu"
            ) from error
        finally:
            for hook in hooks:
                hook.remove()


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedDetector:
    """A face detector, and perhaps a parsing net for masks that follow the face."""

    detector: Any  # codeformer_core.detection.Detector
    config: Any  # codeformer_core.detection.DetectorConfig
    parser: Any  # codeformer_core.parsing.FaceParser, or None
    patcher: ModelPatcher | None  # of the detector; YuNet has none, it runs in OpenCV
    parser_patcher: ModelPatcher | None

    def detect(self, images: Any, config: Any = None) -> Any:
        """The faces of each picture of a list, as the core's detectors give them."""
        _to_device(self.patcher)
        found = []
        for image in images:  # one by one, so that an interrupt is noticed; a batch gains next to nothing
            stop_if_interrupted()
            found += self.detector.detect([image], config or self.config)
        return found

    def parse(self) -> Any:
        """The parsing net on its device, or None."""
        _to_device(self.parser_patcher)
        return self.parser


def stop_if_interrupted(*_: Any) -> None:
    """Raise ComfyUI's own exception if its user has pressed the cross; also a hook of modules."""
    mm.throw_exception_if_processing_interrupted()


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


def model_path(name: str, accept_license: bool) -> Path:
    """The file of a choice of the model loader, downloaded first where the choice says so."""
    from ..codeformer_core import models

    core_name = MODELS.get(name)
    if core_name == "mini":
        return models.model_path("mini")
    return _published(core_name, MODEL_FOLDER, accept_license) if core_name else _file(name, MODEL_FOLDER)


def _published(core_name: str, folder: str, accept_license: bool) -> Path:
    from ..codeformer_core.download import LicenseNotAccepted, fetch_published

    try:
        directory = folder_paths.get_folder_paths(folder)[0]
        return fetch_published(core_name, directory=directory, accept_license=accept_license)
    except LicenseNotAccepted as error:
        terms = str(error).partition(": read")[0]
        raise ValueError(f"{terms}: read it, then switch on accept_license in the loader") from error


def _file(name: str, folder: str) -> Path:
    return Path(folder_paths.get_full_path_or_raise(folder, name))


def load_model(name: str, accept_license: bool = False) -> LoadedModel:
    """The model of a loader's choice; read from its file only when that has changed."""
    from ..codeformer_core.models import USAGE, model_usage

    path = model_path(name, accept_license)
    core_name = MODELS.get(name)
    usage = USAGE[core_name] if core_name else model_usage(str(path), path)
    device = mm.get_torch_device()
    return LoadedModel(patcher=_codeformer(path, stamp(path), device, compute_dtype(device)), usage=usage)


def load_detector(
    name: str, score_threshold: float, short_side: int, parser_name: str, accept_license: bool = False
) -> LoadedDetector:
    """The detector of a loader's choice, and its parsing net if one is chosen."""
    from ..codeformer_core.detection import DetectorConfig

    config = DetectorConfig(score_threshold=score_threshold, short_side=short_side)
    device = mm.get_torch_device()
    core_name = DETECTORS.get(name)
    if core_name == "retinaface_mobile0.25":
        path, mark = core_name, ()
    else:
        path = _published(core_name, DETECTOR_FOLDER, accept_license) if core_name else _file(name, DETECTOR_FOLDER)
        mark = stamp(path)
    detector, patcher = _detector(path, mark, device)
    parser, parser_patcher = None, None
    if parser_name != "none":
        core_name = PARSERS.get(parser_name)
        folder = DETECTOR_FOLDER
        path = _published(core_name, folder, accept_license) if core_name else _file(parser_name, folder)
        parser, parser_patcher = _parser(path, stamp(path), device)
    return LoadedDetector(
        detector=detector, config=config, parser=parser, patcher=patcher, parser_patcher=parser_patcher
    )


def default_model() -> LoadedModel:
    """The official weights if one of ComfyUI's folders holds them under their name, or else the bundled model."""
    from ..codeformer_core.published import PUBLISHED

    official = PUBLISHED["official"].filename
    return load_model(official if official in folder_paths.get_filename_list(MODEL_FOLDER) else next(iter(MODELS)))


def default_detector() -> LoadedDetector:
    """The bundled detector with its usual settings."""
    return load_detector(next(iter(DETECTORS)), 0.8, 640, "none")


def stamp(path: Path | str) -> tuple[int, int]:
    """What changes when a file does."""
    stat = Path(path).stat()
    return stat.st_mtime_ns, stat.st_size


def stamp_of(known: dict[str, Any], name: str, folder: str) -> tuple[int, int] | None:
    """The stamp of the user's own file of a loader's choice; None for what is bundled or published, or not there."""
    path = None if name in known else folder_paths.get_full_path(folder, name)
    return stamp(path) if path else None


def compute_dtype(device: torch.device) -> torch.dtype:
    """float32, unless ComfyUI was started with a half precision for VAEs, which these networks are closest to."""
    dtype = mm.vae_dtype(device, [])
    return dtype if dtype in (torch.float16, torch.bfloat16) else torch.float32


# One of each is kept besides those that ComfyUI's own cache of outputs holds, for nodes without a loader.


@lru_cache(maxsize=1)
def _codeformer(path: Path, mark: tuple[int, int], device: torch.device, dtype: torch.dtype) -> ModelPatcher:
    from ..codeformer_core.checkpoint import load_codeformer

    logger.info("loading %s", path)
    return _patcher(load_codeformer(path, dtype=dtype), device)


@lru_cache(maxsize=1)
def _detector(path: Path | str, mark: tuple[int, ...], device: torch.device) -> tuple[Any, ModelPatcher | None]:
    from ..codeformer_core.detection import load_detector

    logger.info("loading %s", path)
    detector: Any = load_detector(path)
    net = getattr(detector, "net", None)
    return detector, _patcher(net, device) if isinstance(net, torch.nn.Module) else None


@lru_cache(maxsize=1)
def _parser(path: Path, mark: tuple[int, int], device: torch.device) -> tuple[Any, ModelPatcher]:
    from ..codeformer_core.parsing import load_parser

    logger.info("loading %s", path)
    parser = load_parser(path)
    return parser, _patcher(parser.net, device)


def _to_device(patcher: ModelPatcher | None) -> None:
    if patcher is not None:
        mm.load_models_gpu([patcher], force_full_load=True)


def _patcher(net: torch.nn.Module, device: torch.device) -> ModelPatcher:
    return ModelPatcher(net, load_device=device, offload_device=mm.unet_offload_device())
