"""Stage III: controllable feature transformations are added and all is tuned, at w = 1 (paper, Sec. 3.3)."""

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from codeformer_core.networks.cft import CFTWeights
from codeformer_core.networks.codeformer import CodeFormer
from codeformer_core.networks.config import CodeFormerConfig
from codeformer_core.networks.vqgan import VQAutoEncoder

from ..presets import StageConfig, TrainConfig
from .image_loss import ImageLoss
from .losses import token_accuracy
from .outcome import Outcome
from .stage2 import Teacher, code_losses, fix_parts, in_float32


class StageThree:
    """Encoder, transformer and CFT blocks are trained; codebook and decoder stay stage I's."""

    def __init__(self, config: TrainConfig, image_loss: ImageLoss, autoencoder: VQAutoEncoder, predictor: CodeFormer):
        self.stage: StageConfig = config.stage(3)
        self.adain = config.adain
        self.predicts_codes = config.model.lookup in ("transformer", "linear")
        self.image_loss = image_loss
        self.net = CodeFormer(config.model)
        self.teacher = Teacher(autoencoder)
        new = self.net.load_state_dict(predictor.state_dict(), strict=False)
        if new.unexpected_keys or not all(name.startswith(("fuse_convs_dict.", "gate.")) for name in new.missing_keys):
            raise ValueError(f"stage II's network has other parts than stage III wants: {new}")
        start_as_identity(self.net)
        fix_parts(self.net, train_decoder=config.train_decoder)

    @property
    def exported_config(self) -> CodeFormerConfig:
        return self.net.config

    @property
    def balanced_at(self) -> Tensor:
        """The weight at which image and adversarial losses are balanced: the last one that is trained."""
        last = self.net.generator.blocks[-1]
        assert isinstance(last, nn.Conv2d)
        if not last.weight.requires_grad:
            last = self.net.fuse_convs_dict[str(max(self.net.config.cft_sizes))].get_submodule("shift.2")
            assert isinstance(last, nn.Conv2d)
        return last.weight

    def losses(self, batch: dict[str, Any], step: int) -> Outcome:
        """Eq. 6 and the image losses of stage I, at the phase's w (Eq. 8), which is 1 without phases."""
        phase = self.stage.phase_at(step)
        codes = self.teacher.codes(batch["hq"])
        prediction = in_float32(self.net.predict_codes(batch["lq"]))
        loss, logs = code_losses(self.stage, self.net, prediction, codes, self.predicts_codes)
        accuracy = token_accuracy(prediction.logits.detach(), codes)
        if phase.code_only:
            return Outcome(other_loss=loss, logs=logs, accuracy=accuracy)
        if self.stage.detach_cft:
            tapped = {size: features.detach() for size, features in prediction.cft_features.items()}
            prediction = replace(prediction, cft_features=tapped)
        restored = self.net.decode(prediction, self.weights(batch, step), self.adain).float()
        image_loss, parts = self.image_loss(restored, batch, step)
        return Outcome(image_loss=image_loss, other_loss=loss, restored=restored, logs=logs | parts, accuracy=accuracy)

    def weights(self, batch: dict[str, Any], step: int) -> CFTWeights:
        """How far the features of a step's inputs tune the decoder."""
        return TrainingWeights(w=self.stage.phase_at(step).w)

    def rows(self, net: CodeFormer, batch: dict[str, Any]) -> list[Tensor]:
        """Rows of a sample grid: input, restored at w = 0, 0.5 and 1, clean."""
        prediction = net.predict_codes(batch["lq"])
        return [batch["lq"], *(net.decode(prediction, w, self.adain) for w in (0.0, 0.5, 1.0)), batch["hq"]]


@dataclass(frozen=True, kw_only=True)
class TrainingWeights(CFTWeights):
    """As in use, but w may be above 1: the published recipe trains at 1.3."""

    def __post_init__(self):  # `Phase` has checked it
        pass


def start_as_identity(net: CodeFormer) -> None:
    """Zero the last convolutions of the CFT blocks, so that training starts from the codebook's own result."""
    for block in net.fuse_convs_dict.values():
        for last in (block.get_submodule("scale.2"), block.get_submodule("shift.2")):
            assert isinstance(last, nn.Conv2d)
            assert last.bias is not None
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
