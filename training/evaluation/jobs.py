"""How filled holes and given colours compare with the truth, and with what costs nothing."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from codeformer_core.colouring import FaceColourer
from codeformer_core.detection.faces import Face
from codeformer_core.filling import FEATHER, FaceFiller
from codeformer_core.pasting.alignment import template
from codeformer_core.pasting.chroma import to_lab
from codeformer_core.pasting.holes import fill_smoothly
from codeformer_core.pasting.masks import square_mask

from ..faces.augment import polyline_mask
from ..faces.data import read_face
from ..faces.regions import face_region
from .metrics import FaceMetric

SHARE = 0.25  # of the face, that strokes cover
Values = dict[str, dict[str, np.ndarray]]  # by row and column, one value a face


def compare_filling(
    fillers: dict[str, FaceFiller], paths: Sequence[Path], size: int, distances: dict[str, FaceMetric], seed: int = 0
) -> Values:
    """Aligned faces with white strokes over a quarter, in the mean, filled by OpenCV (Telea 2004) and by each filler.

    PSNR (dB) is of the strokes' pixels alone, `distances` are of the whole face. A margin of the crop has no strokes.
    """
    values: Values = {}
    reached = square_mask(size, 1.0, feather=FEATHER) == 1  # what crops reach wholly
    for number, path in enumerate(tqdm(paths, unit="face", leave=False)):
        clean = read_face(path, size)
        hard = reached & (polyline_mask(size, np.random.default_rng((seed, number)), SHARE / reached.mean()) > 0)
        torn = np.where(hard[..., None], np.uint8(255), clean)
        made = {"OpenCV": (fill_smoothly(torn.astype(np.float32) / 255, hard) * 255).round().astype(np.uint8)}
        made |= {name: filler(torn, hard, faces=[_whole(size)]).image for name, filler in fillers.items()}
        for row, image in made.items():
            error = np.square((image[hard].astype(np.float32) - clean[hard]) / 255).mean()
            _add(values, row, "PSNR", -10 * np.log10(max(float(error), 1e-10)))
            for name, distance in distances.items():
                _add(values, row, name, float(distance(_tensor(image), _tensor(clean))))
    return values


def compare_colouring(colourers: dict[str, FaceColourer], paths: Sequence[Path], size: int) -> Values:
    """Aligned faces made grey, coloured by each colourer: the mean distance of a and b in CIE Lab over the face region.

    `crop` is the same over all of the crop, hair and background included.
    """
    values: Values = {}
    region = face_region(size)
    for path in tqdm(paths, unit="face", leave=False):
        clean = read_face(path, size)
        grey = cv2.cvtColor(cv2.cvtColor(clean, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        made = {"grey": grey}
        made |= {name: colourer(grey, faces=[_whole(size)]).image for name, colourer in colourers.items()}
        wanted = to_lab(clean.astype(np.float32) / 255)
        for row, image in made.items():
            off = np.linalg.norm((to_lab(image.astype(np.float32) / 255) - wanted)[..., 1:], axis=-1)
            _add(values, row, "chroma", float(off[region].mean()))
            _add(values, row, "crop", float(off.mean()))
    return values


def by_tercile(values: np.ndarray, lightness: Sequence[float]) -> list[float]:
    """Means over the darkest, middle and lightest third of the faces."""
    return [float(values[third].mean()) for third in np.array_split(np.argsort(lightness, kind="stable"), 3)]


def _whole(size: int) -> Face:
    return Face(box=np.array([0, 0, size, size]), landmarks=template(size), score=1.0)


def _tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255


def _add(values: dict[str, dict[str, np.ndarray]], row: str, column: str, value: float) -> None:
    columns = values.setdefault(row, {})
    columns[column] = np.append(columns.get(column, np.zeros(0)), value)
