"""Regions of an aligned face with soft borders: from its five landmarks alone, or from a parsing net's classes."""

from collections.abc import Mapping

import cv2
import numpy as np

from .plan import REGIONS, Region

SOFT = 0.3  # of an ellipse's radius: half the width of its soft border
BLUR = 6.0  # px of 512: sigma of the soft borders of parsed regions
# Ellipses in units of the distance of the eyes, from the middle between them: centre (to the image's right, down), and
# half axes. On the FFHQ template (512 px) the unit is 126 px. The hair is what its ellipse has beyond the face's oval.
FACE = ((0.0, 0.36), (1.15, 1.42))
HAIR = ((0.0, -0.25), (1.75, 1.75))
HAIR_ENDS = 0.9  # down from the eyes, where the hair's ellipse has faded out, by as much as it has begun to at 0
EYE = (0.36, 0.22)
BROW_UP, BROW = 0.42, (0.45, 0.17)
NOSE_UP, NOSE = 0.2, (0.32, 0.46)  # from the nose's tip
MOUTH = (0.18, 0.32)  # the first beyond the mouth's corners
# Classes of facexlib's parsing nets (of CelebAMask-HQ's 19, in each net's order); all others are the rest.
PARSED: Mapping[str, Mapping[Region, tuple[int, ...]]] = {
    "ParseNet face parser": {
        **{"skin": (1, 8, 9), "nose": (2,), "eyes": (3, 4, 5), "brows": (6, 7)},
        **{"mouth": (10, 11, 12), "hair": (13,)},
    },
    "BiSeNet face parser": {
        **{"skin": (1, 7, 8), "brows": (2, 3), "eyes": (4, 5, 6), "nose": (10,)},
        **{"mouth": (11, 12, 13), "hair": (17,)},
    },
}


def regions_of_landmarks(landmarks: np.ndarray, size: int) -> dict[Region, np.ndarray]:
    """Each region's share (size, size) float32 of each place, all together 1, by landmarks (5, 2) in crop pixels.

    Hair can only be guessed from them: what lies around the face, down to the mouth.
    """
    left, right, nose, *corners = np.asarray(landmarks, np.float64)
    middle, mouth = (left + right) / 2, (corners[0] + corners[1]) / 2
    # Of a face turned aside the eyes come close to each other, and the way to the mouth keeps its length.
    unit = max(np.linalg.norm(right - left), 0.96 * np.linalg.norm(mouth - middle), 1e-3)
    down = (mouth - middle) / max(np.linalg.norm(mouth - middle), 1e-3)
    along = np.array([down[1], -down[0]])
    x, y = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))

    def ellipse(centre: np.ndarray, half_axes: tuple[float, float]) -> np.ndarray:
        dx, dy = x - np.float32(centre[0]), y - np.float32(centre[1])
        u = (dx * along[0] + dy * along[1]) / (half_axes[0] * unit)
        v = (dx * down[0] + dy * down[1]) / (half_axes[1] * unit)
        return _smooth((1 + SOFT - np.hypot(u, v)) / (2 * SOFT))

    def at(place: tuple[float, float]) -> np.ndarray:
        return middle + unit * (place[0] * along + place[1] * down)

    wide = np.linalg.norm(corners[1] - corners[0]) / (2 * unit) + MOUTH[0]
    features: dict[Region, np.ndarray] = {
        "eyes": np.maximum(ellipse(left, EYE), ellipse(right, EYE)),
        "brows": np.maximum(*(ellipse(eye - BROW_UP * unit * down, BROW) for eye in (left, right))),
        "nose": ellipse(nose - NOSE_UP * unit * down, NOSE),
        "mouth": ellipse(mouth, (wide, MOUTH[1])),
    }
    covered = np.sum(list(features.values()), axis=0)
    features = {name: share / np.maximum(covered, 1) for name, share in features.items()}
    free = 1 - np.minimum(covered, 1)
    face = ellipse(at(FACE[0]), FACE[1])
    below = ((x - middle[0]) * down[0] + (y - middle[1]) * down[1]) / unit
    hair = ellipse(at(HAIR[0]), HAIR[1]) * (1 - face) * _smooth(1 - below / HAIR_ENDS)
    others: dict[Region, np.ndarray] = {"skin": face, "hair": hair}
    shares = features | {name: share * free for name, share in others.items()}
    shares["rest"] = np.maximum(1 - np.sum(list(shares.values()), axis=0, dtype=np.float64), 0)
    return {name: shares[name].astype(np.float32) for name in REGIONS}


def regions_of_classes(classes: np.ndarray, kind: str, size: int) -> dict[Region, np.ndarray]:
    """The same from the classes (h, w) that a parsing net (`FaceParser.kind`) gave for the aligned face."""
    named = {name: np.isin(classes, chosen).astype(np.float32) for name, chosen in PARSED[kind].items()}
    named["rest"] = 1 - np.sum(list(named.values()), axis=0)
    sigma = BLUR * classes.shape[0] / 512
    soft = {name: cv2.GaussianBlur(share, (0, 0), sigma) for name, share in named.items()}
    return {name: cv2.resize(soft[name], (size, size), interpolation=cv2.INTER_LINEAR) for name in REGIONS}


def _smooth(t: np.ndarray) -> np.ndarray:
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)
