"""State dicts: unwrapping them, telling what network they belong to, and loading them strictly with one clear error."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

WRAPPERS = ("params_ema", "params", "state_dict")  # in this order: averaged weights are preferred
MAX_WRAPPERS = 9  # one inside the other; a pickle can hold itself
MAX_SHARING = 8  # times that the tensors of a file may be larger than what they share

# What a network is, told by parameter names that only it has ("name." is a prefix); the first row that fits.
SIGNATURES = (
    ("CodeFormer", ("position_emb", "idx_pred_layer.1.weight", "quantize.embedding.weight", "generator.")),
    ("CodeFormer", ("lookup.", "quantize.embedding.weight", "encoder.blocks.0.weight", "generator.")),  # an ablation's
    ("VQ autoencoder", ("quantize.embedding.weight", "encoder.blocks.0.weight", "generator.")),
    ("PatchGAN discriminator", ("main.0.weight", "main.2.weight", "main.3.running_mean")),
    ("GFPGAN", ("stylegan_decoder.",)),
    ("RestoreFormer", ("quantize.embedding.weight", "post_quant_conv.weight")),
    ("RetinaFace detector", ("ClassHead.0.conv1x1.weight",)),
    ("ParseNet face parser", ("out_mask_conv.conv2d.weight",)),
    ("BiSeNet face parser", ("cp.resnet.conv1.weight",)),
    ("super-resolution network (ESRGAN)", ("conv_first.weight", "conv_body.weight")),
    ("Stable Diffusion model", ("model.diffusion_model.",)),
    ("VAE of a diffusion model", ("quant_conv.weight", "decoder.conv_in.weight")),
)


class CheckpointError(ValueError):
    """Not the checkpoint that was wanted; the message says what it is and what to do."""


def unwrap(content: Any) -> dict[str, Tensor]:
    """The named tensors in what a checkpoint file holds, in up to 9 `WRAPPERS`, without the prefix `module.`."""
    for _ in range(MAX_WRAPPERS):
        if not isinstance(content, Mapping):
            break
        content = next((content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)), content)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"holds a {type(content).__name__}, not a state dict of named tensors")
    named = ((name, t) for name, t in content.items() if isinstance(name, str) and isinstance(t, Tensor))
    state = {name.removeprefix("module."): t for name, t in named}
    if not state:
        raise CheckpointError("holds no named tensors; give a checkpoint with a state dict")
    return state


def check_whole(state: Mapping[str, Tensor]) -> None:
    """CheckpointError unless every tensor is dense, in memory, and no larger than the values that it is made of.

    A few bytes can claim to be a tensor of any size (an expanded, sparse or meta tensor), or many of one size.
    """
    remedy = "save it as an ordinary tensor (.contiguous().clone()) first"
    stored: dict[int, int] = {}  # address to bytes
    for name, t in state.items():
        if t.layout != torch.strided or t.is_quantized or t.is_nested:
            kind = "quantized" if t.is_quantized else "nested" if t.is_nested else str(t.layout).removeprefix("torch.")
            raise CheckpointError(f"{name} is a {kind} tensor; {remedy}")
        if t.device.type != "cpu":
            raise CheckpointError(f"{name} holds no values (device {t.device}); save the network from a CPU or GPU")
        storage = t.untyped_storage()
        stored[storage.data_ptr()] = storage.nbytes()
        if t.numel() * t.element_size() > storage.nbytes():
            raise CheckpointError(f"{name} is {tuple(t.shape)} of {storage.nbytes()} bytes repeated; {remedy}")
    claimed = sum(t.numel() * t.element_size() for t in state.values())
    if claimed > MAX_SHARING * sum(stored.values()):
        raise CheckpointError(
            f"its {len(state)} tensors claim {claimed} bytes and share {sum(stored.values())}; {remedy}"
        )


def identify(state: Mapping[str, Tensor]) -> str:
    """What network a state dict belongs to, in words; "network of an unknown kind" if it is none of `SIGNATURES`."""
    for kind, signs in SIGNATURES:
        if all(any(name == s or (s.endswith(".") and name.startswith(s)) for name in state) for s in signs):
            return kind
    return "network of an unknown kind"


def require(state: Mapping[str, Tensor], kind: str) -> None:
    """CheckpointError unless a state dict is of the network `kind`."""
    if (found := identify(state)) != kind:
        first = repr(next(iter(state))) if state else "none"
        raise CheckpointError(f"holds a {found} ({len(state)} entries, first {first}), expected a {kind}")


def load_strictly(net: nn.Module, state: Mapping[str, Tensor], kind: str, *, assign: bool = False) -> None:
    """Load every parameter; one CheckpointError of one line names the first that do not fit."""
    expected = net.state_dict()
    problems = [f"missing {name}" for name in expected if name not in state]
    problems += [f"unexpected {name}" for name in state if name not in expected]
    problems += [
        f"{name} is {tuple(state[name].shape)}, expected {tuple(t.shape)}"
        for name, t in expected.items()
        if name in state and state[name].shape != t.shape
    ]
    problems += [
        f"{name} is {state[name].dtype}, expected floating point"
        for name, t in expected.items()
        if name in state and t.is_floating_point() and not state[name].is_floating_point()
    ]
    if problems:
        more = f" and {len(problems) - 4} more" if len(problems) > 4 else ""
        raise CheckpointError(f"not a whole {kind} checkpoint: {'; '.join(problems[:4])}{more}")
    net.load_state_dict(state, assign=assign)
