"""The automatic fidelity: w for each face from how bad it is, by a calibration for each kind of model."""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from .plan import AutoFidelity

SIDE = 256  # px: crops are judged at this side, whatever the network's is


@dataclass(frozen=True, kw_only=True)
class FaceQuality:
    """How bad an aligned face is: each number rises with the degradation, from about 0 for a clean face."""

    pixels: float  # short side of the face's box in the picture, px; the only one that falls
    blur: float  # octaves of detail that are missing at `SIDE` px
    noise: float  # standard deviation of the finest grain, where white is 255
    blocking: float  # how far JPEG's blocks stand out of the spectrum of edges, from 0
    doubt: float  # 1 - the mean probability of the predicted codes, 0 to 1

    def in_words(self) -> str:
        """For reports and previews."""
        return (
            f"{self.pixels:.0f} px, blur {self.blur:.1f}, noise {self.noise:.1f}, blocks {self.blocking:.1f}, "
            f"confidence {1 - self.doubt:.2f}"
        )


def face_quality(crop: np.ndarray, inside: np.ndarray, pixels: float, confidence: float) -> FaceQuality:
    """What can be told of an aligned face (s, s, 3), RGB in [0, 1], without the clean one.

    `inside` (s, s) bool says what of it lies on the picture, `confidence` is the mean probability of its codes.
    """
    grey = cv2.cvtColor(np.ascontiguousarray(crop, np.float32), cv2.COLOR_RGB2GRAY)
    if len(grey) != SIDE:
        grey = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA if len(grey) > SIDE else cv2.INTER_CUBIC)
        inside = cv2.resize(inside.astype(np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_NEAREST) > 0
    face = inside & _oval()
    if not face.any():
        face = _oval()
    return FaceQuality(
        pixels=float(pixels),
        blur=_blur(grey, face),
        noise=_noise(grey, face),
        blocking=_blocking(grey),
        doubt=1 - float(confidence),
    )


def _oval() -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    return ((x - 0.5) / 0.3) ** 2 + ((y - 0.55) / 0.38) ** 2 < 1


def _bands(grey: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Mean magnitude of the detail in each octave, finest first, over the face; each about the same if it is sharp."""
    smooth = [grey, *(cv2.GaussianBlur(grey, (0, 0), sigma) for sigma in (1, 2, 4, 8))]
    return np.array([np.abs(a - b)[face].mean() for a, b in pairwise(smooth)])


def _blur(grey: np.ndarray, face: np.ndarray) -> float:
    calm = cv2.medianBlur(grey, 3)  # without single grains
    bands = _bands(calm, face) + 1e-5
    return float(np.log2(bands[-1] / bands[:2].mean()))


def _noise(grey: np.ndarray, face: np.ndarray) -> float:
    """Donoho's estimate: the median magnitude of the finest diagonal wavelet, on the calmer half of the face."""
    diagonal = (grey[::2, ::2] - grey[1::2, ::2] - grey[::2, 1::2] + grey[1::2, 1::2]) / 2
    return float(255 * np.median(np.abs(diagonal[face[::2, ::2]])) / 0.6745)


def _blocking(grey: np.ndarray) -> float:
    """The strongest regular spacing of edges, of 4 to 64 px, in rows or columns, over the usual: log2, at least 0."""
    strongest = 0.0
    for lines in (grey, grey.T):
        edges = np.abs(np.diff(lines, 2, axis=1)).mean(0)
        edges = edges - cv2.GaussianBlur(edges[None], (0, 0), 8)[0]
        power = np.abs(np.fft.rfft(edges * np.hanning(len(edges))))[4 : SIDE // 4]
        strongest = max(strongest, float(np.log2(power.max() / (np.median(power) + 1e-9) / 3)))
    return max(strongest, 0.0)


def automatic_weight(quality: FaceQuality, limits: AutoFidelity) -> float:
    """Placeholder until the calibration below is fitted."""
    return limits.high
