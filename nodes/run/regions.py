"""Where faces are, in the forms that other nodes take."""

from collections import namedtuple
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from ...codeformer_core.detection.faces import Face
from ...codeformer_core.restorer import FaceRestorer
from .find import found_in
from .found import FoundFaces
from .loaded import LoadedDetector, default_detector
from .progress import watched
from .report import Report
from .signatures import check_faces

# The Impact Pack's tuple: nodes read these by name.
SEG = namedtuple(
    "SEG", ["cropped_image", "cropped_mask", "confidence", "crop_region", "bbox", "label", "control_net_wrapper"]
)
Segs = tuple[tuple[int, int], list[Any]]  # (height, width) of the picture, and its SEG tuples


def faces_to_mask(faces: FoundFaces, shape: str, grow: float) -> Tensor:
    """A MASK (b, h, w) of each picture's faces."""
    size = faces.height, faces.width
    masks = np.zeros((len(faces.faces), *size), np.float32)
    for i in watched(range(len(masks))):
        mask, its_faces = masks[i], faces.faces[i]
        if shape == "aligned":
            restorer = FaceRestorer(None)
            aligned = restorer.align(np.zeros((*size, 3), np.float32), its_faces)
            mask[:] = restorer.changed(size, [replace(face, restored=face.crop) for face in aligned])
        else:
            for face in its_faces:
                np.maximum(mask, _in_box(face, shape, grow, size), out=mask)
    return torch.from_numpy(masks)


def _in_box(face: Face, shape: str, grow: float, size: tuple[int, int]) -> np.ndarray:
    """An ellipse or box (h, w), `grow` times as large as the face's box."""
    mask = np.zeros(size, np.float32)
    (x, y), half_width, half_height = face.centre, face.width * grow / 2, face.height * grow / 2
    if shape == "box":
        x0, y0, x1, y1 = _clipped((x - half_width, y - half_height, x + half_width, y + half_height), size)
        mask[y0:y1, x0:x1] = 1
        return mask
    axes = max(round(half_width), 1), max(round(half_height), 1)
    return cv2.ellipse(mask, (round(x), round(y)), axes, 0, 0, 360, 1.0, -1)


def faces_to_segs(image: Tensor, faces: FoundFaces, crop_factor: float) -> list[Segs]:
    """The faces of each picture of an IMAGE as SEGS, which are of one picture; it may be up to 4 times as large."""
    scale = check_faces(faces, image, largest=4)
    return [_segs(image[i : i + 1], faces.faces[i], scale, crop_factor) for i in range(len(image))]


def _segs(image: Tensor, faces: list[Face], scale: int, crop_factor: float) -> Segs:
    size = image.shape[1], image.shape[2]
    segs = []
    for found in faces:
        face = replace(found, box=found.box * scale, landmarks=found.landmarks * scale)
        (x, y), half = face.centre, max(face.width, face.height) * crop_factor / 2
        left, top, right, bottom = region = _clipped((x - half, y - half, x + half, y + half), size)
        if left >= right or top >= bottom:
            continue
        mask = _in_box(face, "ellipse", 1.0, size)[top:bottom, left:right]
        crop, box = image[:, top:bottom, left:right, :3], _clipped(tuple(face.box.tolist()), size)
        segs.append(SEG(crop, mask, np.float32(face.score), list(region), box, "face", None))
    return size, segs


def segs_to_faces(
    images: list[Tensor], segs: list[Segs], detector: LoadedDetector | None, each: str, report: Report
) -> list[FoundFaces]:
    """The faces in each SEG's box, in the SEGS' order, for each IMAGE of a list; a SEG without one is reported.

    There are one SEGS for each picture, or one for all. `each` is "all" or "largest": how many faces a SEG may give.
    """
    count = sum(len(image) for image in images)
    if len(segs) not in (1, count):
        raise ValueError(f"{len(segs)} SEGS for {count} picture(s): give one for each picture, or one for all of them")
    detector = detector or default_detector()
    detector.begin_run()
    order = iter(segs * count if len(segs) == 1 else segs)
    results, first = [], 0
    for image in images:
        found = found_in(image, detector, report, first)
        size = found.height, found.width
        faces = [_inside(its, next(order), size, each, i, report) for i, its in enumerate(found.faces, first)]
        first += len(image)
        results.append(replace(found, faces=faces))
    report.say(f"{sum(result.count for result in results)} of them lie in the SEGS")
    return results


def _inside(found: list[Face], segs: Segs, size: tuple[int, int], each: str, number: int, report: Report) -> list[Face]:
    (height, width), listed = segs
    if not listed:  # the Impact Pack's EmptySegs says 0 x 0 pixels
        return []
    scale = np.array((size[1] / width, size[0] / height) * 2)  # the image may have been scaled since
    chosen: list[Face] = []
    for seg in listed:
        left, top, right, bottom = np.asarray(seg.bbox, float) * scale
        inside = [
            face
            for face in found  # the largest first
            if face not in chosen and left <= face.centre[0] <= right and top <= face.centre[1] <= bottom
        ]
        chosen += inside if each == "all" else inside[:1]
        if not inside:
            report.warn(f"picture {number}: no face was found in the SEG {seg.label} at {list(seg.bbox)}")
    return chosen


def _clipped(box: tuple[float, ...], size: tuple[int, int]) -> tuple[int, int, int, int]:
    height, width = size
    x0, y0, x1, y1 = (round(v) for v in box)
    return min(max(x0, 0), width), min(max(y0, 0), height), min(max(x1, 0), width), min(max(y1, 0), height)
