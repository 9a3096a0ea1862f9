"""A restoration model tuned to another job, on its own codebook and decoder (paper, Sec. 4.6)."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from codeformer_core.networks.blocks import Downsample
from codeformer_core.networks.codeformer import CodeFormer
from codeformer_core.pasting.holes import fill_smoothly
from codeformer_core.pictures.arrays import from_network, to_network

from ..presets import TrainConfig
from .image_loss import ImageLoss
from .outcome import Outcome
from .whole import TuningStage


class VariantStage(TuningStage):
    """Strokes on the input are first filled smoothly, which is nearer to what the model knows than white ones.

    The image losses look at the result as it is used: in the mask alone.
    """

    def __init__(self, config: TrainConfig, image_loss: ImageLoss, base: CodeFormer):
        super().__init__(config, image_loss, base)
        fix_what_is_kept(self.net)
        self.image_loss = InMask(image_loss)

    def losses(self, batch: dict[str, Any], step: int) -> Outcome:
        return super().losses(filled_smoothly(batch), step)

    def rows(self, net: CodeFormer, batch: dict[str, Any]) -> list[Tensor]:
        return super().rows(net, filled_smoothly(batch))


def filled_smoothly(batch: dict[str, Any]) -> dict[str, Any]:
    """A batch whose inputs go on, where they were painted over, what is around it."""
    if "mask" not in batch:
        return batch
    faces = from_network(batch["lq"])
    filled = [fill_smoothly(face, mask[0].cpu().numpy() > 0) for face, mask in zip(faces, batch["mask"], strict=True)]
    return batch | {"lq": to_network(np.stack(filled), batch["lq"].device)}


def fix_what_is_kept(net: CodeFormer) -> None:
    """Fix what a variant shares with its base besides codebook and decoder: it trains faster, and its file is small."""
    net.position_emb.requires_grad_(False)
    net.ft_layers.requires_grad_(False)
    first_down = next(i for i, block in enumerate(net.encoder.blocks) if isinstance(block, Downsample))
    net.encoder.blocks[: first_down + 1].requires_grad_(False)  # the features of the picture's own size


class InMask:
    """The image losses of the restored face where it was painted over, and of the clean one elsewhere."""

    def __init__(self, image_loss: ImageLoss):
        self.whole = image_loss

    def __call__(self, restored: Tensor, batch: dict[str, Any], step: int) -> tuple[Tensor, dict[str, Tensor]]:
        if "mask" in batch:
            restored = torch.where(batch["mask"] > 0, restored, batch["hq"])
        return self.whole(restored, batch, step)
