"""Variants of a bundled model: files that hold only the tensors in which they differ from it.

`base` in the metadata of the safetensors file names the model, `base_sha256` is `tensors_hash` of its tensors.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..networks.state_dicts import CheckpointError

ASSETS = Path(__file__).parents[1] / "assets"
BASES = {"mini": ASSETS / "mini.safetensors"}
BASE_KEY, HASH_KEY = "base", "base_sha256"


def tensors_hash(state: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, kinds, shapes and values of a state dict, in hex; how the file lays them out does not count."""
    sha = hashlib.sha256()
    for name in sorted(state):
        t = state[name].detach().cpu().contiguous()
        sha.update(f"{name} {t.dtype} {tuple(t.shape)}\n".encode())
        sha.update(t.reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


def difference(state: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a network that its base does not have with these very values."""
    return {name: t for name, t in state.items() if name not in base or not torch.equal(t, base[name])}


def completed(
    state: Mapping[str, Tensor], base: Mapping[str, Tensor], wanted: set[str], metadata: Mapping[str, str]
) -> dict[str, Tensor]:
    """The whole state dict of a variant, of the names `wanted`; CheckpointError if it was made from another base."""
    name = metadata[BASE_KEY]
    if (found := tensors_hash(base)) != metadata.get(HASH_KEY):
        raise CheckpointError(
            f"was made from another {name!r} (its tensors have the hash {str(metadata.get(HASH_KEY))[:12]}, those "
            f"installed {found[:12]}); take the file that came with this version, or train it again"
        )
    return {**{name: t for name, t in base.items() if name in wanted}, **state}


def base_path(metadata: Mapping[str, str]) -> Path | None:
    """The file of a variant's base, None if it is whole by itself; CheckpointError if there is no such base."""
    name = metadata.get(BASE_KEY)
    if name is None:
        return None
    if name not in BASES:
        raise CheckpointError(f"is a variant of {name!r}, and there are only variants of {', '.join(BASES)}")
    if not BASES[name].is_file():
        raise CheckpointError(f"is a variant of {name!r}, and {BASES[name]} is missing: install codeformer again")
    return BASES[name]
