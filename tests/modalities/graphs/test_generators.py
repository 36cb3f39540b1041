"""The laws of the generators, against closed forms."""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence

import networkx as nx
import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import to_networkx

from modalities.graphs.generators import GENERATORS, communities, grids, planar, sbm, trees

SIGMAS = 4.0


def graph_of(data: Data) -> nx.Graph:
    return to_networkx(data, to_undirected=True)


def within(sample: Sequence[float], mean: float, variance: float) -> bool:
    """Whether the sample's mean lies within SIGMAS standard errors of the true mean."""
    return bool(abs(np.mean(sample) - mean) <= SIGMAS * math.sqrt(variance / len(sample)))


@pytest.mark.parametrize("name", GENERATORS)
def test_graphs_are_simple_undirected_and_plain(name: str) -> None:
    for data in GENERATORS[name](20, seed=3):
        n, (start, end) = data.num_nodes, data.edge_index
        key = start * n + end
        assert bool((key[1:] > key[:-1]).all()), "sorted without repeats"
        assert bool((start != end).all())
        assert torch.equal(key, (end * n + start).sort().values)
        assert data.x.dtype == data.edge_attr.dtype == torch.int64
        assert data.x.shape == (n,) and not data.x.any()
        assert data.edge_attr.shape == start.shape and bool((data.edge_attr == 1).all())


@pytest.mark.parametrize("name", GENERATORS)
def test_a_graph_depends_on_seed_and_index_alone(name: str) -> None:
    short, long, other = (GENERATORS[name](k, seed=s) for k, s in ((3, 7), (6, 7), (6, 8)))
    for first, second in zip(short, long, strict=False):
        assert torch.equal(first.edge_index, second.edge_index)
    edges = {str(data.edge_index.tolist()) for data in long + other}
    assert len(edges) > 6


@pytest.mark.parametrize("half", [8, 9, 10])
def test_edges_within_a_community_follow_its_law(half: int) -> None:
    pairs = math.comb(half, 2)
    counts = []
    for data in communities(800, seed=0, min_nodes=2 * half, max_nodes=2 * half):
        first = (data.edge_index < half).all(dim=0).sum() // 2
        second = (data.edge_index >= half).all(dim=0).sum() // 2
        counts += [int(first), int(second)]
    assert within(counts, 0.7 * pairs, 0.21 * pairs)
    assert abs(np.var(counts) / (0.21 * pairs) - 1) < SIGMAS * math.sqrt(2 / len(counts))


def test_communities_are_connected_and_sizes_uniform() -> None:
    graphs = communities(900, seed=1)
    assert all(nx.is_connected(graph_of(data)) for data in graphs)
    sizes = Counter(data.num_nodes for data in graphs)
    assert set(sizes) == {12, 14, 16, 18, 20}
    for size, share in ((12, 2 / 9), (14, 2 / 9), (16, 2 / 9), (18, 2 / 9), (20, 1 / 9)):
        deviation = SIGMAS * math.sqrt(len(graphs) * share * (1 - share))
        assert abs(sizes[size] - len(graphs) * share) <= deviation


def chance_connected(n: int, p: float = 0.7) -> float:
    """P(G(n, p) is connected), by the size k of the component of node 0 (Gilbert 1959)."""
    chance = [1.0, 1.0]
    for m in range(2, n + 1):
        parts = (
            math.comb(m - 1, k - 1) * chance[k] * (1 - p) ** (k * (m - k)) for k in range(1, m)
        )
        chance.append(1 - sum(parts))
    return chance[n]


def test_share_of_graphs_with_exactly_one_bridge() -> None:
    """P(one bridge) = (1 - p)^K + K p (1 - p)^(K - 1) for K = (n / 2)^2 cross pairs.

    A graph with a broken group has at least two pairs of components to bridge.
    """
    expected = {}
    for half in range(6, 11):
        one = 0.99 ** (half**2) + half**2 * 0.01 * 0.99 ** (half**2 - 1)
        expected[half] = chance_connected(half) ** 2 * one
    single, shares = [], []
    for data in communities(3000, seed=2):
        half = data.num_nodes // 2
        crossing = (data.edge_index[0] < half) & (data.edge_index[1] >= half)
        single.append(int(crossing.sum()) == 1)
        shares.append(expected[half])
    share = float(np.mean(shares))
    assert 0.84 < share < 0.89
    assert within(single, share, share * (1 - share))


def test_every_pair_of_components_is_bridged() -> None:
    """Of four nodes both groups are broken with probability 0.3^2, and then all pairs joined."""
    graphs = [graph_of(data) for data in communities(1500, seed=4, min_nodes=4, max_nodes=5)]
    assert all(nx.is_connected(graph) for graph in graphs)
    assert all(graph.has_edge(0, 1) and graph.has_edge(2, 3) for graph in graphs)
    complete = [graph.number_of_edges() == 6 for graph in graphs]
    chance = 0.09 + 0.42 * 0.01**4 + 0.49 * 0.01**4
    assert within(complete, chance, chance * (1 - chance))


