"""What numbers a step computes in on graphics cards."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def use_quick_kernels(device: torch.device) -> None:
    """On a card: products of float32 in TF32, and the fastest kernel for each shape, since all steps have the same."""
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True


@contextmanager
def exact_distances(device: torch.device) -> Iterator[None]:
    """Float32 throughout, without autocast and TF32: near items of the codebook are told apart by small differences."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
