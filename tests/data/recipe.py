"""Weights and inputs that anyone can rebuild from their names, so that golden outputs need no checkpoint.

Every tensor is drawn from ``numpy.random.Generator(PCG64(crc32(name)))``:

* 1-D ``weight`` (a norm's gain):          1 + 0.1 * N(0, 1)
* 1-D anything else (a bias, a norm's shift): 0.05 * N(0, 1)
* ``position_emb``:                        0.5 * N(0, 1)
* ``quantize.embedding.weight``:           1.0 * N(0, 1)
* other weights:                           gain / sqrt(fan_in) * N(0, 1), gain = 1, but 3 for ``idx_pred_layer``

An input of shape (B, 3, H, W) in [-1, 1] is a sum of 12 random sinusoids per channel plus 2 % noise,
drawn from ``PCG64(seed)``. Same name or seed, same float32 numbers, on every machine.
"""

import zlib

import numpy as np


def tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The float32 array that belongs to this parameter name."""
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    z = rng.standard_normal(shape)
    if len(shape) == 1:
        z = 1 + 0.1 * z if name.endswith("weight") else 0.05 * z
    elif name == "position_emb":
        z = 0.5 * z
    elif name == "quantize.embedding.weight":
        pass
    else:
        gain = 3.0 if name.startswith("idx_pred_layer") else 1.0
        z = gain / np.sqrt(np.prod(shape[1:])) * z
    return z.astype(np.float32)


def image(seed: int, batch: int, size: int = 512) -> np.ndarray:
    """A (batch, 3, size, size) float32 input in [-1, 1]."""
    rng = np.random.Generator(np.random.PCG64(seed))
    y, x = np.mgrid[0:size, 0:size].astype(np.float64) / size
    out = np.zeros((batch, 3, size, size))
    for b in range(batch):
        for c in range(3):
            for _ in range(12):
                fx, fy, phase, amp = (
                    rng.uniform(-12, 12),
                    rng.uniform(-12, 12),
                    rng.uniform(0, 2 * np.pi),
                    rng.uniform(0.05, 0.3),
                )
                out[b, c] += amp * np.sin(2 * np.pi * (fx * x + fy * y) + phase)
    out += 0.02 * rng.standard_normal(out.shape)
    return np.clip(out, -1, 1).astype(np.float32)
