"""The divergence frontier of two sets of features, in the manner of MAUVE (Pillutla et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SCALE = 5.0
"""c of the paper."""
POINTS = 25
"""Mixtures along the frontier."""
SMOOTHING = 0.5
"""Added to every count (Krichevsky and Trofimov), so that empty clusters do not rule."""


def frontier_area(p: Tensor, q: Tensor, scale: float = SCALE, points: int = POINTS) -> float:
    r"""Area under the curve of (exp(-c KL(Q || R)), exp(-c KL(P || R))), R = l P + (1 - l) Q, 0 < l < 1.

    1 for equal histograms, near 0 for disjoint ones.

    Args:
        p: a histogram that sums to 1, shape [K].
        q: another one, shape [K].
        scale: c.
        points: number of l.
    """
    p, q = p.double(), q.double()
    shares = torch.linspace(0, 1, points + 2, dtype=torch.float64)[1:-1]
    mixtures = shares[:, None] * p + (1 - shares[:, None]) * q
    x = torch.exp(-scale * _kl(q, mixtures))
    y = torch.exp(-scale * _kl(p, mixtures))
    one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    # from (0, 1), where R = P, to (1, 0), where R = Q
    x, y = torch.cat([zero, x.flip(0), one]), torch.cat([one, y.flip(0), zero])
    return float(torch.trapezoid(y, x))


def _kl(a: Tensor, b: Tensor) -> Tensor:
    """KL(a || b), nats, for b [..., K]."""
    ratio = torch.where(a > 0, a * (a.clamp_min(1e-300) / b.clamp_min(1e-300)).log(), torch.zeros_like(b))
    return ratio.sum(-1)


def mauve(real: Tensor, generated: Tensor, clusters: int | None = None, seeds: Sequence[int] = (0, 1, 2)) -> float:
    """Divergence frontier of features: principal components, k-means on both together, smoothed histograms.

    Args:
        real: features [N, F].
        generated: features [N, F], as many.
        clusters: K; a tenth of N unless given, at most 500.
        seeds: of k-means; the mean over them is given.

    Raises:
        ValueError: if the numbers differ, or are below 20.
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    if len(real) != len(generated) or len(real) < 20:
        raise ValueError(f"real has {len(real)} rows, generated {len(generated)}; give as many of both, at least 20.")
    together = torch.cat([real, generated]).double().cpu().numpy()
    reduced = PCA(n_components=0.9, svd_solver="full", random_state=0).fit_transform(together)
    count = clusters or min(500, max(2, len(real) // 10))
    areas = []
    for seed in seeds:
        labels = torch.from_numpy(KMeans(count, n_init=3, random_state=seed).fit_predict(reduced)).long()
        p, q = (_histogram(part, count) for part in torch.split(labels, len(real)))
        areas.append(frontier_area(p, q))
    return sum(areas) / len(areas)


def _histogram(labels: Tensor, count: int) -> Tensor:
    counts = torch.bincount(labels, minlength=count).double() + SMOOTHING
    return counts / counts.sum()
