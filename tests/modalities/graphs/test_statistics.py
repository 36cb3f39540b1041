"""Graph statistics against enumeration, networkx and closed forms."""

from itertools import combinations
from math import comb

import networkx as nx
import numpy as np
import pytest
import torch
from torch import Tensor

from modalities.graphs import statistics
from modalities.graphs.statistics import (
    GraphStatistics,
    adjacency,
    clustering_coefficients,
    clustering_histogram,
    degree_histogram,
    laplacian_spectrum,
    orbit_counts,
    spectral_histogram,
)

# Connected graphs of four nodes are told apart by their degrees, and so are their orbits.
ORBIT_OF_DEGREE = {
    (1, 1, 2): {1: 1, 2: 2},
    (2, 2, 2): {2: 3},
    (1, 1, 2, 2): {1: 4, 2: 5},
    (1, 1, 1, 3): {1: 6, 3: 7},
    (2, 2, 2, 2): {2: 8},
    (1, 2, 2, 3): {1: 9, 2: 10, 3: 11},
    (2, 2, 3, 3): {2: 12, 3: 13},
    (3, 3, 3, 3): {3: 14},
}


def dense(graphs: list[nx.Graph], size: int | None = None) -> dict[str, Tensor]:
    size = size or max(len(graph) for graph in graphs)
    edges = torch.zeros(len(graphs), size, size, dtype=torch.long)
    mask = torch.zeros(len(graphs), size, dtype=torch.bool)
    for index, graph in enumerate(graphs):
        n = len(graph)
        edges[index, :n, :n] = torch.from_numpy(nx.to_numpy_array(graph)).long()
        mask[index, :n] = True
    return {"nodes": torch.zeros_like(mask).long(), "edges": edges, "mask": mask}


def random_graphs() -> list[nx.Graph]:
    settings = [(n, p) for n in (1, 4, 7, 11) for p in (0.0, 0.2, 0.5, 0.8, 1.0)]
    return [nx.gnp_random_graph(n, p, seed=seed) for seed, (n, p) in enumerate(settings)]


def enumerated_orbits(graph: nx.Graph) -> Tensor:
    counts = torch.zeros(len(graph), 15, dtype=torch.float64)
    counts[:, 0] = torch.tensor([graph.degree[node] for node in graph])
    for size in (3, 4):
        for nodes in combinations(graph, size):
            degree = dict(graph.subgraph(nodes).degree)
            orbits = ORBIT_OF_DEGREE.get(tuple(sorted(degree.values())), {})
            for node in nodes if orbits else ():
                counts[node, orbits[degree[node]]] += 1
    return counts


def test_orbits_equal_the_enumeration_of_all_subgraphs() -> None:
    graphs = random_graphs()
    found = orbit_counts(adjacency(dense(graphs, size=13)))
    for index, graph in enumerate(graphs):
        torch.testing.assert_close(
            found[index, : len(graph)], enumerated_orbits(graph), rtol=0, atol=0
        )
        assert not found[index, len(graph) :].any()


def test_orbits_of_complete_graph() -> None:
    n = 9
    counts = orbit_counts(adjacency(dense([nx.complete_graph(n)])))[0]
    expected = torch.zeros(15, dtype=torch.float64)
    expected[0], expected[3], expected[14] = n - 1, comb(n - 1, 2), comb(n - 1, 3)
    assert torch.equal(counts, expected.expand(n, 15))


def test_orbits_of_cycle() -> None:
    counts = orbit_counts(adjacency(dense([nx.cycle_graph(8)])))[0]
    expected = torch.zeros(15, dtype=torch.float64)
    expected[[0, 1, 2, 4, 5]] = torch.tensor([2.0, 2, 1, 2, 2], dtype=torch.float64)
    assert torch.equal(counts, expected.expand(8, 15))


