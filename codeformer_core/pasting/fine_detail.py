"""A clean face's own pores and grain, which a network takes out, given back to the restored face.

`own_detail` keeps what is finer than the crop. The crop's own finest octave the network draws anew, and a clean face
then looks soft beside its grainy surroundings. Here the restored face takes over that octave of its crop.
"""

import cv2
import numpy as np

from .alignment import affine_scale

FLOOR = 1e-7  # of squared differences: far below a step of 8 bits
NEAR = 4.0  # px of the finer of crop and picture: the Gaussian within which energies are compared
SPOT = 2.0  # likewise: that within which something counts as one scratch or speck
USUAL = 10.0  # times the median energy: what exceeds this is a scratch, dust or a hole rather than grain


def fine_share(affine: np.ndarray) -> float:
    """How much of the finest octave a face takes over, by its size: 1 from 3/4 of its crop's, falling to 0 at half.

    Smaller faces come back from their crops whole, as in `own_detail`. There is no step: videos would flicker.
    """
    return float(np.clip(4 / affine_scale(affine) - 2, 0, 1))


def give_back_detail(
    restored: np.ndarray, crop: np.ndarray, affine: np.ndarray, inside: np.ndarray, share: float | np.ndarray
) -> np.ndarray:
    """A restored face (s, s, 3) with a share, 0 to 1 or (s, s), of its crop's finest octave in place of its own.

    The octave is that of the picture, where the face is smaller there than its crop. Places where the network has drawn
    more than the crop had keep that, and so do places whose change stands far out among those `inside` (s, s) bool.
    """
    step = max(affine_scale(affine), 1.0)  # crop pixels in a pixel of the coarser of picture and crop
    own, drawn = (face - cv2.GaussianBlur(face, (0, 0), step) for face in (crop, restored))
    change = own - drawn
    here = cv2.GaussianBlur(_energy(change), (0, 0), SPOT * step) + FLOOR
    there, made = (cv2.GaussianBlur(_energy(x), (0, 0), NEAR * step) + FLOOR for x in (own, drawn))
    as_sharp = np.minimum(1, there / made) ** 2
    usual = np.minimum(1, USUAL * np.median(here[inside]) / here) ** 2
    return np.clip(restored + (share * as_sharp * usual)[..., None] * change, 0, 1).astype(np.float32)


def _energy(x: np.ndarray) -> np.ndarray:
    return np.einsum("hwc,hwc->hw", x, x)
