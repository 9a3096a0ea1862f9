"""Controllable feature transformation: how far, and where, encoder features tune decoder features (paper, Sec. 3.3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import Conv3x3, ResBlock

Weight = Union[float, Tensor]  # noqa: UP007 (used at run time on Python 3.10)


@dataclass(frozen=True, kw_only=True)
class CFTWeights:
    """The fidelity weight w per scale and per place: 0 is the codebook's quality, 1 is fidelity to the input.

    `w` is one weight for all scales, or {side of the features in px: weight}, where scales that are not named get 0.
    A weight is a float, or a tensor (b,) with one value a face. `mask` (b or 1, 1, h, w) in [0, 1] says where `w`
    holds; where it is 0, `outside` holds. A mask of any size is averaged down, or interpolated up, to each scale.
    """

    w: Weight | Mapping[int, Weight] = 0.5
    mask: Tensor | None = None
    outside: Weight = 0.0

    def __post_init__(self):
        for weight in [*(self.w.values() if isinstance(self.w, Mapping) else [self.w]), self.outside]:
            _check_weight(weight)
        if self.mask is not None:
            _check_mask(self.mask)

    def tensors(self) -> list[Tensor]:
        """Those of the weights and the mask that hold one value, or one mask, per face: (b, ...)."""
        weights = [*(self.w.values() if isinstance(self.w, Mapping) else [self.w]), self.outside, self.mask]
        return [weight for weight in weights if isinstance(weight, Tensor) and weight.ndim > 0]

    def at(self, size: int, side: int | None = None) -> Weight:
        """w at one scale: a float, or a tensor that broadcasts with (b, c, side, side); the side is that of the scale.

        Another `side` is for what takes the w of a scale at a size of its own.
        """
        side = side or size
        w = _per_face(self.w.get(size, 0.0) if isinstance(self.w, Mapping) else self.w)
        if self.mask is None:
            return w
        mask = self.mask.float()
        if mask.shape[-1] > side:
            mask = F.interpolate(mask, (side, side), mode="area")
        else:
            mask = F.interpolate(mask, (side, side), mode="bilinear", align_corners=False)
        outside = _per_face(self.outside)
        w, outside = (v.to(mask) if isinstance(v, Tensor) else v for v in (w, outside))
        return outside + (w - outside) * mask


def _check_mask(mask: Tensor) -> None:
    if not isinstance(mask, Tensor) or mask.ndim != 4 or mask.shape[1] != 1 or mask.numel() == 0:
        raise ValueError(f"a CFT mask is (b, 1, h, w) with values in [0, 1], got {getattr(mask, 'shape', type(mask))}")
    low, high = (value.item() for value in mask.aminmax())
    if not (low >= -1e-3 and high <= 1 + 1e-3):  # NaN is neither; resizing may round a little beyond
        raise ValueError(f"a CFT mask has values in [0, 1], got {low:g} to {high:g}: scale or clip it first")


def _check_weight(w: Weight) -> None:
    if isinstance(w, Tensor):
        if w.ndim > 1:
            raise ValueError(f"w as a tensor is (b,), one value a face, got {tuple(w.shape)}; use CFTWeights(mask=...)")
        in_range = bool(((w >= 0) & (w <= 1)).all())  # on a GPU this waits for it, once for each CFTWeights
    else:
        in_range = isinstance(w, Real) and 0 <= w <= 1
    if not in_range:
        raise ValueError(f"the fidelity weight w lies between 0 (quality) and 1 (fidelity), got {w}")


def _per_face(w: Weight) -> Weight:
    return w.reshape(-1, 1, 1, 1) if isinstance(w, Tensor) else float(w)


class FuseBlock(nn.Module):
    """One CFT block: alpha and beta come from both features, F_d + w (alpha F_d + beta) (Eq. 7)."""

    def __init__(self, channels: int):
        super().__init__()
        self.encode_enc = ResBlock(2 * channels, channels)
        self.scale, self.shift = (
            nn.Sequential(
                Conv3x3(channels, channels),
                nn.LeakyReLU(0.2, inplace=True),
                Conv3x3(channels, channels),
            )
            for _ in range(2)
        )

    def forward(self, enc: Tensor, dec: Tensor, w: Weight) -> Tensor:  # (b, c, h, w) twice -> (b, c, h, w)
        h = self.encode_enc(torch.cat([enc, dec], dim=1))
        change = self.shift(h).addcmul_(dec, self.scale(h))  # in place, as in ResBlock
        return dec + change.mul_(w)  # in this order, so that the layout in memory stays that of `dec`
