"""A second look at a doubtful face: does the detector find it again where alignment has put it?"""

from collections.abc import Sequence

import numpy as np

from .detector import Detector, DetectorConfig, scale_picture

SIDE = 160  # pixels that a crop is scaled to; around it is as much again of plain grey
GREY = 0.52
SEARCH = DetectorConfig(score_threshold=0.5, short_side=2 * SIDE, any_angle=False)  # crops are upright
NEAR = 0.4  # of the eye distance: how far the landmarks may lie, in the mean, from where alignment puts them


def found_again(detector: Detector, crops: Sequence[np.ndarray], landmarks: np.ndarray) -> list[bool]:
    """Whether a face is found in each aligned crop (s, s, 3), float32 in [0, 1], with these landmarks (5, 2)."""
    found = []
    for crop in crops:  # one by one: they are few and small
        wanted = (landmarks + 0.5) * (SIDE / len(crop)) - 0.5 + SIDE // 2
        reach = NEAR * np.linalg.norm(wanted[1] - wanted[0])
        (faces,) = detector.detect([_framed(crop)], SEARCH)
        found.append(any(_apart(face.landmarks, wanted) <= reach for face in faces))
    return found


def _framed(crop: np.ndarray) -> np.ndarray:
    picture = np.full((2 * SIDE, 2 * SIDE, 3), GREY, np.float32)
    middle = slice(SIDE // 2, SIDE // 2 + SIDE)
    picture[middle, middle] = scale_picture(crop, (SIDE, SIDE))
    return picture


def _apart(landmarks: np.ndarray, others: np.ndarray) -> float:
    return float(np.linalg.norm(landmarks - others, axis=1).mean())
