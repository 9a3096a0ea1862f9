"""Picture files: any mode read as RGB, with what it takes to write a result the same way."""

import logging
import struct
import threading
import warnings
import zlib
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from ..whole_files import whole_file
from . import cmyk, png, tiff
from .arrays import upright
from .codecs import decode, encode, is_deep_png
from .formats import FORMATS, PictureError, check_sides, content_format, lossless_webp, open_image, writable
from .metadata import Metadata, read_metadata
from .picture import Picture, has_transparency, picture_of, samples_of

logger = logging.getLogger(__name__)

ORIENTATION = ExifTags.Base.Orientation
# One picture is read at a time, since `warnings.catch_warnings` is of the whole process. What that does not cover: of a
# thread that reads no picture, warnings get the name of the picture at hand, and its own `catch_warnings` may mix in.
_one_at_a_time = threading.Lock()
# What decoders raise for a damaged file.
DAMAGED = (
    *(OSError, SyntaxError, EOFError, ValueError, TypeError, LookupError, RuntimeError, ArithmeticError),
    *(AttributeError, AssertionError, struct.error, zlib.error),
)


def read_picture(path: str | Path) -> Picture:
    """Read a file (PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF, HEIC with pillow-heif) of any mode, turned upright.

    What a file is its content says, not its name. 16-bit PNG and TIFF and floating-point TIFF (0 to 1, clipped with a
    warning) stay so, other than CMYK, which becomes 8 bit; premultiplied alpha is undone; palettes and colour keys
    become RGB and alpha; CMYK becomes sRGB through the file's own profile; of an animation or a TIFF of several pages
    the first is read, with a warning. PictureError for what is not a whole picture, or larger than Pillow's guard
    against bombs allows (179 MP). Threads read one after another.
    """
    path = Path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe would be waited for, a device has no end
        raise PictureError(f"{path}: is no ordinary file; give a picture file")
    try:
        with _one_at_a_time, warnings.catch_warnings(record=True) as notes:
            warnings.simplefilter("default")
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # a 100 MP photograph is no bomb
            picture = _read(path)
        for note in notes:
            logger.warning("%s: %s", path, note.message)
        return picture
    except FileNotFoundError:
        raise PictureError(f"{path}: no such file; check its name") from None
    except IsADirectoryError:
        raise PictureError(f"{path}: is a folder, not a picture; give a file in it") from None
    except PermissionError:
        raise PictureError(f"{path}: may not be read; change its permissions") from None
    except Image.DecompressionBombError as error:
        raise PictureError(f"{path}: is too large ({error}); scale it down first") from error
    except PictureError:
        raise
    except DAMAGED as error:
        reason = " ".join(str(error).split())
        raise PictureError(f"{path}: is damaged ({reason}); open it in an image editor and save it again") from error


def _read(path: Path) -> Picture:
    format = content_format(path)
    if format == "TIFF":
        tags = tiff.read_tags(path)
        if tiff.is_deep(tags):
            return _read_deep_tiff(path, tags)
        with tiff.libtiff_named(path), open_image(path, format) as image:
            return _read_image(image, path)
    try:
        with open_image(path, format) as image:
            return _read_image(image, path)
    except DAMAGED as error:
        if format != "PNG":
            raise
        try:
            with Image.open(BytesIO(png.without_text(path)), formats=["PNG"]) as image:
                picture = _read_image(image, path)
        except DAMAGED:
            raise error from None  # it is not the text
        logger.warning("%s: its text is damaged or too large, left out", path)
        return picture


def _read_image(image: Image.Image, path: Path) -> Picture:
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # MPO: a JPEG with previews behind it
    icc_profile, inks = image.info.get("icc_profile"), None
    deep = image.format == "PNG" and is_deep_png(image)
    image.load()
    if deep:
        samples = png.decode_deep(path)
    elif image.mode in ("CMYK", "LAB"):
        inks = cmyk.Inks(samples=np.array(image), icc_profile=icc_profile) if image.mode == "CMYK" else None
        samples, icc_profile = cmyk.to_srgb(image, icc_profile, path)
        if inks is not None and icc_profile is None:
            inks = replace(inks, icc_profile=None)  # what is of no use to read is of none to write
    else:
        samples = decode(image)
    metadata, orientation = _said(image, path)
    if samples.dtype not in (np.uint8, np.uint16):
        raise PictureError(f"{path}: has {samples.dtype} samples; convert it to 8 or 16 bits a channel")
    if inks is not None:
        inks = replace(inks, samples=upright(inks.samples, orientation))
    return _describe(
        upright(samples, orientation),
        path,
        image.format,
        frames=frames,
        icc_profile=icc_profile,
        metadata=metadata,
        inks=inks,
        lossless=image.format == "WEBP" and lossless_webp(path),
        colour_chunks=png.colour_chunks(path) if image.format == "PNG" and icc_profile is None else b"",
    )


