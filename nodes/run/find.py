"""How faces are found in a batch, drawn, and chosen."""

import logging
from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import Tensor

from ...codeformer_core.detection.faces import Face, FaceSelection, select_faces
from ...codeformer_core.pasting.alignment import estimate_affine
from ...codeformer_core.pictures.arrays import from_float, to_float
from .found import FoundFaces
from .loaded import LoadedDetector, default_detector
from .pictures import PREVIEWS, is_no_mask, resize_mask, to_pictures
from .progress import watched

MOST = 10_000  # faces of a picture, for index lists
BOX, POINT, TEXT = (50, 255, 100), (255, 75, 50), (255, 255, 255)

logger = logging.getLogger(__name__)


def detect_faces(image: Tensor, detector: LoadedDetector | None) -> FoundFaces:
    """The faces of an IMAGE (b, h, w, c) that can be aligned, the largest first."""
    detector = detector or default_detector()
    height, width = image.shape[1:3]
    faces = []
    for i in watched(range(len(image))):
        (found,) = detector.detect(to_pictures(image[i : i + 1]))
        kept = select_faces(found, (height, width), FaceSelection(order="size"))
        faces.append([replace(face, image_index=i) for face in kept if _can_be_aligned(face)])
    return FoundFaces(faces=faces, height=height, width=width)


def _can_be_aligned(face: Face) -> bool:
    try:
        estimate_affine(face.landmarks, 512)
    except ValueError as error:
        logger.warning("a face at %s is left out: %s", face.box.round().tolist(), error)
        return False
    return True


def draw_faces(image: Tensor, faces: FoundFaces) -> Tensor:
    """The first pictures with boxes, landmarks, numbers and scores drawn in."""
    drawn = []
    for picture, its_faces in zip(to_pictures(image[:PREVIEWS]), faces.faces, strict=False):
        canvas = from_float(picture, np.dtype(np.uint8))
        line = max(1, round(max(canvas.shape[:2]) / 400))  # seen in a node, a picture is some 300 px wide
        for number, face in enumerate(its_faces):
            left, top, right, bottom = (int(v) for v in face.box.round())
            cv2.rectangle(canvas, (left, top), (right, bottom), BOX, line)
            for x, y in face.landmarks.round().astype(int).tolist():
                cv2.circle(canvas, (x, y), max(1, min(2 * line, round(face.width / 30))), POINT, -1)
            place = (max(left, 0), max(top - 4 * line, 14 * line))
            for colour, width in ((BOX, 3 * line), (TEXT, line)):
                text = f"{number}: {face.score:.2f}"
                cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4 * line, colour, width, cv2.LINE_AA)
        drawn.append(to_float(canvas))
    return torch.from_numpy(np.stack(drawn)) if drawn else image[:0, ..., :3]


def choose_faces(
    faces: FoundFaces,
    mask: Tensor | None,
    *,
    order: str,
    reverse: bool,
    first: int,
    count: int,
    indices: str,
    min_size: int,
    max_size: int,
    min_score: float,
) -> FoundFaces:
    """Some faces of each picture: those that fit, sorted, then by indices, then `count` from `first` on."""
    if max_size and max_size < min_size:
        raise ValueError(f"max_size is {max_size}, less than min_size, {min_size}; 0 is no limit")
    selection = FaceSelection(
        order=order,  # pyright: ignore[reportArgumentType]
        min_size=min_size,
        max_size=max_size or None,
        min_score=min_score,
        min_eye_distance=0,
    )
    wanted, size = parse_indices(indices), (faces.height, faces.width)
    masks = None if mask is None or is_no_mask(mask, size) else resize_mask(mask, len(faces.faces), size)
    chosen = []
    for i, its_faces in enumerate(faces.faces):
        inside = [face for face in its_faces if masks is None or _inside(face, masks[i])]
        kept = select_faces(inside, size, selection)
        kept = kept[::-1] if reverse else kept
        kept = [face for n, face in enumerate(kept) if n in wanted] if indices.strip() else kept
        chosen.append(kept[first : first + count if count else None])
    return replace(faces, faces=chosen)


def _inside(face: Face, mask: np.ndarray) -> bool:
    x, y = (round(v) for v in face.centre)
    height, width = mask.shape
    return 0 <= x < width and 0 <= y < height and bool(mask[y, x] > 0.5)


def parse_indices(text: str) -> set[int]:
    """The numbers of a list like "0, 2, 4-6", all below `MOST`; ValueError for anything else."""
    numbers: set[int] = set()
    for part in text.replace(",", " ").split():
        first, dash, last = part.partition("-")
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last) < MOST):
            raise ValueError(f"indices is {text!r}: give numbers from 0 and rising ranges, as in 0, 2, 4-6")
        numbers.update(range(int(first), int(last) + 1))
    return numbers
