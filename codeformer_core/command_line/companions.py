"""Pictures that go with an input: its background, its masks; and what tells whether any of them has changed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..fidelity.mask import FidelityMask
from ..fidelity.plan import FidelityPlan, as_plan
from ..film.fingerprint import file_stamp
from ..networks.cft import CFTWeights
from ..pictures.arrays import from_float, to_float
from ..pictures.files import Picture, read_picture
from ..pictures.formats import PICTURE_SUFFIXES, PictureError
from ..restorer import FaceRestorer
from .jobs import BatchConfig, Job


def fidelity_plan(job: Job, restorer: FaceRestorer, config: BatchConfig) -> FidelityPlan | None:
    """The plan in which the picture's own fidelity mask stands; None if it has none."""
    path = companion_path(config.fidelity_mask, job)
    if path is None or isinstance(restorer.config.w, CFTWeights):
        return None
    mask = FidelityMask(values=to_float(read_picture(path).rgb)[..., 0])
    return replace(as_plan(restorer.config.w), mask=mask)


def mask_of(job: Job, picture: Picture, config: BatchConfig) -> np.ndarray | None:
    """The mask (h, w) that goes with a picture, of its size and dtype unless the task takes any."""
    if config.task is None or not config.task.any_mask:
        mask = companion(config.mask, job, picture, 1)
        return None if mask is None else mask[..., 0]
    path = companion_path(config.mask, job)
    return None if path is None else to_float(read_picture(path).rgb)[..., 0]


def companion(place: Path | None, job: Job, picture: Picture, scale: int) -> np.ndarray | None:
    """The pixels of the picture at `companion_path`, in the dtype of the job's picture."""
    path = companion_path(place, job)
    if path is None:
        return None
    rgb = read_picture(path).rgb
    height, width = (n * scale for n in picture.rgb.shape[:2])
    if rgb.shape[:2] != (height, width):
        size = f"{rgb.shape[1]} x {rgb.shape[0]}"
        raise PictureError(f"{path}: is {size}, must be {width} x {height} pixels to go with {job.source}")
    return rgb if rgb.dtype == picture.rgb.dtype else from_float(to_float(rgb), picture.rgb.dtype)


def companion_path(place: Path | None, job: Job) -> Path | None:
    """The picture that goes with a job: `place` itself, or in the folder `place` the one with the job's name."""
    if place is None or not place.is_dir():
        return place
    wanted = place / job.relative
    for path in (wanted, *(wanted.with_suffix(suffix) for suffix in sorted(PICTURE_SUFFIXES))):
        if path.is_file():
            return path
    raise PictureError(f"{wanted}: no such file; the folder {place} needs one picture named as each input")


def stamps_of(job: Job, config: BatchConfig) -> dict[str, Any]:
    """What tells whether the files that a result is made of have changed; PictureError if one is not there any more."""
    paths = {"source": job.source, **companion_paths(job, config)}
    try:
        stamps: dict[str, Any] = {name: None if path is None else file_stamp(path) for name, path in paths.items()}
    except (FileNotFoundError, PermissionError) as error:
        raise PictureError(f"{error.filename}: cannot be read any more ({error.strerror}); put it back") from error
    return stamps | {"frame": job.frame} if config.by_frame else stamps


def companion_paths(job: Job, config: BatchConfig) -> dict[str, Path | None]:
    """The pictures beside the source that the result is made of."""
    places = {"background": config.background, "mask": config.mask, "fidelity_mask": config.fidelity_mask}
    return {name: companion_path(place, job) for name, place in places.items()}
