"""Cuts against exhaustive search, evidence as a probability, planted blocks found again."""

import math
from itertools import combinations, product

import numpy as np
import numpy.typing as npt

from modalities.graphs.blocks import balanced_cut, block_counts, block_evidence, fit_blocks

BoolArray = npt.NDArray[np.bool_]


def planted(
    sizes: list[int], within: float, between: float, rng: np.random.Generator
) -> tuple[BoolArray, npt.NDArray[np.int64]]:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    chance = np.where(labels[:, None] == labels, within, between)
    upper = np.triu(rng.random(chance.shape) < chance, k=1)
    order = rng.permutation(len(labels))
    return (upper | upper.T)[np.ix_(order, order)], labels[order]


def same_partition(one: npt.NDArray[np.int64], two: npt.NDArray[np.int64]) -> bool:
    return bool(((one[:, None] == one) == (two[:, None] == two)).all())


def test_cut_is_the_smallest_of_all() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        adjacency, _ = planted([5, 5], 0.8, 0.08, rng)
        halves = [list(half) for half in combinations(range(10), 5)]
        best = min(adjacency[half].sum(0)[np.delete(np.arange(10), half)].sum() for half in halves)
        side = balanced_cut(adjacency)
        assert side.sum() == 5
        assert adjacency[side][:, ~side].sum() == best


def test_no_swap_of_two_nodes_makes_the_cut_smaller() -> None:
    rng = np.random.default_rng(2)
    for _ in range(30):
        adjacency, _ = planted([12], 0.4, 0.0, rng)
        side = balanced_cut(adjacency)
        cut = adjacency[side][:, ~side].sum()
        for one, other in product(np.flatnonzero(side), np.flatnonzero(~side)):
            swapped = side.copy()
            swapped[[one, other]] = [False, True]
            assert adjacency[swapped][:, ~swapped].sum() >= cut


def test_cut_of_an_odd_graph() -> None:
    path = np.eye(7, k=1, dtype=np.bool_) | np.eye(7, k=-1, dtype=np.bool_)
    side = balanced_cut(path)
    assert sorted([side.sum(), (~side).sum()]) == [3, 4]
    assert path[side][:, ~side].sum() == 1


def test_counts() -> None:
    adjacency = np.zeros((5, 5), dtype=np.bool_)
    for start, end in ((0, 1), (1, 2), (2, 3), (3, 4), (0, 4)):
        adjacency[start, end] = adjacency[end, start] = True
    edges, pairs = block_counts(adjacency, np.array([0, 0, 0, 1, 1]))
    assert edges.tolist() == [[2, 2], [2, 1]]
    assert pairs.tolist() == [[3, 6], [6, 1]]


def test_evidence_by_hand() -> None:
    edge = np.array([[False, True], [True, False]])
    assert math.isclose(block_evidence(edge, np.array([0, 0])), math.log(1 / 4))
    assert math.isclose(block_evidence(edge, np.array([0, 1])), math.log(1 / 8))


def test_evidence_is_a_probability() -> None:
    total = 0.0
    for bits in product((False, True), repeat=3):
        adjacency = np.zeros((3, 3), dtype=np.bool_)
        adjacency[np.triu_indices(3, k=1)] = bits
        adjacency |= adjacency.T
        for labels in product(range(3), repeat=3):
            if set(labels) == set(range(max(labels) + 1)):
                total += math.exp(block_evidence(adjacency, np.array(labels)))
    assert math.isclose(total, 1.0, rel_tol=1e-12)


def test_planted_blocks_are_found() -> None:
    rng = np.random.default_rng(0)
    found, likelier = [], []
    for blocks in (2, 3, 4, 5) * 20:
        sizes = rng.integers(20, 41, size=blocks).tolist()
        adjacency, labels = planted(sizes, 0.3, 0.005, rng)
        fitted = fit_blocks(adjacency)
        found.append(same_partition(fitted, labels))
        likelier.append(block_evidence(adjacency, fitted) - block_evidence(adjacency, labels))
    # A node with more neighbours abroad than at home cannot be told: in about 3 graphs of 100 the
    # likeliest partition is not the planted one.
    assert np.mean(found) >= 0.9
    assert np.mean(np.array(likelier) > -1e-9) >= 0.98


def test_a_random_graph_has_one_block() -> None:
    rng = np.random.default_rng(1)
    graphs = [planted([60], p, 0.0, rng)[0] for p in (0.1, 0.3, 0.5, 0.9)]
    assert [int(fit_blocks(graph).max()) for graph in graphs] == [0, 0, 0, 0]


def test_graphs_without_structure_do_not_break() -> None:
    for n in (1, 2, 12):
        assert not fit_blocks(np.zeros((n, n), dtype=np.bool_)).any()
        assert not fit_blocks(~np.eye(n, dtype=np.bool_)).any()
