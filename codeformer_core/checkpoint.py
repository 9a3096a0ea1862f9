"""Checkpoint files: reading without running code, telling what a file holds, loading strictly, writing safetensors."""

import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .codeformer import CodeFormer
from .config import CodeFormerConfig, VQConfig, codeformer_config, config_to_json, vq_config
from .vqgan import VQAutoEncoder
from .whole_files import whole_file

WRAPPERS = ("params_ema", "params", "state_dict")  # in this order: averaged weights are preferred
CONFIG_KEY = "codeformer_config"

# What a file is, told by parameter names that only such a network has; the first row that fits.
SIGNATURES = (
    (
        "CodeFormer",
        ("position_emb", "idx_pred_layer.1.weight", "quantize.embedding.weight", "generator.blocks.0.weight"),
    ),
    ("VQ autoencoder", ("quantize.embedding.weight", "encoder.blocks.0.weight", "generator.blocks.0.weight")),
    ("PatchGAN discriminator", ("main.0.weight", "main.2.weight", "main.3.running_mean")),
    ("GFPGAN", ("stylegan_decoder.",)),
    ("RestoreFormer", ("quantize.embedding.weight", "post_quant_conv.weight")),
    ("GPEN", ("generator.style.1.weight",)),
    ("RetinaFace detector", ("ClassHead.0.conv1x1.weight",)),
    ("ParseNet face parser", ("out_mask_conv.conv2d.weight",)),
    ("BiSeNet face parser", ("cp.resnet.conv1.weight",)),
    ("ESRGAN upscaler", ("conv_first.weight", "conv_body.weight")),
    ("Stable Diffusion model", ("model.diffusion_model.",)),
    ("VAE of a diffusion model", ("quant_conv.weight", "decoder.conv_in.weight")),
)


