"""A batch of pictures through the core's pipeline, in portions, with progress and interruption."""

import logging
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ...codeformer_core.detection.faces import FaceSelection
from ...codeformer_core.restorer import FaceRestorer, RestoreConfig
from .found import FoundFaces
from .loaded import LoadedDetector, LoadedModel, default_detector, default_model
from .pictures import to_image, to_limits, to_pictures
from .progress import Portions, count_faces, stop_if_interrupted, watched

PORTION = 16  # pictures at a time, whose faces share the network's batches
FOUND, RESTORED = 0.2, 0.8  # of a portion's work, about, when its faces are found, and restored

logger = logging.getLogger(__name__)


def restore_batch(
    image: Tensor,
    mask: Tensor | None,
    model: LoadedModel | None,
    detector: LoadedDetector | None,
    *,
    faces: str,
    fidelity: float,
    **settings: float | str,
) -> tuple[Tensor, Tensor, FoundFaces]:
    """The restored IMAGE, the MASK of what changed (b, h, w), and the faces; `settings` are `RestoreConfig`'s."""
    model, detector = model or default_model(), detector or default_detector()
    selection = FaceSelection(only=faces)  # pyright: ignore[reportArgumentType]
    restorer = model.restorer(detector, selection=selection, **settings)  # pyright: ignore[reportArgumentType]
    count, h, w, _ = image.shape
    restored = np.empty((count, h * restorer.config.upscale, w * restorer.config.upscale, 3), np.float32)
    changed = np.empty(restored.shape[:3], np.float32)
    found, progress = [], Portions(count)
    for start in range(0, count, PORTION):
        part = slice(start, start + PORTION)
        pictures, limits = to_pictures(image[part]), to_limits(mask, image, part)
        progress.begin(len(pictures))
        aligned = [restorer.align(p, restorer.detect([p])[0]) for p in progress.each(pictures, 0, FOUND)]
        every = [face for its_faces in aligned for face in its_faces]
        (better,) = model.restore_at([fidelity], restorer, every, progress.between(FOUND, RESTORED))
        order = iter(better)
        for i, picture in enumerate(progress.each(pictures, RESTORED, 1)):
            its_faces, limit = restorer.masked([next(order) for _ in aligned[i]]), limits[i] if limits else None
            restored[start + i] = restorer.paste(picture, its_faces, limit=limit, tick=stop_if_interrupted)
            changed[start + i] = restorer.changed((h, w), its_faces, limit)
            found.append([replace(face.face, image_index=start + i) for face in its_faces])
            for face in its_faces:
                if face.note:
                    logger.info("picture %d: a face was left as it is, %s", start + i, face.note)
    faces_found = FoundFaces(faces=found, height=h, width=w)
    if without := [i for i, its_faces in enumerate(found) if not its_faces]:
        logger.info("no face was found in %d of %d picture(s), the first is %d", len(without), count, without[0])
    if mask is not None and faces_found.count and not changed.any():
        logger.warning("nothing has changed: the mask is black wherever a face was restored")
    return to_image(torch.from_numpy(restored), image), torch.from_numpy(changed), faces_found


def restore_crops(crops: Tensor, model: LoadedModel | None, *, fidelity: float, colour_match: str) -> Tensor:
    """Aligned faces (b, s, s, c) of any side s, restored, at the network's own side."""
    model = model or default_model()
    restorer = model.restorer(colour_match=colour_match)
    aligned = [restorer.as_aligned(crop) for crop in to_pictures(crops)]
    (restored,) = model.restore_at([fidelity], restorer, aligned, count_faces())
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
    large_faces: str,
) -> tuple[Tensor, Tensor]:
    """Crops of `faces`, in their order, back into the pictures or onto an enlarged background: IMAGE and MASK."""
    check_faces(faces, image)
    if len(crops) != faces.count:
        raise ValueError(f"{len(crops)} crops for {faces.count} faces: give one crop for each, in the faces' order")
    if crops.shape[1] != crops.shape[2]:
        raise ValueError(f"crops are square, got {crops.shape[2]} x {crops.shape[1]} pixels")
    upscale = 1 if background is None else upscale_of(background, image)
    restorer = FaceRestorer(
        None,
        config=RestoreConfig(upscale=upscale, feather=mask_softness, large_faces=large_faces),  # pyright: ignore
        parser=detector.parser if detector else None,
        face_size=crops.shape[1],
    )
    count, h, w, _ = image.shape
    pasted = np.empty((count, h * upscale, w * upscale, 3), np.float32)
    changed = np.empty(pasted.shape[:3], np.float32)
    first = 0  # crop of the picture
    for i in watched(range(count)):
        (picture,), limits = to_pictures(image[i : i + 1]), to_limits(mask, image, slice(i, i + 1))
        edited, first = to_pictures(crops[first : first + len(faces.faces[i])]), first + len(faces.faces[i])
        aligned = restorer.align(picture, faces.faces[i])
        aligned = restorer.masked(
            [face if face.note else replace(face, restored=crop) for face, crop in zip(aligned, edited, strict=True)]
        )
        behind = None if background is None else to_pictures(background[i : i + 1])[0]
        limit = limits[0] if limits else None
        pasted[i] = restorer.paste(picture, aligned, behind, limit, stop_if_interrupted)
        changed[i] = restorer.changed((h, w), aligned, limit)
    return to_image(torch.from_numpy(pasted), image), torch.from_numpy(changed)


def crop_faces(image: Tensor, faces: FoundFaces, size: int) -> Tensor:
    """The aligned crops (n, size, size, 3) of all faces of all pictures, in their order."""
    check_faces(faces, image)
    restorer = FaceRestorer(None, face_size=size)
    crops = []
    for i in watched(range(len(image))):
        crops += [aligned.crop for aligned in restorer.align(to_pictures(image[i : i + 1])[0], faces.faces[i])]
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
    sizes = ", ".join(f"{w * n} x {h * n}" for n in (1, 2, 3, 4))
    raise ValueError(f"the background is {bb} of {bw} x {bh} pixels: for this image give {b} of {sizes}")
