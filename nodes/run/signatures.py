"""Whether faces meet the picture again that they were found in, even if it was edited or enlarged since."""

import cv2
import numpy as np
from torch import Tensor

from .found import FoundFaces
from .pictures import to_pictures

GRID = 16  # a signature's cells in each direction
LEAST_LIKENESS = 0.45  # of signatures: other photographs reach 0.36 at most, edited ones 0.52 at least (of 30 tried)
FLAT = 0.002  # mean step of luminance between cells below which a picture shows nothing that could be compared


def signature(picture: np.ndarray) -> np.ndarray:
    """The signs and rough sizes of a picture's steps of luminance, seen in 16 x 16 cells: (2, 16, 16) in [-1, 1].

    It changes little with colours, brightness, JPEG, blur, size and restored faces. A flat picture's is all 0.
    """
    luminance = picture @ np.array([0.299, 0.587, 0.114], np.float32)
    cells = cv2.resize(luminance, (GRID + 1, GRID + 1), interpolation=cv2.INTER_AREA)
    steps = np.stack([np.diff(cells, axis=1)[:-1], np.diff(cells, axis=0)[:, :-1]])
    mean = np.abs(steps).mean()
    return steps / (np.abs(steps) + mean) if mean > FLAT else np.zeros_like(steps)


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """The correlation of two signatures, -1 to 1; 1 if one is of a flat picture, of which nothing can be said."""
    length = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float((one * other).sum()) / length if length else 1.0


def check_faces(faces: FoundFaces, image: Tensor, largest: int = 1) -> int:
    """How many times as large as the faces' pictures those of an IMAGE are, at most `largest`.

    Raises ValueError if they are others: by their number, their size, or by what they show.
    """
    b, h, w = image.shape[:3]
    for scale in range(1, largest + 1):
        if (b, h, w) == (len(faces.faces), faces.height * scale, faces.width * scale):
            break
    else:
        raise ValueError(
            f"the faces are of {len(faces.faces)} picture(s) of {faces.width} x {faces.height} pixels, the image is "
            f"{b} of {w} x {h}: connect the image that they were found in"
        )
    for i in range(b):
        check_picture(faces, i, to_pictures(image[i : i + 1])[0])
    return scale


def check_picture(faces: FoundFaces, i: int, picture: np.ndarray, what: str = "image") -> None:
    """Raise ValueError if a picture, of any size, is not the one with the number `i` that faces were found in."""
    if faces.faces[i] and likeness(faces.signatures[i], signature(picture)) < LEAST_LIKENESS:
        raise ValueError(
            f"picture {i} of the {what} is another one than picture {i} of those that the faces were found in: connect "
            "the same pictures as to the node that found the faces, or find faces in these"
        )
