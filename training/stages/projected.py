"""The projected discriminator: small heads on fixed features, which learn in thousands of steps (Sauer et al. 2021).

"Projected GANs Converge Faster", arXiv 2111.01007: features of a fixed network are mixed at random across channels and
scales, so that no head can live on a few of them; only the heads are trained.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from ..draws import draws
from .image_loss import at_size
from .perceptual import EFFICIENTNET_CHANNELS, EfficientNetLite

VIEW = 256  # px, of what the fixed network looks at: the whole face averaged down, and at other steps a part as it is
FINE_HEADS = 2  # those of the finest features take as real only faces that have the detail which the view can show


class ProjectedDiscriminator(nn.Module):
    """A logit per place of each of four scales, for whole faces and for parts; above 0 for real ones."""

    def __init__(self, network: EfficientNetLite, *, batch_size: int, seed: int = 0, width: int = 64):
        super().__init__()
        self.batch_size, self.seed = batch_size, seed
        self.network = [network]  # in a list: fixed, and not saved with the heads
        half = width // 2
        self.across_channels = nn.ModuleList(nn.Conv2d(c, half, 1) for c in EFFICIENTNET_CHANNELS)
        self.across_scales = nn.ModuleList(nn.Conv2d(half, half, 3, padding=1) for _ in EFFICIENTNET_CHANNELS)
        for mixing in (self.across_channels, self.across_scales):
            for conv in mixing:
                assert isinstance(conv, nn.Conv2d)
                nn.init.kaiming_normal_(conv.weight, nonlinearity="linear")
            mixing.requires_grad_(False)
        self.heads = nn.ModuleList(_heads(half, width) for _ in range(2))  # of whole faces, and of parts

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "ProjectedDiscriminator":
        """The fixed network goes where the heads go, though it is none of their modules."""
        self.network[0]._apply(fn, recurse)
        return super()._apply(fn, recurse)

    def look(self, x: Tensor, slots: Tensor, step: int) -> list[Tensor]:
        """The mixed features of faces (b, 3, s, s) as this step looks at them, from fine to coarse."""
        features = self.network[0].features(self._view(x, slots, step))
        mixed, coarser = [], None
        for i in reversed(range(len(features))):
            h = self.across_channels[i](features[i])
            if coarser is not None:
                h = h + F.interpolate(coarser, h.shape[-2:], mode="bilinear", align_corners=False)
            coarser = self.across_scales[i](h)
            mixed.append(coarser)
        return mixed[::-1]

    def forward(self, features: list[Tensor], step: int) -> list[Tensor]:  # of `look` -> (b, 1, n, n) of each scale
        heads = self.heads[step % 2]
        assert isinstance(heads, nn.ModuleList)
        return [head(h) for head, h in zip(heads, features, strict=True)]

    def counts_as_real(self, native: Tensor, size: int, step: int) -> list[Tensor]:
        """Which faces, stored at `native` (b,) px and enlarged to `size`, each head takes as real ones (b,)."""
        shown = min(VIEW, size) if step % 2 == 0 else size
        sharp = native >= 0.9 * shown
        everything = torch.ones_like(sharp)
        return [sharp if i < FINE_HEADS else everything for i in range(len(EFFICIENTNET_CHANNELS))]

    def _view(self, x: Tensor, slots: Tensor, step: int) -> Tensor:
        size = x.shape[-1]
        side = min(VIEW, size)
        if step % 2 == 0:
            return at_size(x, side)
        generator = draws(self.seed, step, "views")
        places = torch.rand(self.batch_size, 2, generator=generator)
        corners = (places[slots.cpu()] * (size - side)).round().int().tolist()
        parts = [face[:, top : top + side, left : left + side] for face, (top, left) in zip(x, corners, strict=True)]
        return torch.stack(parts).contiguous(memory_format=torch.channels_last)


def _heads(channels: int, width: int) -> nn.ModuleList:
    """A small head for each scale."""
    return nn.ModuleList(
        nn.Sequential(
            spectral_norm(nn.Conv2d(channels, width, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(width, 1, 3, padding=1)),
        )
        for _ in EFFICIENTNET_CHANNELS
    )
