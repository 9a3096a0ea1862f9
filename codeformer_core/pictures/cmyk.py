"""CMYK and Lab pictures: as sRGB for the work, and CMYK back through the file's own profile."""

import io
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class Inks:
    """The four inks of a picture whose colours are worked on as sRGB."""

    samples: np.ndarray  # (h, w, 4) uint8
    icc_profile: bytes | None


def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def to_srgb(image: Image.Image, icc_profile: bytes | None, path: Path) -> tuple[np.ndarray, bytes | None]:
    """A CMYK or LAB picture as (h, w, 3) uint8, and the profile that this now has; None if it was guessed."""
    if image.mode == "CMYK" and icc_profile is None:
        return np.array(image.convert("RGB")), None
    try:
        source = ImageCms.createProfile("LAB") if image.mode == "LAB" else io.BytesIO(icc_profile or b"")
        srgb = _srgb()
        converted = ImageCms.profileToProfile(image, ImageCms.ImageCmsProfile(source), srgb, outputMode="RGB")
        return np.array(converted), srgb.tobytes()
    except (ImageCms.PyCMSError, OSError) as error:
        logger.warning("%s: its %s profile cannot be used (%s), converted without it", path, image.mode, error)
        return np.array(image.convert("RGB")), None


def to_inks(rgb: np.ndarray, before: np.ndarray, inks: Inks, path: Path) -> np.ndarray | None:
    """(h, w, 3) uint8 sRGB as (h, w, 4) inks; None, with a warning, where the profile knows no way back.

    Pixels that are as `before`, of which `inks` are those of the file, keep these to the bit.
    """
    image = Image.fromarray(rgb)
    if inks.icc_profile is None:
        separated = np.array(image.convert("CMYK"))
    else:
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(inks.icc_profile))
            separated = np.array(ImageCms.profileToProfile(image, _srgb(), profile, outputMode="CMYK"))
        except (ImageCms.PyCMSError, OSError) as error:
            logger.warning("%s: its CMYK profile has no way back (%s), written as RGB", path, error)
            return None
    if rgb.shape != before.shape:
        return separated
    return np.where((rgb == before).all(-1, keepdims=True), inks.samples, separated)
