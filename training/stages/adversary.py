"""The adversarial part of stages I and III: the discriminator's step, and its weight against the image losses."""

from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ..averaging import average_gradients, channels_last, mean_of_processes
from ..presets import TrainConfig
from .discriminator import Discriminator, adversarial_loss, discriminator_loss
from .losses import ratio_of_norms
from .outcome import Outcome


class HasBalancedWeight(Protocol):
    """A stage, as far as the adversary needs to know it."""

    @property
    def balanced_at(self) -> Tensor: ...


class Adversary:
    """The discriminator of one stage, its optimizer, and the backward pass that brings all losses together."""

    def __init__(self, config: TrainConfig, number: int):
        self.stage = config.stage(number)
        self.net = Discriminator(width=config.discriminator_width, n_downs=config.discriminator_downs)
        self.lr = self.stage.discriminator_lr or self.stage.lr
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=self.lr, betas=self.stage.betas)

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
        hq: Tensor,
        step: int,
        accumulate: int,
    ) -> tuple[float, dict[str, Tensor]]:
        """Add a batch's gradients to the restorer's and the discriminator's; gives the loss and values to log.

        Gradients are first taken at the restored faces, so that the adaptive weight costs no second pass through the
        perceptual network and the discriminator.
        """
        losses = [loss for loss in (outcome.image_loss, outcome.other_loss) if loss is not None]
        total = torch.stack([loss.detach().float() for loss in losses]).sum()
        restored = outcome.restored
        if restored is None or outcome.image_loss is None or not self.active(step):
            torch.stack(losses).sum().div(accumulate).backward()
            return total.item(), {"loss": total}

        self.net.requires_grad_(False)
        adversarial = adversarial_loss(self.stage.adversarial, self.net(restored))
        self.net.requires_grad_(True)
        image_gradient = torch.autograd.grad(outcome.image_loss, restored)[0]
        adversarial_gradient = torch.autograd.grad(adversarial, restored)[0]
        weight = torch.tensor(self.stage.w_adversarial, device=restored.device)
        if self.stage.adaptive:
            norms = [
                mean_of_processes(
                    accelerator, torch.autograd.grad(restored, stage.balanced_at, g, retain_graph=True)[0]
                )
                for g in (image_gradient, adversarial_gradient)
            ]
            weight = weight * ratio_of_norms(*norms)
        heads: list[Tensor] = [restored]
        gradients: list[Any] = [(image_gradient + weight * adversarial_gradient) / accumulate]
        if outcome.other_loss is not None:
            heads.append(outcome.other_loss)
            gradients.append(torch.full_like(outcome.other_loss, 1 / accumulate))
        torch.autograd.backward(heads, gradients)

        real_logits, fake_logits = self.net(hq), self.net(restored.detach())
        d_loss = discriminator_loss(self.stage.adversarial, real_logits, fake_logits)
        (d_loss / accumulate).backward()
        total = total + weight * adversarial.detach()
        logs = {
            "loss": total,
            "gan/restorer": adversarial,
            "gan/discriminator": d_loss,
            "gan/weight": weight,
            "gan/real": real_logits.float().mean(),
            "gan/fake": fake_logits.float().mean(),
        }
        return (total + d_loss.detach()).item(), logs

    def step(self, accelerator: Accelerator, step: int) -> None:
        """The discriminator's step of the optimizer."""
        if any(p.grad is not None for p in self.net.parameters()):
            average_gradients(accelerator, self.net.parameters())
            if self.stage.clip_norm:
                nn.utils.clip_grad_norm_(self.net.parameters(), self.stage.clip_norm)
            self.optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        return {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
