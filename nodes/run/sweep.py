"""One prediction of codes, decoded at several fidelity weights."""

from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import Tensor

from ...codeformer_core.detection.faces import FaceSelection
from ...codeformer_core.fidelity.apply import check_scales
from ...codeformer_core.fidelity.plan import AutoFidelity, FidelityPlan, as_plan
from ...codeformer_core.pictures.arrays import to_float
from ...codeformer_core.restoration import AlignedFace
from ...codeformer_core.restorer import FaceRestorer
from .loaded import LoadedDetector, LoadedModel, begin_run
from .pictures import to_image, to_pictures
from .progress import count_faces, stop_if_interrupted, watched
from .report import Report, counted
from .weights import fitted


def sweep(
    image: Tensor,
    model: LoadedModel | None,
    detector: LoadedDetector | None,
    report: Report,
    *,
    weights: str,
    most_faces: int,
    colour_match: str,
    plan: FidelityPlan | None,
    swept: str,
    fidelity: float,
) -> tuple[Tensor, Tensor]:
    """The first picture of an IMAGE that has a face at each w (n, h, w, 3); the strip of its faces (1, h', w', 3)."""
    values = parse_weights(weights)
    report.look_at(image)
    model, detector = begin_run(model, detector, report)
    restorer = model.restorer(detector, selection=FaceSelection(max_faces=most_faces), colour_match=colour_match)
    number, picture, faces = _first_with_faces(image, restorer)
    report.say(f"{counted(len(faces), 'face')} of picture {number} at {counted(len(values), 'weight')}")
    plan = as_plan(fitted(plan or FidelityPlan(), fidelity, model, report))
    plans = [swept_plan(plan, swept, value) for value in values]
    check_scales(plans[0], model.net.config.cft_sizes)
    by_weight = model.restore_at(plans, restorer, faces, count_faces())
    pictures = torch.from_numpy(
        np.stack([restorer.paste(picture, restored, tick=stop_if_interrupted) for restored in by_weight])
    )
    columns = {"input": [face.crop for face in faces]}
    name = "w" if swept == "fidelity" else swept
    columns |= {
        f"{name} = {w:g}": [f.crop if f.note else f.restored for f in some]
        for w, some in zip(values, by_weight, strict=True)
    }
    like = image[number : number + 1].expand(len(values), -1, -1, -1)
    return to_image(pictures, like), torch.from_numpy(draw_strip(columns)[None])


def _first_with_faces(image: Tensor, restorer: FaceRestorer) -> tuple[int, np.ndarray, list[AlignedFace]]:
    for i in watched(range(len(image))):
        (picture,) = to_pictures(image[i : i + 1])
        found = [replace(face, image_index=i) for face in restorer.detect([picture])[0]]
        if faces := restorer.align(picture, found):
            return i, picture, faces
    raise ValueError(
        f"no face was found in {len(image)} picture(s), so there is nothing to sweep: lower score_threshold in "
        "CodeFormer Load Detector"
    )


def swept_plan(plan: FidelityPlan, swept: str, value: float) -> FidelityPlan:
    """The plan with one part of it at a value; a swept fidelity stands in place of weights by frame, size and face."""
    part, _, name = swept.partition(" ")
    if part in ("fidelity", "automatic"):
        plan = replace(plan, frames={}, sizes={}, faces=())
    if part == "scale":
        return plan.then(FidelityPlan(scales={int(name): value}))
    if part == "region":
        return plan.then(FidelityPlan(regions={name: value}))  # pyright: ignore[reportArgumentType]
    if part == "automatic":
        limits = plan.base if isinstance(plan.base, AutoFidelity) else AutoFidelity()
        low, high = (value, max(limits.high, value)) if name == "lowest" else (min(limits.low, value), value)
        return plan.then(FidelityPlan(base=AutoFidelity(low=low, high=high)))
    return replace(plan, base=value)


def parse_weights(text: str) -> list[float]:
    """Weights of a list like "0, 0.5, 1"; ValueError for anything else."""
    try:
        values = list(dict.fromkeys(float(part) for part in text.replace(",", " ").split()))
    except ValueError:
        values = []
    if not values or not all(0 <= w <= 1 for w in values):
        raise ValueError(f"weights is {text!r}: give numbers from 0 to 1 with commas between, as in 0, 0.5, 1")
    return values


def draw_strip(columns: dict[str, list[np.ndarray]]) -> np.ndarray:
    """Faces (s, s, 3) side by side, a column each name, a row each face, names on top."""
    drawn = []
    for name, faces in columns.items():
        size = len(faces[0])
        label = np.full((max(size // 10, 12), size, 3), 255, np.uint8)
        place, scale, line = (size // 32, len(label) * 3 // 4), size / 480, max(1, size // 256)
        cv2.putText(label, name, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), line, cv2.LINE_AA)
        drawn.append(np.concatenate([to_float(label), *faces]))
    return np.concatenate(drawn, axis=1)
