"""TIFF: read where Pillow cuts to 8 bits or refuses, and written with its EXIF, which Pillow leaves out."""

import logging
import math
import os
import struct
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from .arrays import upright
from .formats import PictureError
from .metadata import part

logger = logging.getLogger(__name__)

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, ORIENTATION, CHANNELS, PLANES = 256, 257, 258, 259, 262, 274, 277, 284
EXTRA, NUMBERS, XMP, IPTC, ICC, SUBFILE_TYPE, SUB_IFDS = 338, 339, 700, 33723, 34675, 254, 330
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 282, 283, 296
UNSIGNED, FLOAT = 1, 3
WHITE_IS_ZERO, GREY, RGB = 0, 1, 2
PREMULTIPLIED = 1
STDERR = 2  # its file descriptor
BRIGHT = 0.1  # of the samples of a floating-point picture; with more of them above 1, its white is not 1
_one_at_a_time = threading.Lock()


def read_tags(path: Path) -> ImageFileDirectory_v2:
    """The tags of a TIFF file's first picture."""
    with path.open("rb") as file:
        tags = ImageFileDirectory_v2(_head(file))
        file.seek(tags.next)
        tags.load(file)
    if tags.get(SUBFILE_TYPE, 0) & 1 and SUB_IFDS in tags:
        raise PictureError(f"{path}: is a camera's raw file, of which only a preview could be read; develop it")
    return tags


def _head(file: BinaryIO) -> bytes:
    file.seek(0)
    head = file.read(8)
    return head + file.read(8) if 43 in head[2:4] else head  # BigTIFF's is longer


def _all(value: object) -> set[object]:
    return set(value) if isinstance(value, tuple) else {value}


def is_deep(tags: ImageFileDirectory_v2) -> bool:
    """Whether this is a grey or RGB picture of 16 bits, or of floating-point numbers."""
    if tags.get(PHOTOMETRIC) not in (WHITE_IS_ZERO, GREY, RGB):
        return False
    numbers = _all(tags.get(NUMBERS, UNSIGNED))
    return numbers == {FLOAT} or (numbers == {UNSIGNED} and _all(tags.get(BITS, 1)) == {16})


def decode_deep(path: Path, tags: ImageFileDirectory_v2) -> np.ndarray:
    """Upright samples, uint16 or float32 in [0, 1]: (h, w), or (h, w, 2 to 4) as LA, RGB or RGBA, not premultiplied.

    PictureError or what the decoders raise where that cannot be.
    """
    width, height, channels, photometric = (tags.get(tag, 1) for tag in (WIDTH, HEIGHT, CHANNELS, PHOTOMETRIC))
    limit = 2 * (Image.MAX_IMAGE_PIXELS or np.inf)
    if width * height > limit:
        raise Image.DecompressionBombError(f"{width * height} pixels are more than {limit}")
    if channels not in ((3, 4) if photometric == RGB else (1, 2)):
        raise PictureError(f"{path}: has {channels} channels; save it as grey or RGB, with alpha or without")
    planar = channels > 1 and tags.get(PLANES) == 2
    with _silence():
        if planar or channels == 2 or (FLOAT in _all(tags.get(NUMBERS)) and 16 in _all(tags.get(BITS))):
            samples = upright(_by_tifffile(path, tags, planar), tags.get(ORIENTATION, 1))
        else:
            samples = _by_opencv(path)
    found = samples.shape if samples.ndim == 3 else (*samples.shape, 1)
    if sorted(found[:2]) != sorted((height, width)) or found[2:] != (channels,):
        raise ValueError(f"its samples are {found}, and not {height} x {width} x {channels}")
    if samples.dtype.kind == "f":
        samples = _in_range(samples.astype(np.float32, copy=False), path)
    white = samples.dtype.type(1 if samples.dtype.kind == "f" else 65535)
    if photometric == WHITE_IS_ZERO:
        grey = samples if channels == 1 else samples[..., 0]
        np.subtract(white, grey, out=grey)
    if channels in (2, 4) and PREMULTIPLIED in _all(tags.get(EXTRA)):
        colour, alpha = samples[..., :-1], samples[..., -1:].astype(np.float32)
        straight = np.minimum(colour / np.maximum(alpha, 1e-6) * white, white)
        samples[..., :-1] = straight if samples.dtype.kind == "f" else straight + 0.5
    return samples


def dpi(tags: ImageFileDirectory_v2) -> tuple[float, float] | None:
    """The resolution of a TIFF in dots per inch; None where it has none, or no unit."""
    x, y, unit = (tags.get(tag) for tag in (X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT))
    inches = {2: 1.0, 3: 2.54}.get(unit)  # type: ignore[arg-type]
    return None if inches is None or not x or not y else (float(x) * inches, float(y) * inches)


def pages(path: Path, tags: ImageFileDirectory_v2) -> int:
    """How many pictures a TIFF file holds, of which `tags` are the first's."""
    seen = {0}
    with path.open("rb") as file:
        while tags.next not in seen:  # a damaged file may go round in circles
            seen.add(tags.next)
            file.seek(tags.next)
            following = ImageFileDirectory_v2(_head(file))
            file.seek(tags.next)
            following.load(file)
            tags = following
    return len(seen)


