"""Networks in training: where they lie, the average of their weights, gradients averaged over processes."""

import copy
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


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


class SharedLosses(nn.Module):
    """A network's losses as a module: (batch, step) -> Outcome."""

    def __init__(self, net: nn.Module, losses: Callable[[dict[str, Any], int], Any]):
        super().__init__()
        self.net, self.losses = net, losses

    def forward(self, batch: dict[str, Any], step: int) -> Any:
        return self.losses(batch, step)


def shared_losses(
    accelerator: Accelerator, net: nn.Module, losses: Callable[[dict[str, Any], int], Any], *, parts_rest: bool
) -> SharedLosses | DistributedDataParallel:
    """A network's losses, whose gradients are averaged over processes while the backward pass still goes on.

    `parts_rest` says that some steps leave parts of the network out, which are then looked for in each. No buffers are
    sent: the networks have none that change. `Accelerator.prepare` would cast what the losses give; it is not used.
    """
    module = SharedLosses(net, losses)
    if accelerator.num_processes == 1:
        return module
    return DistributedDataParallel(module, broadcast_buffers=False, find_unused_parameters=parts_rest)


def without_sending(module: nn.Module) -> AbstractContextManager[None]:
    """In it, gradients of `shared_losses` are summed on each process alone: for all but the last batch of a step."""
    return module.no_sync() if isinstance(module, DistributedDataParallel) else nullcontext()


def average_gradients(accelerator: Accelerator, parameters: Iterable[nn.Parameter]) -> None:
    """Replace gradients by their mean over all processes, sent as one tensor: those of the small discriminator."""
    if accelerator.num_processes == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = mean_of_processes(accelerator, torch.cat([g.flatten() for g in gradients]))
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def check_same(accelerator: Accelerator, nets: Mapping[str, nn.Module], step: int) -> None:
    """ValueError unless the networks, by what they are called, have weights of the same checksum in all processes."""
    if accelerator.num_processes == 1:
        return
    values = {f"{name} of the {which}": t for which, net in nets.items() for name, t in net.state_dict().items()}
    sums: Any = accelerator.gather(torch.stack([_sum_of_bits(t) for t in values.values()])[None])  # (processes, n)
    differing = (sums != sums[0]).any(0).nonzero().flatten().tolist()
    if differing:
        raise ValueError(
            f"step {step}: {list(values)[differing[0]]}, and {len(differing) - 1} more of {len(values)} tensors, "
            "differ between processes, so nothing is saved; go on from the last checkpoint, which is whole, with the "
            "same versions and the same kind of card everywhere"
        )


def _sum_of_bits(t: Tensor) -> Tensor:
    integers = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    return t.detach().contiguous().view(-1).view(integers[t.element_size()]).sum(dtype=torch.int64)


def mean_of_processes(accelerator: Accelerator, value: Tensor) -> Tensor:
    """The mean of a tensor over all processes."""
    reduced = accelerator.reduce(value, reduction="mean")
    assert isinstance(reduced, Tensor)
    return reduced
