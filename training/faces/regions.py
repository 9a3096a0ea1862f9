"""Where things are in an aligned face, of any size; px are those of the FFHQ template of 512 px."""

import numpy as np

from codeformer_core.pasting.alignment import template

CENTRE, HALF_AXES = (256, 290), (100, 135)  # x, y in px: brows to chin, between the cheeks
IRIS_RADIUS = 9  # px; a little less than an iris has, since eyes do not all look straight ahead


def face_region(size: int) -> np.ndarray:
    """(size, size) bool: the ellipse that is face, and hardly ever hair or background."""
    y, x = _places(size)
    return ((x - CENTRE[0]) / HALF_AXES[0]) ** 2 + ((y - CENTRE[1]) / HALF_AXES[1]) ** 2 <= 1


def iris_region(size: int) -> np.ndarray:
    """(size, size) bool: a disc in the middle of each eye, of one pixel at least."""
    y, x = _places(size)
    radius = max(IRIS_RADIUS, 0.75 * 512 / size)  # half a pixel's diagonal, and a little
    eyes = template(512)[:2] + 0.5
    return np.any([np.hypot(x - eye[0], y - eye[1]) <= radius for eye in eyes], axis=0)


def surroundings(size: int) -> np.ndarray:
    """(size, size) in [0, 1]: what is outside an ellipse about the head, which fades over a tenth of the side."""
    y, x = _places(size)
    away = np.hypot((x / 512 - 0.5) / 0.40, (y / 512 - 0.52) / 0.50)  # 1 on the ellipse
    return np.clip((away - 0.85) / 0.25, 0, 1)


def _places(size: int) -> np.ndarray:
    """(2, size, size): y and x of each pixel's centre, in px of the template."""
    return (np.mgrid[:size, :size] + 0.5) * (512 / size)
