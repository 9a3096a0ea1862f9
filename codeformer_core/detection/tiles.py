"""Small faces in large pictures: a finer search in tiles, beside the coarse one of the whole picture.

The coarse search is of the usual size and finds what is large. Where a picture has more than twice its pixels a side,
it is searched again at its own size, or at `FINE_PIXELS` if that is less, and the small faces are taken from there. Its
tiles overlap by more than such a face, so each face lies whole in one of them, and a face that a tile cuts is left to
its neighbour. Tiles go through the network one by one, so memory is that of the coarse search.

A face of 16 px is a mere hint there, of a low score. So hints are looked at once more, enlarged, and that look decides.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from .detector import Candidate, search_size
from .faces import shared_area

FINER = 2.0  # times the coarse scale: a search that is less fine than this finds little more
FINE_PIXELS = 12e6  # of the picture at the fine scale, at most; its tiles, which overlap, have up to 1.6 times that
TILE, OVERLAP = 832, 144  # px of the fine search; a tile has about the pixels of the coarse search of a film frame
SMALL = 96  # px of the fine search: larger faces are left to the coarse one
CUT = 4  # px of the fine search: a box that comes nearer to its tile's edge is taken as cut
HINT, MOST_HINTS = 0.05, 128  # least score of a hint, and how many are looked at in a picture, the surest
AROUND, LOOK = 3.0, 128  # of the hint's long side: how wide a look is, and in px: how large

# Finds the faces of pictures (h, w, 3), each searched at its (height, width), from a score on, in their pixels.
Search = Callable[[Sequence[np.ndarray], Sequence[tuple[int, int]], float], Sequence[Sequence[Candidate]]]


def fine_scale(size: tuple[int, int]) -> float | None:
    """Pixels of the fine search per pixel of a picture (height, width); None if the coarse search is fine enough."""
    height, width = size
    scale = min(1.0, (FINE_PIXELS / (height * width)) ** 0.5)
    coarse = search_size(size, "auto")[0] / height
    return scale if scale > FINER * coarse else None


def with_small_faces(
    picture: np.ndarray, index: int, found: list[Candidate], search: Search, score: float, overlap: float
) -> list[Candidate]:
    """What the coarse search found in a picture, and small faces of `score` or more, which get the picture's `index`.

    Of boxes that overlap by more than `overlap` (intersection over union) the surest is kept.
    """
    scale = fine_scale(picture.shape[:2])
    if scale is None:
        return found
    seen = _surest_apart(_in_tiles(picture, scale, search), overlap)
    sure = [face for face in seen if face.score >= score]
    hints = seen[len(sure) :][:MOST_HINTS]
    small = [replace(face, image_index=index) for face in (*sure, *_looks(picture, hints, search, score))]
    return _surest_apart([*found, *small], overlap)


def _in_tiles(picture: np.ndarray, scale: float, search: Search) -> list[Candidate]:
    """The small faces and hints of such in a picture."""
    height, width = picture.shape[:2]
    found = []
    for rows in _spans(height, scale):
        for columns in _spans(width, scale):
            part = picture[rows, columns]
            size = max(1, round(part.shape[0] * scale)), max(1, round(part.shape[1] * scale))
            (faces,) = search([part], [size], HINT)
            small = [face for face in faces if max(face.width, face.height) * scale <= SMALL]
            found += _placed(small, rows, columns, (height, width), CUT / scale)
    return found


def _looks(picture: np.ndarray, hints: Sequence[Candidate], search: Search, score: float) -> list[Candidate]:
    """The faces that are found where there are hints, enlarged."""
    height, width = picture.shape[:2]
    places: list[tuple[slice, slice]] = []
    parts, sizes = [], []
    for hint in hints:
        side = AROUND * max(hint.width, hint.height, 1.0)
        x, y = hint.centre
        rows = slice(max(0, round(y - side / 2)), min(height, round(y + side / 2) + 1))
        columns = slice(max(0, round(x - side / 2)), min(width, round(x + side / 2) + 1))
        part = picture[rows, columns]
        if part.size:
            places.append((rows, columns))
            parts.append(part)
            sizes.append((max(1, round(part.shape[0] * LOOK / side)), max(1, round(part.shape[1] * LOOK / side))))
    seen = zip(places, search(parts, sizes, score), strict=True)
    return [face for place, faces in seen for face in _placed(faces, *place, (height, width), 0)]


def _placed(
    faces: Sequence[Candidate], rows: slice, columns: slice, size: tuple[int, int], margin: float
) -> list[Candidate]:
    """The faces of a part of a picture (height, width) in the picture, but for those that the part's edges cut."""
    corner = np.array([columns.start, rows.start], np.float32)
    moved = [replace(face, box=face.box + np.tile(corner, 2), landmarks=face.landmarks + corner) for face in faces]
    return [face for face in moved if not _is_cut(face.box, rows, columns, size, margin)]


def _surest_apart(faces: Sequence[Candidate], overlap: float) -> list[Candidate]:
    kept: list[Candidate] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(shared_area(face.box, other.box) <= overlap for other in kept):
            kept.append(face)
    return kept


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
