"""Colouring: faces of grey, toned or faded pictures get colours, and keep their light and shade (paper, Sec. 4.6)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from .detection.faces import Face
from .models import Usage
from .pasting.alignment import affine_scale
from .pasting.chroma import coloured_mask, from_lab, is_toned, packed_lab, to_lab, unpacked_lab
from .pasting.colour import to_grey
from .pasting.masks import border_mask, square_mask
from .pasting.paste import Patch, paste_faces, pasted_mask
from .pictures.arrays import check_picture, from_float, to_float
from .restoration import AlignedFace
from .restorer import FaceRestorer

Luminance = Literal["kept", "restored"]


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
    return {**shared, "keep_grey": False, "colour_match": "none", "large_faces": "replace"}


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
        changed = pasted_mask(size, patches, limit=np.full(size, self.config.strength, np.float32))
        out = base.copy()
        if changed.any():
            top, bottom, left, right = (int(n) for lines in np.nonzero(changed) for n in (lines.min(), lines.max() + 1))
            region = slice(top, bottom), slice(left, right)
            moved = [replace(patch, affine=_moved(patch.affine, left, top)) for patch in patches]
            coloured = from_float(from_lab(self._lab(image[region], base[region], moved)), base.dtype)
            out[region] = np.where(changed[region][..., None] > 0, coloured, out[region])
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


def _moved(affine: np.ndarray, left: int, top: int) -> np.ndarray:
    """The transform (2, 3) to the crop from a part of the picture that begins at `left` and `top`."""
    return np.column_stack([affine[:, :2], affine @ (left, top, 1)])
