"""Smoothing along a track, with no lag: each frame sees as far ahead as back."""

import numpy as np

REACH = 3.0  # standard deviations of the Gaussian beyond which frames have no say


def smooth(values: np.ndarray, frames: np.ndarray, sigma: float) -> np.ndarray:
    """`values` (n, d) at rising `frames` (n,), smoothed by a Gaussian of `sigma` frames; float64.

    Each value is that of a parabola fitted to its surroundings with the Gaussian's weights. So motion that is steady,
    or steadily faster, stays as it is to rounding, also at the ends and across gaps, and a nod is flattened less than
    by a mean. One or two frames, and a sigma of 0, leave the values as they are.
    """
    if not sigma >= 0:
        raise ValueError(f"sigma is a number of frames, 0 or more, got {sigma}")
    values, frames = np.asarray(values, np.float64), np.asarray(frames, np.float64)
    if len(values) < 3 or sigma == 0:
        return values.copy()
    smoothed = np.empty_like(values)
    for i, frame in enumerate(frames):
        near = slice(*np.searchsorted(frames, [frame - REACH * sigma, frame + REACH * sigma], side="left"))
        apart = (frames[near] - frame) / sigma
        if len(apart) < 3:
            smoothed[i] = values[i]
            continue
        weights = np.exp(-(apart**2) / 4)  # the root of the Gaussian's: least squares squares them
        terms = np.stack([np.ones_like(apart), apart, apart**2], axis=1)
        origin = values[i]  # differences keep their digits where values are large
        fitted = np.linalg.lstsq(terms * weights[:, None], (values[near] - origin) * weights[:, None], rcond=None)
        smoothed[i] = origin + fitted[0][0]
    return smoothed
