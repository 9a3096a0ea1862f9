"""Colours apart from light and shade, in CIE Lab (D65): conversion within the gamut, toned pictures, heads."""

import cv2
import numpy as np

from ..pictures.arrays import channel_min

XYZ_OF_RGB = np.array(  # of linear sRGB, IEC 61966-2-1, with white at 1
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
RGB_OF_XYZ = np.linalg.inv(XYZ_OF_RGB)
WHITE_XYZ = XYZ_OF_RGB.sum(1)
HEAD_CENTRE, HEAD_AXES = (0.5, 0.53), (0.36, 0.45)  # of an aligned crop's side: the face with chin and some hair
HEAD_FADE = 1.28  # times the ellipse of the head, where colours end
WARM = 6.0  # a / 2 + b in Lab, from which on colours are surely those of skin or hair
TONED = 1.5  # rms in Lab across the main line of colours, up to which a picture has one tone


def to_lab(image: np.ndarray) -> np.ndarray:
    """(..., 3) float32 RGB in [0, 1] as CIE Lab: L in [0, 100], a and b about [-100, 100]; finer than OpenCV's."""
    rgb = np.clip(image, 0, 1).astype(np.float32, copy=False)
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** np.float32(2.4), rgb / 12.92)
    xyz = linear @ (XYZ_OF_RGB / WHITE_XYZ[:, None]).T.astype(np.float32)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1).astype(np.float32)


def from_lab(lab: np.ndarray) -> np.ndarray:
    """Back to RGB in [0, 1]; colours that it does not have become paler, at the same luminance."""
    fy = (lab[..., 0] + 16) / 116
    f = np.stack([fy + lab[..., 1] / 500, fy, fy - lab[..., 2] / 200], -1)
    xyz = np.where(f > 6 / 29, f**3, (f - 4 / 29) * 3 * (6 / 29) ** 2)
    linear = xyz @ (RGB_OF_XYZ * WHITE_XYZ).T.astype(np.float32)
    grey = np.clip(xyz[..., 1:2], 0, 1)
    chroma = linear - grey
    room = np.where(chroma > 0, 1 - grey, grey) / np.maximum(np.abs(chroma), 1e-9)
    linear = np.clip(grey + np.minimum(channel_min(room)[..., None], 1) * chroma, 0, 1)
    rgb = np.where(linear > 0.0031308, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055, 12.92 * linear)
    return rgb.astype(np.float32)


def packed_lab(lab: np.ndarray) -> np.ndarray:
    """Lab with all three channels in [0, 1], as pasting takes them."""
    return (lab / np.array([100, 256, 256], np.float32) + np.array([0, 0.5, 0.5], np.float32)).astype(np.float32)


def unpacked_lab(packed: np.ndarray) -> np.ndarray:
    """Back from `packed_lab`."""
    return (packed - np.array([0, 0.5, 0.5], np.float32)) * np.array([100, 256, 256], np.float32)


def is_toned(crop: np.ndarray, inside: np.ndarray) -> bool:
    """Whether a crop (s, s, 3) is grey, or of one tone such as sepia: all its colours lie on a line in Lab."""
    colours = to_lab(crop)[inside][:, 1:]
    if len(colours) < 2:
        return True
    return bool(np.linalg.eigvalsh(np.cov(colours.T))[0] <= TONED**2)


def coloured_mask(lab: np.ndarray) -> np.ndarray:
    """(s, s) float32 for the Lab values (s, s, 3) of an aligned crop: 1 over the face, falling to 0 about the head.

    Out of the middle of the face it is so only where colours are warm, as skin is. The cold ones that a network gives
    to walls and skies would stand about the head as a stain.
    """
    away = _away(len(lab))
    warm = cv2.GaussianBlur(np.clip(0.5 * lab[..., 1] + lab[..., 2], 0, WARM) / WARM, (0, 0), len(lab) / 64)
    return _falling(away, 0.88, HEAD_FADE) * np.maximum(_falling(away, 0.5, 0.9), warm)


def _away(size: int) -> np.ndarray:
    """(size, size): how far each pixel is from the middle of the face, 1 on the ellipse about it."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    return np.hypot((x - HEAD_CENTRE[0]) / HEAD_AXES[0], (y - HEAD_CENTRE[1]) / HEAD_AXES[1])


def _falling(away: np.ndarray, first: float, last: float) -> np.ndarray:
    """1 up to `first`, falling smoothly to 0 at `last`."""
    t = np.clip((last - away) / (last - first), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)
