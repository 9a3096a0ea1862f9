"""In which numbers a network computes: float32, half precision, or mixed, where half precision does no harm.

The codes are a choice: in half precision 3 % of them come out others, and with them another face. So `mixed` predicts
them in float32, and also decodes in float32 what is small; the large features, which take nearly all the time, are in
half precision. The result is 44 dB or more from that of float32 with the published architecture and random weights, and
58 dB with the bundled model.
"""

import logging
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..networks.codeformer import CodeFormer

logger = logging.getLogger(__name__)
PRECISIONS = ("auto", "mixed", "float32", "bfloat16", "float16")
Numbers = torch.dtype | Literal["mixed"]  # what a network may compute in
FAST_FLAGS = {"amx_bf16", "avx512_bf16"}  # of processors that multiply bfloat16 faster than float32


def numbers_for(precision: str, device: torch.device | str) -> Numbers:
    """What `load_codeformer` takes for a precision by name; `auto` is mixed where that is known to be faster.

    That is on processors with AMX or AVX-512 for bfloat16. Graphics cards are not measured yet: float32.
    Another that is asked for is taken, and where it is known to be slower, the log says so.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision is one of {', '.join(PRECISIONS)}, got {precision!r}")
    if precision == "auto":
        return "mixed" if str(device) == "cpu" and multiplies_bfloat16() else torch.float32
    if precision in ("mixed", "bfloat16") and str(device) == "cpu" and multiplies_bfloat16() is False:
        logger.warning("this processor does not multiply bfloat16: %s is slower here than float32", precision)
    return "mixed" if precision == "mixed" else getattr(torch, precision)


def named(net: nn.Module) -> str:
    """What a network computes in: "mixed", or the name of its one dtype."""
    names = {str(parameter.dtype).removeprefix("torch.") for parameter in net.parameters()}
    return names.pop() if len(names) == 1 else "mixed"


def mix(net: nn.Module) -> nn.Module:
    """A float32 CodeFormer, in place, with half precision where its features are more than twice as large as its codes.

    Half precision is bfloat16, or float16 on graphics cards without it. Raises ValueError for other networks.
    """
    if not isinstance(net, CodeFormer):
        raise ValueError(f"mixed precision is for CodeFormer, got a {type(net).__name__}; give a dtype")
    half, largest = _half(next(net.parameters()).device), 2 * net.config.vq.latent_size
    larger = [i for i, size in net.generator.first_res.items() if size > largest]
    if larger:
        upsampling, *others = net.generator.blocks[min(larger) - 1 :]
        _cast_inputs(upsampling.to(half), half)
        for block in others:
            block.to(half)
    for size, fuse in net.fuse_convs_dict.items():
        if int(size) > largest:
            _cast_inputs(fuse.to(half), half)
    if net.config.gate:
        net.gate.to(half)  # it says how much of each band comes through; the bands themselves stay float32
    return net


def _cast_inputs(module: nn.Module, dtype: torch.dtype) -> None:
    def cast(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(x.to(dtype) if isinstance(x, Tensor) else x for x in inputs)

    module.register_forward_pre_hook(cast)


def _half(device: torch.device) -> torch.dtype:
    no_bfloat16 = device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.float16 if no_bfloat16 else torch.bfloat16


def multiplies_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool | None:
    """Whether this processor has instructions for it; None elsewhere than on Linux, where it is not known."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return None
    return any(FAST_FLAGS & set(line.split()) for line in lines if line.startswith("flags"))
