"""The paper's degradation on a batch."""

import numpy as np
import torch
from torch import Tensor

from ...codeformer_core.pictures.arrays import from_float, to_float
from ...codeformer_core.pictures.degradation import LEVELS, degradation_rng, degrade, sample_degradation
from .pictures import to_image, to_pictures
from .progress import watched
from .report import Report


def degrade_batch(image: Tensor, level: str, seed: int, report: Report) -> Tensor:
    """Each picture of an IMAGE degraded at a level, by draws from (seed, its number)."""
    report.look_at(image)
    results = np.empty((*image.shape[:3], 3), np.float32)
    for i in watched(range(len(image))):
        (picture,) = to_pictures(image[i : i + 1])
        drawn = sample_degradation(LEVELS[level], degradation_rng(seed, i))
        results[i] = to_float(degrade(from_float(picture, np.dtype(np.uint8)), drawn))
    return to_image(torch.from_numpy(results), image)
