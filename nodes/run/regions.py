"""Where faces are, in the forms that other nodes take."""

import logging
from collections import namedtuple
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from ...codeformer_core.detection.faces import Face
from ...codeformer_core.restorer import FaceRestorer
from .find import detect_faces
from .found import FoundFaces
from .loaded import LoadedDetector
from .progress import watched
from .restore import check_faces

# The Impact Pack's tuple: nodes read these by name.
SEG = namedtuple(
    "SEG", ["cropped_image", "cropped_mask", "confidence", "crop_region", "bbox", "label", "control_net_wrapper"]
)
Segs = tuple[tuple[int, int], list[Any]]  # (height, width) of the picture, and its SEG tuples

logger = logging.getLogger(__name__)


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


def faces_to_segs(image: Tensor, faces: FoundFaces, crop_factor: float) -> Segs:
    """The faces of one picture (1, h, w, c) as SEGS."""
    check_faces(faces, image)
    if len(image) != 1:
        raise ValueError(f"SEGS are of one picture, got {len(image)}; take one of the batch")
    size = faces.height, faces.width
    segs = []
    for face in faces.faces[0]:
        (x, y), half = face.centre, max(face.width, face.height) * crop_factor / 2
        left, top, right, bottom = region = _clipped((x - half, y - half, x + half, y + half), size)
        if left >= right or top >= bottom:
            continue
        mask = _in_box(face, "ellipse", 1.0, size)[top:bottom, left:right]
        crop, box = image[:, top:bottom, left:right, :3], _clipped(tuple(face.box.tolist()), size)
        segs.append(SEG(crop, mask, np.float32(face.score), list(region), box, "face", None))
    return size, segs


def segs_to_faces(image: Tensor, segs: Segs, detector: LoadedDetector | None) -> FoundFaces:
    """The largest face in each SEG's box, in the SEGS' order; a SEG without one is logged."""
    if len(image) != 1:
        raise ValueError(f"SEGS are of one picture, got {len(image)}; take one of the batch")
    (height, width), listed = segs
    found = detect_faces(image, detector)
    scale = np.array((found.width / width, found.height / height) * 2)  # the image may have been scaled since
    chosen: list[Face] = []
    for seg in listed:
        left, top, right, bottom = np.asarray(seg.bbox, float) * scale
        inside = [
            face
            for face in found.faces[0]
            if face not in chosen and left <= face.centre[0] <= right and top <= face.centre[1] <= bottom
        ]
        if inside:
            chosen.append(inside[0])
        else:
            logger.warning("no face was found in the SEG %s at %s", seg.label, list(seg.bbox))
    return FoundFaces(faces=[chosen], height=found.height, width=found.width)


def _clipped(box: tuple[float, ...], size: tuple[int, int]) -> tuple[int, int, int, int]:
    height, width = size
    x0, y0, x1, y1 = (round(v) for v in box)
    return max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
