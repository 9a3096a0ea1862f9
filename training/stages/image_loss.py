"""How far restored faces are from the clean ones, compared at the size that each clean face really has."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeformer_core.pasting.alignment import template

from ..draws import draws
from ..presets import StageConfig, TrainConfig

CROP = 64  # px, of the crops for LPIPS, as those on which it was learnt
AREA = 16  # px, side of the squares whose mean colours are compared: an iris is hardly larger


class ImageLoss:
    """The losses of the restored face alone: L1, perceptual, LPIPS on crops, mean colours, eyes.

    A face that is stored at n px, fewer than the network's, is only enlarged: both pictures are averaged down to n, so
    that detail which it does not have is neither asked for nor punished. Losses of weight 0 are not taken.
    """

    def __init__(self, config: TrainConfig, number: int, perceptual: nn.Module | None, crops: nn.Module | None = None):
        self.stage: StageConfig = config.stage(number)
        self.seed, self.perceptual_size = config.seed, config.perceptual_size
        self.perceptual, self.crops = perceptual, crops

    def __call__(self, restored: Tensor, batch: dict[str, Any], step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted loss of `restored` (b, 3, s, s) against batch["hq"], and each part for the curves."""
        hq, stage = batch["hq"], self.stage
        natives = batch["native"].tolist()
        pairs = [at_size(torch.stack([restored[i], hq[i]]), n) for i, n in enumerate(natives)]  # (2, 3, n, n) each
        parts = {"l1": torch.stack([(a - b).abs().mean() for a, b in pairs]).mean()}
        loss = stage.w_l1 * parts["l1"]
        if stage.w_perceptual and self.perceptual is not None:
            size = self.perceptual_size or hq.shape[-1]
            parts["perceptual"] = self.perceptual(*torch.stack([at_size(pair, size) for pair in pairs], dim=1))
            loss = loss + stage.w_perceptual * parts["perceptual"]
        if stage.w_crops and self.crops is not None:
            places = self._places(batch["slot"], step)
            cut = [crop(pair, *place) for pair, place in zip(pairs, places, strict=True)]
            parts["crops"] = self.crops(*torch.stack(cut, dim=1))
            loss = loss + stage.w_crops * parts["crops"]
        if stage.w_colour:
            parts["colour"] = (F.avg_pool2d(restored, AREA) - F.avg_pool2d(hq, AREA)).abs().mean()
            loss = loss + stage.w_colour * parts["colour"]
        if stage.w_eyes:
            parts["eyes"] = (eyes(restored) - eyes(hq)).abs().mean()
            loss = loss + stage.w_eyes * parts["eyes"]
        squares = torch.stack([(a.detach().clamp(-1, 1) - b).square().mean() for a, b in pairs]).mean()
        return loss, parts | {"psnr": -10 * (squares / 4).clamp_min(1e-10).log10()}

    def _places(self, slots: Tensor, step: int) -> list[list[float]]:
        """Where each face is cropped, (y, x) in [0, 1], drawn from (seed, step) by the slots of the step."""
        generator = draws(self.seed, step, "crops")
        return torch.rand(self.stage.batch_size, 2, generator=generator)[slots.cpu()].tolist()


def at_size(pair: Tensor, size: int) -> Tensor:
    """Pictures (b, 3, n, n) as (b, 3, size, size): averaged down, or interpolated up."""
    if pair.shape[-1] == size:
        return pair
    if pair.shape[-1] > size:
        return F.interpolate(pair, (size, size), mode="area")
    return F.interpolate(pair, (size, size), mode="bilinear", align_corners=False)


def eyes(faces: Tensor) -> Tensor:
    """Both eyes of aligned faces (b, 3, s, s), side by side: (b, 3, n, 2 n), a pixel for each 4 of a face of 512 px."""
    small = at_size(faces, max(faces.shape[-1] // 4, 32))
    side = small.shape[-1] // 8
    corners = [(round(y - (side - 1) / 2), round(x - (side - 1) / 2)) for x, y in template(small.shape[-1])[:2]]
    return torch.cat([small[..., top : top + side, left : left + side] for top, left in corners], dim=-1)


def crop(pair: Tensor, y: float, x: float) -> Tensor:
    """A square of at most CROP px from pictures (b, 3, n, n), at a place in [0, 1]."""
    n = pair.shape[-1]
    side = min(CROP, n)
    top, left = round(y * (n - side)), round(x * (n - side))
    return pair[..., top : top + side, left : left + side]
