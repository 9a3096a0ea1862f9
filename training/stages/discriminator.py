"""The patch discriminator of stages I and III (PatchGAN, Isola et al., arXiv 1611.07004)."""

from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn


class Discriminator(nn.Module):
    """One logit per overlapping patch: above 0 for real faces. Parameters are named as in the published checkpoint."""

    def __init__(self, *, width: int = 64, n_downs: int = 4):
        super().__init__()
        widths = [width * min(2**i, 8) for i in range(n_downs)] + [width * min(2**n_downs, 8)]
        blocks: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for i, (c_in, c) in enumerate(pairwise(widths), 1):
            stride = 2 if i < n_downs else 1
            blocks += [nn.Conv2d(c_in, c, 4, stride, padding=1, bias=False), BatchNorm(c), nn.LeakyReLU(0.2)]
        blocks.append(nn.Conv2d(widths[-1], 1, 4, padding=1))
        self.main = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:  # (b, 3, s, s) in [-1, 1] -> (b, 1, n, n)
        return self.main(x)


class BatchNorm(nn.BatchNorm2d):
    """Batch norm over the batch of all processes, on any device (PyTorch's SyncBatchNorm needs a GPU)."""

    def forward(self, input: Tensor) -> Tensor:  # (b, c, h, w) -> (b, c, h, w)
        if not (self.training and dist.is_initialized() and dist.get_world_size() > 1):
            return super().forward(input)
        x = input.float()
        mean = _MeanOfProcesses.apply(x.mean((0, 2, 3)))
        centred = x - mean[:, None, None]
        var = _MeanOfProcesses.apply(centred.square().mean((0, 2, 3)))
        n = dist.get_world_size() * x.numel() // x.shape[1]
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            self.running_mean.lerp_(mean, self.momentum or 0.0)
            self.running_var.lerp_(var * n / (n - 1), self.momentum or 0.0)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked += 1
        scale = self.weight * (var + self.eps).rsqrt()
        return torch.addcmul(self.bias[:, None, None], centred, scale[:, None, None]).to(input.dtype)


class _MeanOfProcesses(torch.autograd.Function):
    """The mean of a tensor over all processes; so is its gradient, since every process has the mean in its loss."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total / dist.get_world_size()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _MeanOfProcesses.forward(ctx, grad)


def discriminator_loss(kind: str, real: Tensor, fake: Tensor, weights: Tensor | None = None) -> Tensor:
    """What the discriminator minimises, from its logits (b, 1, n, n) of real and restored faces.

    "hinge" (Lim & Ye, arXiv 1705.02894), or "log": minus Eq. 2 of the paper, log D(real) + log(1 - D(fake)). `weights`
    (b,) say how much each real face counts; without them, 1.
    """
    real, fake = real.float(), fake.float()
    if kind == "hinge":
        return (weighted_mean(F.relu(1 - real), weights) + F.relu(1 + fake).mean()) / 2
    return weighted_mean(F.softplus(-real), weights) + F.softplus(fake).mean()


def weighted_mean(x: Tensor, weights: Tensor | None) -> Tensor:
    """The mean of (b, ...) with each face times its weight (b,)."""
    return x.mean() if weights is None else (x.flatten(1).mean(1) * weights).mean()


def adversarial_loss(kind: str, fake: Tensor) -> Tensor:
    """What the restorer minimises, from the logits of its faces; "log" is the non-saturating form of Eq. 2."""
    return -fake.float().mean() if kind == "hinge" else F.softplus(-fake.float()).mean()
