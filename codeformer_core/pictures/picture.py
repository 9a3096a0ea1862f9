"""A picture, and what its file said about it; its samples in the file's own mode."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .arrays import WHITE, check_picture, from_float, to_float
from .cmyk import Inks
from .formats import PictureError
from .metadata import Metadata


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """An upright picture and what its file said about it."""

    rgb: np.ndarray  # (h, w, 3) uint8, uint16, or float32 in [0, 1]
    alpha: np.ndarray | None = None  # (h, w), dtype of rgb, opaque = 255, 65535 or 1
    grey: bool = False  # the three channels are equal everywhere
    single_channel: bool = False  # the file holds one grey channel, and so will the result
    inks: Inks | None = None  # of a CMYK file
    lossless: bool = False  # a WebP without loss
    frames: int = 1  # of which only the first is read: of an animation, or the pages of a TIFF
    suffix: str = ".png"  # of the file's true format, as FORMATS lists them, or of PNG where we cannot write that one
    icc_profile: bytes | None = None
    colour_chunks: bytes = b""  # what a PNG says of its colours without a profile
    metadata: Metadata = field(default_factory=Metadata)


def picture_of(samples: np.ndarray, **said: Any) -> Picture:
    """Upright samples, (h, w) or (h, w, 2 to 4) as LA, RGB or RGBA, with what else was said about them."""
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    alpha = np.ascontiguousarray(samples[..., -1]) if channels in (2, 4) else None
    if channels <= 2:
        rgb = cv2.cvtColor(samples if channels == 1 else np.ascontiguousarray(samples[..., 0]), cv2.COLOR_GRAY2RGB)
    else:
        rgb = cv2.cvtColor(samples, cv2.COLOR_RGBA2RGB) if channels == 4 else np.ascontiguousarray(samples)
    return Picture(
        rgb=rgb,
        alpha=alpha,
        grey=channels <= 2 or _equal_channels(rgb),
        single_channel=channels <= 2,
        **said,
    )


def has_transparency(picture: Picture) -> bool:
    """Whether any pixel is less than opaque."""
    return picture.alpha is not None and picture.alpha.min() < WHITE[picture.alpha.dtype]


def samples_of(rgb: np.ndarray, like: Picture | None, format: str, path: Path) -> np.ndarray:
    """The samples to encode: (h, w), or (h, w, 2 to 4) as LA, RGB or RGBA; uint8, uint16, or float32 for TIFF."""
    check_picture(rgb)
    if rgb.dtype == np.float32:
        depth = like.rgb.dtype if like else np.dtype(np.uint8)
        rgb = from_float(rgb, np.dtype(np.uint16) if depth == np.float32 and format != "TIFF" else depth)
    if format not in ("PNG", "TIFF"):
        rgb = _to_depth(rgb, np.dtype(np.uint8))
    alpha = like.alpha if like else None
    single = like is not None and like.single_channel and _equal_channels(rgb)
    if like is not None and alpha is not None and format in ("JPEG", "BMP"):
        if has_transparency(like):
            raise PictureError(f"{path}: {format} holds no transparency; write a .png file")
        alpha = None
    if alpha is None:
        return np.ascontiguousarray(rgb[..., 0]) if single else rgb
    height, width = rgb.shape[:2]
    if alpha.shape != (height, width):
        alpha = cv2.resize(alpha, (width, height), interpolation=cv2.INTER_LANCZOS4)
        alpha = np.clip(alpha, 0, 1) if alpha.dtype == np.float32 else alpha  # the filter rings
    return np.dstack([rgb[..., :1] if single else rgb, _to_depth(alpha, rgb.dtype)])


def _equal_channels(rgb: np.ndarray) -> bool:
    return np.array_equal(rgb[..., 0], rgb[..., 1]) and np.array_equal(rgb[..., 0], rgb[..., 2])


def _to_depth(samples: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if samples.dtype == dtype:
        return samples
    if samples.dtype == np.uint16 and dtype == np.uint8:
        return cv2.convertScaleAbs(samples, alpha=1 / 257)  # rounds, without a copy in float
    return from_float(to_float(samples), dtype)
