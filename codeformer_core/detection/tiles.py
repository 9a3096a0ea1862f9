"""Small faces in large pictures: a finer search in tiles, beside the coarse one of the whole picture.

The coarse search is of the usual size and finds what is large. Where a picture has more than twice its pixels a side,
it is searched again at its own size, or at `FINE_PIXELS` if that is less, and the small faces are taken from there. Its
tiles overlap by more than such a face, so each face lies whole in one of them, and a face that a tile cuts is left to
its neighbour. Tiles go through the network one by one, so memory is that of the coarse search.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from .detector import Candidate, search_size

FINER = 2.0  # times the coarse scale: a search that is less fine than this finds nothing new
FINE_PIXELS = 8e6  # of the scaled picture, at most: with their overlaps, tiles have up to 1.6 times as many
TILE, OVERLAP = 832, 144  # px of the fine search; a tile has about the pixels of the coarse search of a film frame
SMALL = 96  # px of the fine search: larger faces are left to the coarse one
CUT = 4  # px: a box that comes nearer to a tile's edge is taken as cut by it

# The faces of a picture (h, w, 3), searched at (height, width), in its pixels.
SearchAt = Callable[[np.ndarray, tuple[int, int]], Sequence[Candidate]]


def fine_scale(size: tuple[int, int]) -> float | None:
    """Pixels of the fine search per pixel of a picture (height, width); None if the coarse search is fine enough."""
    height, width = size
    scale = min(1.0, (FINE_PIXELS / (height * width)) ** 0.5)
    coarse = search_size(size, "auto")[0] / height
    return scale if scale > FINER * coarse else None


def with_small_faces(
    picture: np.ndarray, index: int, found: list[Candidate], search: SearchAt, threshold: float
) -> list[Candidate]:
    """What the coarse search found in a picture, and the small faces that it missed, which get the picture's `index`.

    Of boxes that overlap by more than `threshold` (intersection over union) the surest is kept.
    """
    scale = fine_scale(picture.shape[:2])
    if scale is None:
        return found
    kept: list[Candidate] = []
    for face in sorted([*found, *_find_small(picture, index, scale, search)], key=lambda face: -face.score):
        if all(_overlap(face.box, other.box) <= threshold for other in kept):
            kept.append(face)
    return kept


def _find_small(picture: np.ndarray, index: int, scale: float, search: SearchAt) -> list[Candidate]:
    found = []
    height, width = picture.shape[:2]
    for rows in _spans(height, scale):
        for columns in _spans(width, scale):
            part = picture[rows, columns]
            size = max(1, round(part.shape[0] * scale)), max(1, round(part.shape[1] * scale))
            corner = np.array([columns.start, rows.start], np.float32)
            for face in search(part, size):
                if max(face.width, face.height) * scale > SMALL:
                    continue
                box = face.box + np.tile(corner, 2)
                if not _is_cut(box, rows, columns, (height, width), CUT / scale):
                    found.append(replace(face, box=box, landmarks=face.landmarks + corner, image_index=index))
    return found


def _spans(length: int, scale: float) -> Iterator[slice]:
    """Equal, evenly spread stretches of a side of so many pixels, each of at most a tile, overlapping enough."""
    tile, overlap = TILE / scale, OVERLAP / scale
    count = max(1, int(np.ceil((length - overlap) / (tile - overlap))))
    long = min(length, int(np.ceil((length + (count - 1) * overlap) / count)))
    for start in np.linspace(0, length - long, count).round().astype(int):
        yield slice(int(start), int(start) + long)


def _is_cut(box: np.ndarray, rows: slice, columns: slice, size: tuple[int, int], margin: float) -> bool:
    """Whether a box reaches over an edge of its tile that is not the picture's own."""
    (left, top, right, bottom), (height, width) = box, size
    return bool(
        (left < columns.start + margin and columns.start > 0)
        or (top < rows.start + margin and rows.start > 0)
        or (right > columns.stop - margin and columns.stop < width)
        or (bottom > rows.stop - margin and rows.stop < height)
    )


def _overlap(box: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union."""
    inner = np.prod((np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])).clip(0))
    union = np.prod(box[2:] - box[:2]) + np.prod(other[2:] - other[:2]) - inner
    return float(inner / union) if union > 0 else 0.0
