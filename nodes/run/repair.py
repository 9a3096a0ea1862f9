"""Faces of a batch filled or coloured, picture by picture, with progress and interruption."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...codeformer_core.colouring import ColourConfig, FaceColourer, colouring_settings
from ...codeformer_core.detection.faces import FaceSelection
from ...codeformer_core.filling import FaceFiller, FillConfig, filling_settings
from ...codeformer_core.models import check_job
from ...codeformer_core.restoration import AlignedFace
from .found import FoundFaces
from .loaded import LoadedDetector, LoadedModel, default_detector, default_model
from .pictures import to_image, to_limits, to_pictures
from .progress import watched
from .report import Report, counted, named
from .signatures import signature


class Repair:
    """What filling and colouring share: the model for the job, the batch, and what is said of it."""

    def __init__(
        self, image: Tensor, model: LoadedModel | None, detector: LoadedDetector | None, report: Report, job: Any
    ):
        report.look_at(image)
        self.image, self.report = image, report
        self.model = model or default_model(report, job)
        check_job(self.model.usage, "the connected model", job)
        self.detector = detector or default_detector()
        self.results: list[np.ndarray] = []
        self.changed: list[np.ndarray] = []
        self.faces: list[list[AlignedFace]] = []
        self.signatures: list[np.ndarray] = []

    def restorer(self, settings: dict[str, Any], faces: str) -> Any:
        """The pipeline with a job's settings and the selected faces."""
        own = {name: value for name, value in settings.items() if name not in ("adain", "keep_grey")}  # the model's
        return self.model.restorer(self.detector, selection=FaceSelection(only=faces), **own)  # pyright: ignore

    def pictures(self) -> Iterator[tuple[int, np.ndarray]]:
        """Each picture with its number, as progress is shown."""
        for i in watched(range(len(self.image))):
            yield i, to_pictures(self.image[i : i + 1])[0]

    def restored(self, restorer: Any, aligned: list[AlignedFace]) -> list[AlignedFace]:
        """The faces of a picture through the network."""
        return self.model.restore_at([None], restorer, aligned, lambda *_: None)[0]

    def keep(self, picture: np.ndarray, result: Any) -> None:
        """What came of a picture."""
        self.results.append(result.image)
        self.changed.append(result.changed)
        self.faces.append(result.faces)
        self.signatures.append(signature(picture))

    def done(self, what: str) -> tuple[Tensor, Tensor, FoundFaces]:
        """IMAGE, MASK and faces of the batch; what was done is said."""
        count, h, w, _ = self.image.shape
        every = [(i, face) for i, faces in enumerate(self.faces) for face in faces]
        number = sum(face.restored is not None for _, face in every)
        self.report.say(f"{counted(number, 'face')} {what} in {counted(count, 'picture')}")
        if without := [i for i, faces in enumerate(self.faces) if not faces]:
            self.report.say(f"no face was found in {named('picture', without)}")
        for i, face in every:
            if face.note:
                self.report.say(f"picture {i}: a face was left as it is, {face.note}")
        found = [[face.face for face in faces] for faces in self.faces]
        results, changed = (torch.from_numpy(np.stack(some)) for some in (self.results, self.changed))
        faces = FoundFaces(faces=found, height=h, width=w, signatures=self.signatures)
        return to_image(results, self.image), changed.float(), faces


def fill_batch(
    image: Tensor,
    mask: Tensor | None,
    model: LoadedModel | None,
    detector: LoadedDetector | None,
    report: Report,
    *,
    faces: str,
    threshold: float,
    grow: int,
    white: bool,
) -> tuple[Tensor, Tensor, FoundFaces]:
    """The faces of an IMAGE filled where the MASK is painted, or where the pictures have white strokes."""
    repair = Repair(image, model, detector, report, "filling")
    usage = repair.model.usage
    config = FillConfig(threshold=threshold, grow=grow, white=white, strokes=usage.strokes)
    filler = FaceFiller(repair.restorer(filling_settings(usage), faces), config)
    for i, picture in repair.pictures():
        limits = to_limits(mask, image, slice(i, i + 1))
        hole = filler.hole(picture, None if limits is None and white else _painted(limits, picture))
        aligned = filler.align(picture, filler.detect(picture, hole), hole)
        filling = filler.filled(picture, repair.restored(filler.restorer, aligned), hole)
        repair.keep(picture, filling)
        if hole.empty:
            report.warn(f"picture {i}: nothing to fill, the mask is black")
        elif filling.missed >= 0.005:
            report.say(f"picture {i}: {filling.missed:.0%} of the mask lies on no face, and is as it was")
    return repair.done("filled")


def _painted(limits: list[np.ndarray] | None, picture: np.ndarray) -> np.ndarray:
    return np.zeros(picture.shape[:2], np.float32) if limits is None else limits[0]


def colour_batch(
    image: Tensor,
    background: Tensor | None,
    model: LoadedModel | None,
    detector: LoadedDetector | None,
    report: Report,
    *,
    faces: str,
    strength: float,
    luminance: str,
) -> tuple[Tensor, Tensor, FoundFaces]:
    """The faces of an IMAGE coloured, in its pictures or in those of a coloured background."""
    repair = Repair(image, model, detector, report, "colouring")
    if background is not None and (len(background) not in (1, len(image)) or background.shape[1:3] != image.shape[1:3]):
        said = f"{len(background)} of {background.shape[2]} x {background.shape[1]}"
        wanted = f"{len(image)} of {image.shape[2]} x {image.shape[1]}"
        raise ValueError(f"the coloured background must be as the image, {wanted} pixels, got {said}: scale it first")
    config = ColourConfig(strength=strength, luminance=luminance)  # pyright: ignore[reportArgumentType]
    colourer = FaceColourer(repair.restorer(colouring_settings(repair.model.usage), faces), config)
    behind = None if background is None else to_pictures(background)
    for i, picture in repair.pictures():
        aligned = colourer.align(picture, colourer.restorer.detect([picture])[0])
        restored = repair.restored(colourer.restorer, aligned)
        around = None if behind is None else behind[min(i, len(behind) - 1)]
        repair.keep(picture, colourer.coloured(picture, restored, around))
    return repair.done("coloured")
