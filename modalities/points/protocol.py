"""The figures of published tables of generated shapes, from matrices of distances; and the divergence of occupancy."""

from __future__ import annotations

import math

import torch
from torch import Tensor

GRID = 28
"""Nodes of an edge of the occupancy grid."""


def nearest_neighbour_accuracy(within: Tensor, cross: Tensor, within_real: Tensor) -> float:
    """1-NNA: leave-one-out accuracy of the nearest-neighbour classifier on both sets (Lopez-Paz and Oquab 2017).

    0.5 for equal distributions at equal numbers, 1 for separate ones; below 0.5 for copies, each of which is nearest to
    its original. A tie between both sets counts half.

    Args:
        within: distances of generated shapes, shape [G, G].
        cross: of generated to real ones, shape [G, R].
        within_real: of real ones, shape [R, R].

    Raises:
        ValueError: if shapes do not agree, a set has fewer than two shapes, or a distance is no number.
    """
    _check(cross, within, within_real)
    return (_right(within, cross) + _right(within_real, cross.T)) / sum(cross.shape)


def minimum_matching_distance(cross: Tensor) -> float:
    """MMD: mean over real shapes of the distance to the nearest generated one (Achlioptas et al. 2018).

    Args:
        cross: distances of generated to real shapes, shape [G, R].
    """
    _check(cross)
    return float(cross.double().amin(dim=0).mean())


def coverage(cross: Tensor) -> float:
    """COV: share of real shapes that are the nearest one of some generated shape (Achlioptas et al. 2018).

    Args:
        cross: distances of generated to real shapes, shape [G, R].
    """
    _check(cross)
    return len(set(cross.argmin(dim=1).tolist())) / cross.shape[1]


def protocol_figures(within: Tensor, cross: Tensor, within_real: Tensor) -> dict[str, float]:
    """``nna``, ``mmd`` and ``cov`` of the three matrices of :func:`nearest_neighbour_accuracy`."""
    return {
        "nna": nearest_neighbour_accuracy(within, cross, within_real),
        "mmd": minimum_matching_distance(cross),
        "cov": coverage(cross),
    }


def occupancy(x: Tensor, low: Tensor, edge: float, mask: Tensor | None = None, grid: int = GRID) -> Tensor:
    """Share of all points at each node of a cubic grid, the nearest one of a point, shape [grid^3], float64.

    Args:
        x: points, shape [B, N, 3].
        low: the cube's least corner, which is a node, shape [3].
        edge: of the cube, ``grid - 1`` steps long.
        mask: True where a point is real, shape [B, N].
        grid: nodes of an edge.
    """
    points = x.reshape(-1, 3) if mask is None else x[mask]
    nodes = ((points.double() - low) / edge * (grid - 1)).round().long().clamp(0, grid - 1)
    index = (nodes[:, 0] * grid + nodes[:, 1]) * grid + nodes[:, 2]
    return torch.bincount(index, minlength=grid**3).double() / len(index)


def occupancy_divergence(
    generated: Tensor,
    real: Tensor,
    mask: Tensor | None = None,
    real_mask: Tensor | None = None,
    cube: tuple[Tensor, float] | None = None,
    grid: int = GRID,
) -> float:
    r"""JSD: Jensen-Shannon divergence, bits, of all points' occupancies of a grid (Achlioptas et al. 2018).

    KL(P || M) / 2 + KL(Q || M) / 2, M = (P + Q) / 2: 0 for equal occupancies, 1 for disjoint ones. Published tables put
    a 28^3 grid over the unit cube about the origin, or the ball in it; data of other scales take the cube around their
    real shapes.

    Args:
        generated: points, shape [G, N, 3].
        real: points, shape [R, M, 3].
        mask: True where a point is real, shape [G, N].
        real_mask: the same, shape [R, M].
        cube: least corner [3] and edge; that around the real shapes unless given.
        grid: nodes of an edge.
    """
    corner, edge = cube if cube is not None else _cube(real.reshape(-1, 3) if real_mask is None else real[real_mask])
    p = occupancy(generated, corner, edge, mask, grid)
    q = occupancy(real, corner, edge, real_mask, grid)
    middle = (p + q).clamp_min(1e-300) / 2
    return sum(float(torch.xlogy(side, side / middle).sum()) for side in (p, q)) / 2 / math.log(2)


def _cube(points: Tensor) -> tuple[Tensor, float]:
    low, high = points.double().amin(dim=0), points.double().amax(dim=0)
    edge = float((high - low).max().clamp_min(1e-12))
    return (low + high - edge) / 2, edge


def standard_error(accuracy: float, generated: int, real: int) -> float:
    """Of a 1-NNA as a binomial share: differences of two of them are no result."""
    return math.sqrt(max(accuracy * (1 - accuracy), 0.0) / (generated + real))


def _right(within: Tensor, cross: Tensor) -> float:
    """Number of shapes whose nearest other shape is of their own set."""
    own = within.double() + torch.diag(torch.full((len(within),), float("inf"), dtype=torch.float64)).to(within.device)
    nearest, foreign = own.amin(dim=1), cross.double().amin(dim=1)
    return float((nearest < foreign).sum() + (nearest == foreign).sum() / 2)


def _check(cross: Tensor, *squares: Tensor) -> None:
    for square, count in zip(squares, cross.shape, strict=False):
        if square.shape != (count, count):
            given = f"cross has shape {tuple(cross.shape)}, and distances within a set {tuple(square.shape)}"
            raise ValueError(f"{given}; give {(count, count)}.")
    least = 2 if squares else 1
    if cross.dim() != 2 or min(cross.shape) < least:
        raise ValueError(f"cross has shape {tuple(cross.shape)}; give at least {least} shapes of both sets.")
    if not all(matrix.isfinite().all() for matrix in (cross, *squares)):
        raise ValueError("distances have NaN or infinity; look for it in the generated shapes.")
