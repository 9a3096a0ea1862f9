"""The losses of the paper's Eq. 1-8 that are not the network's own, and how they are weighed."""

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor


def code_loss(logits: Tensor, codes: Tensor) -> Tensor:
    """Cross-entropy of predicted codes (b, n, K) against the clean face's codes (b, n) (Eq. 6, first term)."""
    return F.cross_entropy(rearrange(logits.float(), "b n k -> (b n) k"), codes.flatten())


def feature_loss(features: Tensor, entries: Tensor) -> Tensor:
    """Mean squared distance of encoder features (b, d, n, n) to the clean face's code items (Eq. 6, second term).

    The items are the target: no gradient goes to them.
    """
    return F.mse_loss(features.float(), entries.detach().float())


def published_codebook_loss(z: Tensor, entries: Tensor, beta: float) -> Tensor:
    """As Eq. 3, of z (b, d, n, n) and its code items, but beta is on the codebook term, as in the published recipe.

    The paper has it on the commitment term, which moves z and not the items; so has `VectorQuantizer`.
    """
    return beta * F.mse_loss(entries, z.detach()) + F.mse_loss(z, entries.detach())


def token_accuracy(logits: Tensor, codes: Tensor) -> Tensor:
    """The share of codes (b, n) that are predicted right, per face (b,)."""
    return (logits.argmax(-1) == codes).float().mean(1)


def ratio_of_norms(numerator: Tensor, denominator: Tensor, *, most: float = 1e4) -> Tensor:
    """|numerator| / |denominator|, at most `most`.

    Of the gradients of the image losses and of the adversarial loss at one weight of the network it is the adaptive
    weight that balances them (Esser et al., arXiv 2012.09841, Eq. 7).
    """
    return (numerator.norm() / (denominator.norm() + 1e-4)).clamp(max=most)
