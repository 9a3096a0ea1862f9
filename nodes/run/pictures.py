"""ComfyUI's IMAGE and MASK tensors to the core's arrays and back."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

PREVIEWS = 16  # pictures of a batch that a node shows


def to_pictures(image: Tensor) -> list[np.ndarray]:
    """An IMAGE (b, h, w, 1, 3 or 4) of any float dtype as float32 RGB pictures (h, w, 3) in [0, 1], without alpha."""
    if image.ndim != 4 or image.shape[-1] not in (1, 3, 4):
        raise ValueError(f"an IMAGE is (batch, height, width, 1, 3 or 4 channels), got {tuple(image.shape)}")
    rgb = image[..., :3] if image.shape[-1] > 1 else image.expand(*image.shape[:-1], 3)
    if not rgb.is_floating_point():
        raise ValueError(f"an IMAGE holds floats from 0 to 1, got {image.dtype}")
    return list(rgb.detach().float().cpu().clamp(0, 1).numpy())


def to_image(rgb: Tensor, like: Tensor) -> Tensor:
    """Pictures (b, h, w, 3) as an IMAGE: with the alpha of `like` where it has one, scaled to their size."""
    if like.shape[-1] != 4 or not len(rgb):
        return rgb
    alpha = F.interpolate(like[..., 3:].float().cpu().movedim(-1, 1), rgb.shape[1:3], mode="bilinear")
    return torch.cat([rgb, alpha.movedim(1, -1)], dim=-1)


def to_limits(mask: Tensor | None, image: Tensor, part: slice) -> list[np.ndarray] | None:
    """A MASK as one float32 array (h, w) for each picture in a part of an IMAGE, or None if nothing limits.

    One mask serves all pictures. The 64 x 64 zeros that LoadImage gives for a picture without alpha limit nothing.
    """
    if mask is None or is_no_mask(mask, image.shape[1:3]):
        return None
    count, height, width, _ = image.shape
    mask = check_mask(mask, count)
    return list(resize_mask(mask[part] if len(mask) > 1 else mask, len(image[part]), (height, width)))


def is_no_mask(mask: Tensor, size: tuple[int, ...]) -> bool:
    """Whether it is what LoadImage gives for a picture of (height, width) that has no alpha."""
    return tuple(mask.shape[-2:]) == (64, 64) != tuple(size) and not mask.any()


def check_mask(mask: Tensor, count: int) -> Tensor:
    """A MASK as (1 or `count`, h', w'); ValueError if it is of another number of pictures."""
    mask = mask[None] if mask.ndim == 2 else mask
    if mask.ndim != 3 or len(mask) not in (1, count):
        raise ValueError(
            f"a MASK of shape {tuple(mask.shape)} for {count} picture(s): give one mask (height, width) for all, or "
            "one for each"
        )
    return mask


def resize_mask(mask: Tensor, count: int, size: tuple[int, int]) -> np.ndarray:
    """A MASK (1 or `count`, h', w') as float32 (count, height, width) in [0, 1]."""
    mask = check_mask(mask, count).detach().float().cpu()
    if tuple(mask.shape[1:]) != size:
        mask = F.interpolate(mask[:, None], size, mode="bilinear")[:, 0]
    return mask.clamp(0, 1).expand(count, -1, -1).numpy()
