"""The one place where pictures change form: (h, w, 3) arrays outside, (b, c, h, w) in [-1, 1] inside."""

import cv2
import numpy as np
import torch
from einops import rearrange
from torch import Tensor

UPRIGHT = {  # EXIF orientation to the turn that undoes it
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}
WHITE = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0, np.dtype(np.float32): 1.0}
OVERSHOOT = 0.5  # how far beyond [0, 1] floats may lie: more than any resizing filter rings, less than 0 to 255 needs


def check_picture(image: np.ndarray) -> np.ndarray:
    """A picture (h, w, 3) of uint8, uint16 or float32 as it is, of another float as float32; ValueError otherwise."""
    if image.dtype.kind == "f":
        image = image.astype(np.float32, copy=False)
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape or image.dtype not in WHITE:
        raise ValueError(
            f"a picture is a (h, w, 3) RGB array of uint8, uint16 or float, got {image.shape} {image.dtype}"
        )
    return image


def check_values(image: np.ndarray, what: str = "a float picture", overshoot: float = OVERSHOOT) -> np.ndarray:
    """Floats in [0, 1], or up to `overshoot` beyond, as they are; ValueError for others and for NaN and infinity.

    What lies beyond is clipped in faces and kept elsewhere. Integers need no look, and floats only one.
    """
    if image.dtype.kind == "f" and image.size:
        low, high = float(image.min()), float(image.max())  # NaN if there is any
        if not (-overshoot <= low and high <= 1 + overshoot):
            remedy = (
                "replace them with numbers"
                if not np.isfinite(low + high)
                else "divide it by 255"
                if low >= 0 and 2 < high <= 255
                else "scale or clip it"
            )
            raise ValueError(f"{what} lies in [0, 1], got values from {low:g} to {high:g}: {remedy} first")
    return image


def upright(samples: np.ndarray, orientation: int) -> np.ndarray:
    """Samples (h, w, ...) that were stored in one of EXIF's orientations, as they are to be seen."""
    return np.ascontiguousarray(UPRIGHT[orientation](samples)) if orientation in UPRIGHT else samples


def channel_max(image: np.ndarray) -> np.ndarray:  # (h, w, 3) -> (h, w)
    """The largest of each pixel's channels. NumPy takes ten times as long along an axis of three."""
    first, second, third = cv2.split(image)
    return cv2.max(cv2.max(first, second), third)


def channel_min(image: np.ndarray) -> np.ndarray:  # (h, w, 3) -> (h, w)
    """The smallest of each pixel's channels."""
    first, second, third = cv2.split(image)
    return cv2.min(cv2.min(first, second), third)


def to_float(image: np.ndarray) -> np.ndarray:
    """A (..., 3) uint8 or uint16 array as float32 in [0, 1]; float32 passes through."""
    white = WHITE[image.dtype]
    return image if white == 1.0 else image.astype(np.float32) / np.float32(white)


def from_float(image: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Float32 in [0, 1] as `dtype`: integers are rounded and clipped, float32 passes through unclipped."""
    white = WHITE[np.dtype(dtype)]
    return image if white == 1.0 else np.clip(image * white + 0.5, 0, white).astype(dtype)


def to_network(crops: np.ndarray | Tensor, device: torch.device | str = "cpu", dtype=torch.float32) -> Tensor:
    """(b, h, w, 3) RGB in [0, 1] as a (b, 3, h, w) tensor in [-1, 1]."""
    x = torch.as_tensor(crops).to(device=device, dtype=dtype)
    return rearrange(x, "b h w c -> b c h w") * 2 - 1


def from_network(x: Tensor) -> np.ndarray:
    """(b, 3, h, w) in [-1, 1] as float32 (b, h, w, 3) in [0, 1], clamped (a network overshoots a little)."""
    x = rearrange(x.detach(), "b c h w -> b h w c").float()
    return ((x + 1) / 2).clamp_(0, 1).cpu().numpy()
