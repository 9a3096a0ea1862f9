"""From a plan to the network's weights: for one face, and for a batch of faces."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from ..networks.cft import CFTWeights
from .automatic import Calibration, FaceQuality
from .plan import AutoFidelity, FidelityPlan, Region, weight_between, weight_between_sizes
from .regions import regions_of_landmarks


@dataclass(frozen=True, kw_only=True, eq=False)
class FaceToWeigh:
    """What a plan asks of a face."""

    landmarks: np.ndarray  # (5, 2), px of the picture
    affine: np.ndarray  # (2, 3), from the picture to the crop
    crop_size: int  # px
    image_size: tuple[int, int]  # of the picture: height, width
    size: float  # short side of its box, px of the picture
    number: int  # among its picture's faces
    frame: int  # which picture
    quality: Callable[[], FaceQuality]  # asked for by the automatic fidelity alone, with the model's calibration
    calibration: Calibration
    parsed: Callable[[], dict[Region, np.ndarray]] | None = None  # regions of a parsing net, where there is one


@dataclass(frozen=True, kw_only=True, eq=False)
class FaceWeights:
    """The weights in force for one face."""

    w: float  # of the face as a whole, before regions, mask and scales
    scales: dict[int, float]  # the factor of each of the network's scales
    place: np.ndarray | None = None  # (s, s) float32: the weight at each place, before the scales; None: w everywhere
    reasons: tuple[str, ...] = ()  # what spoke besides a number, in words
    quality: FaceQuality | None = None  # what the automatic fidelity saw

    def at_scales(self) -> float | dict[int, float]:
        """The face's weight where no region or mask speaks: one number, or one for each scale."""
        by_scale = {size: self.w * factor for size, factor in self.scales.items()}
        return self.w if all(factor == 1 for factor in self.scales.values()) else by_scale

    def map(self, size: int) -> np.ndarray:
        """(size, size) float32: the weight at each place, averaged over the scales."""
        factor = np.mean(list(self.scales.values())) if self.scales else 1.0
        if self.place is None:
            return np.full((size, size), self.w * factor, np.float32)
        return cv2.resize(self.place, (size, size), interpolation=cv2.INTER_AREA) * np.float32(factor)


def weigh_face(plan: FidelityPlan, face: FaceToWeigh, cft_sizes: Sequence[int]) -> FaceWeights:
    """The plan for one face and a network with CFT at `cft_sizes`; ValueError for scales that it lacks."""
    check_scales(plan, cft_sizes)
    w, reason, quality = _weigh_whole(plan, face)
    reasons = [reason] if reason else []
    place = None
    if plan.regions:
        place = _weigh_regions(plan.regions, w, face)
        reasons += [f"{name} {weight:g}" for name, weight in plan.regions.items()]
    if plan.mask is not None:
        mask = plan.mask.on_crop(face.affine, face.crop_size, face.image_size, picture=face.frame, face=face.number)
        place = plan.outside + ((w if place is None else place) - plan.outside) * mask
        reasons.append(f"mask, {plan.outside:g} outside")
    if place is not None and place.min() == place.max():
        w, place = float(place.max()), None
    return FaceWeights(
        w=w,
        scales={size: plan.scales.get(size, 1.0) for size in cft_sizes},
        place=None if place is None else place.astype(np.float32),
        reasons=tuple(reasons),
        quality=quality,
    )


def _weigh_whole(plan: FidelityPlan, face: FaceToWeigh) -> tuple[float, str, FaceQuality | None]:
    """The face's one number (steps 1 to 4), what spoke besides a base that is a number, and what automatic saw."""
    if face.number < len(plan.faces):
        return float(plan.faces[face.number]), f"face {face.number}", None
    if plan.sizes:
        return weight_between_sizes(plan.sizes, face.size), f"size {face.size:.0f} px", None
    if plan.frames:
        return weight_between(plan.frames, face.frame), f"frame {face.frame}", None
    if isinstance(plan.base, AutoFidelity):
        quality = face.quality()
        severity = face.calibration.severity(quality)
        return (
            face.calibration.weight(quality, plan.base),
            f"automatic: severity {severity:.2f} ({quality.in_words()})",
            quality,
        )
    if plan.base is None:
        raise ValueError("the fidelity plan has no base: give a number or the automatic fidelity")
    return float(plan.base), "", None


def check_scales(plan: FidelityPlan, cft_sizes: Sequence[int]) -> None:
    """Raise ValueError if the plan names scales at which the network has no CFT."""
    if missing := [str(size) for size in plan.scales if size not in cft_sizes]:
        there = ", ".join(map(str, cft_sizes)) or "none"
        raise ValueError(f"this model has no CFT at the scale {', '.join(missing)}: it has {there}")


def cft_weights(faces: Sequence[FaceWeights]) -> float | CFTWeights:
    """The weights of a batch of faces, as the network takes them; the same number everywhere is that number."""
    sizes = faces[0].scales
    if any(face.place is not None for face in faces):
        side = next(len(face.place) for face in faces if face.place is not None)
        places = [np.full((side, side), face.w, np.float32) if face.place is None else face.place for face in faces]
        factors = {size: _per_face([face.scales[size] for face in faces]) for size in sizes}
        return CFTWeights(w=factors, mask=torch.from_numpy(np.stack(places)[:, None]))
    weights = {size: _per_face([face.w * face.scales[size] for face in faces]) for size in sizes}
    first = next(iter(weights.values()), 0.0)
    if isinstance(first, float) and all(isinstance(w, float) and w == first for w in weights.values()):
        return first
    return CFTWeights(w=weights)


def _per_face(values: list[float]) -> float | torch.Tensor:
    """One number if all faces have the same, or else (b,)."""
    return values[0] if len(set(values)) == 1 else torch.tensor(values)


def _weigh_regions(weights: Mapping[Region, float], w: float, face: FaceToWeigh) -> np.ndarray:
    if face.parsed is not None:
        shares = face.parsed()
    else:
        landmarks = cv2.transform(face.landmarks[None].astype(np.float64), face.affine)[0]
        shares = regions_of_landmarks(landmarks, face.crop_size)
    place = np.full((face.crop_size, face.crop_size), w, np.float32)
    for name, weight in weights.items():
        place += np.float32(weight - w) * shares[name]
    return np.clip(place, 0, 1)
