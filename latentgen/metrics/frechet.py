"""The Frechet distance between two sets of features."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .features import checked


@dataclass
class Moments:
    """Sums of features, so that parts and processes can be added.

    Attributes:
        count: number of samples N.
        first: sum of features, shape [F], float64.
        second: sum of outer products, shape [F, F], float64.
    """

    count: int
    first: Tensor
    second: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Moments:
        """Moments of features [N, F]."""
        x = checked(features).double()
        return cls(len(x), x.sum(0), x.T @ x)

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.count + other.count, self.first + other.first, self.second + other.second)

    @property
    def mean(self) -> Tensor:
        """Mean, shape [F]."""
        return self.first / self.count

    @property
    def covariance(self) -> Tensor:
        """Unbiased covariance, shape [F, F].

        Raises:
            ValueError: with fewer than two samples.
        """
        if self.count < 2:
            raise ValueError(f"features have {self.count} sample; a covariance needs at least 2.")
        mean = self.mean
        return (self.second - self.count * torch.outer(mean, mean)) / (self.count - 1)


def frechet_distance(real: Tensor | Moments, generated: Tensor | Moments) -> float:
    r"""|mu_r - mu_g|^2 + Tr(S_r + S_g - 2 (S_r S_g)^{1/2}) (Heusel et al. 2017), squared feature units.

    Biased in the number of samples (about as 1 / N): compare at equal numbers alone.

    Args:
        real: features [N, F], or their moments.
        generated: features [M, F], or their moments.

    Raises:
        ValueError: if features are not finite, not [N, F], of different widths, or fewer than two.
    """
    a, b = (value if isinstance(value, Moments) else Moments.of(value) for value in (real, generated))
    if a.first.shape != b.first.shape:
        raise ValueError(f"real has {len(a.first)} features and generated {len(b.first)}; use one feature map.")
    root = _root(a.covariance)
    # Tr (S_r S_g)^{1/2} is the sum of the square roots of the eigenvalues of the symmetric S_r^{1/2} S_g S_r^{1/2}
    cross = torch.linalg.eigvalsh(root @ b.covariance @ root).clamp_min(0).sqrt().sum()
    distance = (a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace() - 2 * cross
    return float(distance.clamp_min(0))


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    return root
