r"""Squared maximum mean discrepancy between sets of graphs, by the two kernel families in use.

    MMD^2(X, Y) = mean k(x, x') + mean k(y, y') - 2 mean k(x, y),
    k(x, y) = exp(-distance(x, y)^2 / (2 sigma^2)),

the biased V-statistic: pairs of a graph with itself are included and no root is taken. `gdss`
(GDSS, GraphRNN and EDP-GNN tables) measures histograms by the earth mover's distance; `spectre`
(SPECTRE, DiGress and GruM tables) by total variation. Their values differ by an order of magnitude
and must never share a table. Both depend on the number of samples: print the real-data value at
the same count beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import pad

from modalities.graphs.statistics import GraphStatistics

__all__ = ["KERNELS", "Family", "GaussianKernel", "graph_mmd", "mmd_ratio", "squared_mmd"]

Family: TypeAlias = Literal["gdss", "spectre"]
Graphs: TypeAlias = GraphStatistics | Mapping[str, Tensor]


@dataclass(frozen=True)
class GaussianKernel:
    """The kernel k(x, y) = exp(-distance(x, y)^2 / (2 sigma^2)) between feature vectors.

    Attributes:
        distance: "emd", the earth mover's distance of two pmfs on a grid of unit spacing, equal to
            the L1 distance of their cumulative sums; "tv", half the L1 distance; "euclidean".
        sigma: bandwidth, in units of the scaled distance.
        bins: number of grid steps to one unit of distance (1 leaves the distance in bins).
    """

    distance: Literal["emd", "tv", "euclidean"]
    sigma: float
    bins: int = 1

    def distances(self, x: Tensor, y: Tensor) -> Tensor:
        """Distances between all rows of x [n, K] and y [m, K], shape [n, m]."""
        if self.distance == "euclidean":
            mode = "donot_use_mm_for_euclid_dist"  # the fast one loses half of the digits
            return torch.cdist(x, y, compute_mode=mode) / self.bins
        if self.distance == "emd":
            return torch.cdist(x.cumsum(-1), y.cumsum(-1), p=1.0) / self.bins
        return torch.cdist(x, y, p=1.0) / (2 * self.bins)

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Kernel values between all rows of x [n, K] and y [m, K], shape [n, m]."""
        return torch.exp(-self.distances(x, y).square() / (2 * self.sigma**2))


KERNELS: dict[Family, dict[str, GaussianKernel]] = {
    "gdss": {
        "degree": GaussianKernel("emd", sigma=1.0),
        "clustering": GaussianKernel("emd", sigma=0.1, bins=100),
        "orbit": GaussianKernel("euclidean", sigma=30.0),
        "spectral": GaussianKernel("emd", sigma=1.0),
    },
    "spectre": {
        "degree": GaussianKernel("tv", sigma=1.0),
        "clustering": GaussianKernel("tv", sigma=0.1),
        "orbit": GaussianKernel("tv", sigma=30.0),
        "spectral": GaussianKernel("tv", sigma=1.0),
    },
}
_GDSS_AVERAGE = ("degree", "clustering", "orbit")


def squared_mmd(x: Tensor, y: Tensor, kernel: GaussianKernel, *, block: int = 1024) -> float:
    """MMD^2 of two samples, the biased V-statistic, with at most block^2 kernel values in memory.

    Args:
        x: features [n, K]; a shorter K is padded with zeros.
        y: features [m, K'].
        kernel: the kernel k.
        block: rows of either sample compared at once; the result does not depend on it.

    Raises:
        ValueError: If a sample is empty.
    """
    if not len(x) or not len(y):
        raise ValueError(f"x has {len(x)} rows and y {len(y)}; expected at least one graph each.")
    width = max(x.shape[1], y.shape[1])
    x = pad(x.double(), (0, width - x.shape[1]))
    y = pad(y.double(), (0, width - y.shape[1]))
    within = _mean_kernel(x, x, kernel, block) + _mean_kernel(y, y, kernel, block)
    return within - 2 * _mean_kernel(x, y, kernel, block)


def _mean_kernel(x: Tensor, y: Tensor, kernel: GaussianKernel, block: int) -> float:
    total = 0.0
    for i in range(0, len(x), block):
        for j in range(0, len(y), block):
            total += float(kernel(x[i : i + block], y[j : j + block]).sum())
    return total / (len(x) * len(y))


def graph_mmd(
    real: Graphs, generated: Graphs, family: Family, *, block: int = 1024
) -> dict[str, float]:
    """MMD^2 of degree, clustering, orbit and spectral statistics between two sets of graphs.

    Args:
        real: a graph batch, or its statistics where it is compared more than once.
        generated: the same for the other set.
        family: "gdss" (earth mover's distance) or "spectre" (total variation).
        block: graphs of either set compared at once.

    Returns:
        `degree`, `clustering`, `orbit` and `spectral`; for "gdss" also `average`, the mean of the
        first three, as that family's tables report it.

    Raises:
        ValueError: If `family` is unknown or a set is empty.
    """
    if family not in KERNELS:
        raise ValueError(f"family is {family!r}; expected one of {', '.join(map(repr, KERNELS))}.")
    first, second = _statistics(real), _statistics(generated)
    result = {
        name: squared_mmd(getattr(first, name), getattr(second, name), kernel, block=block)
        for name, kernel in KERNELS[family].items()
    }
    if family == "gdss":
        result["average"] = sum(result[name] for name in _GDSS_AVERAGE) / len(_GDSS_AVERAGE)
    return result


def mmd_ratio(
    generated: Graphs,
    test: Graphs,
    train: Graphs,
    family: Family = "spectre",
    *,
    smallest_reference: float = 1e-5,
) -> dict[str, float]:
    """How many times further the generated graphs are from the test graphs than training graphs.

    The ratio MMD^2(generated, test) / MMD^2(train, test) of each statistic (Bergmeister et al.
    2024), and their mean as `average`. Published averages include a fifth, wavelet statistic.

    Args:
        generated: generated graphs or their statistics.
        test: test graphs or their statistics.
        train: training graphs or their statistics.
        family: kernel family, see `graph_mmd`.
        smallest_reference: A statistic whose MMD^2(train, test) lies below it has no meaningful
            ratio (clustering and orbits of trees) and is left out: report its raw value.

    Raises:
        ValueError: If every statistic is left out.
    """
    test = _statistics(test)
    reference = graph_mmd(test, train, family)
    value = graph_mmd(test, generated, family)
    names = [name for name in KERNELS[family] if reference[name] >= smallest_reference]
    if not names:
        raise ValueError(
            f"train is closer to test than smallest_reference={smallest_reference} in every "
            "statistic; expected two different sets: report graph_mmd instead of ratios."
        )
    ratios = {name: value[name] / reference[name] for name in names}
    return {**ratios, "average": sum(ratios.values()) / len(ratios)}


def _statistics(graphs: Graphs) -> GraphStatistics:
    if isinstance(graphs, GraphStatistics):
        return graphs
    return GraphStatistics.from_batch(graphs)
