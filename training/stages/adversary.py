"""The adversarial part of stages I and III: the discriminator's step, and its weight against the image losses."""

import math
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ..averaging import average_gradients, channels_last, mean_of_processes
from ..presets import StageConfig, TrainConfig
from .discriminator import Discriminator, adversarial_loss, discriminator_loss, weighted_mean
from .losses import ratio_of_norms
from .outcome import Outcome
from .perceptual import EfficientNetLite, load_perceptual
from .projected import ProjectedDiscriminator


class HasBalancedWeight(Protocol):
    """A stage, as far as the adversary needs to know it."""

    @property
    def balanced_at(self) -> Tensor: ...


class Adversary:
    """The discriminator of one stage, its optimizer, and the backward pass that brings all losses together."""

    def __init__(self, config: TrainConfig, number: int, perceptual: nn.Module | None):
        self.stage = config.stage(number)
        self.net = _discriminator(config, self.stage, perceptual)
        self.trained = [p for p in self.net.parameters() if p.requires_grad]
        self.lr = self.stage.discriminator_lr or self.stage.lr
        betas = (0.0, 0.99) if isinstance(self.net, ProjectedDiscriminator) else self.stage.betas
        self.optimizer = torch.optim.Adam(self.trained, lr=self.lr, betas=betas)

    def to(self, device: torch.device) -> "Adversary":
        channels_last(self.net, device)
        return self

    def active(self, step: int) -> bool:
        return self.stage.w_adversarial > 0 and step >= self.stage.adversarial_from

    def backward(
        self,
        accelerator: Accelerator,
        stage: HasBalancedWeight,
        outcome: Outcome,
        batch: dict[str, Any],
        step: int,
        accumulate: int,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Add a batch's gradients to the restorer's and the discriminator's; gives the loss and values to log.

        Gradients are first taken at the restored faces, so that the adaptive weight costs no second pass through the
        perceptual network and the discriminator. Where nothing that is trained has changed the faces (w = 0), neither
        they nor the discriminator are learnt from; where the balanced weight has not, they are balanced as they are.
        """
        losses = [loss for loss in (outcome.image_loss, outcome.other_loss) if loss is not None]
        total = torch.stack([loss.detach().float() for loss in losses]).sum()
        restored = outcome.restored
        learns = restored is not None and restored.requires_grad
        if restored is None or outcome.image_loss is None or not learns or not self.active(step):
            torch.stack(losses).sum().div(accumulate).backward()
            return total, {"loss": total}

        seen = self._look(restored, batch, step)
        self._train(False)
        fake_logits = self._judge(seen, step)
        adversarial = torch.stack([adversarial_loss(self.stage.adversarial, x) for x in fake_logits]).mean()
        self._train(True)
        image_gradient = torch.autograd.grad(outcome.image_loss, restored)[0]
        adversarial_gradient = torch.autograd.grad(adversarial, restored)[0]
        weight = torch.full((), self.stage.w_adversarial, device=restored.device)
        if self.stage.adaptive:
            norms = [_gradient(restored, stage.balanced_at, g) for g in (image_gradient, adversarial_gradient)]
            means = [mean_of_processes(accelerator, norm) for norm in norms]
            weight = weight * ratio_of_norms(*means, most=self.stage.adaptive_most)
        heads: list[Tensor] = [restored]
        gradients: list[Any] = [(image_gradient + weight * adversarial_gradient) / accumulate]
        if outcome.other_loss is not None:
            heads.append(outcome.other_loss)
            gradients.append(torch.full_like(outcome.other_loss, 1 / accumulate))
        torch.autograd.backward(heads, gradients)

        with torch.no_grad():
            seen_real = self._look(batch["hq"], batch, step)
        real_logits = self._judge(seen_real, step)
        fake_logits = self._judge([x.detach() for x in seen], step)
        weights, judging = self._weights_of_real(accelerator, batch, step)
        judged = list(zip(real_logits, fake_logits, weights, strict=True))
        d_losses = torch.stack([discriminator_loss(self.stage.adversarial, *logits) for logits in judged])
        d_loss = (d_losses * judging).sum()
        (d_loss / accumulate).backward()
        total = total + weight * adversarial.detach()
        logs = {
            "loss": total,
            "gan/restorer": adversarial,
            "gan/discriminator": d_loss,
            "gan/weight": weight,
            "gan/real": (torch.stack([weighted_mean(real.float(), w) for real, _, w in judged]) * judging).sum(),
            "gan/fake": (torch.stack([fake.float().mean() for _, fake, _ in judged]) * judging).sum(),
        }
        return total + d_loss.detach(), logs

    def step(self, accelerator: Accelerator) -> Tensor | None:
        """The discriminator's step of the optimizer; the norm of its gradients, None where it has learnt nothing."""
        if all(p.grad is None for p in self.trained):
            return None
        average_gradients(accelerator, self.trained)
        norm = nn.utils.clip_grad_norm_(self.trained, self.stage.clip_norm or math.inf)
        self.optimizer.step()
        return norm

    def _look(self, x: Tensor, batch: dict[str, Any], step: int) -> list[Tensor]:
        """What the heads see of faces (b, 3, s, s)."""
        return self.net.look(x, batch["slot"], step) if isinstance(self.net, ProjectedDiscriminator) else [x]

    def _judge(self, seen: list[Tensor], step: int) -> list[Tensor]:
        return self.net(seen, step) if isinstance(self.net, ProjectedDiscriminator) else [self.net(*seen)]

    def _weights_of_real(self, accelerator: Accelerator, batch: dict[str, Any], step: int) -> tuple[Tensor, Tensor]:
        """How much each real face counts for each head (heads, b), and each head in the loss (heads,), sum 1.

        A head may not take all faces as real. Each weighs as if all processes' faces were one batch; a head for which
        none of them has a real face is not trained.
        """
        device, hq = batch["hq"].device, batch["hq"]
        if isinstance(self.net, ProjectedDiscriminator):
            counted = torch.stack(self.net.counts_as_real(batch["native"], hq.shape[-1], step)).float().to(device)
        else:
            counted = torch.ones(1, len(hq), device=device)
        each = mean_of_processes(accelerator, counted.sum(1))
        judging = (each > 0).float()
        return counted * len(hq) / each.clamp_min(1e-6)[:, None], judging / judging.sum().clamp_min(1)

    def _train(self, on: bool) -> None:
        for parameter in self.trained:
            parameter.requires_grad_(on)

    def state_dict(self) -> dict[str, Any]:
        return {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])


def _gradient(restored: Tensor, weight: Tensor, at_restored: Tensor) -> Tensor:
    """The gradient at a weight of the network; that at the faces, from which it comes, if the weight has no part."""
    gradient = torch.autograd.grad(restored, weight, at_restored, retain_graph=True, allow_unused=True)[0]
    return at_restored if gradient is None else gradient


def _discriminator(
    config: TrainConfig, stage: StageConfig, perceptual: nn.Module | None
) -> Discriminator | ProjectedDiscriminator:
    if config.discriminator == "patch":
        return Discriminator(width=config.discriminator_width, n_downs=config.discriminator_downs)
    network = perceptual if isinstance(perceptual, EfficientNetLite) else load_perceptual("efficientnet")
    assert isinstance(network, EfficientNetLite)
    return ProjectedDiscriminator(
        network, batch_size=stage.batch_size, seed=config.seed, width=config.discriminator_width
    )