def test_orbits_of_star() -> None:
    leaves = 7
    counts = orbit_counts(adjacency(dense([nx.star_graph(leaves)])))[0]
    centre, leaf = torch.zeros(2, 15, dtype=torch.float64)
    centre[0], centre[2], centre[7] = leaves, comb(leaves, 2), comb(leaves, 3)
    leaf[0], leaf[1], leaf[6] = 1, leaves - 1, comb(leaves - 1, 2)
    assert torch.equal(counts, torch.stack([centre] + [leaf] * leaves))


def test_orbits_of_path() -> None:
    counts = orbit_counts(adjacency(dense([nx.path_graph(6)])))[0]
    assert counts[:, 4].tolist() == [1, 1, 1, 1, 1, 1]
    assert counts[:, 5].tolist() == [0, 1, 2, 2, 1, 0]
    assert counts[:, 2].tolist() == [0, 1, 1, 1, 1, 0]
    assert not counts[:, [3, *range(6, 15)]].any()


def test_clustering_equals_networkx_and_numpy_bins() -> None:
    graphs = random_graphs()
    batch = dense(graphs)
    matrices = adjacency(batch)
    coefficients = clustering_coefficients(matrices)
    histogram = clustering_histogram(matrices, batch["mask"])
    for index, graph in enumerate(graphs):
        expected = list(nx.clustering(graph).values())
        assert coefficients[index, : len(graph)].tolist() == expected
        bins = np.histogram(expected, bins=100, range=(0, 1))[0]
        np.testing.assert_allclose(histogram[index], bins / bins.sum(), atol=1e-15)


def test_clustering_on_a_bin_edge_falls_where_numpy_puts_it() -> None:
    values = torch.arange(101, dtype=torch.float64) / 100
    for value in values:
        found = statistics._histogram(value.view(1, 1), torch.ones(1, 1), 100, (0.0, 1.0))
        assert found[0].tolist() == np.histogram([float(value)], 100, (0, 1))[0].tolist()


def test_degree_histogram() -> None:
    graph = nx.Graph([(0, 1), (0, 2), (0, 3)])
    graph.add_node(4)
    batch = dense([graph], size=7)
    found = degree_histogram(adjacency(batch), batch["mask"])[0].tolist()
    assert found == [0.2, 0.6, 0.0, 0.2, 0.0, 0.0, 0.0]


def test_spectra_of_known_graphs() -> None:
    graph = nx.complete_graph(5)
    graph.add_node(5)
    batch = dense([graph, nx.star_graph(3)], size=8)
    spectrum = laplacian_spectrum(adjacency(batch), batch["mask"])
    complete = torch.tensor([0, 0, 1.25, 1.25, 1.25, 1.25], dtype=torch.float64)
    torch.testing.assert_close(spectrum[0, :6], complete, rtol=0, atol=1e-12)
    star = torch.tensor([0, 1, 1, 2], dtype=torch.float64)
    torch.testing.assert_close(spectrum[1, :4], star, rtol=0, atol=1e-12)
    assert (spectrum[0, 6:] == 3).all()
    assert (spectrum[1, 4:] == 3).all()


def test_spectral_histogram_keeps_both_ends() -> None:
    batch = dense([nx.complete_bipartite_graph(m, k) for m in (1, 2, 3) for k in (2, 5, 9)])
    histogram = spectral_histogram(adjacency(batch), batch["mask"])
    nodes = batch["mask"].sum(-1)
    one = 1.0 / nodes
    torch.testing.assert_close(histogram[:, 0], one.double())
    torch.testing.assert_close(histogram[:, -1], one.double())
    torch.testing.assert_close(histogram[:, 100], 1 - 2 * one.double())


def assert_same(first: GraphStatistics, second: GraphStatistics) -> None:
    width = min(first.degree.shape[1], second.degree.shape[1])
    torch.testing.assert_close(first.degree[:, :width], second.degree[:, :width])
    assert not first.degree[:, width:].any()
    assert not second.degree[:, width:].any()
    for name in ("clustering", "orbit", "spectral"):
        torch.testing.assert_close(getattr(first, name), getattr(second, name))


