"""A fidelity plan: how much of the input each place of each face keeps, in the picture's own terms.

Its parts apply in one order. The first four give each face a number:

1. `base`: a number, or automatic (`automatic.py`); None leaves it to whoever uses the plan.
2. `frames`: at a frame, the weight between its keys stands in place of the base.
3. `sizes`: for a face of a size, the weight between its keys stands in place of that.
4. `faces`: for the faces that it lists, its weight stands in place of that.

The rest gives each place of a face its weight:

5. `regions`: within a region its weight stands in place of the face's, with a soft border.
6. `mask`: where it is 1 that holds, where it is 0 `outside` does, between them a mixture.
7. `scales`: at each scale of CFT all of that is multiplied by the scale's factor.

A plan of one number everywhere is that number. w = 0 is what the codebook has, w = 1 is closest to the input (Eq. 7).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

import numpy as np

from .mask import FidelityMask

Region = Literal["eyes", "brows", "nose", "mouth", "skin", "hair", "rest"]
REGIONS: tuple[Region, ...] = get_args(Region)
NUMBERS = (int, float, np.integer, np.floating)
# The plan's parts that map keys to weights: what an entry is called, its key's type, least and greatest value.
PARTS = {
    "frames": ("the fidelity of frame", int, 0, 10**9),
    "sizes": ("the fidelity of size", float, 1, 10**6),
    "regions": ("the fidelity of region", str, 0, 0),
    "scales": ("the factor of scale", int, 1, 10**6),
}


@dataclass(frozen=True, kw_only=True)
class AutoFidelity:
    """w chosen for each face from how bad it is (`automatic.py`), between two limits in [0, 1]."""

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self):
        object.__setattr__(self, "low", check_weight("the automatic fidelity's lower limit", self.low))
        object.__setattr__(self, "high", check_weight("the automatic fidelity's upper limit", self.high))
        if self.low > self.high:
            raise ValueError(f"the automatic fidelity's limits are {self.low} to {self.high}: give the lower one first")


@dataclass(frozen=True, kw_only=True)
class FidelityPlan:
    """Weights w in [0, 1] by face, frame, region, place and scale; see above for the order in which they apply.

    Raises ValueError for weights outside [0, 1], unknown regions, and keys that are no frames, sizes or scales.
    """

    base: float | AutoFidelity | None = None
    frames: Mapping[int, float] = field(default_factory=dict)  # {frame: w}; linear between them, constant beyond
    sizes: Mapping[float, float] = field(default_factory=dict)  # {short side of the face's box in px: w}; linear
    # in the logarithm between them, constant beyond
    faces: tuple[float, ...] = ()  # of each picture's faces in their order; more than there are faces are not used
    regions: Mapping[Region, float] = field(default_factory=dict)
    mask: FidelityMask | None = None
    outside: float = 0.0  # where the mask is 0
    scales: Mapping[int, float] = field(default_factory=dict)  # {side of CFT's features in px: factor, 0 to 1}; 1 for
    # scales that are not named

    def __post_init__(self):
        if self.base is not None and not isinstance(self.base, AutoFidelity):
            object.__setattr__(self, "base", check_weight("the base of a fidelity plan", self.base))
        if self.mask is not None and not isinstance(self.mask, FidelityMask):
            raise ValueError(f"the mask of a fidelity plan is a FidelityMask, got a {type(self.mask).__name__}")
        object.__setattr__(self, "outside", check_weight("the fidelity outside the mask", self.outside))
        if not isinstance(self.faces, tuple | list):
            raise ValueError(f"faces of a fidelity plan is a tuple of weights, got {self.faces!r}")
        faces = tuple(check_weight(f"the fidelity of face {i}", w) for i, w in enumerate(self.faces))
        object.__setattr__(self, "faces", faces)
        for part, (what, kind, least, most) in PARTS.items():
            given = getattr(self, part)
            if not isinstance(given, Mapping):
                raise ValueError(f"{part} of a fidelity plan is a mapping to weights, got {given!r}")
            checked = {_key(part, key, kind, least, most): check_weight(f"{what} {key}", w) for key, w in given.items()}
            object.__setattr__(self, part, dict(sorted(checked.items())))

    def __hash__(self) -> int:
        named = (tuple(part.items()) for part in (self.frames, self.sizes, self.regions, self.scales))
        return hash((self.base, self.faces, self.mask, self.outside, *named))

    def then(self, later: "FidelityPlan") -> "FidelityPlan":
        """This plan with what `later` sets in its place; named regions and scales stand beside each other's."""
        parts = {part.name: getattr(later, part.name) for part in fields(later)}
        empty = FidelityPlan()
        changed = {name: value for name, value in parts.items() if value != getattr(empty, name)}
        if later.mask is not None:
            changed["outside"] = later.outside
        for name in ("regions", "scales"):
            changed[name] = {**getattr(self, name), **parts[name]}
        return replace(self, **changed)


def as_plan(w: "float | FidelityPlan", default: float = 0.5) -> FidelityPlan:
    """A plan of one number, or the plan itself; where it has no base, with `default`."""
    if not isinstance(w, FidelityPlan):
        return FidelityPlan(base=w)
    return w if w.base is not None else replace(w, base=default)


def check_weight(name: str, value: Any) -> float:
    """The value as a float; ValueError, which names what it is, unless it is a number in [0, 1]."""
    if isinstance(value, bool) or not isinstance(value, NUMBERS) or not 0 <= value <= 1:
        raise ValueError(f"{name} lies between 0 (quality) and 1 (fidelity), got {value!r:.80}")
    return float(value)


def _key(part: str, key: Any, kind: type, least: float, most: float) -> Any:
    """A key of one of the `PARTS`, as it is compared and saved."""
    if kind is str:
        if key not in REGIONS:
            raise ValueError(f"no region is called {key!s:.80}: there are {', '.join(REGIONS)}")
        return key
    whole = kind is float or (isinstance(key, NUMBERS) and key == key // 1)
    if isinstance(key, bool) or not isinstance(key, NUMBERS) or not whole or not least <= key <= most:
        number = "a number" if kind is float else "a whole number"
        raise ValueError(f"{part} of a fidelity plan has the key {key!r:.80}: a key is {number}, {least} to {most}")
    return kind(key)


def weight_between(keys: Mapping[int, float] | Mapping[float, float], at: float) -> float:
    """The weight at a frame: linear between the keys {frame: w}, constant before the first and after the last."""
    return float(np.interp(at, list(keys), list(keys.values())))


def weight_between_sizes(keys: Mapping[float, float], px: float) -> float:
    """The weight of a face of so many px: linear in the logarithm between the keys {px: w}, constant beyond them."""
    return weight_between({float(np.log(key)): w for key, w in keys.items()}, float(np.log(max(px, 1))))
