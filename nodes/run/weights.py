"""Fidelity plans from what widgets hold, fitted to a model, and drawn over the picture as heat maps."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import Tensor

from ...codeformer_core.fidelity.apply import FaceWeights
from ...codeformer_core.fidelity.mask import FidelityMask
from ...codeformer_core.fidelity.plan import AutoFidelity, FidelityPlan
from ...codeformer_core.pasting.alignment import crop_region, paste_mask
from ...codeformer_core.pictures.arrays import from_float, to_float
from ...codeformer_core.restoration import AlignedFace
from .loaded import LoadedDetector, LoadedModel, begin_run
from .pictures import PREVIEWS, to_pictures
from .progress import watched
from .report import Report

NUMBER = r"\s*([\d.]+)\s*"


def weigh_scales(
    weights: FidelityPlan | None,
    fidelity: float,
    factors: Mapping[int, float],
    mask: Tensor | None,
    space: str,
    outside: float,
) -> FidelityPlan:
    """A base where there is none, factors other than 1, and a mask where there is one, on what `weights` hold."""
    plan = weights or FidelityPlan()
    plan = plan if plan.base is not None else replace(plan, base=fidelity)
    plan = plan.then(FidelityPlan(scales={size: factor for size, factor in factors.items() if factor != 1}))
    if mask is None or (tuple(mask.shape[-2:]) == (64, 64) and not mask.any()):  # LoadImage's for no alpha
        return plan
    values = mask.detach().float().cpu().numpy()
    if not np.isfinite(values).all():
        raise ValueError("fidelity_mask holds values that are not finite: look at the node that made it")
    return replace(plan, mask=FidelityMask(values=values.clip(0, 1), space=space), outside=outside)  # pyright: ignore


def weigh_faces(
    weights: FidelityPlan | None,
    by: str,
    *,
    fidelities: str,
    small: int,
    small_fidelity: float,
    large: int,
    large_fidelity: float,
) -> FidelityPlan:
    """Weights by order, from a list like "0.9, 0.4", or by size between two sizes."""
    plan = weights or FidelityPlan()
    if by == "order":
        return plan.then(FidelityPlan(faces=tuple(_numbers(fidelities))))
    if small >= large:
        raise ValueError(f"small is {small} px and large {large} px: a large face is larger than a small one")
    return plan.then(FidelityPlan(sizes={small: small_fidelity, large: large_fidelity}))


def weigh_automatically(weights: FidelityPlan | None, lowest: float, highest: float) -> FidelityPlan:
    """The automatic fidelity between two limits."""
    if lowest > highest:
        raise ValueError(f"lowest is {lowest:g} and highest {highest:g}: give lowest the lower one")
    return (weights or FidelityPlan()).then(FidelityPlan(base=AutoFidelity(low=lowest, high=highest)))


def weigh_frames(weights: FidelityPlan | None, keys: str) -> FidelityPlan:
    """A schedule from keys like "0: 0.5, 24: 0.9"."""
    parts = [part for part in re.split(r"[,;\n]", keys) if part.strip()]
    pairs = [re.fullmatch(rf"\s*(\d+)\s*[:=]{NUMBER}", part) for part in parts]
    if not pairs or not all(pairs):
        raise ValueError(f"keys is {keys!r}: give frames and weights, as in 0: 0.5, 24: 0.9")
    frames = {int(pair[1]): _number(pair[2], keys) for pair in pairs if pair}
    if len(frames) < len(pairs):
        raise ValueError(f"keys is {keys!r}, which names a frame twice")
    return (weights or FidelityPlan()).then(FidelityPlan(frames=frames))


def _numbers(text: str) -> Sequence[float]:
    numbers = [_number(part, text) for part in text.replace(",", " ").split()]
    if not numbers:
        raise ValueError("the list of weights is empty: give one for each face, as in 0.9, 0.4")
    return numbers


def _number(part: str, text: str) -> float:
    try:
        value = float(part)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ValueError(f"{text!r} holds {part!r}: weights are numbers from 0 to 1")
    return value


def fitted(weights: FidelityPlan | None, fidelity: float, model: LoadedModel, report: Report) -> FidelityPlan | float:
    """The weights for a model, with `fidelity` where they have no base; scales that it lacks are left out, and said."""
    base = fidelity if weights is None or weights.base is None else weights.base
    if model.usage.w in (0.0, 1.0) and base != model.usage.w:
        report.warn(f"this model is made for a fidelity of {model.usage.w:g} everywhere")
    if weights is None:
        return fidelity
    there = model.net.config.cft_sizes
    if missing := [str(size) for size in weights.scales if size not in there]:
        report.warn(f"this model has no CFT at {', '.join(missing)} px, it has {', '.join(map(str, there)) or 'none'}")
    scales = {size: factor for size, factor in weights.scales.items() if size in there}
    return replace(weights, scales=scales, base=base)


def in_batch(face: AlignedFace, index: int) -> AlignedFace:
    """An aligned face of a batch of crops, which is a picture and a face of its own: frame and order are its place."""
    return replace(face, number=index, face=replace(face.face, image_index=index))


def said_weights(faces: Sequence[AlignedFace]) -> list[str]:
    """A line for each face that is not left as it was: the weight in force, and what chose it."""
    return [
        f"picture {face.face.image_index}, face {face.number}: w {_number_or_scales(face.weights)}"
        + (f" ({'; '.join(face.weights.reasons)})" if face.weights.reasons else "")
        for face in faces
        if face.weights is not None and not face.note
    ]


def show_weights(
    image: Tensor, model: LoadedModel | None, detector: LoadedDetector | None, plan: FidelityPlan, report: Report
) -> Tensor:
    """What the plan would choose for the first pictures of an IMAGE, drawn over them; faces are not decoded."""
    report.look_at(image)
    model, detector = begin_run(model, detector, report)
    restorer = model.restorer(detector, colour_match="none")
    weights, drawn = fitted(plan, 0.0, model, report), []
    for i in watched(range(min(len(image), PREVIEWS))):
        (picture,) = to_pictures(image[i : i + 1])
        found = [replace(face, image_index=i) for face in restorer.detect([picture])[0]]
        faces = model.weigh(restorer, restorer.align(picture, found), weights)
        drawn.append(draw_weights(picture, faces, restorer.face_size))
        for line in said_weights(faces):
            report.say(line)
    return torch.from_numpy(np.stack(drawn)) if drawn else image[:0, ..., :3]


def draw_weights(picture: np.ndarray, faces: Sequence[AlignedFace], size: int) -> np.ndarray:
    """The effective w over each face of a picture (h, w, 3) as a heat map, blue 0 to red 1, with its numbers.

    `size` is the side of the faces' crops.
    """
    height, width = picture.shape[:2]
    canvas = picture.copy()
    for face in faces:
        if face.weights is None or face.note:
            continue
        x0, y0, x1, y1 = region = crop_region(face.affine, size, (height, width))
        if x0 >= x1 or y0 >= y1:
            continue
        layers = np.stack([face.weights.map(size), np.ones((size, size), np.float32)], axis=-1)
        w, where = np.moveaxis(paste_mask(layers, face.affine, region), -1, 0)
        heat = to_float(cv2.applyColorMap(from_float(w, np.dtype(np.uint8)), cv2.COLORMAP_TURBO)[..., ::-1])
        part = canvas[y0:y1, x0:x1]
        part += (heat - part) * (0.45 * where[..., None])
    labelled = from_float(canvas, np.dtype(np.uint8))
    for face in faces:
        if face.weights is not None and not face.note:
            _label(labelled, face)
    return to_float(labelled)


def _label(canvas: np.ndarray, face: AlignedFace) -> None:
    text = f"w {_number_or_scales(face.weights)}" if face.weights else ""
    scale = max(0.4, max(canvas.shape[:2]) / 1000)
    line = max(1, round(2 * scale))
    (wide, high), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, line)
    left = int(np.clip(face.face.box[0], 0, max(canvas.shape[1] - wide, 0)))
    bottom = int(np.clip(face.face.box[3] + high + base, high + base, canvas.shape[0] - base - 1))
    cv2.rectangle(canvas, (left, bottom - high - base), (left + wide, bottom + base), (0, 0, 0), -1)
    cv2.putText(canvas, text, (left, bottom), cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), line, cv2.LINE_AA)


def _number_or_scales(weights: FaceWeights) -> str:
    at = weights.at_scales()
    return f"{at:.2f}" if isinstance(at, int | float) else ", ".join(f"{size}: {w:.2f}" for size, w in at.items())
