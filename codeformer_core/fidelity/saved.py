"""Fidelity plans as JSON: what each part is called there, and clear words for files that hold something else."""

import json
import stat
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..whole_files import whole_file
from .mask import FidelityMask
from .plan import AutoFidelity, FidelityPlan

MOST_BYTES = 2**30
# The parts whose keys are numbers, which JSON writes as text, and what reads them.
NUMBERED = {"frames": int, "sizes": float, "scales": int}
EXAMPLE = '{"base": 0.7, "regions": {"eyes": 1}, "scales": {"32": 0.5}}'


def plan_to_json(plan: FidelityPlan) -> dict[str, Any]:
    """JSON values of all parts that differ from an empty plan's; `plan_from_json` gives an equal plan."""
    saved: dict[str, Any] = {}
    if plan.base is not None:
        saved["base"] = {"auto": asdict(plan.base)} if isinstance(plan.base, AutoFidelity) else plan.base
    for name in ("frames", "sizes", "regions", "scales"):
        if part := getattr(plan, name):
            saved[name] = {str(key): w for key, w in part.items()}
    if plan.faces:
        saved["faces"] = list(plan.faces)
    if plan.mask is not None:
        saved["mask"] = plan.mask.to_json()
    if plan.outside:
        saved["outside"] = plan.outside
    return saved


def plan_from_json(saved: Any) -> FidelityPlan:
    """The plan of such values; ValueError that says what is wrong with others."""
    if not isinstance(saved, Mapping):
        raise ValueError(f"a fidelity plan is an object such as {EXAMPLE}")
    known = ("base", "frames", "sizes", "faces", "regions", "mask", "outside", "scales")
    if unknown := [str(name) for name in saved if name not in known]:
        raise ValueError(f"a fidelity plan has no part called {', '.join(unknown)}: there are {', '.join(known)}")
    parts = dict(saved)
    for name in ("frames", "sizes", "regions", "scales"):
        if name in parts:
            parts[name] = _named(name, parts[name])
    if isinstance(parts.get("base"), Mapping):
        parts["base"] = _automatic(parts["base"])
    if "faces" in parts:
        if not isinstance(parts["faces"], list):
            raise ValueError(f"faces of a fidelity plan is a list of weights, got {parts['faces']!r}")
        parts["faces"] = tuple(parts["faces"])
    if "mask" in parts:
        if not isinstance(parts["mask"], Mapping):
            raise ValueError(f"the mask of a fidelity plan is what was saved of one, got {parts['mask']!r:.80}")
        parts["mask"] = FidelityMask.from_json(parts["mask"])
    return FidelityPlan(**parts)


def read_plan(path: Path) -> FidelityPlan:
    """The plan of a JSON file; ValueError that names the file, OSError if it cannot be read."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_BYTES:
        raise ValueError(f"{path}: is no ordinary file, or too large for a fidelity plan")
    try:
        return plan_from_json(json.loads(path.read_text(encoding="utf-8-sig")))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: is no JSON; a fidelity plan is an object such as {EXAMPLE}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def write_plan(path: Path, plan: FidelityPlan) -> None:
    """Save a plan, whole or not at all; OSError where the disk does not take it."""
    with whole_file(path) as unfinished:
        unfinished.write_text(json.dumps(plan_to_json(plan), indent=2) + "\n", encoding="utf-8")


def _named(name: str, values: Any) -> dict[Any, Any]:
    if not isinstance(values, Mapping):
        keys = "regions" if name == "regions" else "numbers"
        raise ValueError(f"{name} of a fidelity plan is an object of {keys} and weights, got {values!r}")
    read = NUMBERED.get(name, str)
    try:
        named = {read(key): w for key, w in values.items()}
    except ValueError as error:
        raise ValueError(f"the keys of {name} of a fidelity plan are numbers, got {list(values)}") from error
    if len(named) < len(values):
        raise ValueError(f"{name} of a fidelity plan names {list(values)}, one of them twice")
    return named


def _automatic(base: Mapping[str, Any]) -> AutoFidelity:
    limits = base.get("auto")
    if set(base) != {"auto"} or not isinstance(limits, Mapping) or not set(limits) <= {"low", "high"}:
        raise ValueError(
            f'the base of a fidelity plan is a number or {{"auto": {{"low": 0, "high": 1}}}}, got {dict(base)}'
        )
    return AutoFidelity(**limits)
