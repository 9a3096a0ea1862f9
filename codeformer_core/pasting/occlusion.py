"""What hides a face, such as a microphone, told without a parsing net.

A network draws a face where something else is. There its coarse colours are far from those of the crop. What has a
face's own colours, as most hands have, cannot be told so (bench/occlusion.py).
"""

import cv2
import numpy as np

from ..pictures.arrays import channel_max

COARSE = 1 / 40  # of the crop's side: sigma of the Gaussian through which both are compared
LIMITS = 0.08, 0.16  # of the range of colours: what differs less is face, what differs more is something else
GROWN = 1 / 24  # of the crop's side: how far the hidden places are widened, over their soft edges
SOFT = 1 / 64  # of the crop's side: sigma of the mask's own edge


def unhidden(crop: np.ndarray, drawn: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(s, s) float32: 1 where a crop (s, s, 3) shows the face, 0 where something else, told by the face `drawn` of it.

    `drawn` is the network's at w = 0, which has the least of what hides the face, its colours not yet
    matched. A difference that the whole face has,
    such as a tint, does not count: the median is taken out of it, over `inside` (s, s) bool.
    """
    size = len(crop)
    change = cv2.GaussianBlur(crop - drawn, (0, 0), COARSE * size)
    change -= np.median(change[inside], axis=0)
    far = channel_max(np.abs(change))
    hidden = np.clip((far - LIMITS[0]) / (LIMITS[1] - LIMITS[0]), 0, 1)
    reach = 2 * round(GROWN * size) + 1
    hidden = cv2.dilate(hidden, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    return (1 - cv2.GaussianBlur(hidden, (0, 0), SOFT * size)).astype(np.float32)
