"""What is done to faces for variety: flips, other light and backgrounds; inputs of colour enhancement, inpainting."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from .regions import surroundings

LUMA = np.array([0.299, 0.587, 0.114])  # Rec. 601, as in JPEG and OpenCV's greyscale
TO_YIQ = np.array([LUMA, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])  # FCC NTSC: hue is the angle in I, Q


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Probabilities, and ranges (lowest, highest) from which values are drawn uniformly."""

    flip: float = 0.5  # mirrored left to right
    tone: float = 0.0  # the face in other light, clean and degraded alike: keeps a small data set from one skin tone
    tone_gamma: tuple[float, float] = (0.6, 1.7)  # drawn in the logarithm; above 1 is darker
    tone_balance: float = 0.08  # the gain of each channel, drawn from 1 +- this
    background: float = 0.0  # other colours outside a soft ellipse, clean and degraded alike: few sets have many kinds
    colour_jitter: float = 0.0  # colours of the input alone are changed (colour enhancement)
    shift: float = 20.0  # of each channel, in 8-bit units, drawn from +- this
    brightness: tuple[float, float] = (0.5, 1.5)
    contrast: tuple[float, float] = (0.5, 1.5)
    saturation: tuple[float, float] = (0.0, 1.5)
    hue: float = 0.1  # turns of the colour wheel, drawn from +- this
    grey: float = 0.0  # the input alone becomes grey (colourization)
    mask: float = 0.0  # parts of the input alone are painted white (inpainting)

    def __post_init__(self):
        for name in ("flip", "tone", "background", "colour_jitter", "grey", "mask"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability from 0 to 1, got {getattr(self, name)}")
        for name in ("tone_gamma", "brightness", "contrast", "saturation"):
            low, high = getattr(self, name)
            if not 0 <= low <= high or (name == "tone_gamma" and low == 0):
                raise ValueError(f"{name} is (low, high), positive numbers in this order, got {low, high}")
        for name, most in (("tone_balance", 0.9), ("shift", 255), ("hue", 0.5)):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"{name} is from 0 to {most}, got {getattr(self, name)}")


def augment_face(face: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """The clean face (s, s, 3) uint8, perhaps mirrored, in other light, before another background.

    The number of draws is always the same.
    """
    mirrored, toned, moved = rng.random(3) < (config.flip, config.tone, config.background)
    gamma = np.exp(rng.uniform(*np.log(config.tone_gamma)))
    gains = rng.uniform(1 - config.tone_balance, 1 + config.tone_balance, 3)
    if mirrored:
        face = np.ascontiguousarray(face[:, ::-1])
    face = in_other_light(face, gamma, gains) if toned else face
    colours = draw_background(rng)
    return other_background(face, colours) if moved else face


def draw_background(rng: np.random.Generator) -> dict[str, Any]:
    """Arguments of `jitter` for what lies behind a face: any hue, from grey to strong colours, dark or light."""
    brightness, contrast, saturation = rng.uniform(0.4, 1.4), rng.uniform(0.6, 1.3), rng.uniform(0.0, 2.5)
    hue, shift = rng.uniform(-0.5, 0.5), rng.uniform(-40, 40, 3)
    return {"brightness": brightness, "contrast": contrast, "saturation": saturation, "hue": hue, "shift": shift}


def other_background(face: np.ndarray, colours: dict[str, Any]) -> np.ndarray:
    """A uint8 face whose colours change outside an ellipse about the head, which fades over a tenth of the side."""
    outside = surroundings(len(face))[..., None]
    return np.rint(face + outside * (jitter(face, **colours) - face.astype(np.float32))).astype(np.uint8)


def in_other_light(face: np.ndarray, gamma: float, gains: np.ndarray) -> np.ndarray:
    """A uint8 picture with value ** gamma times each channel's gain (values in [0, 1])."""
    curve = (np.arange(256) / 255)[:, None] ** gamma * gains  # (256, 3)
    table = np.clip(np.rint(curve * 255), 0, 255).astype(np.uint8)
    return cv2.LUT(face, table[None])


def change_colours(lq: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """The input (s, s, 3) uint8, perhaps with other colours or grey; the number of draws is always the same."""
    jittered, grey = rng.random(2) < (config.colour_jitter, config.grey)
    brightness, contrast, saturation = (
        rng.uniform(*limits) for limits in (config.brightness, config.contrast, config.saturation)
    )
    hue, shift = rng.uniform(-config.hue, config.hue), rng.uniform(-config.shift, config.shift, 3)
    if jittered:
        lq = jitter(lq, brightness=brightness, contrast=contrast, saturation=saturation, hue=hue, shift=shift)
    return cv2.cvtColor(cv2.cvtColor(lq, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB) if grey else lq


def jitter(
    image: np.ndarray, *, brightness: float, contrast: float, saturation: float, hue: float, shift: np.ndarray
) -> np.ndarray:
    """A uint8 picture after gain, contrast about its mean grey, saturation, hue (turns) and shift (3,) of channels.

    All of them are linear, so they are one matrix and one pass.
    """
    cos, sin = np.cos(2 * np.pi * hue), np.sin(2 * np.pi * hue)
    turn = np.array([[1, 0, 0], [0, saturation * cos, -saturation * sin], [0, saturation * sin, saturation * cos]])
    matrix = np.linalg.inv(TO_YIQ) @ turn @ TO_YIQ * (brightness * contrast)
    mean_grey = LUMA @ cv2.mean(image)[:3]
    offset = mean_grey * brightness * (1 - contrast) + shift
    return cv2.transform(image, np.column_stack([matrix, offset]))


def polyline_mask(size: int, rng: np.random.Generator, share: float | None = None) -> np.ndarray:
    """A (size, size) float32 mask, 1 where the face is to be painted: broad wandering strokes.

    They cover 10 to 50 % of it, or the `share` and a little more.
    """
    mask = np.zeros((size, size), np.uint8)
    wanted = rng.uniform(0.1, 0.4) if share is None else share
    while mask.mean() < wanted:
        width = max(1, round(size * rng.uniform(0.03, 0.12)))
        points = [rng.uniform(0, size, 2)]
        direction = rng.uniform(-np.pi, np.pi)
        for _ in range(rng.integers(3, 9)):
            direction += rng.uniform(-1, 1) * np.pi / 2
            step = size * rng.uniform(0.05, 0.25) * np.array([np.cos(direction), np.sin(direction)])
            points.append(np.clip(points[-1] + step, 0, size - 1))
        line = np.rint(points).astype(np.int32)
        cv2.polylines(mask, [line], isClosed=False, color=1, thickness=width)
        for x, y in line.tolist():  # round joints
            cv2.circle(mask, (x, y), width // 2, 1, -1)
    return mask.astype(np.float32)
