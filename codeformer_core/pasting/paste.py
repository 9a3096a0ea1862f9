"""Paste-back: restored crops into the picture, each in its own region, in float, without seams where faces overlap."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from ..pictures.arrays import WHITE, check_picture, check_values, from_float, to_float
from .alignment import (
    Region,
    affine_scale,
    crop_region,
    extend_picture,
    paste_back,
    paste_mask,
    resized_affine,
    template,
)

STRIP_PIXELS = 2**20  # large faces are pasted in strips of rows, which bounds the memory that float arrays take


@dataclass(frozen=True, kw_only=True, eq=False)
class Patch:
    """A restored face on its way into the picture."""

    restored: np.ndarray  # (s, s, 3) float32 in [0, 1]
    crop: np.ndarray  # (s, s, 3) float32 in [0, 1], the same face before restoration
    affine: np.ndarray  # (2, 3), from the input picture to the crop
    mask: np.ndarray  # (s, s) float32 in [0, 1]
    detail: float = 0.0  # how much of the picture's own detail, finer than the crop can hold, is laid over the face

    def __post_init__(self):
        size = len(self.mask)
        for name, shape in (("restored", (size, size, 3)), ("crop", (size, size, 3)), ("mask", (size, size))):
            array = getattr(self, name)
            if array.shape != shape or array.dtype.kind != "f":
                raise ValueError(f"{name} of a face is {shape} float in [0, 1], got {array.shape} {array.dtype}")
            check_values(array, f"{name} of a face")
        if self.affine.shape != (2, 3) or not np.isfinite(self.affine).all():
            raise ValueError(f"affine of a face is (2, 3) finite floats, got {self.affine.tolist()}")

    @property
    def claims(self) -> np.ndarray:
        """(s, s, 2) float32: the mask, and the mask less towards its edge."""
        return np.dstack([self.mask, self.mask * _closeness(len(self.mask))]).astype(np.float32)


class _Place(NamedTuple):
    """Where a patch lies in the output picture."""

    patch: Patch
    affine: np.ndarray  # (2, 3), from the output picture to the crop
    region: Region

    def meets(self, other: Region) -> bool:
        x0, y0, x1, y1 = self.region
        return x0 < other[2] and other[0] < x1 and y0 < other[3] and other[1] < y1

    def ready(self, image_size: tuple[int, int]) -> "_Placed":
        """With what is warped into the output picture (height, width), which takes as much memory as the patch."""
        patch = self.patch
        added = extend_picture(patch.restored - patch.detail * patch.crop, self.affine, image_size)
        return _Placed(added, patch.claims, patch.detail, self.affine, self.region)


class _Placed(NamedTuple):
    """A patch in its place in the output picture."""

    added: np.ndarray  # (s, s, 3), what the face adds to `detail` times the picture
    claims: np.ndarray
    detail: float
    affine: np.ndarray
    region: Region


def own_detail(affine: np.ndarray) -> float:
    """The `detail` of a face: 1 if it is at least as large in the picture as its crop, falling to 0 at half of that.

    Smaller faces come back from their crops whole. The slope keeps a face steady from frame to frame of a video.
    """
    return float(np.clip(2 / affine_scale(affine) - 1, 0, 1))


def enlarge(image: np.ndarray, upscale: int) -> np.ndarray:
    """A picture (h, w, 3) enlarged by a whole factor with a Lanczos filter, in its own dtype."""
    height, width = image.shape[:2]
    if upscale == 1:
        return image
    large = cv2.resize(image, (width * upscale, height * upscale), interpolation=cv2.INTER_LANCZOS4)
    return np.clip(large, 0, 1, out=large) if large.dtype == np.float32 else large


def paste_faces(
    image: np.ndarray,
    patches: Sequence[Patch],
    *,
    upscale: int = 1,
    background: np.ndarray | None = None,
    limit: np.ndarray | None = None,
    tick: Callable[[], None] | None = None,
) -> np.ndarray:
    """The picture (h, w, 3), times `upscale`, with the restored faces in it; the input is left alone.

    `background` replaces the Lanczos enlargement: an upscaled picture (h * upscale, w * upscale, 3). `limit`, (h, w) or
    of the output's size, uint8, uint16 or float32 in [0, 1], says where anything may change. Outside the masks pixels
    come out exactly as they were. `tick()` is called again and again on the way, and may raise to stop.
    """
    image = check_picture(image)
    height, width = (n * upscale for n in image.shape[:2])
    base = enlarge(image, upscale) if background is None else check_picture(background)
    check_values(base, "a float picture or background")
    if base.shape[:2] != (height, width):
        raise ValueError(f"the background must be {width} x {height} pixels, got {base.shape[1]} x {base.shape[0]}")
    limit = _full_size(limit, image.shape[:2], (height, width))
    out = base.copy()
    places = []
    for patch in patches:
        affine = resized_affine(patch.affine, upscale)
        region = x0, y0, x1, y1 = crop_region(affine, len(patch.mask), (height, width))
        if x0 < x1 and y0 < y1:
            places.append(_Place(patch, affine, region))
    for group in _groups(places):
        ready: dict[int, _Placed] = {}  # of a crowd, only the faces that meet the strip
        regions = np.array([face.region for face in group])
        x0, y0, x1, y1 = (int(v) for v in (*regions[:, :2].min(0), *regions[:, 2:].max(0)))
        for strip in _strips((x0, y0, x1, y1)):
            if tick is not None:
                tick()
            rows, columns = slice(strip[1], strip[3]), slice(strip[0], strip[2])
            met = [i for i, place in enumerate(group) if place.meets(strip)]
            ready = {i: ready[i] if i in ready else group[i].ready((height, width)) for i in met}
            change = _change(base, list(ready.values()), strip)
            if limit is not None:
                change *= to_float(limit[rows, columns])[..., None]
            before = to_float(base[rows, columns])
            blended = np.clip(before + change, np.minimum(before, 0), np.maximum(before, 1))
            out[rows, columns] = from_float(blended, base.dtype)
    return out


def pasted_mask(
    size: tuple[int, int], patches: Sequence[Patch], *, upscale: int = 1, limit: np.ndarray | None = None
) -> np.ndarray:
    """How far `paste_faces` replaces each pixel of a picture (height, width): times `upscale`, float32 in [0, 1]."""
    height, width = (n * upscale for n in size)
    mask = np.zeros((height, width), np.float32)
    for patch in patches:
        affine = resized_affine(patch.affine, upscale)
        region = crop_region(affine, len(patch.mask), (height, width))
        for strip in _strips(region) if region[0] < region[2] else ():
            here = mask[strip[1] : strip[3], strip[0] : strip[2]]
            np.maximum(here, paste_mask(patch.claims, affine, strip)[..., 0], out=here)
    limit = _full_size(limit, size, (height, width))
    return mask if limit is None else mask * to_float(limit)


def _full_size(limit: np.ndarray | None, size: tuple[int, ...], full: tuple[int, int]) -> np.ndarray | None:
    """The limit at the output's size; ValueError if it is of another picture."""
    if limit is None:
        return None
    if limit.shape not in (full, size):
        raise ValueError(f"a mask must have the picture's height and width, got {limit.shape} for {full}")
    if limit.dtype not in WHITE:
        raise ValueError(f"a mask is uint8, uint16 or float32 (in [0, 1]), got {limit.dtype}")
    check_values(limit, "a float mask", overshoot=1e-3)
    return cv2.resize(limit, full[::-1], interpolation=cv2.INTER_LINEAR)


