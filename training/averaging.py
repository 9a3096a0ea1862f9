"""Networks in training: where they lie, the average of their weights, gradients averaged over processes."""

import copy
from collections.abc import Iterable
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn


class WeightAverage:
    """A copy of a network whose weights follow it as an exponential moving average (EMA).

    In the first steps the average is over fewer: the decay is at most (1 + step) / (10 + step), so that the random
    start is soon forgotten.
    """

    def __init__(self, net: nn.Module, decay: float):
        self.decay = decay
        self.net = copy.deepcopy(net).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, net: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        averages, values = list(self.net.state_dict().values()), list(net.state_dict().values())
        torch._foreach_lerp_(averages, [v.detach() for v in values], 1 - decay)


def channels_last(net: nn.Module, device: torch.device) -> Any:
    """The network itself, moved to a device with its convolutions channels last, which is the faster layout."""
    return net.to(device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def cast_convolutions(net: nn.Module | None, dtype: torch.dtype) -> None:
    """Convert the weights of a fixed network's convolutions, in place."""
    for module in net.modules() if net is not None else ():
        if isinstance(module, nn.Conv2d):
            module.to(dtype)


def average_gradients(accelerator: Accelerator, parameters: Iterable[nn.Parameter]) -> None:
    """Replace gradients by their mean over all processes, sent as one tensor.

    Done here and not by DistributedDataParallel, since a step takes gradients of parts of its graph besides (adaptive
    weight), runs the discriminator several times, and freezes other parts in each stage.
    """
    if accelerator.num_processes == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = mean_of_processes(accelerator, torch.cat([g.flatten() for g in gradients]))
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def mean_of_processes(accelerator: Accelerator, value: Tensor) -> Tensor:
    """The mean of a tensor over all processes."""
    reduced = accelerator.reduce(value, reduction="mean")
    assert isinstance(reduced, Tensor)
    return reduced
