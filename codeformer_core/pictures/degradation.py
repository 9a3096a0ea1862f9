"""What makes CodeFormer's low-quality training pictures out of sharp ones: Eq. 9 of the paper (arXiv 2206.11253)."""

import math
from dataclasses import dataclass, fields, replace

import cv2
import numpy as np

from .arrays import check_picture, check_values, from_float, to_float
from .formats import JPEG_SIDE

FACE_SIZE = 512  # pixels; the side of the faces for which the presets are given


def _check_kernel_size(size: int):
    if size < 1 or size % 2 == 0:
        raise ValueError(f"kernel_size is an odd number of pixels, got {size}")


@dataclass(frozen=True, kw_only=True)
class DegradationConfig:
    """Ranges, (lowest, highest), from which each degradation is drawn uniformly."""

    blur_sigma: tuple[float, float] = (1.0, 15.0)  # pixels; 0 = no blur
    downscale: tuple[float, float] = (1.0, 30.0)  # the picture becomes this many times smaller, and as large again
    noise: tuple[float, float] = (0.0, 20.0)  # standard deviation in 8-bit units, on the small picture
    jpeg_quality: tuple[int, int] = (30, 90)
    kernel_size: int = 41  # pixels, odd; cuts off the Gaussian
    anisotropic: float = 0.0  # probability of a Gaussian of two sigmas, turned by any angle

    def __post_init__(self):
        for name, lowest, highest in (
            ("blur_sigma", 0, 1000),
            ("downscale", 1, 1000),
            ("noise", 0, 255),
            ("jpeg_quality", 1, 100),
        ):
            low, high = getattr(self, name)
            if not lowest <= low <= high <= highest:
                raise ValueError(f"{name} is (low, high) with {lowest} <= low <= high <= {highest}, got {low, high}")
        _check_kernel_size(self.kernel_size)
        if not 0 <= self.anisotropic <= 1:
            raise ValueError(f"anisotropic is a probability from 0 to 1, got {self.anisotropic}")

    def scaled(self, size: int) -> "DegradationConfig":
        """The same look on faces of `size` pixels: blur and downscale shrink with the face, the rest stays."""
        if size < 1:
            raise ValueError(f"size is the side of a face in pixels, at least 1, got {size}")
        factor = size / FACE_SIZE
        return replace(
            self,
            blur_sigma=(self.blur_sigma[0] * factor, self.blur_sigma[1] * factor),
            downscale=(max(1.0, self.downscale[0] * factor), max(1.0, self.downscale[1] * factor)),
            kernel_size=2 * max(1, round((self.kernel_size * factor - 1) / 2)) + 1,
        )


PAPER = DegradationConfig()
PUBLISHED_LARGE = DegradationConfig(downscale=(4.0, 30.0), jpeg_quality=(30, 80), anisotropic=0.5)
PUBLISHED_SMALL = DegradationConfig(
    blur_sigma=(0.1, 10.0), downscale=(1.0, 12.0), noise=(0.0, 15.0), jpeg_quality=(60, 100), anisotropic=0.5
)
# Levels for evaluation, each drawn on its own.
MILD = DegradationConfig(blur_sigma=(1.0, 3.0), downscale=(1.0, 4.0), noise=(0.0, 6.0), jpeg_quality=(65, 90))
MEDIUM = DegradationConfig(blur_sigma=(3.0, 7.0), downscale=(4.0, 10.0), noise=(4.0, 12.0), jpeg_quality=(45, 75))
HEAVY = DegradationConfig(blur_sigma=(7.0, 14.0), downscale=(10.0, 26.0), noise=(8.0, 20.0), jpeg_quality=(30, 55))
LEVELS = {
    "paper": PAPER,
    "published_large": PUBLISHED_LARGE,
    "published_small": PUBLISHED_SMALL,
    "mild": MILD,
    "medium": MEDIUM,
    "heavy": HEAVY,
}


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """One degradation, all numbers drawn; `dataclasses.asdict` of it fits JSON. The defaults do what a JPEG does."""

    sigma_x: float = 0.0  # pixels
    sigma_y: float = 0.0
    angle: float = 0.0  # radians, of the sigma_x axis, from x towards y (down)
    kernel_size: int = 41
    downscale: float = 1.0
    noise: float = 0.0  # standard deviation in 8-bit units
    noise_seed: int = 0
    jpeg_quality: int = 100

    def __post_init__(self):
        least = {"sigma_x": 0, "sigma_y": 0, "downscale": 1, "noise": 0, "noise_seed": 0, "jpeg_quality": 1}
        for field in fields(self):
            value = getattr(self, field.name)
            if not np.isfinite(value) or value < least.get(field.name, -np.inf):
                raise ValueError(f"{field.name} is finite and at least {least.get(field.name, '-inf')}, got {value}")
        if self.jpeg_quality > 100:
            raise ValueError(f"jpeg_quality is from 1 to 100, got {self.jpeg_quality}")
        _check_kernel_size(self.kernel_size)


