"""Whether a decoder leaves its grid on faces: regular peaks in the spectrum of flat skin."""

import torch
from torch import Tensor

SKIN = ((0.36, 0.64), (0.64, 0.64), (0.50, 0.30))  # (x, y) of cheeks and brow, as shares of an aligned face's side
ROUNDING = 2 / 255 / 12**0.5  # standard deviation of rounding [-1, 1] to 8 bits


def grid_strength(faces: Tensor, period: int) -> float:
    """How far the spectrum of the skin stands out at a grid's frequencies; 1 without a grid, for any texture.

    `faces` is (b, 3, s, s), aligned, in [-1, 1]; `period` the grid's in px. The mean power of cheeks and brow at the
    multiples of 1 / `period`, over the median of the frequencies around each, or over the power of rounding to 8 bits
    where that is more; the largest of these ratios.
    """
    size = faces.shape[-1]
    side = 8 * period * max(1, round(size / 8 / 8 / period))  # about an eighth of the face, whole periods
    power = _skin_power(faces.float().mean(1), side)
    floor = ROUNDING**2 * torch.hann_window(side).square().sum() ** 2
    step, reach = side // period, 3  # bins between the grid's frequencies, and around each
    ratios = []
    for u in range(0, side, step):
        for v in range(0, side, step):
            if (u, v) == (0, 0):
                continue
            offsets = torch.arange(-reach, reach + 1)
            around = power[(u + offsets)[:, None] % side, (v + offsets) % side].clone()
            peak = around[reach, reach].clone()
            # Neighbours of the peak itself are lifted by the window, and the axes have the skin's own slow shading.
            around[reach - 1 : reach + 2, reach - 1 : reach + 2] = torch.nan
            ratios.append(peak / around.nanmedian().clamp_min(floor))
    return float(torch.stack(ratios).max())


def _skin_power(grey: Tensor, side: int) -> Tensor:  # (b, s, s) -> (side, side), the mean of all squares of skin
    size = grey.shape[-1]
    window = torch.hann_window(side, device=grey.device)
    squares = []
    for x, y in SKIN:
        left, top = (min(max(round(place * size) - side // 2, 0), size - side) for place in (x, y))
        squares.append(grey[:, top : top + side, left : left + side])
    cut = torch.cat(squares)
    cut = (cut - cut.mean((1, 2), keepdim=True)) * window[:, None] * window
    power = torch.fft.fft2(cut).abs().square()
    return power.mean(0).cpu()
