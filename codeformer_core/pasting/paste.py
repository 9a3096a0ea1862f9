"""Paste-back: restored crops into the picture, each in its own region, in float, without seams where faces overlap."""

from collections.abc import Callable, Iterable, Iterator, Sequence
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


class Place(NamedTuple):
    """Where a face comes from and goes to, without its pixels."""

    affine: np.ndarray  # (2, 3), from the input picture to the crop
    size: int  # of the crop


Bring = Callable[[list[int]], Iterable[Patch | None]]


class _Region(NamedTuple):
    """Where a face lies in the output picture."""

    number: int  # of the face among all
    affine: np.ndarray  # (2, 3), from the output picture to the crop
    region: Region

    def meets(self, other: Region) -> bool:
        x0, y0, x1, y1 = self.region
        return x0 < other[2] and other[0] < x1 and y0 < other[3] and other[1] < y1

    def ready(self, patch: Patch, image_size: tuple[int, int]) -> "_Placed":
        """With what is put into the output picture (height, width)."""
        added = extend_picture(patch.restored - patch.detail * patch.crop, self.affine, image_size)
        placed = _Placed(added, patch.claims, patch.detail, self.affine, self.region)
        x0, y0, x1, y1 = self.region
        return placed.warped_at_once() if (x1 - x0) * (y1 - y0) <= len(added) ** 2 else placed


class _Placed(NamedTuple):
    """A patch in its place in the output picture: as it is, or warped, whichever takes less memory."""

    added: np.ndarray  # (s, s, 3), what the face adds to `detail` times the picture; warped: (h, w, 3) of the region
    claims: np.ndarray  # (s, s, 2), or (h, w, 2)
    detail: float
    affine: np.ndarray
    region: Region
    warped: bool = False

    def warped_at_once(self) -> "_Placed":
        """What the face adds and claims in all of its region."""
        added, claims = self.within(self.region)
        return self._replace(added=added, claims=claims, warped=True)

    def within(self, part: Region) -> tuple[np.ndarray, np.ndarray]:
        """What the face adds (h, w, 3) and claims (h, w, 2) in a part of its region."""
        if not self.warped:
            return paste_back(self.added, self.affine, part), paste_mask(self.claims, self.affine, part)
        left, top = self.region[:2]
        here = slice(part[1] - top, part[3] - top), slice(part[0] - left, part[2] - left)
        return self.added[here], self.claims[here]


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
    places = [Place(patch.affine, len(patch.mask)) for patch in patches]
    return paste_in_turn(
        image,
        places,
        lambda wanted: [patches[i] for i in wanted],
        upscale=upscale,
        background=background,
        limit=limit,
        tick=tick,
    )


def paste_in_turn(
    image: np.ndarray,
    places: Sequence[Place],
    bring: Bring,
    *,
    upscale: int = 1,
    background: np.ndarray | None = None,
    limit: np.ndarray | None = None,
    tick: Callable[[], None] | None = None,
    changed: np.ndarray | None = None,
) -> np.ndarray:
    """What `paste_faces` gives, of patches that are made when their rows come up and forgotten after them.

    `bring` is called with the indices of the next faces, once each, and gives their patches in this order; None for a
    face that is left as it is. Faces outside the picture are never asked for. `changed`, zeros (h, w) float32 of the
    output's size, takes up what `pasted_mask` gives.
    """
    image = check_picture(image)
    height, width = (n * upscale for n in image.shape[:2])
    base = enlarge(image, upscale) if background is None else check_picture(background)
    check_values(base, "a float picture or background")
    if base.shape[:2] != (height, width):
        raise ValueError(f"the background must be {width} x {height} pixels, got {base.shape[1]} x {base.shape[0]}")
    limit = _full_size(limit, image.shape[:2], (height, width))
    out = base.copy()
    faces = []
    for i, place in enumerate(places):
        affine = resized_affine(place.affine, upscale)
        region = x0, y0, x1, y1 = crop_region(affine, place.size, (height, width))
        if x0 < x1 and y0 < y1:
            faces.append(_Region(i, affine, region))
    for group in _groups(faces):
        ready: dict[int, _Placed | None] = {}  # of a crowd, only the faces that meet the strip
        regions = np.array([face.region for face in group])
        x0, y0, x1, y1 = (int(v) for v in (*regions[:, :2].min(0), *regions[:, 2:].max(0)))
        for strip in _strips((x0, y0, x1, y1)):
            if tick is not None:
                tick()
            rows, columns = slice(strip[1], strip[3]), slice(strip[0], strip[2])
            met = [face for face in group if face.meets(strip)]
            ready = {face.number: ready[face.number] for face in met if face.number in ready}
            new = [face for face in met if face.number not in ready]
            for face, patch in zip(new, bring([face.number for face in new]), strict=True):
                ready[face.number] = None if patch is None else face.ready(patch, (height, width))
            here = [placed for face in met if (placed := ready[face.number]) is not None]
            if not here:
                continue
            change, reach = _change(base, here, strip)
            if limit is not None:
                limited = to_float(limit[rows, columns])
                change, reach = change * limited[..., None], reach * limited
            if changed is not None:
                changed[rows, columns] += reach
            before = to_float(base[rows, columns])
            blended = np.clip(before + change, np.minimum(before, 0), np.maximum(before, 1))
            # Where it does not reach, another group may have been pasted: only the faces' own regions are apart.
            np.copyto(out[rows, columns], from_float(blended, base.dtype), where=reach[..., None] > 0)
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


def _groups(faces: list[_Region]) -> list[list[_Region]]:
    """The faces in groups whose regions overlap, so that each picture region belongs to one group."""
    groups: list[list[_Region]] = []
    for face in sorted(faces, key=lambda face: face.region):  # the order of the faces must not change the rounding
        apart, joined = [], [face]
        for group in groups:
            if any(face.meets(other.region) for other in group):
                joined = group + joined
            else:
                apart.append(group)
        groups = [*apart, joined]
    return groups


def _change(base: np.ndarray, faces: list[_Placed], strip: Region) -> tuple[np.ndarray, np.ndarray]:
    """What faces change in a strip (h, w, 3) of the picture, and how far they reach (h, w).

    Where they overlap, the nearer to its centre prevails.
    """
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
        target, claims = face.within((x0, y0, x1, y1))
        mask, claim = np.moveaxis(claims, -1, 0)
        change[here] += claim[..., None] * (target - (1 - face.detail) * to_float(base[y0:y1, x0:x1]))
        total[here] += claim
        reach[here] = np.maximum(reach[here], mask)
    change *= (reach / total)[..., None]
    return change, reach


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
