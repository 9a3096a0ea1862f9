"""What a restoration is told and what it gives: settings, faces on their way through the pipeline, results."""

from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np

from .detection.faces import Face, FaceSelection
from .fidelity.apply import FaceWeights
from .fidelity.automatic import ASSUMED, Calibration
from .fidelity.plan import FidelityPlan, as_plan
from .networks.cft import CFTWeights
from .pasting.colour import ColourMatch
from .pasting.masks import USUAL_PARTS, MaskPart, check_parts

# How much of the input a face keeps: one number, a plan in the picture's terms, or the network's own weights.
Weighting = float | CFTWeights | FidelityPlan
# Faces with more pixels than the crop keep the picture's finer detail, are pasted without it, or are left alone.
LargeFaces = Literal["keep_detail", "replace", "skip"]
NO_PIXELS, NOWHERE = np.empty((0, 0, 3), np.float32), np.empty((0, 0), bool)


@dataclass(frozen=True, kw_only=True)
class RestoreConfig:
    """How faces are restored and put back."""

    w: Weighting = 0.5  # fidelity weight: 0 is the codebook's quality, 1 is fidelity to the input
    calibration: Calibration = ASSUMED  # of the automatic fidelity, for this kind of model
    adain: bool = True  # colours of the input's features (off for inpainting checkpoints)
    selection: FaceSelection = field(default_factory=FaceSelection)
    upscale: int = 1  # of the whole picture, 1 to 4
    large_faces: LargeFaces = "keep_detail"  # what is done with faces of more pixels than the network's crop
    colour_match: ColourMatch = "none"
    keep_grey: bool = True  # faces of grey pictures come out grey (off for colorization checkpoints)
    feather: float = 0.05  # softness of the mask's edge, as a fraction of the face's side
    side_strength: float = 0.5  # how far restored profiles cover the picture's own (see `pose.side_strength`)
    occlusion: bool = False  # what hides a face, such as a microphone, stays the picture's own (`pasting/occlusion.py`)
    mask_parts: tuple[MaskPart, ...] = USUAL_PARTS  # that a parsing net's mask takes in besides the bare face
    min_confidence: float = 0.1  # mean probability of the codes below which a face is doubted (see `restore`); 0: never
    batch_size: int = 4  # faces that go through the network together

    def __post_init__(self):
        if not isinstance(self.w, CFTWeights):
            as_plan(self.w)  # checks its range
        elif any(weight.shape[0] != 1 for weight in self.w.tensors()):
            raise ValueError("w in a RestoreConfig is for every face: a float, or CFTWeights without a batch of values")
        if self.upscale not in (1, 2, 3, 4):
            raise ValueError(f"upscale is 1, 2, 3 or 4, got {self.upscale}")
        if self.large_faces not in get_args(LargeFaces):
            raise ValueError(f"large_faces is one of {', '.join(get_args(LargeFaces))}, got {self.large_faces!r}")
        if self.colour_match not in ("none", "lab", "wavelet"):
            raise ValueError(f"colour_match is none, lab or wavelet, got {self.colour_match!r}")
        if not 0 <= self.feather <= 0.25:
            raise ValueError(f"feather is a fraction of the face's side, 0 to 0.25, got {self.feather}")
        if not 0 <= self.side_strength <= 1:
            raise ValueError(f"side_strength is how far profiles are covered, 0 to 1, got {self.side_strength}")
        check_parts(self.mask_parts)
        if not 0 <= self.min_confidence <= 1:
            raise ValueError(f"min_confidence is a probability, 0 to 1, got {self.min_confidence}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size is at least 1, got {self.batch_size}")


@dataclass(frozen=True, kw_only=True, eq=False)
class AlignedFace:
    """A face on its way through the pipeline."""

    face: Face
    affine: np.ndarray  # (2, 3), from the picture to the crop
    crop: np.ndarray  # (s, s, 3) float32 in [0, 1]
    inside: np.ndarray  # (s, s) bool: which of its pixels lie on the picture
    mask: np.ndarray | None = None  # (s, s) float32 in [0, 1], its own; None: as `masked` makes it
    strength: float = 1.0  # how far it covers the picture's own; less than 1 of a face turned aside
    unhidden: np.ndarray | None = None  # (s, s) float32: 0 where something hides the face; None: not looked for
    restored: np.ndarray | None = None  # (s, s, 3) float32 in [0, 1]
    codes: np.ndarray | None = None  # (n,) int64, the predicted code items, row by row
    confidence: np.ndarray | None = None  # (n,) float32, the probability of each
    note: str = ""  # why a face was left as it is
    given: bool = False  # the user says that this is a face, so it is never doubted
    number: int = 0  # of the face among its picture's, or its track
    image_size: tuple[int, int] = (0, 0)  # of the picture: height, width
    w: Weighting | None = None  # its own, in place of the config's
    weights: FaceWeights | None = None  # that were in force; None for `CFTWeights`, which are not looked into

    @property
    def mean_confidence(self) -> float:
        """The mean probability of the codes, 0 to 1; NaN before they are predicted."""
        return float("nan") if self.confidence is None else float(self.confidence.mean())

    def without_pixels(self) -> "AlignedFace":
        """The same with crops of no pixels, for reports: faces of a crowd are not all held in memory."""
        return replace(
            self,
            crop=NO_PIXELS,
            inside=NOWHERE,
            mask=None,
            unhidden=None if self.unhidden is None else self.unhidden.mean(keepdims=True),
            restored=None if self.restored is None else NO_PIXELS,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Restoration:
    """A restored picture (h * upscale, w * upscale, 3), in the dtype of what it was pasted into, and its faces."""

    image: np.ndarray
    faces: list[AlignedFace]
