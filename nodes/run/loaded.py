"""Networks in ComfyUI's hands: read once, on its devices, in the memory that it gives."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import comfy.model_management as mm
import torch
from comfy.model_patcher import ModelPatcher

from ...codeformer_core.detection.detector import COARSE
from .model_files import DEFAULTS, DETECTORS, MODELS, default_model_name, detector_file, model_file, parser_file, stamp
from .progress import stop_if_interrupted
from .remembered import MOST_BYTES, Remembered, content_key
from .report import Report

# Bytes of activations at the peak for a place of the largest features, a channel of the network's width and a byte of
# its dtype. Tensors take up to 5.7 (bench/activations.py); as much again for workspaces of convolutions, unmeasured on
# a GPU.
ACTIVATIONS = 12.0
MOST_FACES = 8  # at once through the network
MOST_PICTURES = 4096  # whose faces are remembered
DETECTING, PARSING = 300, 1000  # MiB likewise: for the larger detector at short side 640, and for ParseNet

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedModel:
    """A CodeFormer network under ComfyUI's memory management, and how it is meant to be used."""

    patcher: ModelPatcher
    usage: Any  # codeformer_core.models.Usage
    predictions: Remembered[Any] = field(default_factory=lambda: Remembered(MOST_BYTES))  # of its last faces

    @property
    def net(self) -> Any:
        """The network, a codeformer_core.CodeFormer."""
        return self.patcher.model

    def begin_run(self) -> None:
        """A node's run with it begins: what earlier ones predicted may be forgotten for what this one adds."""
        self.predictions.begin_run()

    def restorer(self, detector: "LoadedDetector | None" = None, *, colour_match: str, **settings: Any) -> Any:
        """The core's pipeline; `settings` are `RestoreConfig`'s, and what this kind of model needs is set besides."""
        from ...codeformer_core.restoration import RestoreConfig
        from ...codeformer_core.restorer import FaceRestorer

        usage = self.usage
        match: Any = usage.colour_match if colour_match == "auto" else colour_match
        parts = {} if detector is None else {"mask_parts": detector.mask_parts}
        settings = {**parts, "min_confidence": usage.min_confidence, "calibration": usage.calibration, **settings}
        config = RestoreConfig(adain=usage.adain, keep_grey=usage.keep_grey, colour_match=match, **settings)
        return FaceRestorer(self.net, detector, config, parser=detector.parser if detector else None)

    def restore_at(
        self,
        weights: Sequence[Any],
        restorer: Any,
        faces: Sequence[Any],
        progress: Callable[[int, int], None],
    ) -> list[list[Any]]:
        """`restorer.restore_at` on the device, as many faces at a time as its memory takes.

        What the network predicts is kept for the next run, as far as there is room.
        """
        todo = sum(not face.note for face in faces)
        if not todo:
            return restorer.restore_at(weights, faces)
        with self.on_device(todo) as at_once:
            remembering = self._remembering(restorer, at_once)
            return remembering.restore_at(weights, faces, progress=progress)

    def weigh(self, restorer: Any, faces: Sequence[Any], weights: Any) -> list[Any]:
        """The faces with the weights that would be in force for them: their codes are predicted, nothing is decoded."""
        with self.on_device(len(faces)):
            remembering = self._remembering(restorer, 1)
            weighed = [remembering.weigh([face], remembering.predict([face]), weights) for face in faces]
        return [face for (face,) in weighed]

    def _remembering(self, restorer: Any, batch_size: int) -> Any:
        from .predicted import RememberingRestorer

        config = replace(restorer.config, batch_size=batch_size)
        own = {"parser": restorer.parser, "predictions": self.predictions}
        return RememberingRestorer(self.net, restorer.detector, config, **own)

    @contextmanager
    def on_device(self, todo: int) -> Iterator[int]:
        """Weights on the device; how many faces fit at once; an interrupt stops the network between blocks.

        One at a time on a CPU, where more gain nothing (bench/README.md).
        """
        vq, dtype, device = self.net.config.vq, next(self.net.parameters()).dtype, self.patcher.load_device
        each = int(ACTIVATIONS * vq.sizes[0] ** 2 * vq.width * dtype.itemsize)
        at_once = 1 if mm.is_device_cpu(device) else min(todo, MOST_FACES)
        with _loaded(self.patcher, at_once * each, f"one face of {vq.image_size} px", "start ComfyUI with --fp16-vae"):
            at_once = int(min(max(mm.get_free_memory(device) // each, 1), at_once))
            blocks = [*self.net.encoder.blocks, *self.net.ft_layers, *self.net.generator.blocks]
            hooks = [block.register_forward_pre_hook(stop_if_interrupted) for block in blocks]
            try:
                yield at_once
            finally:
                for hook in hooks:
                    hook.remove()


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedParser:
    """A face parsing net, for masks that follow the face."""

    parser: Any  # codeformer_core's FaceParser
    patcher: ModelPatcher

    @property
    def kind(self) -> str:
        """Which net it is."""
        return self.parser.kind

    @property
    def net(self) -> Any:
        """The network."""
        return self.parser.net

    def masks(self, faces: Any, parts: Any) -> Any:
        """As the core's parsers give them; loaded anew if ComfyUI has needed its memory since."""
        with self._loaded():
            return self.parser.masks(faces, parts)

    def classes(self, faces: Any) -> Any:
        """Likewise."""
        with self._loaded():
            return self.parser.classes(faces)

    def _loaded(self) -> AbstractContextManager[None]:
        stop_if_interrupted()
        return _loaded(self.patcher, PARSING * 2**20, "parsing a face", "choose no parser")


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedDetector:
    """A face detector with its settings, and perhaps a parsing net."""

    detector: Any  # codeformer_core.detection.Detector
    config: Any  # codeformer_core.detection.DetectorConfig
    patcher: ModelPatcher | None  # of the detector; YuNet has none, it runs in OpenCV
    parser: Any  # LoadedParser, or None
    found: Remembered[Any]  # in the last pictures; shared by all who use this network
    mask_parts: Sequence[Any] = ("hair", "glasses", "ears")  # of a face, that masks of the parser take in

    @property
    def net(self) -> Any:
        """The network, which of YuNet is OpenCV's."""
        return getattr(self.detector, "net", None)

    @property
    def path(self) -> Any:
        """The file of YuNet."""
        return getattr(self.detector, "path", None)

    def begin_run(self) -> None:
        """A node's run with it begins: what earlier ones found may be forgotten for what this one adds."""
        self.found.begin_run()

    def detect(self, images: Any, config: Any = None) -> Any:
        """The faces of each picture of a list, as the core's detectors give them.

        Known pictures are not searched again; a search with a config of its own, as for a second look, is not kept.
        """
        if config is not None:
            return self._search(images, config)
        config = self.config
        keys = [(config, content_key(image)) for image in images]
        known = [self.found.get(key) for key in keys]
        if unknown := [i for i, faces in enumerate(known) if faces is None]:
            for i, faces in zip(unknown, self._search([images[i] for i in unknown], config), strict=True):
                known[i] = faces
                self.found.put(keys[i], faces, 1)
        return [list(faces or ()) for faces in known]

    def _search(self, images: Any, config: Any) -> Any:
        stop_if_interrupted()
        if self.patcher is None:
            return self.detector.detect(images, config)
        side = COARSE if config.short_side == "auto" else config.short_side  # tiles need no more than the whole picture
        at_once = min(len(images), config.batch_size)
        needed = int(at_once * DETECTING * 2**20 * (side / COARSE) ** 2)
        with _loaded(self.patcher, needed, f"a picture at short_side {side}", "lower short_side"):
            hook = self.net.register_forward_pre_hook(stop_if_interrupted)
            try:
                return self.detector.detect(images, config)
            finally:
                hook.remove()


@contextmanager
def _loaded(patcher: ModelPatcher, memory: int, what: str, remedy: str) -> Iterator[None]:
    """A network whole on its device, with `memory` bytes free besides if possible.

    If that is too little after all, ComfyUI's own exception names what did not fit, and the remedy.
    """
    mm.load_models_gpu([patcher], memory_required=memory, force_full_load=True)
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:  # of this type ComfyUI knows that all models are to be unloaded
        raise torch.cuda.OutOfMemoryError(
            f"{what} does not fit into the memory of {patcher.load_device}, of which it needs about "
            f"{memory / 2**20:.0f} MiB besides the weights: close what else uses it, {remedy}, "
            "or start ComfyUI with --cpu"
        ) from error


def load_model(name: str, accept_license: bool = False, precision: str = "auto") -> LoadedModel:
    """The model of a loader's choice; read from its file only when that has changed."""
    path, device = model_file(name, accept_license), mm.get_torch_device()
    return _model(MODELS.get(name), path, stamp(path), device, numbers_on(device, precision))


def load_detector(
    name: str,
    accept_license: bool = False,
    *,
    parser_name: str = "none",
    mask_parts: Sequence[str] = ("hair", "glasses", "ears"),
    **settings: Any,
) -> LoadedDetector:
    """The detector of a loader's choice, and its parsing net if one is chosen; `settings` are `DetectorConfig`'s."""
    from ...codeformer_core.detection.detector import DetectorConfig

    config, device = DetectorConfig(**settings), mm.get_torch_device()
    path = detector_file(name, accept_license)
    detector, patcher, found = _detector(path, stamp(path), device)
    parser = None
    if parser_name != "none":
        path = parser_file(parser_name, accept_license)
        parser = _parser(path, stamp(path), device)
    chosen = tuple(mask_parts)
    return LoadedDetector(
        detector=detector, config=config, patcher=patcher, parser=parser, found=found, mask_parts=chosen
    )


def default_model(report: Report, job: str = "restoration") -> LoadedModel:
    """What nodes without a loader use: the published weights for a job if they are installed, or else the bundled ones.

    The bundled one also takes the place of a file that cannot be read, with a warning.
    """
    from ...codeformer_core.networks.state_dicts import CheckpointError

    name, (_, bundled) = default_model_name(job), DEFAULTS[job]
    try:
        return load_model(name)
    except (CheckpointError, OSError) as error:
        if name == bundled:
            raise
        report.warn(f"{name} cannot be used, so the bundled model was: {error}")
        return load_model(bundled)


def default_detector() -> LoadedDetector:
    """The bundled detector with its usual settings."""
    return load_detector(next(iter(DETECTORS)))


def begin_run(
    model: LoadedModel | None, detector: LoadedDetector | None, report: Report, job: str = "restoration"
) -> tuple[LoadedModel, LoadedDetector]:
    """What is connected to a node, or else what it uses without; its run begins, which it does once."""
    model, detector = model or default_model(report, job), detector or default_detector()
    model.begin_run()
    detector.begin_run()
    return model, detector


def numbers_on(device: torch.device, precision: str) -> Any:
    """What the network computes in (`weights.precision`).

    auto is mixed also where ComfyUI was started with VAEs, to which these networks are closest, in half precision.
    """
    from ...codeformer_core.weights.precision import numbers_for

    halved = mm.vae_dtype(device, []) in (torch.float16, torch.bfloat16)
    return numbers_for("mixed" if precision == "auto" and halved else precision, device.type)


# Besides those that ComfyUI's own cache of outputs holds, for nodes without a loader: a model for each job, and one of
# the others.


@lru_cache(maxsize=len(DEFAULTS))
def _model(core_name: str | None, path: Path, mark: tuple[int, int], device: torch.device, numbers: Any) -> LoadedModel:
    from ...codeformer_core.models import model_usage
    from ...codeformer_core.weights.checkpoint import load_codeformer

    logger.info("loading %s", path)
    usage = model_usage(core_name or str(path), path)
    return LoadedModel(patcher=_patcher(load_codeformer(path, dtype=numbers), device), usage=usage)


@lru_cache(maxsize=1)
def _detector(path: Path, mark: tuple[int, int], device: torch.device) -> tuple[Any, ModelPatcher | None, Remembered]:
    from ...codeformer_core.detection.load import load_detector

    logger.info("loading %s", path)
    detector: Any = load_detector(path)
    net = getattr(detector, "net", None)
    return detector, _patcher(net, device) if isinstance(net, torch.nn.Module) else None, Remembered(MOST_PICTURES)


@lru_cache(maxsize=1)
def _parser(path: Path, mark: tuple[int, int], device: torch.device) -> LoadedParser:
    from ...codeformer_core.pasting.parsing import load_parser

    logger.info("loading %s", path)
    parser = load_parser(path)
    return LoadedParser(parser=parser, patcher=_patcher(parser.net, device))


def _patcher(net: torch.nn.Module, device: torch.device) -> ModelPatcher:
    return ModelPatcher(net, load_device=device, offload_device=mm.unet_offload_device())