def _said(image: Image.Image, path: Path) -> tuple[Metadata, int]:
    """A loaded picture's metadata and orientation."""
    info: dict[str, Any] = {str(key): value for key, value in image.info.items()}
    text = dict(getattr(image, "text", {}))
    orientation = 1
    if image.format == "TIFF":
        info = info | {"iptc": _iptc(image.tag_v2)}  # type: ignore[attr-defined]
    try:
        exif = image.getexif()
        orientation = exif.get(ORIENTATION, 1)
        return read_metadata(info, image.format or "", text, exif), orientation
    except DAMAGED as error:
        logger.warning("%s: its EXIF data is damaged and is left out (%s)", path, error)
        return read_metadata(info, image.format or "", text, Image.Exif()), orientation


def _iptc(tags: ImageFileDirectory_v2) -> bytes | None:
    """A TIFF's IPTC, which some programs write as if it were whole numbers."""
    data = tags.get(tiff.IPTC)
    return data if isinstance(data, bytes) else None


def _read_deep_tiff(path: Path, tags: ImageFileDirectory_v2) -> Picture:
    samples = tiff.decode_deep(path, tags)
    info = {"xmp": tags.get(tiff.XMP), "iptc": _iptc(tags), "dpi": tiff.dpi(tags)}
    exif = Image.Exif()
    try:
        with path.open("rb") as file:
            exif.load_from_fp(file)
        metadata = read_metadata(info, "TIFF", {}, exif)
    except DAMAGED as error:
        logger.warning("%s: its EXIF data is damaged and is left out (%s)", path, error)
        metadata = read_metadata(info, "TIFF", {}, Image.Exif())
    profile = tags.get(tiff.ICC)
    return _describe(
        samples,
        path,
        "TIFF",
        frames=tiff.pages(path, tags),
        icc_profile=profile if isinstance(profile, bytes) else None,
        metadata=metadata,
    )


def _describe(samples: np.ndarray, path: Path, format: str | None, frames: int, **said: Any) -> Picture:
    """Upright samples as a picture; a warning if they are not all that the file holds."""
    if frames > 1:
        what = "pages" if format == "TIFF" else "frames"
        logger.warning("%s: only the first of its %d %s is read and written", path, frames, what)
    return picture_of(samples, frames=frames, suffix=_own_suffix(path, format), **said)


def _own_suffix(path: Path, format: str | None) -> str:
    format = "JPEG" if format == "MPO" else format
    if FORMATS.get(path.suffix.lower()) == format:
        return path.suffix
    return next((suffix for suffix, name in FORMATS.items() if name == format), ".png")


def output_suffix(like: Picture, wanted: str | None = None) -> str:
    """The suffix to save a result under: `wanted` (".png", "jpg"), or the input's own; PNG where that cannot hold it.

    A GIF (palette) becomes PNG. JPEG and BMP give way to PNG when pixels are transparent. PictureError for a suffix
    that is not written.
    """
    suffix = like.suffix if wanted is None else "." + wanted.lstrip(".")
    format = _format_of(Path(f"picture{suffix}"))
    return ".png" if format in ("JPEG", "BMP") and has_transparency(like) else suffix


def write_picture(path: str | Path, rgb: np.ndarray, like: Picture | None = None, *, quality: int = 95) -> None:
    """Save (h, w, 3) RGB, whole or not at all, with the alpha, profile, metadata and mode of the picture `like`.

    uint16 stays so in PNG and TIFF and becomes 8 bit elsewhere; float32 in [0, 1] takes the depth of `like`, and is
    kept in TIFF where `like` is float32 too. One grey channel is kept where the result is still grey. CMYK is kept in
    JPEG and TIFF; pixels that are as in `like` keep their inks. Alpha of another size is resized by Lanczos. `quality`
    is for JPEG (4:4:4), WebP, AVIF and HEIC; a WebP stays without loss, as 100 makes it. A warning says what of the
    metadata has no place in the format. PictureError where the format cannot hold the picture, OSError where the disk
    does not take it.
    """
    path = Path(path)
    format = _format_of(path)
    check_sides(path, format, (rgb.shape[1], rgb.shape[0]))
    samples = samples_of(rgb, like, format, path)
    like = Picture(rgb=rgb) if like is None else like
    icc_profile, mode = like.icc_profile, None
    if like.inks is not None and format in ("JPEG", "TIFF") and samples.shape[2:] == (3,):
        inks = cmyk.to_inks(samples, like.rgb, like.inks, path)
        if inks is not None:
            samples, icc_profile, mode = inks, like.inks.icc_profile, "CMYK"
    space = b"CMYK" if mode else b"GRAY" if samples.ndim == 2 or samples.shape[2] == 2 else b"RGB "
    if icc_profile is not None and icc_profile[16:20] != space:
        logger.warning("%s: the colour profile of the input is not for %s and is left out", path, space.decode())
        icc_profile = None
    try:
        data = encode(
            samples,
            format,
            100 if like.lossless and format == "WEBP" else quality,
            icc_profile,
            like.metadata,
            path,
            colour_chunks=like.colour_chunks,
            mode=mode,
        )
    except (OSError, ValueError) as error:  # such as a side above 16383 for WebP
        raise PictureError(f"{path}: cannot be held by {format} ({error}); write a .png file") from error
    with whole_file(path) as unfinished:
        unfinished.write_bytes(data)


def _format_of(path: Path) -> str:
    formats = writable()
    if path.suffix.lower() not in formats:
        raise PictureError(f"{path}: pictures are not written as {path.suffix!r}; use one of {' '.join(formats)}")
    return formats[path.suffix.lower()]
