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

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

import numpy as np

from .mask import FidelityMask

Region = Literal["eyes", "brows", "nose", "mouth", "skin", "hair", "rest"]
REGIONS: tuple[Region, ...] = get_args(Region)


@dataclass(frozen=True, kw_only=True)
class AutoFidelity:
    """w chosen for each face from how bad it is (`automatic.py`), between two limits in [0, 1]."""

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self):
        check_weight("the automatic fidelity's lower limit", self.low)
        check_weight("the automatic fidelity's upper limit", self.high)
        if self.low > self.high:
            raise ValueError(f"the automatic fidelity's limits are {self.low} to {self.high}: give the lower one first")


@dataclass(frozen=True, kw_only=True)
class FidelityPlan:
    """Weights w in [0, 1] by face, frame, region, place and scale; see above for the order in which they apply.

    Raises ValueError for weights outside [0, 1], unknown regions and keys that do not rise.
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
            check_weight("the base of a fidelity plan", self.base)
        for name in ("frames", "sizes", "regions", "scales"):
            object.__setattr__(self, name, dict(sorted(getattr(self, name).items())))
        object.__setattr__(self, "faces", tuple(self.faces))
        for name, value in self._named():
            check_weight(name, value)
        if unknown := sorted(str(name) for name in self.regions if name not in REGIONS):
            raise ValueError(f"no region is called {', '.join(unknown)}: there are {', '.join(REGIONS)}")
        for name, least in (("frames", 0), ("sizes", 1), ("scales", 1)):
            if low := [key for key in getattr(self, name) if not least <= key < float("inf")]:
                raise ValueError(f"{name} of a fidelity plan has the key {low[0]}, the least is {least}")

    def _named(self) -> Iterable[tuple[str, float]]:
        yield "the fidelity outside the mask", self.outside
        yield from ((f"the fidelity of face {i}", w) for i, w in enumerate(self.faces))
        yield from ((f"the fidelity of frame {key}", w) for key, w in self.frames.items())
        yield from ((f"the fidelity of size {key}", w) for key, w in self.sizes.items())
        yield from ((f"the fidelity of region {key}", w) for key, w in self.regions.items())
        yield from ((f"the factor of scale {key}", w) for key, w in self.scales.items())

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


def check_weight(name: str, value: Any) -> None:
    """Raise ValueError, which names what it is, unless the value is a number in [0, 1]."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 <= value <= 1:
        raise ValueError(f"{name} lies between 0 (quality) and 1 (fidelity), got {value!r}")


def weight_between(keys: Mapping[int, float] | Mapping[float, float], at: float) -> float:
    """The weight at a frame: linear between the keys {frame: w}, constant before the first and after the last."""
    return float(np.interp(at, list(keys), list(keys.values())))


def weight_between_sizes(keys: Mapping[float, float], px: float) -> float:
    """The weight of a face of so many px: linear in the logarithm between the keys {px: w}, constant beyond them."""
    return weight_between({float(np.log(key)): w for key, w in keys.items()}, float(np.log(max(px, 1))))
