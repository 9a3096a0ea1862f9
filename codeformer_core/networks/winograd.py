"""3 x 3 convolutions with a quarter of the products, on CPUs: Winograd's F(4 x 4, 3 x 3) (Lavin and Gray 2016).

For one thread only: some forty short steps a band, after each of which threads would wait for each other, are no faster
with two that sleep while they wait (GOMP_SPINCOUNT, as the command line sets it).

Tiles of 6 x 6 inputs, a step of 4 apart, become 36 matrices by B, each is multiplied with its matrix of weights, and
tiles of 4 x 4 outputs come out of the products by A (Eq. 8). It runs in bands of tiles that stay in the processor's
cache, and a band is normalised where it is loaded, so that large features are read once and written once.
"""

from collections.abc import Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TILES = 128  # in a band, about: enough rows for the matrix products, few enough for the cache
SMALLEST, NARROWEST = 32, 64  # features of fewer px or channels, where transforms cost more than products save


@cache
def _weight_transform() -> Tensor:
    """(36, 9): G of the paper, for both directions."""
    with torch.inference_mode(False):
        g = torch.tensor([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
        return torch.kron(g, g)


@cache
def _fast_processor() -> bool:
    return torch.backends.cpu.get_cpu_capability().startswith("AVX")


def pays(x: Tensor, conv: nn.Module) -> bool:
    """Whether `convolve` gives what `conv` gives, and sooner: float32, channels last, on a CPU, without gradients."""
    return (
        not torch.compiler.is_compiling()  # first: what follows would cut the graph in pieces
        and type(x) is Tensor  # not one that stands for others while a graph is made
        and x.device.type == "cpu"
        and torch.get_num_threads() == 1
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and isinstance(conv, nn.Conv2d)
        and x.dtype == conv.weight.dtype == torch.float32
        and (conv.kernel_size, conv.stride, conv.padding) == ((3, 3), (1, 1), (1, 1))
        and min(conv.in_channels, conv.out_channels) >= NARROWEST
        and min(x.shape[2:]) >= SMALLEST
        and x.is_contiguous(memory_format=torch.channels_last)
        and _fast_processor()
    )


def convolve(
    x: Tensor, conv: nn.Conv2d, norm: nn.GroupNorm | None = None, out: Tensor | None = None
) -> Tensor:  # (b, c, h, w) -> (b, c', h, w)
    """conv(x), or conv(swish(norm(x))), where `pays` says so. `out`, if given, is overwritten; it may be `x`."""
    (b, c, h, w), d = x.shape, conv.out_channels
    if out is None:
        out = torch.empty(b, d, h, w, memory_format=torch.channels_last)
    high, wide = -(-h // 4), -(-w // 4)  # in tiles
    n = min(high, max(1, round(TILES / wide)))
    kernel = torch.mm(_weight_transform(), conv.weight.permute(2, 3, 0, 1).reshape(9, -1)).view(36, d, c).mT
    rows, lines = x.new_empty(4 * n + 2, 4 * wide + 2, c), x.new_empty(6, n, 4 * wide + 2, c)
    tiles, products = x.new_empty(6, 6, n, wide, c), x.new_empty(6, 6, n, wide, d)
    half, whole = x.new_empty(4, 6, n, wide, d), x.new_empty(4 * n, 4 * wide, d)
    rows[:, 0], rows[:, w + 1 :] = 0, 0
    for image, result in zip(x.permute(0, 2, 3, 1), out.permute(0, 2, 3, 1), strict=True):
        affine = None if norm is None else _affine(image, norm)
        rows[0], done = 0, 0
        for top in range(0, h, 4 * n):
            # Rows top - 1 to top + 4 n; the first two are there since the last band.
            bottom = min(h, top + 4 * n + 1)
            fresh = rows[done - top + 1 : bottom - top + 1, 1 : w + 1]
            if affine is None:
                fresh.copy_(image[done:bottom])
            else:
                F.silu(torch.addcmul(affine[1], image[done:bottom], affine[0], out=fresh), inplace=True)
            rows[bottom - top + 1 :] = 0
            done = bottom
            _to_products([rows[k : k + 4 * n - 3 : 4] for k in range(6)], lines.unbind(0))
            _to_products([lines[:, :, k : k + 4 * wide - 3 : 4] for k in range(6)], tiles.unbind(1))
            torch.bmm(tiles.view(36, -1, c), kernel, out=products.view(36, -1, d))
            if conv.bias is not None:
                products[1, 1].add_(conv.bias)  # the product that every output takes once
            _from_products(products.unbind(0), half.unbind(0))
            fits = w == 4 * wide and top + 4 * n <= h
            target = result[top : top + 4 * n] if fits else whole
            _from_products(half.unbind(1), target.view(n, 4, wide, 4, d).permute(3, 1, 0, 2, 4).unbind(0))
            if not fits:
                result[top : top + 4 * n] = whole[: h - top, :w]
            rows[:2] = rows[4 * n : 4 * n + 2]
    return out


def _affine(image: Tensor, norm: nn.GroupNorm) -> tuple[Tensor, Tensor]:
    """Scale and shift (c) by which a group norm changes the channels of an image (h, w, c)."""
    mean, var = torch.batch_norm_update_stats(image.permute(2, 0, 1)[None], None, None, 0.0)
    groups = mean.view(norm.num_groups, -1)
    spread, mean_of_group = torch.var_mean(groups, 1, correction=0, keepdim=True)
    scale = (var.view_as(groups).mean(1, keepdim=True) + spread + norm.eps).rsqrt().expand_as(groups).reshape(-1)
    scale = scale * norm.weight
    return scale, norm.bias - mean_of_group.expand_as(groups).reshape(-1) * scale


def _to_products(d: Sequence[Tensor], y: Sequence[Tensor]) -> None:
    """y = B^T d along one direction, 6 from 6."""
    torch.add(d[4], d[2], alpha=-4, out=y[2])
    torch.add(d[3], d[1], alpha=-4, out=y[0])
    torch.add(y[2], y[0], out=y[1])
    y[2].sub_(y[0])
    torch.sub(d[4], d[2], out=y[4])
    torch.sub(d[3], d[1], out=y[0])
    torch.add(y[4], y[0], alpha=2, out=y[3])
    y[4].sub_(y[0], alpha=2)
    torch.add(d[5], y[0], alpha=-4, out=y[5]).sub_(d[3])
    torch.add(d[4], d[0], alpha=4, out=y[0]).sub_(d[2], alpha=5)


def _from_products(m: Sequence[Tensor], z: Sequence[Tensor]) -> None:
    """z = A^T m along one direction, 4 from 6; m is overwritten."""
    m[1].add_(m[2])
    torch.sub(m[1], m[2], alpha=2, out=m[2])  # m1 - m2
    m[3].add_(m[4])
    torch.sub(m[3], m[4], alpha=2, out=m[4])
    torch.add(m[2], m[4], alpha=2, out=z[1])
    torch.add(m[1], m[3], alpha=4, out=z[2])
    torch.add(m[1].add_(m[3]), m[0], out=z[0])
    torch.add(m[5].add_(m[2]), m[4], alpha=8, out=z[3])
