"""A restoration model tuned to another job, on its own codebook and decoder (paper, Sec. 4.6)."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from codeformer_core.networks.blocks import Downsample
from codeformer_core.networks.codeformer import CodeFormer
from codeformer_core.networks.vqgan import VQAutoEncoder
from codeformer_core.pasting.holes import fill_smoothly
from codeformer_core.pictures.arrays import from_network, to_network

from ..presets import TrainConfig
from .image_loss import ImageLoss
from .outcome import Outcome
from .stage2 import Teacher
from .stage3 import StageThree

KEPT_LAYERS = 3  # of the transformer, the first ones: they stay the base's, which halves what a variant has to hold


class VariantStage(StageThree):
    """As stage III, begun from a whole model; the clean faces' codes are those that it predicts for them.

    Inputs that are painted over are filled smoothly first, which is nearer to what the model knows than white strokes,
    and the image losses look at the result as it is used: in the mask alone.
    """

    def __init__(self, config: TrainConfig, image_loss: ImageLoss, base: CodeFormer):
        state = base.state_dict()
        autoencoder = VQAutoEncoder(config.model.vq)
        autoencoder.load_state_dict({name: state[name] for name in autoencoder.state_dict()})
        predictor = CodeFormer(replace(config.model, cft_sizes=()))
        predictor.load_state_dict({name: state[name] for name in predictor.state_dict()})
        super().__init__(config, image_loss, autoencoder, predictor)
        self.net.load_state_dict({name: state.get(name, t) for name, t in self.net.state_dict().items()})
        fix_what_is_kept(self.net)
        self.teacher = PredictedCodes(base)
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
    net.ft_layers[:KEPT_LAYERS].requires_grad_(False)
    first_down = next(i for i, block in enumerate(net.encoder.blocks) if isinstance(block, Downsample))
    net.encoder.blocks[: first_down + 1].requires_grad_(False)  # the features of the picture's own size


class PredictedCodes(Teacher):
    """A whole model as the teacher; its own prediction is nearer to the codes of stage I than its nearest items are."""

    def __init__(self, base: CodeFormer):
        self.net: Any = base.eval().requires_grad_(False)

    @torch.no_grad()
    def codes(self, hq: Tensor) -> Tensor:  # (b, 3, s, s) -> (b, n)
        return self.net.predict_codes(hq).codes


class InMask:
    """The image losses of the restored face where it was painted over, and of the clean one elsewhere."""

    def __init__(self, image_loss: ImageLoss):
        self.whole = image_loss

    def __call__(self, restored: Tensor, batch: dict[str, Any], step: int) -> tuple[Tensor, dict[str, Tensor]]:
        if "mask" in batch:
            restored = torch.where(batch["mask"] > 0, restored, batch["hq"])
        return self.whole(restored, batch, step)
