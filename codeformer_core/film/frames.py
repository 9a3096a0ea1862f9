"""A film's frames as pictures and back: colours, turns, and the samples that nobody changed kept as they were."""

import itertools
from dataclasses import dataclass
from functools import reduce
from typing import Any

import cv2
import numpy as np

from ..pictures.arrays import channel_max
from .pyav import pyav

# Of FFmpeg's enumerations, which PyAV hands on as numbers.
BT709, BT601 = 1, 5  # matrices
MATRICES = {1: 1, 4: 4, 5: 5, 6: 6, 7: 7, 9: 9, 10: 9}  # those that are converted by, and what stands for each
LIMITED, FULL = 1, 2  # ranges
HD = 720  # lines from which a film that names no matrix is taken for BT.709, as players do


@dataclass(frozen=True, kw_only=True)
class Turn:
    """How a decoded frame is turned to be seen: its axes swapped first, then mirrored left to right, top to bottom."""

    swapped: bool = False
    mirrored: bool = False
    flipped: bool = False

    @classmethod
    def of(cls, frame: Any) -> "Turn":
        """The turn of a frame's display matrix; none for matrices that do more than turn by right angles and mirror."""
        side_data = next((data for data in frame.side_data if data.type.name == "DISPLAYMATRIX"), None)
        if side_data is None:
            return cls()
        a, b, _, c, d = np.sign(np.frombuffer(bytes(side_data), np.int32)[:5])
        if a and d and not (b or c):
            return cls(mirrored=bool(a < 0), flipped=bool(d < 0))
        if b and c and not (a or d):
            return cls(swapped=True, mirrored=bool(c < 0), flipped=bool(b < 0))
        return cls()

    def __bool__(self) -> bool:
        return self.swapped or self.mirrored or self.flipped

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """The picture (h, w, ...) as it is to be seen."""
        image = image.swapaxes(0, 1) if self.swapped else image
        return np.ascontiguousarray(image[:: -1 if self.flipped else 1, :: -1 if self.mirrored else 1])

    def undo(self, image: np.ndarray) -> np.ndarray:
        """The picture as it lies in the file."""
        image = image[:: -1 if self.flipped else 1, :: -1 if self.mirrored else 1]
        return np.ascontiguousarray(image.swapaxes(0, 1) if self.swapped else image)


@dataclass(frozen=True, kw_only=True)
class Colours:
    """How a film's samples stand for colours, as FFmpeg's numbers."""

    matrix: int
    range: int
    primaries: int
    transfer: int

    @classmethod
    def of(cls, frame: Any) -> "Colours":
        """What a frame says of itself."""
        return cls(
            matrix=frame.colorspace, range=frame.color_range, primaries=frame.color_primaries, transfer=frame.color_trc
        )

    def conversion(self, height: int) -> int:
        """The matrix between the samples and RGB, also where the film names none."""
        return MATRICES.get(self.matrix, BT709 if height >= HD else BT601)


def is_deep(format: Any) -> bool:
    """Whether a pixel format has more than 8 bits a sample."""
    return max(component.bits for component in format.components) > 8


def has_alpha(format: Any) -> bool:
    """Whether a pixel format has transparency."""
    return any(component.is_alpha for component in format.components)


def to_picture(frame: Any, colours: Colours) -> np.ndarray:
    """A decoded frame as RGB (h, w, 3), as it lies in the file: uint16 of the whole range if it is deep, else uint8."""
    name = "rgb48le" if is_deep(frame.format) else "rgb24"
    options = {} if frame.format.is_rgb else {"src_colorspace": colours.conversion(frame.height)}
    rgb = frame.reformat(
        format=name, dst_color_range=FULL, src_color_range=colours.range, interpolation=_quality(), **options
    )
    return rgb.to_ndarray()


def to_frame(image: np.ndarray, format: str, colours: Colours) -> Any:
    """RGB (h, w, 3), uint8 or uint16, as a frame of a pixel format."""
    av = pyav()
    frame = av.VideoFrame.from_ndarray(image, format="rgb48le" if image.dtype == np.uint16 else "rgb24")
    if av.VideoFormat(format).is_rgb:
        return frame.reformat(format=format, interpolation=_quality())
    return frame.reformat(
        format=format,
        src_color_range=FULL,
        dst_colorspace=colours.conversion(frame.height),
        dst_color_range=colours.range or LIMITED,
        interpolation=_quality(),
    )


def with_changes(frame: Any | None, before: np.ndarray, after: np.ndarray, format: str, colours: Colours) -> Any:
    """The frame with what differs between two pictures of it, in a pixel format.

    Samples of places that did not change stay as they were decoded, exactly so if the format is the frame's. `frame` is
    None where it does not lie as the pictures do.
    """
    av = pyav()
    if frame is None or before.shape != after.shape or frame.format.is_rgb != av.VideoFormat(format).is_rgb:
        return to_frame(after, format, colours)
    frame = frame.reformat(format=format, interpolation=_quality())  # itself, if it is in that format
    changed = channel_max(cv2.absdiff(before, after)) > 0
    return _keep(frame, to_frame(after, format, colours), changed) if changed.any() else frame


def _keep(original: Any, made: Any, changed: np.ndarray) -> Any:
    """`made`, with the samples of `original` at all places but those that changed, and its transparency."""
    components = original.format.components
    if len(original.planes) != len(components) or max(c.bits for c in components) > 16:
        return made  # samples of several colours lie in one plane
    changed = cv2.dilate(changed.astype(np.uint8), np.ones((3, 3), np.uint8))  # what chroma is interpolated from
    for component in components:
        old, new = (_samples(frame.planes[component.plane], component.bits) for frame in (original, made))
        if component.is_alpha:
            new[:] = old
            continue
        height, width = new.shape
        here = changed
        if here.shape != new.shape:
            down, across = -(-here.shape[0] // height), -(-here.shape[1] // width)
            padded = np.zeros((height * down, width * across), np.uint8)
            padded[: here.shape[0], : here.shape[1]] = here
            offsets = itertools.product(range(down), range(across))
            here = reduce(np.bitwise_or, (padded[y::down, x::across] for y, x in offsets))
        np.copyto(new, old, where=here == 0)
    return made


def _samples(plane: Any, bits: int) -> np.ndarray:
    """(height, width): the samples of a plane, in place."""
    dtype = np.dtype(np.uint8 if bits <= 8 else np.uint16)
    rows = np.frombuffer(plane, dtype).reshape(-1, plane.line_size // dtype.itemsize)
    return rows[: plane.height, : plane.width]


def _quality() -> int:
    """Of swscale: exact rounding, and chroma interpolated rather than repeated."""
    modes = pyav().video.reformatter.Interpolation
    names = ("BICUBIC", "ACCURATE_RND", "FULL_CHR_H_INT", "FULL_CHR_H_INP")
    quality = 0
    for name in names:
        quality |= int(modes[name])
    return quality
