"""Samples out of picture files and into them: 8 bits of any mode, 16 bits a channel, floating-point TIFF."""

import io
import logging
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from . import png, tiff
from .metadata import Metadata, pillow_options, png_chunks

logger = logging.getLogger(__name__)

PNG_LEVEL = 3  # of zlib, 1 to 9: photographs take a third of the time of its usual 6, and 5 to 12 % more bytes


def is_deep_png(image: Image.Image) -> bool:
    """Whether Pillow would cut this PNG from 16 bits to 8, or does not see its colour key; before it is loaded."""
    return any(str(tile[3]).endswith(";16B") for tile in image.tile)  # type: ignore[attr-defined]


def decode(image: Image.Image) -> np.ndarray:
    """A loaded picture of 8 bits a channel as samples, (h, w) grey or (h, w, 2 to 4) LA, RGB, RGBA."""
    if image.mode.startswith("I") or image.mode == "F":
        return np.array(image)  # integers of 16 bits; others are refused by their dtype
    transparent = image.has_transparency_data
    if image.mode in ("1", "L", "LA", "La"):
        mode = "LA" if transparent else "L"
    else:
        mode = "RGBA" if transparent else "RGB"
    return np.array(image if image.mode == mode else image.convert(mode))


def encode(
    samples: np.ndarray,
    format: str,
    quality: int,
    icc_profile: bytes | None,
    metadata: Metadata,
    path: Path,
    colour_chunks: bytes = b"",
    mode: str | None = None,
) -> bytes:
    """The bytes of a file of a Pillow format, of (h, w) or (h, w, 2 to 4) samples; see `write_picture`.

    `quality` 100 is lossless for WebP. `mode` is Pillow's, for CMYK; `colour_chunks` are PNG's own.
    """
    size = samples.shape[1], samples.shape[0]
    if format == "PNG":
        _say_left_out([] if metadata.iptc is None else ["IPTC"], format, path)
        chunks = [colour_chunks, *png_chunks(metadata, icc_profile, size)]
        if samples.dtype == np.uint16:
            return png.with_chunks(png.encode_deep(samples), chunks)
        return png.with_chunks(_by_pillow(Image.fromarray(samples), format, {"compress_level": PNG_LEVEL}), chunks)
    options, lost = pillow_options(metadata, format, size)
    _say_left_out(lost, format, path)
    if format == "TIFF":
        return tiff.encode(samples, options["exif"], icc_profile, metadata.dpi, inks=mode == "CMYK")
    if icc_profile is not None:
        options["icc_profile"] = icc_profile
    options |= {
        "JPEG": {"quality": quality, "subsampling": 0},
        "WEBP": {"quality": quality} | ({"lossless": True, "exact": True} if quality == 100 else {}),
        "AVIF": {"quality": quality, "subsampling": "4:4:4"},
        "HEIF": {"quality": quality, "chroma": 444},
    }.get(format, {})
    image = Image.fromarray(samples) if mode is None else Image.frombytes(mode, size, samples.tobytes())
    return _by_pillow(image, format, options)


def _say_left_out(lost: list[str], format: str, path: Path) -> None:
    if lost:
        logger.warning("%s: %s has no place for %s of the input, left out", path, format, ", ".join(lost))


def _by_pillow(image: Image.Image, format: str, options: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    image.save(file, format=format, **options)
    return file.getvalue()