@contextmanager
def _silence() -> Iterator[None]:
    """OpenCV and tifffile say nothing by themselves, as they would without the file's name; what fails is raised."""
    talk, tifffile_logger = cv2.utils.logging, logging.getLogger("tifffile")
    with _one_at_a_time:
        level, disabled = talk.getLogLevel(), tifffile_logger.disabled
        talk.setLogLevel(talk.LOG_LEVEL_SILENT)
        tifffile_logger.disabled = True
        try:
            yield
        finally:
            talk.setLogLevel(level)
            tifffile_logger.disabled = disabled


@contextmanager
def libtiff_named(path: Path) -> Iterator[None]:
    """What Pillow's libtiff prints in here is logged with the file's name: it has no other way of being told.

    In the main thread only; in others it is printed as it is. All of the process has one standard error, and what the
    main thread said while another one reads would be taken for libtiff's. What others say meanwhile still is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with _one_at_a_time, tempfile.TemporaryFile() as said:
        try:
            stderr = os.dup(STDERR)
        except OSError:  # a program without one
            yield
            return
        os.dup2(said.fileno(), STDERR)
        try:
            yield
        finally:
            os.dup2(stderr, STDERR)
            os.close(stderr)
            said.seek(0)
            for line in dict.fromkeys(said.read().decode(errors="replace").splitlines()):
                logger.warning("%s: %s", path, line)


def _by_opencv(path: Path) -> np.ndarray:
    """Any compression; turned upright by itself."""
    try:
        samples = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ValueError(error.err) from error
    if samples is None or samples.dtype.kind not in "uf" or samples.dtype == np.uint8:
        raise ValueError("its samples cannot be decoded")
    return samples if samples.ndim == 2 else samples[..., [2, 1, 0, 3][: samples.shape[2]]]


def _by_tifffile(path: Path, tags: ImageFileDirectory_v2, planar: bool) -> np.ndarray:
    """What OpenCV takes for something else: planes of one colour each, grey with alpha, half floats."""
    import tifffile  # slow to import, and rarely needed

    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        if math.prod(page.chunked) != len(page.dataoffsets):
            raise ValueError("some of its samples are missing")  # which would be read as black
        try:
            samples = page.asarray()
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            kind = "separate colour planes" if planar else "its kind of samples"
            raise PictureError(
                f"{path}: is a TIFF with {kind}, compressed in a way (number {tags.get(COMPRESSION)}) that is not "
                "read together with them; save it without compression, or with interleaved channels"
            ) from error
    return np.ascontiguousarray(np.moveaxis(samples, 0, -1) if planar else samples)


def _in_range(samples: np.ndarray, path: Path) -> np.ndarray:
    if not np.isfinite(samples).all():
        raise PictureError(f"{path}: holds numbers that are not finite; repair it in an image editor")
    outside = np.count_nonzero((samples < 0) | (samples > 1))
    if np.count_nonzero(samples > 1) > BRIGHT * samples.size:
        raise PictureError(f"{path}: its floating-point samples reach {samples.max():g}; scale them to 0 to 1")
    if outside:
        logger.warning("%s: %d samples outside of 0 to 1 are clipped", path, outside)
        samples = samples.clip(0, 1)
    return samples


def encode(
    samples: np.ndarray,
    exif: Image.Exif,
    icc_profile: bytes | None,
    dpi: tuple[float, float] | None,
    inks: bool = False,
) -> bytes:
    """A TIFF file of (h, w), or (h, w, 2 to 4), samples, CMYK if `inks`; `exif` holds XMP and IPTC too."""
    import tifffile  # slow to import, and rarely needed

    found = {int(tag): part(exif, tag) for tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)}
    directories = {tag: directory for tag, directory in found.items() if directory}
    tags: list[tuple] = []
    for tag, value in [*exif.items(), *([] if icc_profile is None else [(ICC, icc_profile)])]:
        if isinstance(value, str | bytes) and tag not in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            data = value.encode() if isinstance(value, str) else value
            text = tag not in (XMP, IPTC, ICC)
            tags.append((int(tag), "s" if text else "B", len(data) + text, data + bytes(text), True))
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    file = BytesIO()
    tifffile.imwrite(
        file,
        samples,
        byteorder="<",
        photometric="separated" if inks else "minisblack" if channels <= 2 else "rgb",
        planarconfig="contig" if channels > 1 else None,
        extrasamples=["unassalpha"] if channels in (2, 4) and not inks else None,
        compression="zlib",
        resolution=dpi,
        resolutionunit=None if dpi is None else "inch",
        extratags=tags,
        metadata=None,
        software=False,
    )
    return _with_directories(file.getvalue(), directories) if directories else file.getvalue()


def _with_directories(written: bytes, directories: Mapping[int, Mapping[int, object]]) -> bytes:
    """A TIFF file (little-endian) with EXIF's and GPS's directories, which tifffile does not write, behind it.

    The list of tags comes anew behind them, and the header points there.
    """
    file, begin = bytearray(written), int.from_bytes(written[4:8], "little")
    count = int.from_bytes(written[begin : begin + 2], "little")
    entries = [written[place : place + 12] for place in range(begin + 2, begin + 2 + 12 * count, 12)]
    for tag, values in directories.items():
        directory = ImageFileDirectory_v2(b"II*\0\0\0\0\0", group=tag)
        for name, value in values.items():
            directory[name] = value
        file += bytes(len(file) % 2)
        entries.append(struct.pack("<HHII", tag, 4, 1, len(file)))
        file += directory.tobytes(len(file))
    file += bytes(len(file) % 2)
    file[4:8] = len(file).to_bytes(4, "little")
    entries.sort(key=lambda entry: int.from_bytes(entry[:2], "little"))
    file += struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return bytes(file)
