"""Colouring: faces of grey, toned or faded pictures get colours, and keep their light and shade (paper, Sec. 4.6)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import cv2
import numpy as np

from .detection.faces import Face
from .models import Usage
from .pasting.alignment import affine_scale, affine_within, crop_region
from .pasting.chroma import coloured_mask, from_lab, is_toned, packed_lab, to_lab, unpacked_lab
from .pasting.colour import to_grey
from .pasting.masks import border_mask, square_mask
from .pasting.paste import Patch, paste_faces, pasted_mask
from .pictures.arrays import check_picture, from_float, to_float
from .restoration import AlignedFace
from .restorer import FaceRestorer

Luminance = Literal["kept", "restored"]
Part = tuple[slice, slice]  # of a picture: rows, columns


@dataclass(frozen=True, kw_only=True)
class ColourConfig:
    """How far faces are coloured, and whether they are restored besides."""

    strength: float = 1.0  # of the new colours, 0 to 1
    luminance: Luminance = "kept"  # the picture's own light and shade, or those of the restored face

    def __post_init__(self):
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength is how far faces are coloured, 0 to 1, got {self.strength}")
        if self.luminance not in get_args(Luminance):
            raise ValueError(f"luminance is {' or '.join(get_args(Luminance))}, got {self.luminance!r}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Colouring:
    """A picture with coloured faces, in its dtype, and its faces."""

    image: np.ndarray  # (h, w, 3)
    faces: list[AlignedFace]
    changed: np.ndarray  # (h, w) float32: how far each pixel was coloured


def colouring_settings(usage: Usage) -> dict[str, Any]:
    """`RestoreConfig`'s settings for colouring with a model."""
    shared = {"w": usage.w, "adain": usage.adain, "min_confidence": usage.min_confidence}
    whole = {"large_faces": "replace", "side_strength": 1.0}  # profiles too: `strength` alone says how far
    return {**shared, **whole, "keep_grey": False, "colour_match": "none"}


class FaceColourer:
    """Colours faces: `colourer(image)`, or step by step with `detect`, `align` and `coloured`.

    `restorer` restores what `align` gives, with `colouring_settings`. What lies around faces is
    another program's work, whose result can be given as `background`.
    """

    def __init__(self, restorer: FaceRestorer, config: ColourConfig | None = None):
        self.restorer = restorer
        self.config = config or ColourConfig()

    def __call__(
        self, image: np.ndarray, *, faces: Sequence[Face] | None = None, background: np.ndarray | None = None
    ) -> Colouring:
        """A picture (h, w, 3), or the coloured `background` of its size, with its faces in colours."""
        found = self.restorer.detect(image)[0] if faces is None else faces
        return self.coloured(image, self.restorer.restore(self.align(image, found)), background)

    def align(self, image: np.ndarray, faces: Sequence[Face]) -> list[AlignedFace]:
        """The faces as crops, those of toned pictures (sepia, say) in grey: their one colour says nothing."""
        aligned = self.restorer.align(image, faces)
        return [
            replace(face, crop=to_grey(face.crop)) if is_toned(face.crop, face.inside) else face for face in aligned
        ]

    def coloured(
        self, image: np.ndarray, faces: Sequence[AlignedFace], background: np.ndarray | None = None
    ) -> Colouring:
        """The picture, or the background, with the colours (CIE Lab) of those faces of `align` that were restored."""
        image = check_picture(image)
        base = image if background is None else check_picture(background)
        if base.shape != image.shape:
            size, wanted = (f"{x.shape[1]} x {x.shape[0]}" for x in (base, image))
            raise ValueError(f"the coloured background must be of the picture's size, {wanted} pixels, got {size}")
        patches = [self._patch(face) for face in faces if face.restored is not None]
        size = (image.shape[0], image.shape[1])
        changed = np.float32(self.config.strength) * pasted_mask(size, patches)
        out = base.copy()
        for region, part in _parts(changed):  # Lab takes much memory: it is not taken of what lies between faces
            coloured = from_lab(self._lab(image[region], base[region], _within(region, patches, size)))
            np.copyto(out[region], from_float(coloured, base.dtype), where=part[..., None])
        return Colouring(image=out, faces=list(faces), changed=changed)

    def _lab(self, image: np.ndarray, base: np.ndarray, patches: list[Patch]) -> np.ndarray:
        """The Lab values (h, w, 3) of the result, from those of a part of the picture and of the background."""
        size = (image.shape[0], image.shape[1])
        own, before = to_lab(to_float(image)), to_lab(to_float(base))
        limit = np.full(size, self.config.strength, np.float32)
        lab = unpacked_lab(paste_faces(packed_lab(before), patches, limit=limit))
        if self.config.luminance == "kept":
            lab[..., 0] = before[..., 0] + pasted_mask(size, patches, limit=limit) * (own[..., 0] - before[..., 0])
        return lab

    def _patch(self, face: AlignedFace) -> Patch:
        assert face.restored is not None
        lab = to_lab(face.restored)
        mask = square_mask(len(lab), 1 / affine_scale(face.affine)) * coloured_mask(lab)
        return Patch(
            restored=packed_lab(lab),
            crop=face.crop,
            affine=face.affine,
            mask=(face.strength * mask * border_mask(face.inside)).astype(np.float32),
        )


def _parts(changed: np.ndarray) -> Iterator[tuple[Part, np.ndarray]]:
    """Each connected part of what changes: the box around it, and which of the box's pixels are its own (h, w) bool."""
    _, labels, boxes, _ = cv2.connectedComponentsWithStats((changed > 0).astype(np.uint8))
    for number, (left, top, width, height, _) in enumerate(boxes[1:].tolist(), 1):
        region = slice(top, top + height), slice(left, left + width)
        yield region, labels[region] == number


def _within(region: Part, patches: Sequence[Patch], size: tuple[int, int]) -> list[Patch]:
    """Those patches of a picture (height, width) that meet a part of it, as they lie in this part alone."""
    rows, columns = region
    met = []
    for patch in patches:
        x0, y0, x1, y1 = crop_region(patch.affine, len(patch.mask), size)
        if x0 < columns.stop and columns.start < x1 and y0 < rows.stop and rows.start < y1:
            met.append(replace(patch, affine=affine_within(patch.affine, columns.start, rows.start)))
    return met
