"""How much of the codebook is used, and new starts for the items that are not."""

import torch
from einops import rearrange
from torch import Tensor

from ..draws import draws


class CodeUsage:
    """Counts how often each code item was chosen since the last `reset`; codes of all processes are given to it."""

    def __init__(self, codebook_size: int, device: torch.device | str = "cpu"):
        self.counts = torch.zeros(codebook_size, dtype=torch.long, device=device)

    def add(self, counts: Tensor) -> None:
        """`counts` (K,) of one step."""
        self.counts += counts

    def reset(self) -> None:
        self.counts.zero_()

    @property
    def used(self) -> Tensor:
        """The share of items that were chosen at least once."""
        return (self.counts > 0).float().mean()

    @property
    def perplexity(self) -> Tensor:
        """exp of the entropy of the choices, 1 to K: how many items do the work."""
        return torch.special.entr(self.counts / self.counts.sum().clamp_min(1)).sum().exp()


def count_codes(codes: Tensor, codebook_size: int) -> Tensor:
    """How often each item occurs (K,) in codes of any shape."""
    codes = codes.flatten()  # torch.bincount would wait for the card
    return torch.zeros(codebook_size, dtype=torch.long, device=codes.device).scatter_add_(
        0, codes, torch.ones_like(codes)
    )


@torch.no_grad()
def revive(
    codebooks: list[Tensor],
    unused: Tensor,
    z: Tensor,
    *,
    optimizer: torch.optim.Optimizer,
    seed: int,
    step: int,
) -> int:
    """Put encoder outputs in the place of the unused items; gives how many.

    `codebooks` (K, d) are the network's, first, and its average; `unused` is (K,) bool and `z` the encoder's outputs
    (b, d, n, n) of all processes. The choice is drawn from (seed, step). What Adam remembers of an old item is cleared.
    """
    items = unused.nonzero().flatten()
    if not len(items):
        return 0
    outputs = rearrange(z.float(), "b d h w -> (b h w) d")
    generator = draws(seed, step, "revived items")
    chosen = torch.cat(
        [torch.randperm(len(outputs), generator=generator) for _ in range(-(-len(items) // len(outputs)))]
    )[: len(items)].to(outputs.device)
    for codebook in codebooks:
        codebook[items] = outputs[chosen].to(codebook)
    for value in optimizer.state.get(codebooks[0], {}).values():
        if isinstance(value, Tensor) and value.shape == codebooks[0].shape:
            value[items] = 0
    return len(items)
