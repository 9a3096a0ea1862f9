"""Stages that begin from a whole trained model, whose own predictions stand in for stage I's codes of clean faces."""

from typing import Any

import torch
from torch import Tensor

from codeformer_core.networks.cft import CFTWeights
from codeformer_core.networks.codeformer import CodeFormer
from codeformer_core.networks.vqgan import VQAutoEncoder

from ..draws import draws
from ..precision import exact_distances
from ..presets import TrainConfig
from .image_loss import ImageLoss
from .outcome import Outcome
from .stage2 import Teacher, in_float32
from .stage3 import StageThree


class TuningStage(StageThree):
    """As stage III, begun from a whole model; the clean faces' codes are those that it predicts for them."""

    def __init__(self, config: TrainConfig, image_loss: ImageLoss, base: CodeFormer):
        state = base.state_dict()
        autoencoder = VQAutoEncoder(config.model.vq)
        autoencoder.load_state_dict({name: state[name] for name in autoencoder.state_dict()})
        predictor = CodeFormer(config.model.without_cft)
        predictor.load_state_dict({name: state[name] for name in predictor.state_dict()})
        super().__init__(config, image_loss, autoencoder, predictor)
        self.net.load_state_dict({name: state.get(name, t) for name, t in self.net.state_dict().items()})
        self.teacher = PredictedCodes(base)


class FreeStage(TuningStage):
    """All but the codebook is trained, each face at w = 0 or 1, so that decoder and CFT blocks learn side by side.

    Two of three are at 1: at 0 the codebook sets a limit that is soon met.
    """

    def __init__(self, config: TrainConfig, image_loss: ImageLoss, base: CodeFormer):
        super().__init__(config, image_loss, base)
        self.seed = config.seed

    def weights(self, batch: dict[str, Any], step: int) -> CFTWeights:
        drawn = torch.rand(self.stage.batch_size, generator=draws(self.seed, step, "w")) < 2 / 3
        return CFTWeights(w=drawn.float()[batch["slot"]].to(batch["lq"].device, non_blocking=True))


class DecoderStage(TuningStage):
    """The decoder alone is trained, on clean faces at w = 0: the codes and their prediction stay what they were."""

    def __init__(self, config: TrainConfig, image_loss: ImageLoss, base: CodeFormer):
        super().__init__(config, image_loss, base)
        self.net.requires_grad_(False)
        self.net.generator.requires_grad_(True)

    def losses(self, batch: dict[str, Any], step: int) -> Outcome:
        """The image losses of stage I."""
        with torch.no_grad():
            prediction = in_float32(self.net.predict_codes(batch["hq"]))
        restored = self.net.decode(prediction, 0.0, self.adain).float()
        image_loss, parts = self.image_loss(restored, batch, step)
        return Outcome(image_loss=image_loss, restored=restored, logs=parts)


class GateStage(TuningStage):
    """The gate alone is trained: half of the faces at w = 1, the others at a w anywhere."""

    def __init__(self, config: TrainConfig, image_loss: ImageLoss, base: CodeFormer):
        super().__init__(config, image_loss, base)
        self.seed = config.seed
        self.net.requires_grad_(False)
        self.net.gate.requires_grad_(True)

    def losses(self, batch: dict[str, Any], step: int) -> Outcome:
        """The image losses of stage I."""
        with torch.no_grad():
            prediction = self.net.predict_codes(batch["lq"])
        restored = self.net.decode(in_float32(prediction), self.weights(batch, step), self.adain).float()
        image_loss, parts = self.image_loss(restored, batch, step)
        return Outcome(image_loss=image_loss, restored=restored, logs=parts)

    def weights(self, batch: dict[str, Any], step: int) -> CFTWeights:
        drawn = (2 * torch.rand(self.stage.batch_size, generator=draws(self.seed, step, "w"))).clamp(max=1)
        return CFTWeights(w=drawn[batch["slot"]].to(batch["lq"].device, non_blocking=True))


class PredictedCodes(Teacher):
    """A whole model as the teacher; its own prediction is nearer to the codes of stage I than its nearest items are."""

    def __init__(self, base: CodeFormer):
        self.net: Any = base.eval().requires_grad_(False)

    @torch.no_grad()
    def codes(self, hq: Tensor) -> Tensor:  # (b, 3, s, s) -> (b, n)
        with exact_distances(hq.device):
            return self.net.predict_codes(hq.float()).codes
