"""What is measured of the rows of a table, batch by batch: of each face, and of all faces together."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..faces.data import read_face, to_tensor
from .frechet import Moments, frechet_distance
from .library_metrics import LibraryMetrics
from .metrics import FaceMetric, to_unit


class Rows:
    """The values of each row, by its name and the metric's."""

    def __init__(self, metrics: Mapping[str, FaceMetric], extra: LibraryMetrics | None):
        self.faces = {**metrics, **(extra.faces if extra else {})}
        self.alone = extra.alone if extra else {}
        self.sets = extra.sets if extra else {}
        self._values: dict[str, dict[str, list[Tensor]]] = {}
        self._moments: dict[tuple[str, str], Moments] = {}

    def add(self, row: str, output: Tensor, clean: Tensor | None) -> None:  # (b, 3, s, s) in [0, 1]
        if clean is not None:
            for metric, compared in self.faces.items():
                self.add_values(row, metric, compared(output, clean))
        for metric, measure in self.alone.items():
            self.add_values(row, metric, measure(output))
        for metric, describe in self.sets.items():
            self._moments.setdefault((row, metric), Moments()).add(describe(output))

    def add_values(self, row: str, metric: str, values: Tensor) -> None:  # (b,)
        self._values.setdefault(row, {}).setdefault(metric, []).append(values.float().cpu())

    def values(self, references: Mapping[str, Moments]) -> dict[str, dict[str, np.ndarray]]:
        """{row: {metric: (n,), or (1,) of whole sets}}."""
        for (row, metric), moments in self._moments.items():
            if metric in references:
                self.add_values(row, metric, torch.tensor([frechet_distance(moments, references[metric])]))
        return {name: {metric: torch.cat(v).numpy() for metric, v in row.items()} for name, row in self._values.items()}


@torch.inference_mode()
def moments_of(folder: list[Path], size: int, extra: LibraryMetrics, device: torch.device) -> dict[str, Moments]:
    """Of each metric of whole sets, what it needs to know of the faces that others are measured against."""
    moments = {metric: Moments() for metric in extra.sets}
    for path in tqdm(folder, desc="reference", unit="face"):
        face = to_unit(to_tensor(read_face(path, size))[None].to(device))
        for metric, describe in extra.sets.items():
            moments[metric].add(describe(face))
    return moments
