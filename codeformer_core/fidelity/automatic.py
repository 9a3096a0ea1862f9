"""The automatic fidelity: w for each face from how bad it is, by a calibration for each kind of model."""

from dataclasses import astuple, dataclass
from itertools import pairwise

import cv2
import numpy as np

from .plan import AutoFidelity

SIDE = 256  # px: crops are judged at this side, whatever the network's is
TEXTURE = 2.0  # of white = 255: the standard deviation that clean skin's own texture stays below
FACE_SHARE = 0.6  # of a crop's side that a face's box takes on the FFHQ template
CLEAN, BAD = 0.25, 0.75  # severities: up to one a face's fine detail is its own, from the other it is only damage


@dataclass(frozen=True, kw_only=True)
class FaceQuality:
    """How bad an aligned face is; every number rises with the degradation."""

    small: float  # octaves by which the picture has fewer pixels of the face than `SIDE` asks for, 0 or more
    blur: float  # octaves by which fine detail is weaker than coarse
    noise: float  # octaves by which the finest grain's standard deviation exceeds `TEXTURE`, 0 or more
    blocking: float  # how far regular spacings, as of JPEG's blocks, stand out among the edges: log2, 0 or more
    doubt: float  # 1 - the mean probability of the predicted codes, 0 to 1

    def in_words(self) -> str:
        """For reports and previews."""
        return (
            f"small {self.small:.1f}, blur {self.blur:.1f}, noise {self.noise:.1f}, blocks {self.blocking:.1f}, "
            f"confidence {1 - self.doubt:.2f}"
        )


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How a kind of model wants the automatic fidelity: made by `python -m training.calibrate`.

    The severity is `offset` plus the qualities times `slopes`, none of them negative: about 0 for clean faces, 1 for
    those of the level "heavy". The weight is linear between the keys of `weights`, {severity: w}, which never rises.
    """

    slopes: tuple[float, float, float, float, float]  # of FaceQuality's numbers, in their order
    offset: float
    weights: tuple[tuple[float, float], ...]

    def severity(self, quality: FaceQuality) -> float:
        """How bad a face is: 0 clean, 1 heavily degraded; may be less or more."""
        return float(np.dot(self.slopes, astuple(quality)) + self.offset)

    def cleanness(self, quality: FaceQuality) -> float:
        """How far a face's finest detail is worth keeping: 1 for clean faces, falling to 0 for bad ones."""
        return float(np.clip((BAD - self.severity(quality)) / (BAD - CLEAN), 0, 1))

    def weight(self, quality: FaceQuality, limits: AutoFidelity) -> float:
        """The automatic fidelity of a face, inside the limits."""
        severities, weights = zip(*self.weights, strict=True)
        return float(np.clip(np.interp(self.severity(quality), severities, weights), limits.low, limits.high))


def face_quality(crop: np.ndarray, inside: np.ndarray, pixels: float, confidence: float) -> FaceQuality:
    """What can be told of an aligned face (s, s, 3), RGB in [0, 1], without the clean one.

    `inside` (s, s) bool says what of it lies on the picture, `pixels` is the short side of its box there, `confidence`
    the mean probability of its codes.
    """
    grey = cv2.cvtColor(np.ascontiguousarray(crop, np.float32), cv2.COLOR_RGB2GRAY)
    if len(grey) != SIDE:
        grey = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA if len(grey) > SIDE else cv2.INTER_CUBIC)
        inside = cv2.resize(inside.astype(np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_NEAREST) > 0
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    face = ((x - 0.5) / 0.3) ** 2 + ((y - 0.55) / 0.38) ** 2 < 1
    face = face & inside if (face & inside).any() else face
    return FaceQuality(
        small=float(max(0.0, np.log2(FACE_SHARE * SIDE / max(pixels, 1)))),
        blur=_blur(grey, face),
        noise=_noise(grey, face),
        blocking=_blocking(grey),
        doubt=1 - float(confidence),
    )


def _blur(grey: np.ndarray, face: np.ndarray) -> float:
    calm = cv2.medianBlur(grey, 3)  # without single grains
    smooth = [calm, *(cv2.GaussianBlur(calm, (0, 0), sigma) for sigma in (1, 2, 4, 8))]
    octaves = [np.abs(fine - coarse)[face].mean() + 1e-5 for fine, coarse in pairwise(smooth)]
    return float(np.log2(octaves[-1] / np.mean(octaves[:2])))


def _noise(grey: np.ndarray, face: np.ndarray) -> float:
    """By the median magnitude of the finest diagonal wavelet (Donoho and Johnstone 1994), which edges hardly move."""
    diagonal = (grey[::2, ::2] - grey[1::2, ::2] - grey[::2, 1::2] + grey[1::2, 1::2]) / 2
    deviation = 255 * np.median(np.abs(diagonal[face[::2, ::2]])) / 0.6745
    return float(np.log2(max(deviation / TEXTURE, 1)))


def _blocking(grey: np.ndarray) -> float:
    """The strongest regular spacing of edges, of 4 to 64 px, along rows or columns, over three times the usual."""
    strongest = 0.0
    for lines in (grey, grey.T):
        edges = np.abs(np.diff(lines, 2, axis=1)).mean(0)
        edges -= cv2.GaussianBlur(edges[None], (0, 0), 8)[0]
        power = np.abs(np.fft.rfft(edges * np.hanning(len(edges))))[4 : SIDE // 4]
        strongest = max(strongest, float(np.log2((power.max() + 1e-9) / (3 * np.median(power) + 1e-9))))
    return strongest


# The severity was fitted with the bundled model's version 3 to 101 faces, clean and at three levels, and 36 with one
# degradation at a time. Fitted anew with version 4, clean faces had 0.15 more, which would change what `CLEAN` and the
# weights of other models mean. Size in the picture got no weight of its own: what it costs is seen in the blur. The
# weights are those of version 4, by `training.calibrate.fit_weights` on 40 faces, clean and at three levels.
MINI = Calibration(
    slopes=(0.0, 0.3337, 0.2794, 0.1064, 0.1584),
    offset=-0.5083,
    weights=((0.0, 1.0), (0.25, 1.0), (0.5, 0.9), (0.75, 0.65), (1.0, 0.45), (1.25, 0.3)),
)
# For other models, whose weights could not be measured: the bundled model's severity, but for the confidence, which
# means something else in each network, and the paper's habit, w = 0.5 for bad faces and more for good ones (Sec. 4.5).
ASSUMED = Calibration(
    slopes=(*MINI.slopes[:4], 0.0), offset=MINI.offset + 0.33 * MINI.slopes[4], weights=((0.2, 1.0), (1.0, 0.5))
)
