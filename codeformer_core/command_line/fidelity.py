"""The fidelity plan that `codeformer restore` is asked for: -w and its relatives."""

import argparse
import re
from dataclasses import replace
from pathlib import Path

from ..fidelity.apply import check_scales
from ..fidelity.plan import AutoFidelity, FidelityPlan, as_plan
from ..fidelity.saved import read_plan
from ..weights.checkpoint import checkpoint_info

NUMBER = r"\d*\.?\d+"
LIMITS = re.compile(rf"auto(?::({NUMBER})-({NUMBER}))?")


def fidelity_plan(args: argparse.Namespace, usual: float, model: Path) -> FidelityPlan:
    """The plan that the options make: the file's, what stands beside it in its place; `usual` where nothing is given.

    Raises ValueError that lists what there is for scales that the model lacks.
    """
    plan = FidelityPlan() if args.w_plan is None else read_plan(args.w_plan)
    if args.w_outside is not None:
        if args.w_mask is None and plan.mask is None:
            raise ValueError("--w-outside goes with --w-mask")
        plan = replace(plan, outside=args.w_outside)
    if args.w_mask is not None:  # the pictures bring theirs
        plan = replace(plan, mask=None)
    if args.fidelity is not None:  # in place of all that it could say, but for faces that are listed
        plan = replace(plan, frames={}, sizes={}, scales={}).then(_read_weight(args.fidelity, model))
    if args.w_region is not None:
        regions = {name: _number("--w-region", w) for name, w in _pairs("--w-region", args.w_region, "=")}
        plan = plan.then(FidelityPlan(regions=regions))  # pyright: ignore[reportArgumentType]
    if args.w_faces is not None:
        plan = plan.then(FidelityPlan(faces=tuple(_number("--w-faces", w) for w in args.w_faces.split(","))))
    if plan.scales:
        check_scales(plan, _scales(model))
    return as_plan(plan, usual)


def goes_by_frame(plan: FidelityPlan) -> bool:
    """Whether a picture's place among all tells its faces' weights."""
    return bool(plan.frames) or (plan.mask is not None and plan.mask.space == "picture" and len(plan.mask.values) > 1)


def is_automatic(plan: FidelityPlan) -> bool:
    """Whether the weights of some faces are chosen by how bad they are."""
    return isinstance(plan.base, AutoFidelity)


def in_words(plan: FidelityPlan) -> str:
    """The plan's parts in a few words."""
    base = plan.base
    words = f"automatic, {base.low:g} to {base.high:g}" if isinstance(base, AutoFidelity) else f"{base:g}"
    parts = {"frames": plan.frames, "sizes": plan.sizes, "faces": plan.faces, "regions": plan.regions}
    parts |= {"mask": plan.mask is not None, "scales": plan.scales}
    named = [name for name, part in parts.items() if part]
    return f"{words}, by {', '.join(named)}" if named else words


def _read_weight(text: str, model: Path) -> FidelityPlan:
    if limits := LIMITS.fullmatch(text):
        low, high = limits.groups()
        return FidelityPlan(base=AutoFidelity() if low is None else AutoFidelity(low=float(low), high=float(high)))
    if text.startswith("auto:"):
        raise ValueError(f"-w is {text!r}: automatic fidelity takes two limits from 0 to 1, as in auto:0.4-0.9")
    if ":" not in text:
        return FidelityPlan(base=_number("-w", text))
    weights = {_scale(name): _number("-w", w) for name, w in _pairs("-w", text, ":")}
    check_scales(FidelityPlan(scales=weights), _scales(model))
    most = max(weights.values())
    scales = {size: weights.get(size, 0.0) for size in {*_scales(model), *weights}}
    factors = {size: w / most for size, w in scales.items() if w != most}
    return FidelityPlan(base=most, scales=factors)


def _scales(model: Path) -> tuple[int, ...]:
    return getattr(checkpoint_info(model).config, "cft_sizes", ())


def _pairs(option: str, text: str, sign: str) -> list[tuple[str, str]]:
    pairs = [tuple(word.strip() for word in part.partition(sign)) for part in text.split(",")]
    if not all(name and found and value for name, found, value in pairs):
        example = "32:0.2,64:0.5" if sign == ":" else "eyes=1,mouth=0.3"
        raise ValueError(f"{option} is {text!r}: give names and weights, as in {example}")
    if len({name for name, _, _ in pairs}) < len(pairs):
        raise ValueError(f"{option} is {text!r}, which names one twice")
    return [(name, value) for name, _, value in pairs]


def _scale(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"-w has the scale {text!r}: a scale is the side of CFT's features in px, as in 32:0.2,64:0.5")
    return int(text)


def _number(option: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        forms = ", 32:0.2,64:0.5, auto or auto:0.4-0.9" if option == "-w" else ""
        raise ValueError(f"{option} has {text!r}: give a number from 0 (quality) to 1 (fidelity){forms}")
    return value
