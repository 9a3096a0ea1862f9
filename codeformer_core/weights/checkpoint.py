"""Checkpoint files: reading without running code, networks from them, writing safetensors."""

import json
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..forking import survive_fork
from ..networks.codeformer import CodeFormer
from ..networks.config import UNTOLD, CodeFormerConfig, VQConfig, codeformer_config, config_to_json, vq_config
from ..networks.state_dicts import CheckpointError, check_whole, identify, unwrap
from ..networks.vqgan import VQAutoEncoder
from ..whole_files import whole_file
from .precision import Numbers, mix
from .variants import BASE_KEY, HASH_KEY, base_path, completed

CONFIG_KEY = "codeformer_config"
# What reading a damaged file may raise besides SafetensorError and UnpicklingError.
DAMAGED = (
    *(RuntimeError, ValueError, LookupError, ArithmeticError, AttributeError, TypeError, AssertionError),
    *(EOFError, ImportError, MemoryError, RecursionError, struct.error, zipfile.BadZipFile),
)


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint file holds."""

    path: Path
    kind: str  # a name of SIGNATURES, or "network of an unknown kind"
    config: CodeFormerConfig | VQConfig | None  # for CodeFormer and VQ autoencoders
    tensors: int
    parameters: int
    dtypes: tuple[str, ...]
    metadata: dict[str, str]
    problem: str  # why it does not load as that kind; empty if it does, or for other networks


Net = TypeVar("Net", bound=nn.Module)


def load_codeformer(
    path: str | Path, *, device: torch.device | str = "cpu", dtype: Numbers | None = None
) -> CodeFormer:
    """A CodeFormer for inference from a .safetensors or .pth file: in eval mode, without gradients, channels last.

    Sizes come from the parameters' shapes and, where there is one, from the config in the file's metadata. `dtype` None
    is float32, and "mixed" half precision where it does no harm (`weights.precision`). Raises FileNotFoundError, or
    CheckpointError if the file is damaged or holds another network.
    """
    state, metadata = read_state_dict(path)
    with naming(path):
        net = CodeFormer.from_state_dict(state, known_config(metadata))
    return for_inference(net, device=device, dtype=dtype)


def load_vq_autoencoder(
    path: str | Path, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> VQAutoEncoder:
    """As `load_codeformer`, for the autoencoder of stage I; takes the one out of a CodeFormer checkpoint too."""
    state, metadata = read_state_dict(path)
    with naming(path):
        known = known_config(metadata)
        if identify(state) == "CodeFormer":
            known = asdict(codeformer_config(state, known).vq)
            state = {k: v for k, v in state.items() if k.startswith(("encoder.", "quantize.", "generator."))}
        net = VQAutoEncoder.from_state_dict(state, known)
    return for_inference(net, device=device, dtype=dtype)


def for_inference(net: Net, *, device: torch.device | str = "cpu", dtype: Numbers | None = None) -> Net:
    """The network on a device, channels last (faster convolutions on CPUs and GPUs), fixed."""
    survive_fork()
    net = net.to(device=device, dtype=dtype if isinstance(dtype, torch.dtype) else torch.float32)
    if dtype == "mixed":
        mix(net)
    net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return net.eval().requires_grad_(False)


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Puts the file's name in front of a CheckpointError."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def read_state_dict(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a .safetensors, .pth, .pt or .ckpt file, unwrapped, on the CPU, and its safetensors metadata.

    Those of a variant (`weights.variants`) come whole, with what it shares with its base.
    Both formats are memory-mapped where they can be. Pickles are read with weights_only, so no code of theirs is run.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise CheckpointError(f"{path}: is a folder or a device, not a file; give a .safetensors or .pth file")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint file; give the path of a .safetensors or .pth file")
    if not path.stat().st_size:
        raise CheckpointError(f"{path}: is empty; fetch it again")
    metadata: dict[str, str] = {}
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
            content: Any = load_file(path)
        except (SafetensorError, *DAMAGED) as error:
            reason = _first_line(error)
            raise CheckpointError(f"{path}: damaged or not a safetensors file ({reason}); fetch it again") from error
    else:
        content = _read_pickle(path)
    with naming(path):
        state = unwrap(content)
        check_whole(state)
        if (base := base_path(metadata)) is not None:
            return _whole_variant(state, metadata, base)
    return state, metadata


def _whole_variant(
    state: dict[str, Tensor], metadata: dict[str, str], base: Path
) -> tuple[dict[str, Tensor], dict[str, str]]:
    known = known_config(metadata)
    if not known:
        raise CheckpointError(f"is a variant of {metadata[BASE_KEY]!r} without {CONFIG_KEY}; fetch it again")
    shared, facts = read_state_dict(base)
    try:
        config, of_base = CodeFormerConfig(**known), codeformer_config(shared, known_config(facts))
    except UNTOLD as error:
        raise CheckpointError(f"{CONFIG_KEY} in its metadata makes no network ({error}); fetch it again") from error
    if config.without_cft != of_base.without_cft:
        raise CheckpointError(f"{CONFIG_KEY} in its metadata is not that of {metadata[BASE_KEY]!r}; fetch it again")
    with torch.device("meta"):
        wanted = set(CodeFormer(config).state_dict())
    whole = completed(state, shared, wanted, metadata)
    return whole, {key: value for key, value in metadata.items() if key not in (BASE_KEY, HASH_KEY)}


def _read_pickle(path: Path) -> Any:
    with path.open("rb") as file:
        head = file.read(16)
    if head[8:10] == b'{"':  # after the length of its header
        raise CheckpointError(f"{path}: is a safetensors file by another name; rename it to {path.stem}.safetensors")
    zipped = zipfile.is_zipfile(path)
    if zipped and _is_compressed(path):
        raise CheckpointError(
            f"{path}: its records are compressed, which torch.save does not do; save it again with it"
        )
    if not zipped and not head.startswith(b"\x80"):  # with which every binary pickle begins
        raise CheckpointError(
            f"{path}: not a PyTorch checkpoint, or a damaged one (begins with {head!r}); fetch it again"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # on pickle protocols that torch.save does not use
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        if refused := re.search(r"Unsupported (?:global: GLOBAL |class |operand )\S+", str(error)):
            raise CheckpointError(
                f"{path}: refused, since this pickle could run code besides holding tensors ({refused[0]}); "
                "get the checkpoint as .safetensors, or from a source that you trust and re-save its state dict"
            ) from error
        raise CheckpointError(f"{path}: not a PyTorch checkpoint, or a damaged one; fetch it again") from error
    except DAMAGED as error:
        reason = _first_line(error)
        raise CheckpointError(f"{path}: damaged or not a PyTorch checkpoint ({reason}); fetch it again") from error


def _is_compressed(path: Path) -> bool:
    """Whether a zip file could hold more than its own size."""
    try:
        with zipfile.ZipFile(path) as file:
            return any(record.compress_type != zipfile.ZIP_STORED for record in file.infolist())
    except DAMAGED as error:
        raise CheckpointError(f"{path}: is a damaged zip file ({_first_line(error)}); fetch it again") from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__


def known_config(metadata: Mapping[str, str]) -> dict[str, Any]:
    """The config that a file's metadata holds, as a dict; empty if there is none."""
    try:
        known = json.loads(metadata.get(CONFIG_KEY, "{}"))
    except (ValueError, RecursionError):
        known = None
    if not isinstance(known, dict) or not isinstance(known.get("vq", {}), dict):
        raise CheckpointError(
            f"{CONFIG_KEY} in its metadata is not a config: {metadata[CONFIG_KEY][:80]!r}; fetch it again"
        )
    return known


