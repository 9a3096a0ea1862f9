"""What a run needs to go on where it stopped, written whole or not at all."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from codeformer_core.networks.state_dicts import CheckpointError
from codeformer_core.whole_files import whole_file

from .presets import StageConfig, TrainConfig

# May change between two starts of a run: how long it is, and what does not touch the weights.
FREE = ("steps", "warmup", "decay", "halve_at", "adversarial_from", "unquantized_until", "revive_until", "phases")
FREE += ("save_every", "sample_every", "validate_every", "log_every")


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a run's state; a kill at any moment leaves the old file or the new one."""
    with whole_file(path) as unfinished:
        try:
            torch.save(state, unfinished)
        except RuntimeError as error:  # how torch.save reports a full disk
            raise OSError(str(error).splitlines()[0]) from error


def load_state(path: Path, config: TrainConfig, number: int) -> dict[str, Any] | None:
    """The state of a run that was stopped, or None if there is none; CheckpointError if it was another run's."""
    if not path.is_file():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, EOFError) as error:
        raise CheckpointError(f"{path}: damaged ({error}); remove it to start the stage again") from error
    if not isinstance(state, dict) or not {"config", "origin", "step", "net"} <= state.keys():
        raise CheckpointError(f"{path}: is no state of a run; remove it to start the stage again")
    then, now, default = (json.loads(text) for text in (state["config"], run_json(config, number), _default_json()))
    changed = _changes(then, now, default)
    if changed:
        raise CheckpointError(
            f"{path}: is of a run with another config ({'; '.join(changed)}); give the same options, or another --out"
        )
    return state


def _changes(then: dict[str, Any], now: dict[str, Any], default: dict[str, Any]) -> list[str]:
    """What differs, in words. An option that was not there then had its default, which is how it was before."""
    changed = []
    for name, value in now.items():
        before = then.get(name, default.get(name))
        if isinstance(value, dict) and isinstance(before, dict):
            changed += [f"{name}.{text}" for text in _changes(before, value, default.get(name, {}))]
        elif before != value:
            changed.append(f"{name} was {before!r}, is {value!r}")
    return changed


def _default_json() -> str:
    return run_json(TrainConfig(name="", stages=(StageConfig(), StageConfig(), StageConfig())), 1)


def run_json(config: TrainConfig, number: int) -> str:
    """All of the config that a resumed run must share, as JSON."""
    everything = asdict(config)
    stage = everything.pop("stages")[number - 1]
    for name in FREE:
        stage.pop(name)
    for name in ("mixed_precision", "gates"):
        everything.pop(name)
    return json.dumps(everything | {f"stage.{name}": value for name, value in stage.items()})


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
