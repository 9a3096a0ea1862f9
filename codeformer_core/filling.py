"""Filling: what is torn, scratched or painted over of a face is drawn anew, and nothing else (paper, Sec. 4.6)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .detection.faces import Face
from .models import Usage
from .pasting.alignment import affine_scale, crop_face
from .pasting.holes import Hole, fill_smoothly, hole_in_crop, hole_of, in_surrounding_tone, white_hole, without_holes
from .pasting.masks import square_mask
from .pasting.paste import Patch, paste_faces, pasted_mask
from .pictures.arrays import check_picture
from .restoration import AlignedFace
from .restorer import FaceRestorer

FEATHER = 0.02  # of a crop's side, where a hole goes on beyond it
SMOOTH_W = 0.2  # the fidelity weight of models for restoration, whose holes are filled smoothly first
UNTOUCHED = "no part of the mask lies on it"


@dataclass(frozen=True, kw_only=True)
class FillConfig:
    """What of a picture is filled, and what the network is shown."""

    threshold: float = 0.5  # from which value on the mask is painted, more than 0, at most 1
    grow: int = 1  # px of the picture around what is painted, over which the filled face fades into it
    white: bool = False  # the picture itself has white strokes; they are the mask
    strokes: bool = False  # the network wants holes painted white (`Usage.strokes`), and else filled smoothly

    def __post_init__(self):
        if not 0 < self.threshold <= 1:
            limits = f"more than 0, at most 1, got {self.threshold}"
            raise ValueError(f"threshold is the mask's value from which on it is painted, {limits}")
        if not 0 <= self.grow <= 100:
            raise ValueError(f"grow is a number of pixels, 0 to 100, got {self.grow}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Filling:
    """A picture with filled faces, in its dtype, and its faces."""

    image: np.ndarray  # (h, w, 3)
    faces: list[AlignedFace]
    changed: np.ndarray  # (h, w) float32: how far each pixel was replaced
    missed: float  # the share of the mask that lies on no face, and so is as it was


def filling_settings(usage: Usage) -> dict[str, Any]:
    """`RestoreConfig`'s settings for filling with a model; one for restoration keeps little of a smooth fill."""
    w = usage.w if usage.job == "filling" else SMOOTH_W
    colours = "none" if usage.job == "filling" else usage.colour_match
    whole = {"large_faces": "replace", "side_strength": 1.0}  # also of a profile no hole is left
    return {"w": w, "adain": usage.adain, "colour_match": colours, "min_confidence": 0.0, **whole}


class FaceFiller:
    """Fills the holes of faces: `filler(image, mask)`, or step by step with `hole`, `detect`, `align`, `paste`.

    `restorer` restores what `align` gives, with `filling_settings`.
    """

    def __init__(self, restorer: FaceRestorer, config: FillConfig | None = None):
        self.restorer = restorer
        self.config = config or FillConfig()

    def __call__(
        self, image: np.ndarray, mask: np.ndarray | None = None, *, faces: Sequence[Face] | None = None
    ) -> Filling:
        """A picture (h, w, 3) whose holes are filled where they lie on faces; see `hole` for the mask."""
        hole = self.hole(image, mask)
        found = self.detect(image, hole) if faces is None else faces
        aligned = self.restorer.restore(self.align(image, found, hole))
        return self.filled(image, aligned, hole)

    def hole(self, image: np.ndarray, mask: np.ndarray | None) -> Hole:
        """What is to be filled of a picture by its mask (see `hole_of`), or by its own white strokes."""
        if self.config.white:
            strokes = white_hole(image, grow=self.config.grow)
            if mask is None:
                return strokes
            mask = strokes.hard & self._of_mask(image, mask).hard
        if mask is None:
            raise ValueError("filling wants a mask of what is to be filled, or a picture with white strokes (white)")
        return self._of_mask(image, mask)

    def _of_mask(self, image: np.ndarray, mask: np.ndarray) -> Hole:
        size = check_picture(image).shape[:2]
        return hole_of(mask, size, threshold=self.config.threshold, grow=self.config.grow)

    def detect(self, image: np.ndarray, hole: Hole) -> list[Face]:
        """The faces of a picture, looked for as if its holes were filled; none if there are no holes."""
        return [] if hole.empty else self.restorer.detect(without_holes(image, hole))[0]

    def align(self, image: np.ndarray, faces: Sequence[Face], hole: Hole) -> list[AlignedFace]:
        """The faces as crops in which the holes are painted white, or filled smoothly; those without have a note."""
        prepared = []
        for face in self.restorer.align(image, faces):
            holes = hole_in_crop(hole, face.affine, face.inside)
            if not holes.any():
                prepared.append(replace(face, note=face.note or UNTOUCHED))
                continue
            white = np.where(holes[..., None], np.float32(1), face.crop)
            crop = white if self.config.strokes else fill_smoothly(face.crop, holes)
            mask = square_mask(len(crop), 1 / affine_scale(face.affine), feather=FEATHER)
            prepared.append(replace(face, crop=crop, mask=mask, given=True))
        return prepared

    def filled(self, image: np.ndarray, faces: Sequence[AlignedFace], hole: Hole) -> Filling:
        """The picture with those faces of `align` that were restored, in the holes alone."""
        image = check_picture(image)
        patches = [self._patch(image, face, hole) for face in faces if face.restored is not None]
        size = (image.shape[0], image.shape[1])
        reached = pasted_mask(size, patches)
        painted = hole.hard.sum()
        return Filling(
            image=paste_faces(image, patches, limit=hole.limit) if patches else image,
            faces=list(faces),
            changed=reached * hole.limit,
            missed=float((hole.hard & (reached < 0.5)).sum() / painted) if painted else 0.0,
        )

    def _patch(self, image: np.ndarray, face: AlignedFace, hole: Hole) -> Patch:
        assert face.restored is not None
        assert face.mask is not None
        crop = crop_face(image, face.affine, len(face.mask))
        known = face.inside & ~hole_in_crop(hole, face.affine, face.inside)
        restored = in_surrounding_tone(face.restored, crop, known)
        return Patch(restored=restored, crop=crop, affine=face.affine, mask=face.mask)
