"""Picture files: any mode read as RGB, with what it takes to write a result the same way."""

import logging
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image

from ..whole_files import whole_file
from .arrays import check_picture, from_float
from .codecs import PictureError, decode, decode_deep, encode, is_deep

logger = logging.getLogger(__name__)

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jfif": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".avif": "AVIF",
}
PICTURE_SUFFIXES = {*FORMATS, ".gif"}  # what is looked for in folders
ORIENTATION = ExifTags.Base.Orientation
UPRIGHT = {  # EXIF orientation to the turn that undoes it
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}
# What Pillow raises for a damaged file, by decoder.
DAMAGED = (OSError, SyntaxError, EOFError, ValueError, TypeError, IndexError, KeyError, RuntimeError, struct.error)
# In a TIFF, EXIF shares its directory with the layout of the samples: only these say something about the photograph.
TIFF_EXIF = {
    *(ExifTags.Base.ImageDescription, ExifTags.Base.Make, ExifTags.Base.Model, ExifTags.Base.Orientation),
    *(ExifTags.Base.Software, ExifTags.Base.DateTime, ExifTags.Base.Artist, ExifTags.Base.Copyright),
    *(ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """An upright picture and what its file said about it."""

    rgb: np.ndarray  # (h, w, 3) uint8 or uint16
    alpha: np.ndarray | None = None  # (h, w), dtype of rgb, opaque = 255 or 65535
    grey: bool = False  # the three channels are equal everywhere
    single_channel: bool = False  # the file holds one grey channel, and so will the result
    suffix: str = ".png"  # of the file's true format, as FORMATS lists them, or of PNG where we cannot write that one
    icc_profile: bytes | None = None
    exif: bytes | None = None  # with orientation 1


def read_picture(path: str | Path) -> Picture:
    """Read a file (PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF) of any mode, with its EXIF orientation applied.

    16-bit PNG and TIFF stay 16 bit (other than CMYK and premultiplied alpha, which become 8 bit); palettes and colour
    keys become RGB and alpha; CMYK becomes sRGB through the file's own profile; of an animation the first frame is
    read. PictureError for what is not a whole picture, or larger than Pillow's guard against bombs allows (179 MP).
    """
    path = Path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe would be waited for, a device has no end
        raise PictureError(f"{path}: is no ordinary file; give a picture file")
    try:
        with warnings.catch_warnings(record=True) as notes:
            warnings.simplefilter("default")
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # a 100 MP photograph is no bomb
            with Image.open(path) as image:
                picture = _read(image, path)
        for note in notes:
            logger.warning("%s: %s", path, note.message)
        return picture
    except FileNotFoundError:
        raise PictureError(f"{path}: no such file; check its name") from None
    except IsADirectoryError:
        raise PictureError(f"{path}: is a folder, not a picture; give a file in it") from None
    except PermissionError:
        raise PictureError(f"{path}: may not be read; change its permissions") from None
    except Image.UnidentifiedImageError:
        raise PictureError(f"{path}: is damaged or no picture; give a PNG, JPEG, WebP, TIFF or BMP file") from None
    except Image.DecompressionBombError as error:
        raise PictureError(f"{path}: is too large ({error}); scale it down first") from error
    except PictureError:
        raise
    except DAMAGED as error:
        reason = " ".join(str(error).split())
        raise PictureError(f"{path}: is damaged ({reason}); open it in an image editor and save it again") from error


def _read(image: Image.Image, path: Path) -> Picture:
    if getattr(image, "is_animated", False) and image.format != "MPO":  # MPO: a JPEG with previews behind it
        logger.warning("%s: only the first of its %d frames is read", path, getattr(image, "n_frames", 1))
    icc_profile = image.info.get("icc_profile")
    deep = is_deep(image, path)
    if deep:
        samples = decode_deep(path)
    else:
        samples, icc_profile = decode(image, icc_profile, path)
    exif_bytes, orientation = None, 1
    try:
        exif = image.getexif()
        if not (deep and image.format == "TIFF"):  # OpenCV turns a TIFF upright; Pillow too, and takes the tag away
            orientation = exif.get(ORIENTATION, 1)
        exif_bytes = _upright_exif(exif, image.format)
    except DAMAGED as error:
        logger.warning("%s: its EXIF data is damaged and is left out (%s)", path, error)
    if samples.dtype not in (np.uint8, np.uint16):
        raise PictureError(f"{path}: has {samples.dtype} samples; convert it to 8 or 16 bits a channel")
    if orientation in UPRIGHT:
        samples = np.ascontiguousarray(UPRIGHT[orientation](samples))

    channels = 1 if samples.ndim == 2 else samples.shape[2]
    alpha = np.ascontiguousarray(samples[..., -1]) if channels in (2, 4) else None
    if channels <= 2:
        rgb = cv2.cvtColor(samples if channels == 1 else np.ascontiguousarray(samples[..., 0]), cv2.COLOR_GRAY2RGB)
    else:
        rgb = cv2.cvtColor(samples, cv2.COLOR_RGBA2RGB) if channels == 4 else samples
    return Picture(
        rgb=rgb,
        alpha=alpha,
        grey=channels <= 2 or _equal_channels(rgb),
        single_channel=channels <= 2,
        suffix=_own_suffix(path, image.format),
        icc_profile=icc_profile,
        exif=exif_bytes,
    )


def _upright_exif(exif: Image.Exif, format: str | None) -> bytes | None:
    if format == "TIFF":
        for tag in [tag for tag in exif if tag not in TIFF_EXIF]:
            del exif[tag]
    if ORIENTATION in exif:
        exif[ORIENTATION] = 1
    return exif.tobytes() if exif else None


def _equal_channels(rgb: np.ndarray) -> bool:
    return np.array_equal(rgb[..., 0], rgb[..., 1]) and np.array_equal(rgb[..., 0], rgb[..., 2])


def _own_suffix(path: Path, format: str | None) -> str:
    format = "JPEG" if format == "MPO" else format
    if FORMATS.get(path.suffix.lower()) == format:
        return path.suffix
    return next((suffix for suffix, name in FORMATS.items() if name == format), ".png")


def output_suffix(like: Picture, wanted: str | None = None) -> str:
    """The suffix to save a result under: `wanted` (".png", "jpg"), or the input's own; PNG where that cannot hold it.

    A GIF (palette) becomes PNG, a CMYK JPEG an RGB JPEG. JPEG and BMP give way to PNG when pixels are transparent.
    PictureError for a suffix that is none of FORMATS.
    """
    suffix = like.suffix if wanted is None else "." + wanted.lstrip(".")
    format = _format_of(Path(f"picture{suffix}"))
    return ".png" if format in ("JPEG", "BMP") and _has_transparency(like) else suffix


def write_picture(path: str | Path, rgb: np.ndarray, like: Picture | None = None, *, quality: int = 95) -> None:
    """Save (h, w, 3) RGB, whole or not at all, with the alpha, profile, EXIF and grey mode of the picture `like`.

    uint16 stays so in PNG and TIFF and becomes 8 bit elsewhere; float32 in [0, 1] takes the depth of `like`. One grey
    channel is kept where the result is still grey (with 16 bits and alpha: as RGBA of equal channels). Alpha of another
    size is resized by Lanczos. `quality` is for JPEG (4:4:4), WebP and AVIF; 100 makes WebP lossless. A 16-bit TIFF
    takes no EXIF. PictureError where the format cannot hold the picture, OSError where the disk does not take it.
    """
    path = Path(path)
    format = _format_of(path)
    samples = _samples(rgb, like, format, path)
    icc_profile = like.icc_profile if like else None
    space = b"GRAY" if samples.ndim == 2 or samples.shape[2] == 2 else b"RGB "
    if icc_profile is not None and icc_profile[16:20] != space:
        logger.warning("%s: the colour profile of the input is not for %s and is left out", path, space.decode())
        icc_profile = None
    try:
        data = encode(samples, format, quality, icc_profile, like.exif if like else None)
    except (OSError, ValueError) as error:  # such as a side above 16383 for WebP
        raise PictureError(f"{path}: cannot be held by {format} ({error}); write a .png file") from error
    with whole_file(path) as unfinished:
        unfinished.write_bytes(data)


def _format_of(path: Path) -> str:
    format = FORMATS.get(path.suffix.lower())
    Image.init()
    if format is None or format not in Image.SAVE:
        writable = " ".join(suffix for suffix, name in FORMATS.items() if name in Image.SAVE)
        raise PictureError(f"{path}: pictures are not written as {path.suffix!r}; use one of {writable}")
    return format


def _has_transparency(picture: Picture) -> bool:
    return picture.alpha is not None and picture.alpha.min() < np.iinfo(picture.alpha.dtype).max


def _samples(rgb: np.ndarray, like: Picture | None, format: str, path: Path) -> np.ndarray:
    """The samples to encode: (h, w), or (h, w, 2 to 4) as LA, RGB or RGBA; uint8 or uint16."""
    check_picture(rgb)
    if rgb.dtype == np.float32:
        rgb = from_float(rgb, like.rgb.dtype if like else np.dtype(np.uint8))
    if format not in ("PNG", "TIFF"):
        rgb = _to_depth(rgb, np.dtype(np.uint8))
    alpha = like.alpha if like else None
    single = like is not None and like.single_channel and _equal_channels(rgb)
    if like is not None and alpha is not None and format in ("JPEG", "BMP"):
        if _has_transparency(like):
            raise PictureError(f"{path}: {format} holds no transparency; write a .png file")
        alpha = None
    if alpha is None:
        return np.ascontiguousarray(rgb[..., 0]) if single else rgb
    height, width = rgb.shape[:2]
    if alpha.shape != (height, width):
        alpha = cv2.resize(alpha, (width, height), interpolation=cv2.INTER_LANCZOS4)
    colour = rgb[..., :1] if single and rgb.dtype == np.uint8 else rgb  # OpenCV writes no 16-bit grey with alpha
    return np.dstack([colour, _to_depth(alpha, rgb.dtype)])


def _to_depth(samples: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if samples.dtype == dtype:
        return samples
    return cv2.convertScaleAbs(samples, alpha=1 / 257) if dtype == np.uint8 else samples.astype(np.uint16) * 257
