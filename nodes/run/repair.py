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
from .loaded import LoadedDetector, LoadedModel, begin_run
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
        self.model, self.detector = begin_run(model, detector, report, job)
        check_job(self.model.usage, "the connected model", job)
        count, h, w, _ = image.shape
        self.results = np.empty((count, h, w, 3), np.float32)
        self.changed = np.empty((count, h, w), np.float32)
        self.faces: list[list[AlignedFace]] = []  # of each picture, without pixels
        self.signatures: list[np.ndarray] = []
        self.idle: dict[str, list[int]] = {}  # why nothing was looked for: in which pictures

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

    def keep(self, i: int, picture: np.ndarray, result: Any, idle: str = "") -> None:
        """What came of the i-th picture, and, if no face was looked for, why."""
        self.results[i], self.changed[i] = result.image, result.changed
        self.faces.append([face.without_pixels() for face in result.faces])
        self.signatures.append(signature(picture))
        if idle:
            self.idle.setdefault(idle, []).append(i)

    def done(self, what: str) -> tuple[Tensor, Tensor, FoundFaces]:
        """IMAGE, MASK and faces of the batch; what was done is said."""
        count, h, w, _ = self.image.shape
        every = [(i, face) for i, faces in enumerate(self.faces) for face in faces]
        number = sum(face.restored is not None for _, face in every)
        self.report.say(f"{counted(number, 'face')} {what} in {counted(count, 'picture')}")
        for why, numbers in self.idle.items():
            self.report.warn(f"{named('picture', numbers)}: {why}")
        left = {i for numbers in self.idle.values() for i in numbers}
        if without := [i for i, faces in enumerate(self.faces) if not faces and i not in left]:
            self.report.say(f"no face was found in {named('picture', without)}")
        for i, face in every:
            if face.note:
                self.report.say(f"picture {i}: a face was left as it is, {face.note}")
        found = [[face.face for face in faces] for faces in self.faces]
        faces = FoundFaces(faces=found, height=h, width=w, signatures=self.signatures)
        return to_image(torch.from_numpy(self.results), self.image), torch.from_numpy(self.changed), faces


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
    if mask is None and not white:
        raise ValueError("filling wants a mask: connect one, or switch white on for pictures with white strokes")
    repair = Repair(image, model, detector, report, "filling")
    usage = repair.model.usage
    config = FillConfig(threshold=threshold, grow=grow, white=white, strokes=usage.strokes)
    filler = FaceFiller(repair.restorer(filling_settings(usage), faces), config)
    missed = []
    for i, picture in repair.pictures():
        limits = to_limits(mask, image, slice(i, i + 1))
        painted = limits[0] if limits else None if white else np.zeros(picture.shape[:2], np.float32)
        hole = filler.hole(picture, painted)
        aligned = filler.align(picture, filler.detect(picture, hole), hole)
        filling = filler.filled(picture, repair.restored(filler.restorer, aligned), hole)
        repair.keep(i, picture, filling, _why_empty(painted, config) if hole.empty else "")
        if filling.missed >= 0.005:
            missed.append(f"picture {i}: {filling.missed:.0%} of the mask lies on no face, and is as it was")
    done = repair.done("filled")
    for line in missed:
        report.say(line)
    return done


def _why_empty(mask: np.ndarray | None, config: FillConfig) -> str:
    """Why there is nothing to fill by the mask of a picture, or by its white strokes."""
    if mask is None:
        return "nothing to fill, nothing is white"
    if mask.max() >= config.threshold:
        return "nothing to fill, nothing is white where the mask is painted"
    return f"nothing to fill, the mask is {'below threshold everywhere' if mask.any() else 'black'}"


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
    if background is not None:
        report.look_at(background, "coloured background")
    config = ColourConfig(strength=strength, luminance=luminance)  # pyright: ignore[reportArgumentType]
    colourer = FaceColourer(repair.restorer(colouring_settings(repair.model.usage), faces), config)
    for i, picture in repair.pictures():
        aligned = colourer.align(picture, colourer.restorer.detect([picture])[0])
        restored = repair.restored(colourer.restorer, aligned)
        around = None if background is None else to_pictures(background[[min(i, len(background) - 1)]])[0]
        repair.keep(i, picture, colourer.coloured(picture, restored, around))
    return repair.done("coloured")
