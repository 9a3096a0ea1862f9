"""One prediction of codes, decoded at several fidelity weights."""

import cv2
import numpy as np
import torch
from torch import Tensor

from ...codeformer_core.detection.faces import FaceSelection
from ...codeformer_core.pictures.arrays import to_float
from ...codeformer_core.restorer import AlignedFace, FaceRestorer
from .loaded import LoadedDetector, LoadedModel, default_detector, default_model
from .pictures import to_pictures
from .progress import count_faces, watched


def sweep(
    image: Tensor,
    model: LoadedModel | None,
    detector: LoadedDetector | None,
    *,
    weights: str,
    most_faces: int,
    colour_match: str,
) -> tuple[Tensor, Tensor]:
    """The first picture of an IMAGE that has a face at each w (n, h, w, 3); the strip of its faces (1, h', w', 3)."""
    values = parse_weights(weights)
    model, detector = model or default_model(), detector or default_detector()
    restorer = model.restorer(detector, selection=FaceSelection(max_faces=most_faces), colour_match=colour_match)
    picture, faces = _first_with_faces(image, restorer)
    by_weight = model.restore_at(values, restorer, faces, count_faces())
    pictures = [restorer.paste(picture, restored) for restored in by_weight]
    columns = {"input": [face.crop for face in faces]}
    columns |= {
        f"w = {w:g}": [f.crop if f.note else f.restored for f in some]
        for w, some in zip(values, by_weight, strict=True)
    }
    return torch.from_numpy(np.stack(pictures)), torch.from_numpy(draw_strip(columns)[None])


def _first_with_faces(image: Tensor, restorer: FaceRestorer) -> tuple[np.ndarray, list[AlignedFace]]:
    for i in watched(range(len(image))):
        (picture,) = to_pictures(image[i : i + 1])
        if faces := restorer.align(picture, restorer.detect([picture])[0]):
            return picture, faces
    raise ValueError(
        f"no face was found in {len(image)} picture(s), so there is nothing to sweep: lower score_threshold in "
        "CodeFormer Load Detector"
    )


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
