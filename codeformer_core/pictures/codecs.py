"""Samples out of picture files and into them: 8 bits of any mode, CMYK and Lab among them, and 16 bits a channel."""

import io
import logging
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageCms

logger = logging.getLogger(__name__)


class PictureError(ValueError):
    """A file that cannot be read or written as a picture; one line with the file, the reason and the remedy."""


def is_deep(image: Image.Image, path: Path) -> bool:
    """Whether Pillow would cut this PNG or TIFF from 16 bits to 8."""
    if image.format == "PNG":
        return any(str(tile[3]).endswith(";16B") for tile in image.tile)  # type: ignore[attr-defined]
    if image.format != "TIFF":
        return False
    tags = image.tag_v2  # type: ignore[attr-defined]
    bits, photometric, premultiplied = tags.get(258, (1,)), tags.get(262), tags.get(338, (0,))[0] == 1
    if min(bits) == 16 and photometric == 0:
        raise PictureError(f"{path}: is a 16-bit TIFF in which white is zero; save it with black as zero")
    return min(bits) == 16 and photometric in (1, 2) and not premultiplied


def decode_deep(path: Path) -> np.ndarray:
    """16-bit samples, (h, w) grey or (h, w, 3 or 4) RGB(A): OpenCV keeps the depth that Pillow drops."""
    try:
        samples = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ValueError(error.err) from error
    if samples is None:
        raise ValueError("its 16-bit samples cannot be decoded")
    if samples.ndim == 2:
        return samples
    return cv2.cvtColor(samples, cv2.COLOR_BGRA2RGBA if samples.shape[2] == 4 else cv2.COLOR_BGR2RGB)


def decode(image: Image.Image, icc_profile: bytes | None, path: Path) -> tuple[np.ndarray, bytes | None]:
    """A loaded picture as samples, (h, w) grey or (h, w, 2 to 4) LA, RGB, RGBA, and the profile that now holds."""
    if image.mode in ("CMYK", "LAB"):
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        try:
            if image.mode == "CMYK" and icc_profile is None:
                return np.array(image.convert("RGB")), None
            source = ImageCms.createProfile("LAB") if image.mode == "LAB" else io.BytesIO(icc_profile or b"")
            converted = ImageCms.profileToProfile(image, ImageCms.ImageCmsProfile(source), srgb, outputMode="RGB")
            return np.array(converted), srgb.tobytes()
        except (ImageCms.PyCMSError, OSError) as error:
            logger.warning("%s: its %s profile cannot be used (%s), converted without it", path, image.mode, error)
            return np.array(image.convert("RGB")), None
    if image.mode.startswith("I") or image.mode == "F":
        return np.array(image), icc_profile  # integers of 16 bits; others are refused by their dtype
    transparent = image.has_transparency_data
    if image.mode in ("1", "L", "LA", "La"):
        mode = "LA" if transparent else "L"
    else:
        mode = "RGBA" if transparent else "RGB"
    return np.array(image if image.mode == mode else image.convert(mode)), icc_profile


def encode(samples: np.ndarray, format: str, quality: int, icc_profile: bytes | None, exif: bytes | None) -> bytes:
    """The bytes of a file of a Pillow format, of (h, w) or (h, w, 2 to 4) samples; see `write_picture`."""
    if samples.dtype == np.uint16:
        if format == "PNG":
            return _encode_deep_png(samples, icc_profile, exif)
        return _encode_deep_tiff(samples, icc_profile)
    options = {
        "JPEG": {"quality": quality, "subsampling": 0},
        "WEBP": {"quality": quality, "lossless": quality == 100},
        "AVIF": {"quality": quality, "subsampling": "4:4:4"},
        "TIFF": {"compression": "tiff_adobe_deflate"},
    }.get(format, {})
    if exif is not None and not (format == "JPEG" and len(exif) > 65533):  # what one JPEG segment holds
        options["exif"] = exif
    if icc_profile is not None:
        options["icc_profile"] = icc_profile
    file = io.BytesIO()
    Image.fromarray(samples).save(file, format=format, **options)
    return file.getvalue()


def _encode_deep_png(samples: np.ndarray, icc_profile: bytes | None, exif: bytes | None) -> bytes:
    """OpenCV's 16-bit PNG with the iCCP and eXIf chunks put in behind the 33 bytes of signature and header."""
    if samples.ndim == 3:
        samples = cv2.cvtColor(samples, cv2.COLOR_RGBA2BGRA if samples.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".png", samples)
    chunks = []
    if icc_profile is not None:
        chunks.append(b"iCCP" + b"ICC profile\0\0" + zlib.compress(icc_profile))
    if exif is not None:
        chunks.append(b"eXIf" + exif.removeprefix(b"Exif\0\0"))
    extra = [struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks]
    return b"".join([encoded[:33].tobytes(), *extra, encoded[33:].data])


def _encode_deep_tiff(samples: np.ndarray, icc_profile: bytes | None) -> bytes:
    import tifffile  # slow to import, and rarely needed

    file = io.BytesIO()
    tifffile.imwrite(
        file,
        samples,
        photometric="minisblack" if samples.ndim == 2 else "rgb",
        extrasamples=["unassalpha"] if samples.shape[2:] == (4,) else None,
        compression="zlib",
        extratags=[] if icc_profile is None else [(34675, 7, len(icc_profile), icc_profile, True)],
        metadata=None,
    )
    return file.getvalue()
