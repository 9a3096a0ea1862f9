"""ComfyUI's IMAGE and MASK tensors to the core's arrays and back."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

PREVIEWS = 16  # pictures of a batch that a node shows


def to_pictures(image: Tensor) -> list[np.ndarray]:
    """An IMAGE (b, h, w, 1, 3 or 4) of any float dtype as float32 RGB pictures (h, w, 3) in [0, 1], without alpha.

    Values that are not finite are 0; `Report.look_at` warns of them.
    """
    if image.ndim != 4 or image.shape[-1] not in (1, 3, 4):
        raise ValueError(f"an IMAGE is (batch, height, width, 1, 3 or 4 channels), got {tuple(image.shape)}")
    rgb = image[..., :3] if image.shape[-1] > 1 else image.expand(*image.shape[:-1], 3)
    if not rgb.is_floating_point():
        raise ValueError(f"an IMAGE holds floats from 0 to 1, got {image.dtype}")
    return list(rgb.detach().float().cpu().nan_to_num(0, 0, 0).clamp(0, 1).numpy())


def to_image(rgb: Tensor, like: Tensor) -> Tensor:
    """Pictures (b, h, w, 3) as an IMAGE: with the alpha of `like` where it has one, scaled to their size."""
    if like.shape[-1] != 4 or not len(rgb):
        return rgb
    alpha = like[..., 3:].float().cpu().nan_to_num(0, 0, 0).movedim(-1, 1)
    alpha = F.interpolate(alpha, rgb.shape[1:3], mode="bilinear")
    return torch.cat([rgb, alpha.movedim(1, -1)], dim=-1)


def to_limits(mask: Tensor | None, image: Tensor, part: slice) -> list[np.ndarray] | None:
    """A MASK as one float32 array (h, w) for each picture in a part of an IMAGE, or None if nothing limits.

    The last mask serves all further pictures. The 64 x 64 zeros that LoadImage gives for a picture without alpha limit
    nothing.
    """
    if mask is None or is_no_mask(mask, image.shape[1:3]):
        return None
    masks = check_mask(mask)
    wanted = range(len(image))[part]
    return list(resize_mask(masks[[min(i, len(masks) - 1) for i in wanted]], len(wanted), tuple(image.shape[1:3])))


def is_no_mask(mask: Tensor, size: tuple[int, ...]) -> bool:
    """Whether it is what LoadImage gives for a picture of (height, width) that has no alpha."""
    return tuple(mask.shape[-2:]) == (64, 64) != tuple(size) and not mask.any()


def check_mask(mask: Tensor) -> Tensor:
    """A MASK as (b, h', w'); ValueError for other shapes."""
    mask = mask[None] if mask.ndim == 2 else mask
    if mask.ndim != 3 or 0 in mask.shape:
        raise ValueError(f"a MASK is (batch, height, width), got {tuple(mask.shape)}: give one mask or more")
    return mask


def resize_mask(mask: Tensor, count: int, size: tuple[int, ...]) -> np.ndarray:
    """A MASK (b, h', w') as float32 (count, height, width) in [0, 1].

    If it is of fewer pictures, its last mask is repeated, as ComfyUI's own nodes do; if of more, the rest is not used.
    """
    mask = check_mask(mask).detach().float().cpu()[:count].nan_to_num(0, 0, 0)
    if tuple(mask.shape[1:]) != size:
        mask = F.interpolate(mask[:, None], size, mode="bilinear")[:, 0]
    mask = torch.cat([mask, mask[-1:].expand(count - len(mask), -1, -1)]) if len(mask) < count else mask
    return mask.clamp(0, 1).numpy()