def degradation_rng(seed: int, *keys: int) -> np.random.Generator:
    """A generator that depends on (seed, keys) alone, such as seed, step and index: a resumed run is the same run."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=keys))


def sample_degradation(config: DegradationConfig, rng: np.random.Generator) -> Degradation:
    """Draw one degradation; the same state of `rng` gives the same one, and always six draws are taken from it."""
    sigma_x, sigma_y = rng.uniform(*config.blur_sigma, size=2).tolist()
    angle = rng.uniform(-np.pi, np.pi)
    anisotropic = rng.random() < config.anisotropic
    low, high = config.jpeg_quality
    return Degradation(
        sigma_x=sigma_x,
        sigma_y=sigma_y if anisotropic else sigma_x,
        angle=angle if anisotropic else 0.0,
        kernel_size=config.kernel_size,
        downscale=float(rng.uniform(*config.downscale)),
        noise=float(rng.uniform(*config.noise)),
        noise_seed=int(rng.integers(2**32)),
        jpeg_quality=int(rng.integers(low, high, endpoint=True)),
    )


def degrade(image: np.ndarray, degradation: Degradation) -> np.ndarray:
    """Blur, shrink, add noise, compress and enlarge (Eq. 9): same shape and dtype (uint8, uint16, float32 in [0, 1]).

    The steps run on 8 bits, which is all that a JPEG holds. Both resizes are bilinear and noise differs per channel.
    """
    height, width = check_values(check_picture(image)).shape[:2]
    x = _convert(image, np.dtype(np.uint8))
    x = _blur(x, degradation)
    small = max(1, round(width / degradation.downscale)), max(1, round(height / degradation.downscale))
    x = cv2.resize(x, small, interpolation=cv2.INTER_LINEAR)
    x = _add_noise(x, degradation)
    x = _jpeg(x, degradation.jpeg_quality)
    x = cv2.resize(x, (width, height), interpolation=cv2.INTER_LINEAR)
    return _convert(x, image.dtype)


def gaussian_kernel(size: int, sigma_x: float, sigma_y: float, angle: float) -> np.ndarray:
    """A (size, size) float32 Gaussian that sums to 1, its sigma_x axis turned from x towards y (down) by `angle`."""
    offsets = np.arange(size) - size // 2
    x, y = offsets[None, :], offsets[:, None]
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    kernel = np.exp(-0.5 * ((along / sigma_x) ** 2 + (across / sigma_y) ** 2))
    return (kernel / kernel.sum()).astype(np.float32)


def _convert(image: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return image if image.dtype == dtype else from_float(to_float(image), dtype)


def _blur(x: np.ndarray, degradation: Degradation) -> np.ndarray:
    sigma_x, sigma_y = degradation.sigma_x, degradation.sigma_y
    if sigma_x == sigma_y == 0:
        return x
    # Beyond 4 sigma there is less of a Gaussian than 8 bits can show, and small kernels are quicker.
    size = min(degradation.kernel_size, 2 * math.ceil(4 * max(sigma_x, sigma_y)) + 1)
    sigma_x, sigma_y = max(sigma_x, 1e-3), max(sigma_y, 1e-3)  # below this a Gaussian is one pixel
    if degradation.angle == 0 or sigma_x == sigma_y:
        return cv2.GaussianBlur(x, (size, size), sigma_x, sigmaY=sigma_y)  # separable, several times as fast
    return cv2.filter2D(x, -1, gaussian_kernel(size, sigma_x, sigma_y, degradation.angle))


def _add_noise(x: np.ndarray, degradation: Degradation) -> np.ndarray:
    if degradation.noise == 0:
        return x
    noise = np.random.default_rng(degradation.noise_seed).standard_normal(x.shape, dtype=np.float32)
    noise *= degradation.noise
    noise += x
    return np.clip(np.rint(noise, out=noise), 0, 255, out=noise).astype(np.uint8)


def _jpeg(x: np.ndarray, quality: int) -> np.ndarray:
    if max(x.shape[:2]) > JPEG_SIDE:
        height, width = x.shape[:2]
        raise ValueError(f"a JPEG has sides up to {JPEG_SIDE} pixels, got {width} x {height}; scale it down first")
    bgr = cv2.cvtColor(x, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
