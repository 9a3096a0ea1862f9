"""Where a restored crop replaces the picture: soft masks in the crop's own pixels."""

from collections.abc import Sequence
from typing import Literal, get_args

import cv2
import numpy as np

MaskPart = Literal["hair", "hat", "glasses", "neck", "ears"]
USUAL_PARTS: tuple[MaskPart, ...] = ("hair", "glasses", "ears")
BORDER = 1 / 32  # of the crop's side: how far in from the picture's edge the network still sees what lies beyond


def square_mask(size: int, scale: float, upscale: int = 1, feather: float = 0.05) -> np.ndarray:
    """(size, size) float32: 1 inside, falling softly to 0 before the crop's edge.

    `scale` is output pixels per crop pixel. In output pixels the square is eroded by 2 x `upscale`, then feathered over
    w_edge = `feather` (0 to 0.25) of its side: eroded by 2 w_edge and blurred by 2 w_edge + 1 (the sizes of square
    kernels, as OpenCV counts them). Both are separable, so one row of the mask tells it all.
    """
    if not 0 <= feather <= 0.25:
        raise ValueError(f"feather is a fraction of the face's side, 0 to 0.25, got {feather}")
    side = size * scale
    w_edge = int(max(side - 2 * upscale, 0) * feather)
    kernel = cv2.getGaussianKernel(2 * w_edge + 1, 0)[:, 0]
    ramp = np.concatenate([[0], np.cumsum(kernel)])
    first = upscale - 0.5 + np.arange(len(ramp)) - 0.5  # the blurred edge, in output pixels from the crop's edge
    place = (np.arange(size) + 0.5) * scale - 0.5
    row = np.interp(np.minimum(place, side - 1 - place), first, ramp)
    return np.outer(row, row).astype(np.float32)


def border_mask(inside: np.ndarray) -> np.ndarray:
    """(s, s) float32: rising from 0 at the picture's edge, where the crop reaches over it, to 1 within `BORDER`.

    `inside` (s, s) bool says which pixels lie on the picture. Next to those that do not, which are plain grey, the
    network draws lines.
    """
    if inside.all():
        return np.ones(inside.shape, np.float32)
    distance = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.clip((distance - 1) / (BORDER * len(inside)), 0, 1).astype(np.float32)


def check_parts(parts: Sequence[str]) -> None:
    """ValueError for a name that is no `MaskPart`, or that is there twice."""
    known = get_args(MaskPart)
    if unknown := [part for part in parts if part not in known]:
        raise ValueError(f"a face's mask has no part {unknown[0]!r}: choose of {', '.join(known)}")
    if len(set(parts)) < len(parts):
        raise ValueError(f"the parts of a face's mask name one twice: {', '.join(parts)}")


def soften_parsing(face: np.ndarray) -> np.ndarray:
    """A hard face mask (512, 512) of a parsing net, blurred twice (101 px, sigma 11), with a border of 10 px zeroed."""
    mask = face.astype(np.float32)
    for _ in range(2):
        mask = cv2.GaussianBlur(mask, (101, 101), 11)
    mask[:10] = mask[-10:] = 0
    mask[:, :10] = mask[:, -10:] = 0
    return mask
