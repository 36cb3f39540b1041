"""Metrics by nearest neighbours: precision and recall, density and coverage, one-nearest-neighbour accuracy."""

from __future__ import annotations

import torch
from torch import Tensor

from .features import checked_pair

CHUNK = 2**22
"""Distances held at a time."""


def precision_recall(real: Tensor, generated: Tensor, k: int = 3) -> dict[str, float]:
    """Share of generated samples in the real k-nearest-neighbour balls, and the reverse (Kynkaanniemi et al. 2019).

    Args:
        real: features [N, F].
        generated: features [M, F].
        k: neighbour whose distance is a ball's radius; a sample is not its own neighbour.

    Raises:
        ValueError: if features are not finite, not [N, F], of different widths, or at most k.
    """
    x, y = checked_pair(real, generated, k + 1)
    return {"precision": _inside(y, x, _radii(x, k)), "recall": _inside(x, y, _radii(y, k))}


def density_coverage(real: Tensor, generated: Tensor, k: int = 5) -> dict[str, float]:
    """Mean number of real balls around a sample, over k; share of real balls that hold one (Naeem et al. 2020).

    Args:
        real: features [N, F].
        generated: features [M, F].
        k: neighbour whose distance is a ball's radius; the balls are open.

    Raises:
        ValueError: if features are not finite, not [N, F], of different widths, or at most k.
    """
    x, y = checked_pair(real, generated, k + 1)
    radii, held, hit = _radii(x, k), 0.0, 0.0
    for part, radius in zip(_chunks(x, len(y)), torch.split(radii, _rows(len(y))), strict=True):
        inside = torch.cdist(part, y) < radius[:, None]
        held += float(inside.sum())
        hit += float(inside.any(dim=1).sum())
    return {"density": held / (k * len(y)), "coverage": hit / len(x)}


def nearest_neighbour_accuracy(real: Tensor, generated: Tensor) -> float:
    """Leave-one-out accuracy of the 1-nearest-neighbour classifier, real against generated (Lopez-Paz and Oquab 2017).

    0.5 for equal distributions at equal numbers of samples, 1 for separate ones.

    Args:
        real: features [N, F].
        generated: features [M, F].

    Raises:
        ValueError: if features are not finite, not [N, F], of different widths, or fewer than two.
    """
    x, y = checked_pair(real, generated)
    both = torch.cat([x, y])
    own = torch.cat([torch.zeros(len(x)), torch.ones(len(y))]).to(x.device)
    right, start = 0.0, 0
    for part in _chunks(both, len(both)):
        distance = torch.cdist(part, both)
        rows = torch.arange(len(part), device=x.device)
        distance[rows, start + rows] = float("inf")
        right += float((own[distance.argmin(dim=1)] == own[start : start + len(part)]).sum())
        start += len(part)
    return right / len(both)


def _radii(x: Tensor, k: int) -> Tensor:
    """Distance of each sample to its k-th nearest other sample, shape [N]."""
    return torch.cat([torch.cdist(part, x).kthvalue(k + 1, dim=1).values for part in _chunks(x, len(x))])


def _inside(points: Tensor, centres: Tensor, radii: Tensor) -> float:
    """Share of points in at least one closed ball."""
    hits = sum(float((torch.cdist(part, centres) <= radii).any(dim=1).sum()) for part in _chunks(points, len(centres)))
    return hits / len(points)


def _rows(columns: int) -> int:
    return max(1, CHUNK // max(columns, 1))


def _chunks(x: Tensor, columns: int) -> tuple[Tensor, ...]:
    return torch.split(x, _rows(columns))
