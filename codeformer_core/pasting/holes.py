"""Holes in pictures, to be filled: from a mask of any kind to hard holes, in the picture and in crops, and back."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from ..pictures.arrays import WHITE, channel_min, check_picture, check_values, from_float, to_float
from .alignment import crop_part, read_region

WHITE_STROKE = 0.98  # from which value on all three channels are a white stroke: JPEG makes 255 to 250
SPECK = 3  # px: what is white and narrower is a highlight, not a stroke
COARSE = 512  # px, the short side at which holes are filled smoothly for the detector
HIDDEN = 0.02  # weight of hidden pixels in one of a crop, above which it is painted over too
TONE_SIGMAS = (1 / 64, 1 / 24, 1 / 8)  # of a crop's side, over which tones at the edge of a hole reach into it


@dataclass(frozen=True, kw_only=True, eq=False)
class Hole:
    """What of a picture is to be filled."""

    hard: np.ndarray  # (h, w) bool: what was painted
    limit: np.ndarray  # (h, w) float32: 1 there, falling to 0 at the end of what may change

    @property
    def empty(self) -> bool:
        """Whether there is nothing to fill."""
        return not self.hard.any()


def hole_of(mask: np.ndarray, size: tuple[int, int], *, threshold: float = 0.5, grow: int = 1) -> Hole:
    """The hole that a mask of any size (h', w') paints into a picture (height, width).

    `mask` is bool, uint8, uint16 or float32 in [0, 1], stretched to the picture; from `threshold` on it is painted.
    What may change lies up to `grow` px around that.
    """
    if mask.ndim != 2 or 0 in mask.shape or (mask.dtype not in WHITE and mask.dtype != bool):
        raise ValueError(f"a mask is (h, w) of bool, uint8, uint16 or float32, got {mask.shape} {mask.dtype}")
    values = check_values(mask.astype(np.float32) if mask.dtype == bool else to_float(mask), "a float mask", 1e-3)
    if values.shape != tuple(size):
        smaller = values.size > size[0] * size[1]
        values = cv2.resize(values, size[::-1], interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return _hole(values >= threshold, grow)


def white_hole(image: np.ndarray, *, grow: int = 1) -> Hole:
    """The hole of a picture (h, w, 3) in which strokes were painted pure white."""
    white = (channel_min(to_float(check_picture(image))) >= WHITE_STROKE).astype(np.uint8)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (SPECK, SPECK))
    return _hole(cv2.morphologyEx(white, cv2.MORPH_OPEN, kernel).astype(bool), grow)


def _hole(hard: np.ndarray, grow: int) -> Hole:
    if not hard.any():
        return Hole(hard=hard, limit=np.zeros(hard.shape, np.float32))
    away = cv2.distanceTransform((~hard).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    limit = np.where(away <= grow, 1 - away / np.float32(grow + 1), 0)
    return Hole(hard=hard, limit=limit.astype(np.float32))


def hole_in_crop(hole: Hole, affine: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(s, s) bool: what of an aligned crop is to be painted over: what may change, and what hidden pixels weigh in."""
    if not inside.any():
        return inside
    size, image_size = len(inside), hole.hard.shape[:2]
    x0, y0, x1, y1 = region = read_region(affine, size, image_size)
    hard, reach = hole.hard[y0:y1, x0:x1], hole.limit[y0:y1, x0:x1] > 0
    maps = np.dstack([reach, hard, hard]).astype(np.float32)
    # Away from 0 and 1, so that the overshoot of the crop's interpolation, which weighs pixels too, is not clipped.
    weights = np.abs(crop_part(0.25 + 0.5 * maps, region, affine, size, image_size) - 0.25) / 0.5
    return ((weights[..., 0] > 0.1) | (weights[..., 1] > HIDDEN)) & inside


def fill_smoothly(image: np.ndarray, hard: np.ndarray) -> np.ndarray:
    """A picture (h, w, 3) float32 in [0, 1] whose holes (h, w) bool go on what is around them (Telea 2004)."""
    rgb = from_float(image, np.dtype(np.uint8))
    filled = cv2.inpaint(rgb, hard.astype(np.uint8), 3, cv2.INPAINT_TELEA)
    return np.where(hard[..., None], to_float(filled), image)


def without_holes(image: np.ndarray, hole: Hole) -> np.ndarray:
    """A picture in its own dtype with coarsely filled holes, in which a detector finds the faces behind them."""
    image = check_picture(image)
    height, width = image.shape[:2]
    factor = min(COARSE / min(height, width), 1)
    size = math.ceil(width * factor), math.ceil(height * factor)
    reach = hole.limit > 0
    small = to_float(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    coarse = cv2.resize(reach.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
    filled = cv2.resize(fill_smoothly(np.clip(small, 0, 1), coarse), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.where(reach[..., None], from_float(filled, image.dtype), image)


def in_surrounding_tone(restored: np.ndarray, crop: np.ndarray, known: np.ndarray) -> np.ndarray:
    """A restored crop whose tones at the edge of its holes are those of the crop, so that no seam is seen.

    What the two differ by where the crop is `known` (s, s) bool goes on into the holes, more smoothly the deeper.
    """
    if not known.any():
        return restored
    weight = known.astype(np.float32)[..., None]
    difference = (crop - restored) * weight
    change = difference.sum((0, 1)) / weight.sum()  # far from all that is known
    for sigma in sorted(TONE_SIGMAS, reverse=True):
        near = cv2.GaussianBlur(weight, (0, 0), sigma * len(crop))[..., None]
        mean = cv2.GaussianBlur(difference, (0, 0), sigma * len(crop)) / np.maximum(near, 1e-4)
        share = np.clip(near / 0.1, 0, 1)
        change = share * mean + (1 - share) * change
    return np.clip(restored + change, 0, 1).astype(np.float32)
