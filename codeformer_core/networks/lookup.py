"""Ways from the encoder's features to codes that the paper compares with its transformer (Table 3).

Each is a part `lookup` of CodeFormer, whose parameter's name tells in a state dict which one it is.
"""

import torch
from einops import rearrange
from torch import Tensor, nn

from .config import VQConfig


class LinearLookup(nn.Linear):
    """A linear layer says how likely each code item is (c)."""

    def __init__(self, config: VQConfig):
        super().__init__(config.codebook_dim, config.codebook_size)

    def logits(self, features: Tensor, codebook: Tensor) -> Tensor:  # (b, d, n, n), (K, d) -> (b, n * n, K)
        return self(rearrange(features, "b d h w -> b (h w) d"))


class NearestLookup(nn.Module):
    """Each feature's nearest code item (b)."""

    name = "nearest"

    def __init__(self, config: VQConfig):
        super().__init__()
        self.register_buffer(self.name, torch.zeros(1))  # there is nothing to learn; only its name counts

    def logits(self, features: Tensor, codebook: Tensor) -> Tensor:  # (b, d, n, n), (K, d) -> (b, n * n, K)
        z = rearrange(features, "b d h w -> b (h w) d")
        return -torch.cdist(z.float(), codebook.float()).square()


class NoLookup(NearestLookup):
    """The features themselves are decoded (a); the codes, which are the nearest, are only shown."""

    name = "none"


LOOKUPS = {"linear": LinearLookup, "nearest": NearestLookup, "none": NoLookup}
