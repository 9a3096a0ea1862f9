"""How near restored faces are to the clean ones, a value per face; nothing is downloaded here.

All take faces (b, 3, s, s), RGB in [0, 1], restored and clean, and give (b,).
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..faces.lightness import to_lab
from ..faces.regions import face_region, iris_region, surroundings
from ..stages.perceptual import RetinaFaceFeatures

FaceMetric = Callable[[Tensor, Tensor], Tensor]

SSIM_SIZE, SSIM_SIGMA = 11, 1.5  # px
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2


def psnr(restored: Tensor, clean: Tensor) -> Tensor:
    """Peak signal-to-noise ratio over all channels, dB; at most 100."""
    return -10 * (restored - clean).square().mean((1, 2, 3)).clamp_min(1e-10).log10()


def ssim(restored: Tensor, clean: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004), mean of the channels: Gaussian window of 11 px and sigma 1.5."""
    offsets = torch.arange(SSIM_SIZE, device=clean.device) - SSIM_SIZE // 2
    line = torch.exp(-0.5 * (offsets / SSIM_SIGMA) ** 2)
    line = (line / line.sum()).to(clean.dtype)
    c = clean.shape[1]

    def average(x: Tensor) -> Tensor:  # the window is separable
        x = F.conv2d(x, line.view(1, 1, -1, 1).expand(c, 1, -1, 1), groups=c)
        return F.conv2d(x, line.view(1, 1, 1, -1).expand(c, 1, 1, -1), groups=c)

    a, b = average(restored), average(clean)
    var_a, var_b = average(restored**2) - a**2, average(clean**2) - b**2
    cov = average(restored * clean) - a * b
    similarity = (2 * a * b + SSIM_C1) * (2 * cov + SSIM_C2) / ((a**2 + b**2 + SSIM_C1) * (var_a + var_b + SSIM_C2))
    return similarity.mean((1, 2, 3))


def feature_distance(features: Callable[[Tensor], list[Tensor]], restored: Tensor, clean: Tensor) -> Tensor:
    """LPIPS without learnt weights (Zhang et al. 2018, Eq. 1 with w = 1).

    Each place's features are scaled to length 1, their squared distance is averaged over places and over layers.
    """
    pairs = zip(features(restored), features(clean), strict=True)
    distances = [(F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(1).mean((1, 2)) for a, b in pairs]
    return torch.stack(distances).mean(0)


def lab_error(restored: Tensor, clean: Tensor) -> Tensor:
    """Mean over the face region of each pixel's distance in CIE Lab (Delta E 1976)."""
    region = face_region(clean.shape[-1])
    return _each_pair(restored, clean, lambda a, b: np.linalg.norm(a[region] - b[region], axis=-1).mean())


def tone_error(restored: Tensor, clean: Tensor) -> Tensor:
    """Distance of the face regions' mean colours in CIE Lab: how far the skin's tone as a whole is off."""
    region = face_region(clean.shape[-1])
    return _each_pair(restored, clean, lambda a, b: np.linalg.norm(a[region].mean(0) - b[region].mean(0)))


def iris_error(restored: Tensor, clean: Tensor) -> Tensor:
    """Mean over both irises of each pixel's distance in a and b of CIE Lab: whether eyes keep their colour."""
    region = iris_region(clean.shape[-1])
    return _each_pair(restored, clean, lambda a, b: np.linalg.norm(a[region, 1:] - b[region, 1:], axis=-1).mean())


def surroundings_error(restored: Tensor, clean: Tensor) -> Tensor:
    """As `lab_error`, of what is around the head: whether backgrounds keep their colours."""
    weights = surroundings(clean.shape[-1])
    return _each_pair(restored, clean, lambda a, b: np.average(np.linalg.norm(a - b, axis=-1), weights=weights))


def _each_pair(restored: Tensor, clean: Tensor, distance: Callable[[np.ndarray, np.ndarray], np.floating]) -> Tensor:
    labs = [[to_lab(np.ascontiguousarray(face)) for face in _as_pictures(faces)] for faces in (restored, clean)]
    return torch.tensor([float(distance(a, b)) for a, b in zip(*labs, strict=True)])


def _as_pictures(faces: Tensor) -> np.ndarray:
    return faces.detach().float().permute(0, 2, 3, 1).cpu().numpy()


def bundled_metrics(device: torch.device | str = "cpu") -> dict[str, FaceMetric]:
    """The metrics that need no download, by the name of their column."""
    features = RetinaFaceFeatures().to(device)
    return {
        "PSNR": psnr,
        "SSIM": ssim,
        "PD": partial(feature_distance, features),
        "Lab": lab_error,
        "tone": tone_error,
        "iris": iris_error,
        "around": surroundings_error,
    }


def to_unit(x: Tensor) -> Tensor:
    """[-1, 1] as [0, 1], clamped."""
    return (x / 2 + 0.5).clamp(0, 1)
