"""How far two sets of faces are apart as a whole: the Fréchet distance of their features (Heusel et al. 2017)."""

from collections.abc import Callable

import torch
from torch import Tensor

Describe = Callable[[Tensor], Tensor]  # faces (b, 3, s, s), RGB in [0, 1] -> features (b, d)


class Moments:
    """Mean and covariance of a set's features, which come batch by batch."""

    def __init__(self):
        self.count = 0
        self.sum = self.products = torch.zeros((), dtype=torch.float64)  # (d,), (d, d) from the first batch on

    def add(self, features: Tensor) -> None:  # (b, d)
        x = features.double().cpu()
        self.count += len(x)
        self.sum = self.sum + x.sum(0)
        self.products = self.products + x.T @ x

    def mean_and_covariance(self) -> tuple[Tensor, Tensor]:  # (d,), (d, d)
        if self.count < 2:
            raise ValueError(f"a set's distance is that of two faces or more, got {self.count}; give more pictures")
        mean = self.sum / self.count
        return mean, (self.products - self.count * mean.outer(mean)) / (self.count - 1)


def frechet_distance(one: Moments, other: Moments) -> float:
    """|mean - mean|^2 + trace(A + B - 2 (A B)^(1/2)) of two sets with covariances A and B; 0 for the same set.

    Small sets make it too large, the more so the more features there are: compare only sets of one size.
    """
    (mean_a, a), (mean_b, b) = one.mean_and_covariance(), other.mean_and_covariance()
    # A B has the eigenvalues of A^(1/2) B A^(1/2), which is symmetric.
    values, vectors = torch.linalg.eigh(a)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    together = torch.linalg.eigvalsh(root @ b @ root).clamp_min(0).sqrt().sum()
    return float((mean_a - mean_b).square().sum() + a.trace() + b.trace() - 2 * together)
