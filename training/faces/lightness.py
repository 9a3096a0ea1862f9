"""How light a face's skin is, in aligned crops: for the balanced sampler and the error by skin tone."""

from collections.abc import Sequence

import cv2
import numpy as np

from .regions import face_region


def to_lab(face: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8, or float32 in [0, 1], as float32 CIE Lab: L in [0, 100], a and b about [-100, 100]."""
    scaled = face.astype(np.float32) / 255 if face.dtype == np.uint8 else face
    return cv2.cvtColor(scaled, cv2.COLOR_RGB2Lab)


def face_lightness(face: np.ndarray) -> float:
    """The median CIE lightness L of an aligned face (s, s, 3), uint8 or float32 in [0, 1]; in [0, 100]."""
    small = cv2.resize(face, (64, 64), interpolation=cv2.INTER_AREA) if face.shape[0] > 64 else face
    return float(np.median(to_lab(small)[face_region(small.shape[0]), 0]))


def balance_weights(lightness: Sequence[float], *, bins: int = 8, most: float = 4.0) -> np.ndarray:
    """How often to draw each face (n,), sum 1, so that all bins of lightness are drawn alike.

    Bins are equally wide from the darkest face to the lightest. A face comes at most about `most` times as often as
    without, so that a few of a rare kind are not learnt by heart.
    """
    values = np.asarray(lightness, float)
    edges = np.linspace(values.min(), values.max() + 1e-6, bins + 1)
    which = np.digitize(values, edges) - 1
    counts = np.bincount(which, minlength=bins)
    wanted = np.minimum(len(values) / (counts[which] * np.count_nonzero(counts)), most)
    return wanted / wanted.sum()
