"""What the network sees in aligned faces, as sheets of pictures; faces of mixed codes."""

import colorsys

import cv2
import numpy as np
import torch
from torch import Tensor

from ...codeformer_core.inspection import Inspection, inspect_face, mix_codes
from ...codeformer_core.pictures.arrays import from_float, from_network, to_float
from .loaded import LoadedModel, default_model
from .pictures import is_no_mask, resize_mask, to_pictures
from .progress import watched
from .report import Report, counted

COLUMNS = 4  # of a sheet
CHANGE = 0.15  # of white: what a scale changes at the heat map's hot end


def inspect_crops(
    crops: Tensor, clean: Tensor | None, model: LoadedModel | None, report: Report
) -> tuple[Tensor, Tensor]:
    """Of aligned faces (b, s, s, c): sheets (b, h, w, 3) and confidence (b, s', s'); the numbers are reported."""
    report.look_at(crops, "crop")
    if clean is not None:
        report.look_at(clean, "clean face")
    if clean is not None and len(clean) != len(crops):
        raise ValueError(f"{len(clean)} clean faces for {len(crops)} crops: give one for each")
    model = model or default_model(report)
    restorer = model.restorer(colour_match="none")
    faces = [restorer.as_aligned(crop).crop for crop in to_pictures(crops)]
    truths = [None] * len(faces) if clean is None else [restorer.as_aligned(crop).crop for crop in to_pictures(clean)]
    sheets, confidence = [], []
    with model.on_device(len(faces)):
        for i in watched(range(len(faces))):
            seen = inspect_face(model.net, faces[i], truths[i], adain=model.usage.adain)
            sheets.append(draw_sheet(faces[i], truths[i], seen))
            confidence.append(cv2.resize(seen.confidence, faces[i].shape[:2], interpolation=cv2.INTER_NEAREST))
            report.say(f"face {i}: {_in_words(seen)}")
    size = restorer.face_size
    empty = np.empty((0, size, size, 3), np.float32)
    stacked = np.stack(sheets) if sheets else empty
    sure = np.stack(confidence) if confidence else empty[..., 0]
    return torch.from_numpy(stacked), torch.from_numpy(sure)


def mix_crops(
    crops: Tensor,
    others: Tensor,
    mask: Tensor | None,
    model: LoadedModel | None,
    fidelity: float,
    report: Report,
) -> Tensor:
    """Aligned faces (b, s, s, c) with codes of others mixed in, at the network's own side (b, s', s', 3)."""
    for what, pictures in (("crop", crops), ("other face", others)):
        report.look_at(pictures, what)
    if len(others) not in (1, len(crops)):
        raise ValueError(f"{len(others)} other faces for {len(crops)} crops: give one for each, or one for all")
    model = model or default_model(report)
    restorer = model.restorer(colour_match="none")
    first, second = ([restorer.as_aligned(crop) for crop in to_pictures(some)] for some in (crops, others))
    size = restorer.face_size
    masks = None if mask is None or is_no_mask(mask, (size, size)) else resize_mask(mask, len(first), (size, size))
    if masks is not None and not masks.any():
        report.warn("the mask is black, which takes no code of the others")
    mixed = []
    with model.on_device(len(first)), torch.inference_mode():
        for i in watched(range(len(first))):
            codes = restorer.predict([first[i]]), restorer.predict([second[min(i, len(second) - 1)]])
            prediction = mix_codes(*codes, None if masks is None else masks[i : i + 1])
            mixed.append(from_network(model.net.decode(prediction, fidelity, model.usage.adain))[0])
    report.say(f"{counted(len(mixed), 'face')} made of two code maps")
    return torch.from_numpy(np.stack(mixed) if mixed else np.empty((0, size, size, 3), np.float32))


def draw_sheet(crop: np.ndarray, clean: np.ndarray | None, seen: Inspection) -> np.ndarray:
    """(h, w, 3) in [0, 1]: tiles with labels, those of the codes above those of CFT."""
    size = len(crop)
    tiles = {
        "input": crop,
        "codes": draw_codes(seen.codes, size),
        "confidence": _heat(cv2.resize(seen.confidence, (size, size), interpolation=cv2.INTER_NEAREST)),
        "w = 0": seen.restored,
        "nearest neighbours' codes": draw_codes(seen.nearest, size),
        "decoded": seen.from_nearest,
    }
    if clean is not None and seen.clean_codes is not None and seen.from_clean is not None:
        tiles |= {"clean": clean, "Code GT": draw_codes(seen.clean_codes, size), "Code GT decoded": seen.from_clean}
    tiles |= {f"changed by CFT at {scale} px": _heat(change / CHANGE) for scale, change in seen.changes.items()}
    drawn = [_titled(name, tile) for name, tile in tiles.items()]
    drawn += [np.ones_like(drawn[0])] * (-len(drawn) % COLUMNS)
    rows = [np.concatenate(drawn[i : i + COLUMNS], axis=1) for i in range(0, len(drawn), COLUMNS)]
    return np.concatenate(rows)


def draw_codes(codes: np.ndarray, size: int) -> np.ndarray:
    """A code map (n, n) as (size, size, 3) in [0, 1]: each code a colour, the same in every map."""
    hues = (codes * 0.61803398875) % 1  # the golden ratio sets neighbours in the codebook apart
    colours = [
        colorsys.hsv_to_rgb(h, 0.45 + 0.5 * (c % 3) / 2, 0.95) for h, c in zip(hues.flat, codes.flat, strict=True)
    ]
    picture = np.array(colours, np.float32).reshape(*codes.shape, 3)
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_NEAREST)


def _heat(values: np.ndarray) -> np.ndarray:
    return to_float(cv2.applyColorMap(from_float(values, np.dtype(np.uint8)), cv2.COLORMAP_INFERNO)[..., ::-1])


def _titled(name: str, tile: np.ndarray) -> np.ndarray:
    size = tile.shape[1]
    label = np.full((max(size // 12, 12), size, 3), 255, np.uint8)
    place, scale = (size // 40, len(label) * 3 // 4), size / 520
    cv2.putText(label, name, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), max(1, size // 256), cv2.LINE_AA)
    return np.concatenate([to_float(label), tile])


def _in_words(seen: Inspection) -> str:
    words = f"mean confidence {seen.confidence.mean():.2f}, nearest neighbours agree in "
    words += f"{(seen.codes == seen.nearest).mean():.0%} of {seen.codes.size} codes"
    if seen.changes:
        changes = ", ".join(f"{scale}: {change.mean():.3f}" for scale, change in seen.changes.items())
        words += f"; CFT alone at each scale changes a pixel by {changes}"
    if seen.clean_codes is not None:
        right = seen.accuracy(seen.codes), seen.accuracy(seen.nearest)
        words += f"; right codes: {right[0]:.0%} by the transformer, {right[1]:.0%} by nearest neighbours"
    return words