def read_config(state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> CodeFormerConfig | VQConfig | None:
    """The config of a CodeFormer or VQ autoencoder state dict with its metadata; None for another network."""
    read = {"CodeFormer": codeformer_config, "VQ autoencoder": vq_config}.get(identify(state))
    return None if read is None else read(state, known_config(metadata))


def checkpoint_info(path: str | Path) -> CheckpointInfo:
    """What a checkpoint file holds, whatever network it is of."""
    state, metadata = read_state_dict(path)
    with naming(path):
        config = read_config(state, metadata)
    try:
        build(state, metadata)
        problem = ""
    except CheckpointError as error:
        problem = str(error)
    return CheckpointInfo(
        path=Path(path),
        kind=identify(state),
        config=config,
        tensors=len(state),
        parameters=sum(t.numel() for t in state.values()),
        dtypes=tuple(sorted({str(t.dtype).removeprefix("torch.") for t in state.values()})),
        metadata=metadata,
        problem=problem,
    )


def build(state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> CodeFormer | VQAutoEncoder | None:
    """The network of a state dict with its metadata, sharing its tensors; None if it is neither of the two."""
    kinds = {"CodeFormer": CodeFormer, "VQ autoencoder": VQAutoEncoder}
    cls = kinds.get(identify(state))
    return None if cls is None else cls.from_state_dict(state, known_config(metadata))


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
    with naming(source):
        net = build(state, metadata)  # a damaged file is found out before anything is written
    facts = {k: v for k, v in metadata.items() if k not in ("format", CONFIG_KEY)}
    save_checkpoint(target, state, None if net is None else net.config, facts)
    return checkpoint_info(target)
