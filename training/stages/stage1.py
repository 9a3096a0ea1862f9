"""Stage I: the codebook is learnt by rebuilding clean faces (paper, Sec. 3.1)."""

from typing import Any

import torch
from torch import Tensor, nn

from codeformer_core.networks.codeformer import CodeFormer
from codeformer_core.networks.config import CodeFormerConfig, VQConfig
from codeformer_core.networks.vqgan import VQAutoEncoder

from ..draws import draws
from ..precision import exact_distances
from ..presets import StageConfig, TrainConfig
from .image_loss import ImageLoss
from .losses import published_codebook_loss
from .outcome import Outcome


class StageOne:
    """Encoder, codebook and decoder, all trained."""

    def __init__(self, config: TrainConfig, image_loss: ImageLoss):
        self.stage: StageConfig = config.stage(1)
        self.seed = config.seed
        self.no_codebook = config.no_codebook
        self.image_loss = image_loss
        self.net = CodeFormer(config.model) if config.no_codebook else VQAutoEncoder(config.model.vq)

    @property
    def exported_config(self) -> VQConfig | CodeFormerConfig:
        return self.net.config

    @property
    def balanced_at(self) -> Tensor:
        """The weight at which image and adversarial losses are balanced: the last one."""
        last = self.net.generator.blocks[-1]
        assert isinstance(last, nn.Conv2d)
        return last.weight

    def losses(self, batch: dict[str, Any], step: int) -> Outcome:
        """Eq. 1-3: losses of the image and of the codebook."""
        if self.no_codebook:
            restored = self.net.generator(self.net.encoder(batch["lq"])[0]).float()
            image_loss, logs = self.image_loss(restored, batch, step)
            return Outcome(image_loss=image_loss, restored=restored, logs=logs)
        z, _ = self.net.encoder(batch["hq"])
        with exact_distances(z.device):
            z = z.float()
            quantized = self.net.quantize(z)
            codebook_loss = quantized.codebook_loss
            if self.stage.beta_on == "codebook":
                entries = self.net.quantize.look_up(quantized.codes)
                codebook_loss = published_codebook_loss(z, entries, self.net.quantize.beta)
        skips = self.skips_codebook(batch["slot"], step).view(-1, 1, 1, 1).to(z.device, non_blocking=True)
        restored = self.net.generator(torch.where(skips, z, quantized.z_q)).float()
        image_loss, logs = self.image_loss(restored, batch, step)
        return Outcome(
            image_loss=image_loss,
            other_loss=self.stage.w_codebook * codebook_loss,
            restored=restored,
            logs=logs | {"codebook": codebook_loss},
            codes=quantized.codes,
            z=z.detach(),
        )

    def skips_codebook(self, slots: Tensor, step: int) -> Tensor:
        """Which faces of a step go to the decoder unquantized (b,), by their slots; drawn from (seed, step).

        Begun with the codebook alone, encoder and decoder soon agree on the mean colours of places, and their features
        stay in those few dimensions. Leaving out the codebook at times is as in Défossez et al., arXiv 2410.00037.
        """
        share = 1 - step / self.stage.unquantized_until if step < self.stage.unquantized_until else 0.0
        generator = draws(self.seed, step, "without codebook")
        return (torch.rand(self.stage.batch_size, generator=generator) < share)[slots]

    def rows(self, net: VQAutoEncoder | CodeFormer, batch: dict[str, Any]) -> list[Tensor]:
        """Rows of a sample grid: clean faces, rebuilt faces; without a codebook input, restored, clean."""
        hq = batch["hq"]
        if isinstance(net, CodeFormer):
            return [batch["lq"], net.restore(batch["lq"], w=0.0), hq]
        return [hq, net(hq).image]
