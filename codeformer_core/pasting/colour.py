"""Colour: restored faces that take the original's tones, and grey faces that stay grey."""

from typing import Literal

import cv2
import numpy as np

from ..pictures.arrays import channel_max, channel_min

ColourMatch = Literal["none", "lab", "wavelet"]
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601, as JPEG and `cv2.COLOR_RGB2GRAY`


def match_colour(restored: np.ndarray, crop: np.ndarray, mode: ColourMatch, inside: np.ndarray) -> np.ndarray:
    """A restored face with the colours of the crop that it was made from; both (s, s, 3), float32 RGB in [0, 1].

    `lab` moves each Lab channel to the crop's mean and standard deviation over `inside` (s, s) bool; `wavelet` takes
    over the crop's low frequencies, so also its light and shade. Either keeps the restored detail.
    """
    if mode == "none":
        return restored
    if mode == "lab":
        return _match_lab(restored, crop, inside)
    if mode == "wavelet":
        return np.clip(restored + low_band(crop - restored), 0, 1)
    raise ValueError(f"colour match is none, lab or wavelet, got {mode!r}")


def _match_lab(restored: np.ndarray, crop: np.ndarray, inside: np.ndarray) -> np.ndarray:
    lab, wanted = (cv2.cvtColor(x, cv2.COLOR_RGB2Lab) for x in (restored, crop))
    mean, std = lab[inside].mean(0), lab[inside].std(0)
    wanted_mean, wanted_std = wanted[inside].mean(0), wanted[inside].std(0)
    gain = np.where(std > 1e-3, wanted_std / np.maximum(std, 1e-3), 1)
    gain[0] = np.clip(gain[0], 0.8, 1.25)  # lightness contrast is part of what was restored
    lab = ((lab - mean) * gain + wanted_mean).astype(np.float32)
    return np.clip(cv2.cvtColor(lab, cv2.COLOR_Lab2RGB), 0, 1)


def low_band(image: np.ndarray, levels: int = 5) -> np.ndarray:
    """What remains of an image after `levels` of an a trous wavelet with the kernel 1/4 1/2 1/4."""
    for level in range(levels):
        step = 2**level
        kernel = np.zeros(2 * step + 1, np.float32)
        kernel[[0, step, -1]] = 0.25, 0.5, 0.25
        image = cv2.sepFilter2D(image, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT_101)
    return image


def is_grey(crop: np.ndarray, inside: np.ndarray, tolerance: float = 2 / 255) -> bool:
    """Whether a crop's channels are equal (to JPEG's rounding) wherever it shows the picture."""
    spread = (channel_max(crop) - channel_min(crop))[inside]
    return bool(spread.size) and float(spread.max()) <= tolerance


def to_grey(image: np.ndarray) -> np.ndarray:
    """(..., 3) RGB with all channels at its luma."""
    return np.repeat((image @ LUMA)[..., None], 3, axis=-1)