class CheckpointError(ValueError):
    """A file that is not the checkpoint that was wanted; the message says what it is and what to do."""


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint file holds."""

    path: Path
    kind: str  # a name of SIGNATURES, or "unknown network"
    config: CodeFormerConfig | VQConfig | None  # for CodeFormer and VQ autoencoders
    tensors: int
    parameters: int
    dtypes: tuple[str, ...]
    metadata: dict[str, str]


Net = TypeVar("Net", CodeFormer, VQAutoEncoder)


def load_codeformer(
    path: str | Path, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> CodeFormer:
    """A CodeFormer for inference from a .safetensors or .pth file: in eval mode, without gradients, channels last.

    Sizes come from the parameters' shapes and, where there is one, from the config in the file's metadata. `dtype` None
    is float32. Raises FileNotFoundError, or CheckpointError if the file is damaged or holds another network.
    """
    state, metadata = read_state_dict(path)
    return for_inference(build(CodeFormer, state, metadata, path), device=device, dtype=dtype)


def load_vq_autoencoder(
    path: str | Path, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> VQAutoEncoder:
    """As `load_codeformer`, for the autoencoder of stage I; takes the one out of a CodeFormer checkpoint too."""
    state, metadata = read_state_dict(path)
    if identify(state) == "CodeFormer":
        config = json.loads(metadata[CONFIG_KEY])["vq"] if CONFIG_KEY in metadata else {}
        image_size = vq_config(state, config).image_size
        metadata = {CONFIG_KEY: json.dumps({**config, "image_size": image_size})}
        state = {k: v for k, v in state.items() if k.startswith(("encoder.", "quantize.", "generator."))}
    return for_inference(build(VQAutoEncoder, state, metadata, path), device=device, dtype=dtype)


def for_inference(net: nn.Module, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None) -> Any:
    """The network on a device, channels last (faster convolutions on CPUs and GPUs), fixed."""
    net = net.to(device=device, dtype=dtype or torch.float32)
    return net.to(memory_format=torch.channels_last).eval().requires_grad_(False)


def read_state_dict(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a .safetensors, .pth, .pt or .ckpt file, unwrapped, on the CPU, and its safetensors metadata.

    Both formats are memory-mapped where they can be. Pickles are read with weights_only, so no code of theirs is run.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint file; give the path of a .safetensors or .pth file")
    metadata: dict[str, str] = {}
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
            content: Any = load_file(path)
        except SafetensorError as error:
            raise CheckpointError(f"{path}: damaged or not a safetensors file ({error}); fetch it again") from error
    else:
        content = _read_pickle(path)
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, not a state dict of named tensors")
    state = {str(name).removeprefix("module."): t for name, t in content.items() if isinstance(t, Tensor)}
    if not state:
        raise CheckpointError(f"{path}: holds no named tensors; give a checkpoint with a state dict")
    return state, metadata


def _read_pickle(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        if "weights_only" in str(error) or "Unsupported" in str(error):
            raise CheckpointError(
                f"{path}: refused, since this pickle wants to run code besides holding tensors; "
                "get the checkpoint as .safetensors, or from a source that you trust and re-save its state dict"
            ) from error
        raise CheckpointError(f"{path}: not a PyTorch checkpoint, or a damaged one; fetch it again") from error
    except (RuntimeError, EOFError, KeyError, ValueError, IndexError, AttributeError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: damaged or not a PyTorch checkpoint ({reason}); fetch it again") from error


def identify(state: Mapping[str, Tensor]) -> str:
    """What network a state dict belongs to, in words."""
    for kind, signs in SIGNATURES:
        if all(any(name == s or (s.endswith(".") and name.startswith(s)) for name in state) for s in signs):
            return kind
    return "unknown network"


def build(cls: type[Net], state: Mapping[str, Tensor], metadata: Mapping[str, str], path: str | Path) -> Net:
    """The network of a state dict, made on the meta device and given the tensors themselves (no second copy)."""
    wanted = "CodeFormer" if cls is CodeFormer else "VQ autoencoder"
    kind = identify(state)
    config = read_config(state, metadata, path) if kind == wanted else None
    if config is None:
        first = next(iter(state))
        raise CheckpointError(f"{path}: holds a {kind} ({len(state)} tensors, first {first!r}), expected a {wanted}")
    with torch.device("meta"):
        net = cls(config)  # pyright: ignore[reportArgumentType]
    load_whole(net, state, wanted, path, assign=True)
    return net


def load_whole(
    net: nn.Module, state: Mapping[str, Tensor], what: str, path: str | Path, *, assign: bool = False
) -> None:
    """Load a state dict strictly; one CheckpointError of one line names the first parameters that do not fit."""
    expected = net.state_dict()
    problems = [f"missing {name}" for name in expected if name not in state]
    problems += [f"unexpected {name}" for name in state if name not in expected]
    problems += [
        f"{name} is {tuple(state[name].shape)}, expected {tuple(t.shape)}"
        for name, t in expected.items()
        if name in state and state[name].shape != t.shape
    ]
    if problems:
        more = f" and {len(problems) - 4} more" if len(problems) > 4 else ""
        raise CheckpointError(f"{path}: not a whole {what} checkpoint: {'; '.join(problems[:4])}{more}")
    net.load_state_dict(state, assign=assign)


def read_config(
    state: Mapping[str, Tensor], metadata: Mapping[str, str], path: str | Path = "checkpoint"
) -> CodeFormerConfig | VQConfig | None:
    """The config of a CodeFormer or VQ autoencoder state dict with its metadata; None for another network."""
    read = {"CodeFormer": codeformer_config, "VQ autoencoder": vq_config}.get(identify(state))
    if read is None:
        return None
    try:
        return read(state, json.loads(metadata.get(CONFIG_KEY, "{}")))
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{path}: the sizes of its network cannot be told ({error!r}); is the file whole?"
        ) from error


def checkpoint_info(path: str | Path) -> CheckpointInfo:
    """What a checkpoint file holds, whatever network it is of."""
    state, metadata = read_state_dict(path)
    return CheckpointInfo(
        path=Path(path),
        kind=identify(state),
        config=read_config(state, metadata, path),
        tensors=len(state),
        parameters=sum(t.numel() for t in state.values()),
        dtypes=tuple(sorted({str(t.dtype).removeprefix("torch.") for t in state.values()})),
        metadata=metadata,
    )


def save_checkpoint(
    path: str | Path,
    state: Mapping[str, Tensor],
    config: CodeFormerConfig | VQConfig | None = None,
    facts: Mapping[str, str] | None = None,
) -> None:
    """Write tensors as safetensors, with the config and any facts (str to str) in the metadata; whole or not at all."""
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: checkpoints are written as .safetensors; choose a name that ends so")
    metadata = {"format": "pt", **(facts or {})}
    if config is not None:
        metadata[CONFIG_KEY] = config_to_json(config)
    tensors = {name: t.detach().cpu().contiguous().clone() for name, t in state.items()}  # none share their memory
    with whole_file(path) as unfinished:
        try:
            save_file(tensors, unfinished, metadata)
        except SafetensorError as error:
            raise OSError(str(error)) from error


def convert(source: str | Path, target: str | Path) -> CheckpointInfo:
    """Rewrite a checkpoint as safetensors with its config in the metadata; float values are kept as they are."""
    state, metadata = read_state_dict(source)
    config = read_config(state, metadata, source)
    if config is not None:  # a damaged file is found out before anything is written
        if isinstance(config, CodeFormerConfig):
            build(CodeFormer, state, metadata, source)
        else:
            build(VQAutoEncoder, state, metadata, source)
    facts = {k: v for k, v in metadata.items() if k not in ("format", CONFIG_KEY)}
    save_checkpoint(target, state, config, facts)
    return checkpoint_info(target)