def test_padding_and_order_of_nodes_change_nothing() -> None:
    graphs = random_graphs()
    shuffled = [
        nx.relabel_nodes(graph, dict(enumerate(np.random.default_rng(5).permutation(len(graph)))))
        for graph in graphs
    ]
    renumbered = [nx.Graph() for _ in shuffled]
    for new, old in zip(renumbered, shuffled, strict=True):
        new.add_nodes_from(range(len(old)))
        new.add_edges_from(old.edges)
    expected = GraphStatistics.from_batch(dense(graphs))
    assert_same(GraphStatistics.from_batch(dense(renumbered, size=30)), expected)


def test_rubbish_in_the_padding_is_ignored() -> None:
    batch = dense([nx.path_graph(4), nx.cycle_graph(5)], size=8)
    expected = GraphStatistics.from_batch(batch)
    real = batch["mask"][:, :, None] & batch["mask"][:, None, :]
    dirty = {**batch, "edges": torch.where(real, batch["edges"], 1)}
    assert_same(GraphStatistics.from_batch(dirty), expected)


def test_chunks_subsets_and_joins_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = random_graphs()
    whole = GraphStatistics.from_batch(dense(graphs))
    monkeypatch.setattr(statistics, "_CHUNK_ELEMENTS", 3000)
    assert_same(GraphStatistics.from_batch(dense(graphs)), whole)
    parts = [GraphStatistics.from_batch(dense(part)) for part in (graphs[:5], graphs[5:])]
    assert_same(GraphStatistics.concatenate(parts), whole)
    picked = [7, 2, 2]
    expected = GraphStatistics.from_batch(dense([graphs[index] for index in picked]))
    assert_same(whole.subset(picked), expected)
    assert len(whole.subset(picked)) == 3


def test_orbits_of_a_graph_are_a_mean_over_its_nodes() -> None:
    found = GraphStatistics.from_batch(dense([nx.path_graph(3)], size=5)).orbit[0]
    expected = torch.tensor([4 / 3, 2 / 3, 1 / 3] + [0.0] * 12, dtype=torch.float64)
    torch.testing.assert_close(found, expected)


def test_isolated_nodes_count_unless_dropped() -> None:
    lonely = nx.cycle_graph(4)
    lonely.add_nodes_from([4, 5])
    batch, bare = dense([lonely, nx.empty_graph(3)]), dense([nx.cycle_graph(4), nx.empty_graph(1)])
    kept = GraphStatistics.from_batch(batch)
    assert float(kept.degree[0, 0]) == pytest.approx(1 / 3)
    dropped = GraphStatistics.from_batch(batch, drop_isolated=True)
    assert_same(dropped, GraphStatistics.from_batch(bare))


def test_large_graph() -> None:
    graph = nx.gnp_random_graph(187, 0.1, seed=0)
    counts = orbit_counts(adjacency(dense([graph])))
    triangles = torch.tensor(list(nx.triangles(graph).values()), dtype=torch.float64)
    assert torch.equal(counts[0, :, 3], triangles)
    cliques = sum(1 for clique in nx.enumerate_all_cliques(graph) if len(clique) == 4)
    assert float(counts[0, :, 14].sum()) == 4 * cliques


@pytest.mark.parametrize(
    ("edges", "mask", "message"),
    [
        (torch.zeros(2, 3, 4), torch.ones(2, 3), r"shape \(2, 3, 4\).*expected \[B, N, N\]"),
        (torch.zeros(1, 2, 2), torch.zeros(1, 2), r"no node in graphs \[0\]"),
        (torch.zeros(0, 2, 2), torch.zeros(0, 2), "holds no graph"),
        (torch.tensor([[[0, 1], [0, 0]]]), torch.ones(1, 2), "not symmetric"),
        (torch.eye(2)[None], torch.ones(1, 2), "self-loops"),
    ],
)
def test_bad_batches_are_refused(edges: Tensor, mask: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GraphStatistics.from_batch({"edges": edges.long(), "mask": mask.bool()})
    with pytest.raises(ValueError, match="parts is empty"):
        GraphStatistics.concatenate([])
