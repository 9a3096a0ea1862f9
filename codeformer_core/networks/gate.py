"""CFT in pixels: where the input is clean, its own detail is let through. An addition to the paper's network.

Eq. 7 with the picture itself as F_e: alpha is minus the gate's share, beta the share of the input.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import Conv3x3
from .cft import Weight
from .patches import fold

PATCH = 4  # squares of 4 x 4 pixels are what it sees as one place
LEVELS = 4  # sizes at which it looks, each half the one before; DOWNSCALE in config.py is PATCH * 2^(LEVELS - 1)
FINER = 2  # bands of detail smaller than a place: their shares come from the largest features


class InputGate(nn.Module):
    """Between a restored face and its input, band by band of a Laplacian pyramid, light and colours apart.

    Each share lies in [0, 1], so that each band of the result lies between those of both faces.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.first = Conv3x3(2 * 3 * PATCH**2, channels)
        self.down = nn.ModuleList(nn.Conv2d(channels, channels, 3, 2, 1) for _ in range(LEVELS - 1))
        self.whole = nn.Linear(channels, channels)
        self.up = nn.ModuleList(Conv3x3(channels, channels) for _ in range(LEVELS))
        self.shares = nn.ModuleList(nn.Conv2d(channels, 2, 1) for _ in range(LEVELS + FINER))  # coarsest band first
        for share in self.shares:  # at first it is nearly closed
            assert isinstance(share, nn.Conv2d)
            assert share.bias is not None
            nn.init.zeros_(share.weight)
            nn.init.constant_(share.bias, -2.0)

    def forward(self, lq: Tensor, restored: Tensor, w: Weight) -> Tensor:  # (b, 3, s, s) twice -> (b, 3, s, s)
        rest, bands = (lq - restored).contiguous(), []  # channels first: two or three channels are slow as the last
        for _ in self.shares[1:]:
            smaller = F.avg_pool2d(rest, 2)
            bands.append(rest - _doubled(smaller))
            rest = smaller
        change = torch.zeros_like(rest)
        for share, band in zip(self._shares(lq, restored), [rest, *reversed(bands)], strict=True):
            if change.shape != band.shape:
                change = _doubled(change)
            light, colours = share.to(band).chunk(2, dim=1)
            change = change.addcmul_(colours, band).addcmul_(light - colours, band.mean(1, keepdim=True))
        return restored + change * w

    def _shares(self, lq: Tensor, restored: Tensor) -> list[Tensor]:  # (b, 2, n, n) each, coarsest first
        x = torch.cat([fold(x.to(self.first.weight), PATCH) for x in (lq, restored)], dim=1)
        x = F.silu(self.first(x))
        seen = [x]
        for down in self.down:
            seen.append(F.silu(down(seen[-1])))
        x = seen.pop()
        x = x + self.whole(x.mean((2, 3)))[:, :, None, None]
        shares = []
        for up, share in zip(self.up, self.shares, strict=False):
            x = x + F.silu(up(x))
            shares.append(share(x).sigmoid().contiguous())
            if seen:
                x = _doubled(x) + seen.pop()
        for share in self.shares[LEVELS:]:
            shares.append(_enlarged(share(x).sigmoid().contiguous(), 2 * shares[-1].shape[-1]))
        return shares


def _doubled(x: Tensor) -> Tensor:  # (b, c, n, n) -> (b, c, 2n, 2n)
    return _enlarged(x, 2 * x.shape[-1])


def _enlarged(x: Tensor, side: int) -> Tensor:  # (b, c, n, n) -> (b, c, side, side)
    return F.interpolate(x, (side, side), mode="bilinear", align_corners=False)