@pytest.mark.parametrize("nodes", [3, 20, 64])
def test_planar_graphs_are_connected_triangulations(nodes: int) -> None:
    for data in planar(60, seed=5, nodes=nodes):
        graph = graph_of(data)
        assert graph.number_of_nodes() == nodes
        assert nx.check_planarity(graph)[0] and nx.is_connected(graph)
        assert 2 * nodes - 3 <= graph.number_of_edges() <= 3 * nodes - 6 + (nodes == 3)
        assert nx.is_biconnected(graph)
        assert all(nx.triangles(graph).values()), "every point lies in a triangle"


def test_planar_edges_match_the_expected_hull() -> None:
    """E[edges] = 3n - 3 - E[h]; the expected hull is estimated from independent points."""
    from scipy.spatial import ConvexHull

    rng = np.random.default_rng(0)
    hulls = [len(ConvexHull(rng.random((20, 2))).vertices) for _ in range(1500)]
    edges = [data.num_edges // 2 for data in planar(1500, seed=6)]
    error = math.sqrt((np.var(hulls) + np.var(edges)) / 1500)
    assert abs(np.mean(edges) - (57 - np.mean(hulls))) <= SIGMAS * error


@pytest.mark.parametrize("nodes", [1, 2, 3, 30])
def test_trees_are_trees(nodes: int) -> None:
    for data in trees(40, seed=7, nodes=nodes):
        graph = graph_of(data)
        assert graph.number_of_edges() == nodes - 1
        assert nx.is_connected(graph)


def test_trees_of_four_nodes_are_uniform() -> None:
    """Cayley: 4^2 = 16 labelled trees; chi-square with 15 degrees of freedom, 4 sigma."""
    count = Counter(str(data.edge_index.tolist()) for data in trees(3200, seed=8, nodes=4))
    assert len(count) == 16
    chi_square = sum((seen - 200) ** 2 / 200 for seen in count.values())
    assert chi_square < 15 + SIGMAS * math.sqrt(30)


def test_leaves_of_trees() -> None:
    """A label is absent from a Pruefer sequence with probability (1 - 1/n)^(n - 2)."""
    n = 64
    leaves = [int((data.edge_index[0].bincount() == 1).sum()) for data in trees(600, 9, n)]
    one, both = (1 - 1 / n) ** (n - 2), (1 - 2 / n) ** (n - 2)
    variance = n * one + n * (n - 1) * both - (n * one) ** 2
    assert within(leaves, n * one, variance)


def test_sbm_sizes_and_edges() -> None:
    graphs = sbm(400, seed=10)
    nodes = [data.num_nodes for data in graphs]
    assert min(nodes) >= 40 and max(nodes) <= 200
    assert within(nodes, 3.5 * 30, np.var(nodes))
    square = 30**2 + (21**2 - 1) / 12
    expected = 3.5 * 0.3 * (square - 30) / 2 + 5 * 30**2 * 0.005
    edges = [data.num_edges / 2 for data in graphs]
    assert within(edges, expected, np.var(edges))


def test_sbm_edges_between_blocks() -> None:
    crossing = []
    for data in sbm(300, seed=11, min_blocks=2, max_blocks=2, min_size=20, max_size=20):
        start, end = data.edge_index
        crossing.append(int(((start < 20) & (end >= 20)).sum()))
    assert within(crossing, 2.0, 400 * 0.005 * 0.995)


def test_grids_are_grids() -> None:
    for data in grids(30, seed=12, min_side=2, max_side=5):
        shapes = itertools.product(range(2, 6), repeat=2)
        assert any(
            data.num_nodes == rows * columns
            and nx.is_isomorphic(graph_of(data), nx.grid_2d_graph(rows, columns))
            for rows, columns in shapes
        )
    sizes = {data.num_nodes for data in grids(200, seed=13)}
    assert min(sizes) >= 100 and max(sizes) <= 361


def test_no_graphs_and_large_seeds() -> None:
    assert communities(0, seed=0) == []
    assert len(trees(1, seed=2**80, nodes=5)) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: communities(-1, 0), "n_graphs must be at least 0, got -1; raise it."),
        (lambda: communities(1, -1), "seed must be at least 0, got -1; raise it."),
        (lambda: communities(1, 0, 1, 5), "min_nodes must be at least 2, got 1; raise it."),
        (lambda: communities(1, 0, 9, 5), "max_nodes must be at least 9, got 5; raise it."),
        (lambda: planar(1, 0, 2), "nodes must be at least 3, got 2; raise it."),
        (lambda: trees(1, 0, 0), "nodes must be at least 1, got 0; raise it."),
        (lambda: sbm(1, 0, max_blocks=1), "max_blocks must be at least 2, got 1; raise it."),
        (lambda: sbm(1, 0, min_size=0), "min_size must be at least 1, got 0; raise it."),
        (lambda: grids(1, 0, 5, 4), "max_side must be at least 5, got 4; raise it."),
    ],
)
def test_numbers_outside_their_range(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message


def test_a_fraction_of_a_graph() -> None:
    with pytest.raises(TypeError) as caught:
        planar(1.5, 0)  # type: ignore[arg-type]
    assert str(caught.value) == "n_graphs must be an integer, got 1.5; give a whole number."
