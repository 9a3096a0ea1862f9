"""Blocks of the VQ autoencoder; parameter names are those of the published checkpoints."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from . import winograd


def group_norm(channels: int) -> nn.GroupNorm:
    """The one norm of the convolutional parts: 32 groups of at least two channels, eps 1e-6.

    Two channels a group is what the published networks have at full size. Alone in its group a channel would lose its
    mean, and with it how light or dark the face is: networks of 32 channels then learn far more slowly.
    """
    return nn.GroupNorm(min(32, channels // 2), channels, eps=1e-6)


class Conv3x3(nn.Conv2d):
    """A convolution of 3 x 3 that keeps the size, by Winograd's algorithm where that is sooner."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, 3, padding=1)

    def forward(self, input: Tensor) -> Tensor:  # (b, c, h, w) -> (b, c', h, w)
        return winograd.convolve(input, self) if winograd.pays(input, self) else super().forward(input)

    def after_swish(self, norm: nn.GroupNorm, x: Tensor, overwrite: bool = False) -> Tensor:
        """conv(swish(norm(x))); without gradients `overwrite` lets the result take the place of x, if it fits."""
        if winograd.pays(x, self):
            return winograd.convolve(x, self, norm, x if overwrite else None)
        # Without gradients the norm's own output is overwritten, which saves a pass over memory.
        return super().forward(F.silu(norm(x), inplace=not torch.is_grad_enabled()))


class ResBlock(nn.Module):
    """norm, swish, conv, norm, swish, conv, plus the input (through `conv_out` where widths differ)."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.norm1 = group_norm(in_channels)
        self.conv1 = Conv3x3(in_channels, out_channels)
        self.norm2 = group_norm(out_channels)
        self.conv2 = Conv3x3(out_channels, out_channels)
        if in_channels != out_channels:
            self.conv_out = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:  # (b, c, h, w) -> (b, c', h, w)
        h = self.conv1.after_swish(self.norm1, x)
        h = self.conv2.after_swish(self.norm2, h, overwrite=True)
        # In place: on CPUs another tensor of this size takes longer to allocate than to fill. No gradient needs h.
        return h.add_(self.conv_out(x) if hasattr(self, "conv_out") else x)


class AttnBlock(nn.Module):
    """Self-attention over all places, one head, plus the input."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = group_norm(channels)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:  # (b, c, h, w) -> (b, c, h, w)
        h = self.norm(x)
        q, k, v = (rearrange(f(h), "b c h w -> b 1 (h w) c") for f in (self.q, self.k, self.v))
        h = F.scaled_dot_product_attention(q, k, v)
        return x + self.proj_out(rearrange(h, "b 1 (h w) c -> b c h w", w=x.shape[-1]))


class Downsample(nn.Module):
    """Half the size: a convolution of stride 2 after one zero on the right and at the bottom."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:  # (b, c, h, w) -> (b, c, h/2, w/2)
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Twice the size: nearest neighbour, then a convolution.

    Both are linear, so they are run as one transposed convolution of 4 x 4: nearest neighbour repeats each value in a
    2 x 2 square, and the 3 x 3 kernel spread over that square has 4 x 4 places. That takes 4 products per output and
    channel where the convolution of the enlarged features takes 9.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:  # (b, c, h, w) -> (b, c, 2h, 2w)
        k = F.pad(self.conv.weight.flip(2, 3), (1, 1, 1, 1))
        k = k[:, :, 1:, 1:] + k[:, :, 1:, :-1] + k[:, :, :-1, 1:] + k[:, :, :-1, :-1]
        return F.conv_transpose2d(x, rearrange(k, "o i h w -> i o h w"), self.conv.bias, stride=2, padding=1)