def _groups(faces: list[_Place]) -> list[list[_Place]]:
    """The faces in groups whose regions overlap, so that each picture region belongs to one group."""
    groups: list[list[_Place]] = []
    for face in sorted(faces, key=lambda face: face.region):  # the order of the faces must not change the rounding
        apart, joined = [], [face]
        for group in groups:
            if any(face.meets(other.region) for other in group):
                joined = group + joined
            else:
                apart.append(group)
        groups = [*apart, joined]
    return groups


def _change(base: np.ndarray, faces: list[_Placed], strip: Region) -> np.ndarray:
    """What faces change in a strip (h, w, 3) of the picture; where they overlap, the nearer to its centre prevails."""
    left, top, right, bottom = strip
    change = np.zeros((bottom - top, right - left, 3), np.float32)
    total = np.full(change.shape[:2], 1e-12, np.float32)
    reach = np.zeros(change.shape[:2], np.float32)
    for face in faces:
        x0, y0, x1, y1 = (  # the part of the face that lies in the strip
            max(face.region[0], left),
            max(face.region[1], top),
            min(face.region[2], right),
            min(face.region[3], bottom),
        )
        if x0 >= x1 or y0 >= y1:
            continue
        here = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
        mask, claim = np.moveaxis(paste_mask(face.claims, face.affine, (x0, y0, x1, y1)), -1, 0)
        target = paste_back(face.added, face.affine, (x0, y0, x1, y1))
        change[here] += claim[..., None] * (target - (1 - face.detail) * to_float(base[y0:y1, x0:x1]))
        total[here] += claim
        reach[here] = np.maximum(reach[here], mask)
    change *= (reach / total)[..., None]
    return change


def _closeness(size: int) -> np.ndarray:
    """(size, size): 1 at the centre of the five landmarks, falling as a Gaussian; never quite 0."""
    centre = template(size).mean(0)
    x, y = (np.exp(-0.5 * ((np.arange(size) - c) / (0.2 * size)) ** 2) for c in centre)
    return np.maximum(np.outer(y, x), 1e-6)


def _strips(region: Region) -> Iterator[Region]:
    x0, y0, x1, y1 = region
    rows = max(STRIP_PIXELS // max(x1 - x0, 1), 16)
    for top in range(y0, y1, rows):
        yield x0, top, x1, min(top + rows, y1)
