"""A batch of pictures through the core's pipeline, in portions, with progress and interruption."""

from dataclasses import replace

import numpy as np
import torch
from comfy.utils import ProgressBar
from torch import Tensor

from ..codeformer_core.faces import FaceSelection
from ..codeformer_core.restorer import FaceRestorer, RestoreConfig
from .pictures import to_image, to_limits, to_pictures
from .types import FoundFaces
from .weights import LoadedDetector, LoadedModel, default_detector, default_model, stop_if_interrupted

PORTION = 16  # pictures at a time, whose faces share the network's batches
TICKS = 1000  # of the progress bar


class Progress:
    """ComfyUI's progress bar for work that comes in portions of unequal length."""

    def __init__(self, pictures: int):
        self.pictures, self.before, self.bar = pictures, 0, ProgressBar(TICKS)

    def __call__(self, done: int, total: int) -> None:
        """So many of the present portion's faces are done; raises if the user has pressed the cross."""
        stop_if_interrupted()
        portion = min(PORTION, self.pictures - self.before)
        self.bar.update_absolute(round(TICKS * (self.before + portion * done / total) / self.pictures))

    def portion_done(self, pictures: int) -> None:
        self.before += pictures
        self.bar.update_absolute(round(TICKS * self.before / self.pictures))


def restore_batch(
    image: Tensor,
    mask: Tensor | None,
    model: LoadedModel | None,
    detector: LoadedDetector | None,
    *,
    faces: str,
    **settings: float | str,
) -> tuple[Tensor, Tensor, FoundFaces]:
    """The restored IMAGE, the MASK of what changed (b, h, w), and the faces; `settings` are `RestoreConfig`'s."""
    model, detector = model or default_model(), detector or default_detector()
    selection = FaceSelection(only=faces)  # pyright: ignore[reportArgumentType]
    restorer = model.restorer(detector, RestoreConfig(selection=selection, **settings))  # pyright: ignore
    pictures, limits = to_pictures(image), to_limits(mask, image)
    height, width = (n * restorer.config.upscale for n in image.shape[1:3])
    restored = np.empty((len(pictures), height, width, 3), np.float32)
    changed = np.empty((len(pictures), height, width), np.float32)
    found, progress = [], Progress(len(pictures))
    for start in range(0, len(pictures), PORTION):
        some, end = pictures[start : start + PORTION], start + PORTION
        its_limits = limits[start:end] if limits else None
        its_faces = restorer.detect(some)
        with model.on_device(restorer.config.batch_size):
            results = restorer(some, faces=its_faces, limits=its_limits, progress=progress)
        for i, result in enumerate(results, start):  # pyright: ignore[reportArgumentType]
            stop_if_interrupted()
            restored[i] = result.image
            changed[i] = restorer.changed(image.shape[1:3], result.faces, limits[i] if limits else None)
            found.append([replace(face.face, image_index=i) for face in result.faces])
        progress.portion_done(len(some))
    faces_found = FoundFaces(faces=found, height=image.shape[1], width=image.shape[2])
    return to_image(torch.from_numpy(restored), image), torch.from_numpy(changed), faces_found


def restore_crops(crops: Tensor, model: LoadedModel | None, **settings: float | str) -> Tensor:
    """Aligned faces (b, s, s, c) of any side s, restored, at the network's own side."""
    model = model or default_model()
    restorer = model.restorer(None, RestoreConfig(**settings))  # pyright: ignore[reportArgumentType]
    aligned = [restorer.as_aligned(crop) for crop in to_pictures(crops)]
    with model.on_device(restorer.config.batch_size):
        restored = restorer.restore(aligned, progress=Progress(max(len(aligned), 1)))
    size = restorer.face_size
    faces = np.stack([face.restored for face in restored]) if restored else np.empty((0, size, size, 3), np.float32)
    return to_image(torch.from_numpy(faces), crops)


def paste_crops(
    image: Tensor,
    faces: FoundFaces,
    crops: Tensor,
    *,
    background: Tensor | None,
    mask: Tensor | None,
    detector: LoadedDetector | None,
    mask_softness: float,
) -> tuple[Tensor, Tensor]:
    """Crops of `faces`, in their order, back into the pictures or onto an enlarged background: IMAGE and MASK."""
    pictures, limits, edited = to_pictures(image), to_limits(mask, image), to_pictures(crops)
    check_faces(faces, image)
    if len(edited) != faces.count:
        raise ValueError(f"{len(edited)} crops for {faces.count} faces: give one crop for each, in the faces' order")
    if crops.shape[1] != crops.shape[2]:
        raise ValueError(f"crops are square, got {crops.shape[2]} x {crops.shape[1]} pixels")
    upscale = 1 if background is None else upscale_of(background, image)
    backgrounds = None if background is None else to_pictures(background)
    restorer = FaceRestorer(
        None,
        config=RestoreConfig(upscale=upscale, feather=mask_softness),
        parser=detector.parse() if detector else None,
        face_size=crops.shape[1],
    )
    order = iter(edited)
    results, changed = [], []
    for i, (picture, its_faces) in enumerate(zip(pictures, faces.faces, strict=True)):
        stop_if_interrupted()
        aligned = restorer.masked([replace(f, restored=next(order)) for f in restorer.align(picture, its_faces)])
        limit = limits[i] if limits else None
        results.append(restorer.paste(picture, aligned, backgrounds[i] if backgrounds else None, limit))
        changed.append(restorer.changed(picture.shape[:2], aligned, limit))
    if not results:
        return image, image.new_zeros(image.shape[:3])
    return to_image(torch.from_numpy(np.stack(results)), image), torch.from_numpy(np.stack(changed))


def crop_faces(image: Tensor, faces: FoundFaces, size: int) -> Tensor:
    """The aligned crops (n, size, size, 3) of all faces of all pictures, in their order."""
    check_faces(faces, image)
    restorer = FaceRestorer(None, face_size=size)
    pairs = zip(to_pictures(image), faces.faces, strict=True)
    crops = [aligned.crop for picture, its_faces in pairs for aligned in restorer.align(picture, its_faces)]
    return torch.from_numpy(np.stack(crops) if crops else np.empty((0, size, size, 3), np.float32))


def check_faces(faces: FoundFaces, image: Tensor) -> None:
    """Raise ValueError if the faces were found in pictures of another size or number."""
    if (len(faces.faces), faces.height, faces.width) != tuple(image.shape[:3]):
        b, h, w = image.shape[:3]
        raise ValueError(
            f"the faces are of {len(faces.faces)} picture(s) of {faces.width} x {faces.height} pixels, the image is "
            f"{b} of {w} x {h}: connect the image that they were found in"
        )


def upscale_of(background: Tensor, image: Tensor) -> int:
    """How many times larger, 1 to 4, the background is than the image; ValueError if it is no whole number."""
    (b, h, w), (bb, bh, bw) = image.shape[:3], background.shape[:3]
    for upscale in (1, 2, 3, 4):
        if (b, h * upscale, w * upscale) == (bb, bh, bw):
            return upscale
    raise ValueError(
        f"the background is {bb} of {bw} x {bh} pixels: for {b} image(s) of {w} x {h} it must be as many, 1, 2, 3 or 4 "
        "times as large in each direction"
    )
