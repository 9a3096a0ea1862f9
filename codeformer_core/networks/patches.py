"""Squares of pixels as channels, by a Haar transform: the largest features are then `patch` times smaller than faces.

The transform is orthonormal: unfolding is exactly the inverse, and a face's squared error is that of its channels.
Means and details are channels of their own, so that flat places need no more than small details, not equal pixels.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def haar_basis(patch: int) -> Tensor:
    """(patch^2, patch, patch): an orthonormal basis of squares, the constant one first; patch is a power of two."""
    step = torch.tensor([[[1, 1], [1, 1]], [[1, -1], [1, -1]], [[1, 1], [-1, -1]], [[1, -1], [-1, 1]]]) / 2
    basis = torch.ones(1, 1, 1)
    while (side := basis.shape[-1]) < patch:
        places = torch.eye(side**2).view(-1, side, side)
        basis = torch.cat([torch.kron(basis, step[:1]), torch.kron(places, step[1:])])
    return basis


@lru_cache(maxsize=8)
def _kernel(patch: int, device: torch.device, dtype: torch.dtype) -> Tensor:  # (3 patch^2, 3, patch, patch)
    with torch.inference_mode(False):  # it is also used where gradients are taken
        colours = torch.eye(3)[:, :, None, None]
        return torch.kron(haar_basis(patch)[:, None], colours).to(device, dtype)


def fold(x: Tensor, patch: int) -> Tensor:  # (b, 3, s, s) -> (b, 3 patch^2, s / patch, s / patch)
    """Each square's coefficients as channels, three colours each: first the means (times patch), then finer details."""
    return x if patch == 1 else F.conv2d(x, _kernel(patch, x.device, x.dtype), stride=patch)


def unfold(x: Tensor, patch: int) -> Tensor:  # (b, 3 patch^2, n, n) -> (b, 3, patch n, patch n)
    """The inverse of `fold`."""
    return x if patch == 1 else F.conv_transpose2d(x, _kernel(patch, x.device, x.dtype), stride=patch)


class PatchesToPixels(nn.Module):
    """`unfold` as a block of the decoder; it has no parameters."""

    def __init__(self, patch: int):
        super().__init__()
        self.patch = patch

    def forward(self, x: Tensor) -> Tensor:  # (b, 3 patch^2, n, n) -> (b, 3, patch n, patch n)
        return unfold(x, self.patch)


@torch.no_grad()
def start_without_grid(to_patches: nn.Module, last: nn.Module) -> None:
    """Begin with squares of one colour, all pixels alike, and with a last convolution that changes nothing.

    As in ICNR (Aitken et al., arXiv 1707.02937) no pixel of a square then differs from its neighbours by chance.
    """
    assert isinstance(to_patches, nn.Conv2d)
    assert isinstance(last, nn.Conv2d)
    assert to_patches.bias is not None
    assert last.bias is not None
    to_patches.weight[:3] *= (to_patches.out_channels // 3) ** 0.5  # a square's coefficient is patch times its mean
    to_patches.weight[3:] = 0
    to_patches.bias.zero_()
    nn.init.dirac_(last.weight)
    last.bias.zero_()
