"""A batch of pictures through the core's pipeline, in portions, with progress and interruption."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...codeformer_core.crowd import CROWD, restore_crowd
from ...codeformer_core.detection.faces import Face, FaceSelection
from ...codeformer_core.fidelity.plan import FidelityPlan
from ...codeformer_core.film.steady import SteadyFaces
from ...codeformer_core.overlap import AT_ONCE, Behind
from ...codeformer_core.pasting.masks import USUAL_PARTS
from ...codeformer_core.restoration import AlignedFace, RestoreConfig
from ...codeformer_core.restorer import FaceRestorer
from .film import film_restorer
from .found import FoundFaces
from .loaded import LoadedDetector, LoadedModel, begin_run, default_model
from .pictures import PREVIEWS, to_image, to_limits, to_pictures
from .progress import Portions, count_faces, stop_behind, stop_if_interrupted, watched
from .report import Report, counted, named
from .signatures import check_faces, check_picture, signature
from .upscale import enlarged
from .weights import draw_weights, fitted, in_batch, said_weights

PORTION = 16  # pictures at a time, whose faces share the network's batches
SEARCHED = 4  # of these together
NOTHING = "side_strength, occlusion or the parsing net leaves out all of each face"
FOUND, RESTORED = 0.2, 0.8  # of a portion's work, about, when its faces are found, and restored


def restore_batch(
    image: Tensor,
    mask: Tensor | None,
    model: LoadedModel | None,
    detector: LoadedDetector | None,
    upscale_model: Any,
    report: Report,
    *,
    faces: str,
    given: FoundFaces | None = None,
    fidelity: float,
    weights: FidelityPlan | None,
    strength: float,
    **settings: float | str,
) -> tuple[Tensor, Tensor, FoundFaces, int, list[np.ndarray]]:
    """The faces of an IMAGE found, restored, and put back as far as `strength` says; `settings` are `RestoreConfig`'s.

    With `given` faces no others are looked for, and those with tracks are held steady along them, which predicts each
    time. The faces of a crowd are not all held in memory, and their predictions are not kept.

    Gives the restored IMAGE, the MASK of what changed (b, h, w), the faces, how many of these were restored, and, if
    there are `weights`, the first pictures with the weights in force drawn over them.
    """
    report.look_at(image)
    model, detector = begin_run(model, detector, report)
    selection = FaceSelection(only=faces)  # pyright: ignore[reportArgumentType]
    restorer = model.restorer(detector, selection=selection, **settings)  # pyright: ignore[reportArgumentType]
    plan = fitted(weights, fidelity, model, report)
    steady = None
    if given is not None:
        check_faces(given, image)
        if faces != "all":
            report.say(f"which faces ({faces}) was not used: the faces are given")
        if any(face.track is not None for its_faces in given.faces for face in its_faces):
            restorer = film_restorer(model, detector, w=plan, **settings)
            steady = SteadyFaces(restorer)
    count, h, w, _ = image.shape
    upscale = restorer.config.upscale
    if upscale_model is not None and upscale == 1:
        report.say("upscale is 1, so upscale_model was not used")
    restored = np.empty((count, h * upscale, w * upscale, 3), np.float32)
    changed = np.zeros(restored.shape[:3], np.float32)
    found, signatures, left, softened, spoken, weighed, progress = [], [], [], [], [], [], Portions(count)

    def paste(i: int, picture: np.ndarray, faces: list[AlignedFace], large: Any, limit: np.ndarray | None) -> None:
        restored[i] = restorer.paste(picture, faces, large, limit, stop_behind)
        changed[i] = restorer.changed((h, w), faces, limit)

    def crowd(
        i: int, picture: np.ndarray, seen: list[Face], large: Any, limit: np.ndarray | None, show: Any
    ) -> list[AlignedFace]:
        by_batch = film_restorer(model, detector, w=plan, **settings)
        restored[i], faces = restore_crowd(
            by_batch,
            picture,
            seen,
            background=large,
            limit=limit,
            progress=show,
            changed=changed[i],
        )
        return faces

    # As the command line writes files: faces are pasted by the processor while the network restores those of the next
    # portion, so that a whole one may wait; but only few with their enlarged pictures, which take much memory.
    with Behind[None](PORTION if upscale_model is None else AT_ONCE) as pasting:
        for start in range(0, count, PORTION):
            part = slice(start, start + PORTION)
            pictures, limits = to_pictures(image[part]), to_limits(mask, image, part)
            progress.begin(len(pictures))
            seen = _search(restorer, pictures, start, None if given is None else given.faces[part], progress)
            crowds = {i: faces for i, faces in enumerate(seen) if steady is None and len(faces) > CROWD}
            aligned = [restorer.align(pictures[i], [] if i in crowds else faces) for i, faces in enumerate(seen)]
            every = [face for faces in aligned for face in faces]
            ahead = len(every) / max(sum(map(len, seen)), 1)  # the others, of crowds, are restored as they are pasted
            until = FOUND + (RESTORED - FOUND) * ahead
            shown = progress.between(FOUND, until)
            if steady is None:
                (better,) = model.restore_at([plan], restorer, every, shown)
            else:
                better = steady.restore(every, progress=shown)
            order = iter(better)
            for i, picture in enumerate(progress.each(pictures, until, 1)):
                limit = _softer(limits[i] if limits else None, strength, (h, w))
                large = enlarged(picture, upscale_model, upscale) if upscale_model is not None and upscale > 1 else None
                if i in crowds:
                    first, last = (until + (1 - until) * n / len(pictures) for n in (i, i + 1))
                    its_faces = crowd(start + i, picture, crowds[i], large, limit, progress.between(first, last))
                else:
                    its_faces = restorer.masked([next(order) for _ in aligned[i]])
                    pasting.finish(paste, start + i, picture, its_faces, large, limit)
                found.append([face.face for face in its_faces])
                signatures.append(signature(picture))
                left += _left(start + i, its_faces)
                softened += _softened(start + i, its_faces)
                spoken += said_weights(its_faces) if weights is not None else []
                if weights is not None and len(weighed) < PREVIEWS:
                    weighed.append(draw_weights(picture, its_faces, restorer.face_size))
        list(pasting.rest())
    faces_found = FoundFaces(faces=found, height=h, width=w, signatures=signatures)
    report.say(f"{counted(done := faces_found.count - len(left), 'face')} restored in {counted(count, 'picture')}")
    if without := [i for i, its_faces in enumerate(found) if not its_faces]:
        report.say(f"no face was found in {named('picture', without)}")
    if done and strength and not changed.any():
        limited = to_limits(mask, image, slice(0, 1)) is not None
        report.warn(f"nothing has changed: {'the mask is black wherever a face was restored' if limited else NOTHING}")
    for line in (*left, *softened, *spoken):
        report.say(line)
    return to_image(torch.from_numpy(restored), image), torch.from_numpy(changed), faces_found, done, weighed


def _search(
    restorer: FaceRestorer,
    pictures: list[np.ndarray],
    start: int,
    given: list[list[Face]] | None,
    progress: Portions,
) -> list[list[Face]]:
    """The faces of pictures from number `start` on: those that are given, or what the detector finds."""
    found: list[list[Face]] = []
    for first in progress.each(range(0, len(pictures), SEARCHED), 0, FOUND):
        part = slice(first, first + SEARCHED)
        found += restorer.detect(pictures[part]) if given is None else given[part]
    return [[replace(face, image_index=start + i) for face in faces] for i, faces in enumerate(found)]


def _softer(limit: np.ndarray | None, strength: float, size: tuple[int, int]) -> np.ndarray | None:
    """The limit of a picture (h, w), or that of the whole picture, times the strength."""
    return limit if strength == 1 else np.float32(strength) * (np.ones(size, np.float32) if limit is None else limit)


def _left(number: int, faces: list[AlignedFace]) -> list[str]:
    """A line for each face of a picture that was not restored."""
    return [f"picture {number}: a face was left as it is, {face.note}" for face in faces if face.note]


def _softened(number: int, faces: list[AlignedFace]) -> list[str]:
    """A line for each face of a picture that was restored in part, since it is turned far away."""
    return [
        f"picture {number}: a face turned {face.face.pose.turn:.0f} degrees covers {face.strength:.0%}"
        for face in faces
        if face.restored is not None and face.strength < 1
    ]


def leave_batch(image: Tensor, report: Report) -> tuple[Tensor, Tensor, FoundFaces, int, list[np.ndarray]]:
    """What `restore_batch` gives if it is to do nothing: the IMAGE itself."""
    report.say("switched off: nothing was done")
    count, h, w, _ = image.shape
    none = FoundFaces(faces=[[] for _ in range(count)], height=h, width=w, signatures=[np.zeros(0)] * count)
    return image, torch.zeros(count, h, w), none, 0, []


def restore_crops(
    crops: Tensor,
    model: LoadedModel | None,
    report: Report,
    *,
    fidelity: float,
    weights: FidelityPlan | None,
    colour_match: str,
) -> Tensor:
    """Aligned faces (b, s, s, c) of any side s, restored, at the network's own side."""
    report.look_at(crops, "crop")
    model = model or default_model(report)
    model.begin_run()
    restorer = model.restorer(colour_match=colour_match)
    plan = fitted(weights, fidelity, model, report)
    aligned = [in_batch(restorer.as_aligned(crop), i) for i, crop in enumerate(to_pictures(crops))]
    (restored,) = model.restore_at([plan], restorer, aligned, count_faces())
    report.say(f"{counted(len(restored), 'face')} restored")
    for line in said_weights(restored) if weights is not None else ():
        report.say(line)
    size = restorer.face_size
    faces = np.stack([face.restored for face in restored]) if restored else np.empty((0, size, size, 3), np.float32)
    return to_image(torch.from_numpy(faces), crops)


