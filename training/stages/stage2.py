"""Stage II: a transformer learns to predict the clean face's codes from the degraded one (paper, Sec. 3.2)."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from codeformer_core.networks.codeformer import CodeFormer, CodePrediction
from codeformer_core.networks.config import CodeFormerConfig
from codeformer_core.networks.vqgan import VQAutoEncoder

from ..precision import exact_distances
from ..presets import StageConfig, TrainConfig
from .image_loss import ImageLoss
from .losses import code_loss, feature_loss, token_accuracy
from .outcome import Outcome


class StageTwo:
    """Encoder and transformer are trained; codebook and decoder are stage I's and stay so."""

    def __init__(self, config: TrainConfig, image_loss: ImageLoss, autoencoder: VQAutoEncoder):
        self.stage: StageConfig = config.stage(2)
        self.train_decoder = config.train_decoder
        self.predicts_codes = config.model.lookup in ("transformer", "linear")
        self.image_loss = image_loss
        self.net = CodeFormer(config.model.without_cft)
        self.teacher = Teacher(autoencoder)
        for part in ("encoder", "quantize", "generator"):
            getattr(self.net, part).load_state_dict(getattr(autoencoder, part).state_dict())
        fix_parts(self.net, train_decoder=self.train_decoder)

    @property
    def exported_config(self) -> CodeFormerConfig:
        return self.net.config

    @property
    def balanced_at(self) -> Tensor:
        last = self.net.generator.blocks[-1]
        assert isinstance(last, nn.Conv2d)
        return last.weight

    def losses(self, batch: dict[str, Any], step: int) -> Outcome:
        """Eq. 6: cross-entropy of the codes and the distance of the encoder's features to the code items."""
        codes = self.teacher.codes(batch["hq"])
        prediction = in_float32(self.net.predict_codes(batch["lq"]))
        loss, logs = code_losses(self.stage, self.net, prediction, codes, self.predicts_codes)
        accuracy = token_accuracy(prediction.logits.detach(), codes)
        if not self.train_decoder:
            return Outcome(other_loss=loss, logs=logs, accuracy=accuracy)
        restored = self.net.decode(prediction, w=0.0).float()
        image_loss, parts = self.image_loss(restored, batch, step)
        return Outcome(image_loss=image_loss, other_loss=loss, restored=restored, logs=logs | parts, accuracy=accuracy)

    def rows(self, net: CodeFormer, batch: dict[str, Any]) -> list[Tensor]:
        """Rows of a sample grid: input, restored, rebuilt from the clean face's codes, clean."""
        best = net.generator(net.quantize.look_up(self.teacher.codes(batch["hq"])))
        return [batch["lq"], net.restore(batch["lq"], w=0.0), best, batch["hq"]]


class Teacher:
    """The encoder and codebook of stage I, which tell the codes of clean faces."""

    def __init__(self, autoencoder: VQAutoEncoder):
        self.net = autoencoder.eval().requires_grad_(False)

    @torch.no_grad()
    def codes(self, hq: Tensor) -> Tensor:  # (b, 3, s, s) -> (b, n)
        z, _ = self.net.encoder(hq)
        with exact_distances(z.device):
            return self.net.quantize.nearest(z.float())


def fix_parts(net: CodeFormer, *, train_decoder: bool) -> None:
    """Fix the codebook and, but for the ablation of Table 3 (d), the decoder; gradients still flow through."""
    net.quantize.requires_grad_(False)
    net.generator.requires_grad_(train_decoder)


def in_float32(prediction: CodePrediction) -> CodePrediction:
    """A prediction made under autocast, with what statistics and losses are taken of in float32."""
    return replace(prediction, logits=prediction.logits.float(), features=prediction.features.float())


def code_losses(
    stage: StageConfig, net: CodeFormer, prediction: CodePrediction, codes: Tensor, predicts_codes: bool
) -> tuple[Tensor, dict[str, Tensor]]:
    """Both terms of Eq. 6, weighted, and their values for the curves; without a predictor only the second counts."""
    feature = feature_loss(prediction.features, net.quantize.look_up(codes))
    cross_entropy = code_loss(prediction.logits, codes)
    loss = stage.w_feature * feature
    if predicts_codes:
        loss = loss + stage.w_code * cross_entropy
    accuracy = token_accuracy(prediction.logits.detach(), codes).mean()
    return loss, {"code": cross_entropy, "feature": feature, "accuracy": accuracy}
