"""What a run computes on, and in what numbers on graphics cards."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator

from codeformer_core.weights.precision import multiplies_bfloat16

logger = logging.getLogger(__name__)


def accelerator_for(mixed_precision: str, **options: Any) -> Accelerator:
    """Accelerate's entry to this machine's cards, or to its processor where it has none; `options` are its own.

    In place of bfloat16 a processor that does not multiply it takes float32, which is many times faster there.
    """
    on_cpu = not torch.cuda.is_available() and not torch.backends.mps.is_available()
    if on_cpu and mixed_precision == "bf16" and multiplies_bfloat16() is False:
        logger.warning("this processor does not multiply bfloat16: training in float32")
        mixed_precision = "no"
    accelerator = Accelerator(mixed_precision=mixed_precision, cpu=on_cpu, **options)
    use_quick_kernels(accelerator.device)
    return accelerator


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