def paste_crops(
    image: Tensor,
    faces: FoundFaces,
    crops: Tensor,
    report: Report,
    *,
    background: Tensor | None,
    mask: Tensor | None,
    detector: LoadedDetector | None,
    mask_softness: float,
    large_faces: str,
) -> tuple[Tensor, Tensor]:
    """Crops of `faces`, in their order, back into the pictures or onto an enlarged background: IMAGE and MASK."""
    check_faces(faces, image)
    for name, pictures in (("picture", image), ("crop", crops), ("background", background)):
        if pictures is not None:
            report.look_at(pictures, name)
    if len(crops) != faces.count:
        raise ValueError(f"{len(crops)} crops for {faces.count} faces: give one crop for each, in the faces' order")
    if crops.shape[1] != crops.shape[2]:
        raise ValueError(f"crops are square, got {crops.shape[2]} x {crops.shape[1]} pixels")
    upscale = 1 if background is None else upscale_of(background, image)
    restorer = FaceRestorer(
        None,
        config=RestoreConfig(
            upscale=upscale,
            feather=mask_softness,
            large_faces=large_faces,  # pyright: ignore[reportArgumentType]
            side_strength=1.0,  # the crops are the user's
            mask_parts=tuple(detector.mask_parts) if detector else USUAL_PARTS,  # pyright: ignore[reportArgumentType]
        ),
        parser=detector.parser if detector else None,
        face_size=crops.shape[1],
    )
    count, h, w, _ = image.shape
    pasted = np.empty((count, h * upscale, w * upscale, 3), np.float32)
    changed = np.empty(pasted.shape[:3], np.float32)
    first, left = 0, []  # crop of the picture; faces that are not pasted
    for i in watched(range(count)):
        (picture,), limits = to_pictures(image[i : i + 1]), to_limits(mask, image, slice(i, i + 1))
        edited, first = to_pictures(crops[first : first + len(faces.faces[i])]), first + len(faces.faces[i])
        aligned = restorer.align(picture, faces.faces[i])
        aligned = restorer.masked(
            [face if face.note else replace(face, restored=crop) for face, crop in zip(aligned, edited, strict=True)]
        )
        left += [f"picture {i}: a face was left as it is, {face.note}" for face in aligned if face.note]
        behind = None
        if background is not None:
            (behind,) = to_pictures(background[i : i + 1])
            check_picture(faces, i, behind, "background")
        limit = limits[0] if limits else None
        pasted[i] = restorer.paste(picture, aligned, behind, limit, stop_if_interrupted)
        changed[i] = restorer.changed((h, w), aligned, limit)
    report.say(f"{counted(done := faces.count - len(left), 'face')} pasted into {counted(count, 'picture')}")
    if done and not changed.any():
        report.warn("nothing has changed: the mask is black wherever a face was pasted")
    for line in left:
        report.say(line)
    return to_image(torch.from_numpy(pasted), image), torch.from_numpy(changed)


def crop_faces(image: Tensor, faces: FoundFaces, size: int, report: Report) -> Tensor:
    """The aligned crops (n, size, size, 3) of all faces of all pictures, in their order."""
    check_faces(faces, image)
    report.look_at(image)
    restorer = FaceRestorer(None, face_size=size)
    crops = []
    for i in watched(range(len(image))):
        crops += [aligned.crop for aligned in restorer.align(to_pictures(image[i : i + 1])[0], faces.faces[i])]
    report.say(f"{counted(len(crops), 'face')} cut out")
    return torch.from_numpy(np.stack(crops) if crops else np.empty((0, size, size, 3), np.float32))


def upscale_of(background: Tensor, image: Tensor) -> int:
    """How many times larger, 1 to 4, the background is than the image; ValueError if it is no whole number."""
    (b, h, w), (bb, bh, bw) = image.shape[:3], background.shape[:3]
    for upscale in (1, 2, 3, 4):
        if (b, h * upscale, w * upscale) == (bb, bh, bw):
            return upscale
    sizes = ", ".join(f"{w * n} x {h * n}" for n in (1, 2, 3, 4))
    raise ValueError(f"the background is {bb} of {bw} x {bh} pixels: for this image give {b} of {sizes}")
