r"""Block structure of plain graphs: a two-way cut and a stochastic block model with k unknown.

Both work on one adjacency matrix A [n, n] bool (symmetric, zero diagonal) and are deterministic.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["balanced_cut", "block_counts", "block_evidence", "fit_blocks"]

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

_MOST_SWEEPS = 30


def balanced_cut(adjacency: BoolArray) -> BoolArray:
    """Side of each node in a small cut into halves that differ by at most one node, [n] bool.

    The median split of each of the first eigenvectors of the graph Laplacian is improved by the
    best swap of two nodes until none helps (after Kernighan and Lin 1970), and the smallest cut
    is kept.

    Args:
        adjacency: A [n, n] bool, n >= 2.
    """
    weights = adjacency.astype(np.float64)
    vectors = np.linalg.eigh(np.diag(weights.sum(1)) - weights)[1]
    n = len(weights)
    sides = []
    for vector in vectors[:, 1:4].T:
        side = np.zeros(n, dtype=np.bool_)
        side[np.argsort(vector, kind="stable")[: n // 2]] = True
        sides.append(_swap_until_best(weights, side))
    return min(sides, key=lambda side: weights[side][:, ~side].sum())


def _swap_until_best(weights: FloatArray, side: BoolArray) -> BoolArray:
    while True:
        sign = np.where(side, 1.0, -1.0)
        pull = -sign * (weights @ sign)  # neighbours across minus neighbours on the own side
        one, other = np.flatnonzero(side), np.flatnonzero(~side)
        gain = pull[one][:, None] + pull[other][None, :] - 2 * weights[np.ix_(one, other)]
        best = np.unravel_index(int(gain.argmax()), gain.shape)
        if gain[best] <= 0:
            return side
        side = side.copy()
        side[[one[best[0]], other[best[1]]]] = [False, True]


def block_counts(adjacency: BoolArray, labels: IntArray) -> tuple[IntArray, IntArray]:
    """Edges and node pairs between blocks, both [k, k]; inside a block each counts once.

    Args:
        adjacency: A [n, n] bool.
        labels: block of each node, 0 ... k-1, [n].
    """
    member = np.eye(int(labels.max()) + 1, dtype=np.int64)[labels]
    edges = member.T @ adjacency.astype(np.int64) @ member
    size = member.sum(0)
    pairs = np.outer(size, size)
    np.fill_diagonal(edges, edges.diagonal() // 2)
    np.fill_diagonal(pairs, size * (size - 1) // 2)
    return edges, pairs


def block_evidence(adjacency: BoolArray, labels: IntArray) -> float:
    r"""Log evidence of a partition under a Bernoulli block model, in nats.

    Edge probabilities are integrated out under uniform priors,
    sum_{r<=s} log B(m_rs + 1, M_rs - m_rs + 1), and the partition has the prior
    1 / (n C(n-1, k-1)) * prod_r n_r! / n! over non-empty blocks (after Come and Latouche 2015).

    Args:
        adjacency: A [n, n] bool.
        labels: block of each node, every one of 0 ... k-1 used, [n].
    """
    edges, pairs = block_counts(adjacency, labels)
    upper = np.triu_indices(len(edges))
    size = np.bincount(labels)
    n, k = len(labels), len(size)
    table = _log_factorials(n)
    choices = table[n - 1] - table[k - 1] - table[n - k]
    prior = table[size].sum() - table[n] - choices - math.log(n)
    return float(_pair_evidence(edges[upper], pairs[upper], table).sum() + prior)


def _pair_evidence(edges: IntArray, pairs: IntArray, table: FloatArray) -> FloatArray:
    evidence: FloatArray = table[edges] + table[pairs - edges] - table[pairs + 1]
    return evidence


def _log_factorials(n: int) -> FloatArray:
    numbers = np.arange(n * n // 2 + n + 2, dtype=np.float64)
    numbers[0] = 1.0
    return np.cumsum(np.log(numbers))


def fit_blocks(adjacency: BoolArray, most: int = 8) -> IntArray:
    """Blocks of a stochastic block model whose number is inferred, [n] with values 0 ... k-1.

    For k = 1 ... most: k-means on the leading eigenvectors of the regularised normalised
    adjacency, then reassignment of all nodes by the profile likelihood until it stops. The
    partition with the most evidence is returned.

    Args:
        adjacency: A [n, n] bool.
        most: largest number of blocks tried.
    """
    n = len(adjacency)
    weights = adjacency.astype(np.float64)
    degree = weights.sum(1) + max(weights.sum() / n, 1.0)
    values, vectors = np.linalg.eigh(weights / np.sqrt(np.outer(degree, degree)))
    vectors = vectors[:, np.argsort(-np.abs(values), kind="stable")]
    candidates = [np.zeros(n, dtype=np.int64)]
    for k in range(2, min(most, n) + 1):
        candidates.append(_reassign(weights, _k_means(vectors[:, :k], k)))
    return max(candidates, key=lambda labels: block_evidence(adjacency, labels))


def _k_means(points: FloatArray, k: int) -> IntArray:
    """Lloyd's algorithm from farthest-point starts, [n]."""
    centres = points[[int(np.square(points).sum(1).argmax())]]
    for _ in range(k - 1):
        centres = np.vstack([centres, points[_distances(points, centres).min(1).argmax()]])
    labels = np.full(len(points), -1, dtype=np.int64)
    for _ in range(_MOST_SWEEPS):
        previous, labels = labels, _distances(points, centres).argmin(1).astype(np.int64)
        if (labels == previous).all():
            break
        for block in np.unique(labels):
            centres[block] = points[labels == block].mean(0)
    return _compact(labels)


def _distances(points: FloatArray, centres: FloatArray) -> FloatArray:
    squares: FloatArray = np.square(points[:, None] - centres[None]).sum(-1)
    return squares


def _compact(labels: IntArray) -> IntArray:
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def _reassign(weights: FloatArray, labels: IntArray) -> IntArray:
    """Move all nodes at once to their likeliest block, given the blocks' edge frequencies."""
    for _ in range(_MOST_SWEEPS):
        edges, pairs = block_counts(weights > 0, labels)
        chance = (edges + 0.5) / (pairs + 1.0)
        member = np.eye(len(edges))[labels]
        present = weights @ member
        absent = member.sum(0) - member - present
        likelihood = present @ np.log(chance) + absent @ np.log1p(-chance)
        moved = _compact(likelihood.argmax(1).astype(np.int64))
        if (moved == labels).all():
            break
        labels = moved
    return labels
