"""Found faces drawn into pictures: boxes, landmarks, numbers, scores, tracks and where they look."""

import colorsys
from collections.abc import Iterator

import cv2
import numpy as np
import torch
from torch import Tensor

from ...codeformer_core.detection.faces import Face
from ...codeformer_core.pictures.arrays import from_float, to_float
from .found import FoundFaces
from .pictures import PREVIEWS, to_pictures

Box = tuple[int, int, int, int]  # left, top, right, bottom
Colour = tuple[int, int, int]
BOX, POINT, TEXT = (50, 255, 100), (255, 75, 50), (0, 0, 0)
FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_faces(image: Tensor, faces: FoundFaces) -> Tensor:
    """The first pictures with their faces drawn in: boxes, landmarks, and an arrow for where each looks.

    Labels are "number: score"; of tracked faces "#track: score", a colour for each track, and those that were filled in
    have no score.
    """
    drawn = []
    for picture, its_faces in zip(to_pictures(image[:PREVIEWS]), faces.faces, strict=False):
        canvas = from_float(picture, np.dtype(np.uint8))
        line = max(1, round(max(canvas.shape[:2]) / 400))  # seen in a node, a picture is some 300 px wide
        for face in its_faces:
            left, top, right, bottom = (int(v) for v in face.box.round())
            cv2.rectangle(canvas, (left, top), (right, bottom), _colour(face), line)
            _draw_arrow(canvas, face, line)
            for x, y in face.landmarks.round().astype(int).tolist():
                cv2.circle(canvas, (x, y), max(1, min(2 * line, round(face.width / 30))), POINT, -1)
        placed: list[Box] = []
        for number, face in enumerate(its_faces):
            placed.append(_draw_label(canvas, _label(number, face), face, line, placed))
        drawn.append(to_float(canvas))
    return torch.from_numpy(np.stack(drawn)) if drawn else image[:0, ..., :3]


def _label(number: int, face: Face) -> str:
    if face.track is None:
        return f"{number}: {face.score:.2f}"
    return f"#{face.track}: {face.score:.2f}" if face.score else f"#{face.track}"


def _colour(face: Face) -> Colour:
    """Of its track; the golden angle parts the hues of neighbouring numbers."""
    if face.track is None:
        return BOX
    red, green, blue = colorsys.hsv_to_rgb((0.38 + 0.618034 * face.track) % 1, 0.65, 1)
    return round(255 * red), round(255 * green), round(255 * blue)


def _draw_arrow(canvas: np.ndarray, face: Face, line: int) -> None:
    """From the tip of the nose, as long as the face is turned away from the camera; none at less than a few degrees."""
    start, way = face.landmarks[2], np.array(face.pose.direction) * face.size / 2
    if np.hypot(*way) > 4 * line:
        begin, end = (tuple(point.round().astype(int).tolist()) for point in (start, start + way))
        cv2.arrowedLine(canvas, begin, end, _colour(face), line, cv2.LINE_AA, tipLength=0.3)


def _draw_label(canvas: np.ndarray, text: str, face: Face, line: int, placed: list[Box]) -> Box:
    """Dark text on a filled plate, which every picture lets see; at the first of the places that is free."""
    (width, height), below = cv2.getTextSize(text, FONT, 0.4 * line, line)
    margin = 2 * line
    size = width + 2 * margin, height + below + 2 * margin
    places = list(_places(face, size, canvas.shape[1], canvas.shape[0]))
    free = (place for place in places if not any(_meet(place, other) for other in placed))
    left, top, right, bottom = plate = next(free, places[0])
    cv2.rectangle(canvas, (left, top), (right, bottom), _colour(face), -1)
    cv2.putText(canvas, text, (left + margin, bottom - margin - below), FONT, 0.4 * line, TEXT, line, cv2.LINE_AA)
    return plate


def _places(face: Face, size: tuple[int, int], width: int, height: int) -> Iterator[Box]:
    """Where a label may lie inside the picture, the best first: over the face's box, under it, in it, further down."""
    left, top, _, bottom = (int(v) for v in face.box.round())
    x = min(max(left, 0), max(width - size[0], 0))
    for y in (top - size[1], bottom, *range(max(top, 0), max(height - size[1], 1), max(size[1], 1))):
        if 0 <= y <= max(height - size[1], 0):
            yield x, y, x + size[0], y + size[1]
    yield x, 0, x + size[0], size[1]


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
