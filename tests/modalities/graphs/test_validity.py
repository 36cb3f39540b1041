"""Validity rules on known graphs, and V.U.N. counted by hand."""

from collections.abc import Callable

import networkx as nx
import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from modalities.graphs.isomorphism import GraphSet
from modalities.graphs.validity import (
    VALIDITY_RULES,
    is_community,
    is_connected,
    is_planar,
    is_sbm_lite,
    is_tree,
    largest_component,
    validity,
    vun,
)


def matrix(graph: nx.Graph) -> npt.NDArray[np.bool_]:
    adjacency: npt.NDArray[np.bool_] = nx.to_numpy_array(graph) > 0
    return adjacency


def dense(graphs: list[nx.Graph], size: int | None = None) -> dict[str, Tensor]:
    size = size or max(len(graph) for graph in graphs)
    edges = torch.zeros(len(graphs), size, size, dtype=torch.long)
    mask = torch.zeros(len(graphs), size, dtype=torch.bool)
    for index, graph in enumerate(graphs):
        n = len(graph)
        edges[index, :n, :n] = torch.from_numpy(matrix(graph)).long()
        mask[index, :n] = True
    return {"nodes": torch.zeros_like(mask).long(), "edges": edges, "mask": mask}


def two_communities(half: int, rng: np.random.Generator) -> nx.Graph:
    """Two G(half, 0.7) joined by Binomial(half^2, 0.01) bridges, at least one."""
    parts = [nx.gnp_random_graph(half, 0.7, seed=int(rng.integers(2**31))) for _ in range(2)]
    graph = nx.disjoint_union(*parts)
    bridges = np.argwhere(rng.random((half, half)) < 0.01)
    if not len(bridges):
        bridges = rng.integers(half, size=(1, 2))
    graph.add_edges_from((int(i), half + int(j)) for i, j in bridges)
    return graph


def block_model(sizes: list[int], within: float, between: float, seed: int) -> nx.Graph:
    k = len(sizes)
    chance = [[within if i == j else between for j in range(k)] for i in range(k)]
    return nx.Graph(nx.stochastic_block_model(sizes, chance, seed=seed))


def with_isolated_node(graph: nx.Graph) -> nx.Graph:
    result = graph.copy()
    result.add_node(len(graph))
    return result


def test_connected() -> None:
    assert is_connected(matrix(nx.path_graph(30)))
    assert is_connected(matrix(nx.empty_graph(1)))
    assert not is_connected(matrix(nx.empty_graph(2)))
    assert not is_connected(matrix(with_isolated_node(nx.complete_graph(5))))
    assert not is_connected(np.zeros((0, 0), dtype=np.bool_))


def test_planar() -> None:
    for graph in (nx.complete_graph(4), nx.grid_2d_graph(6, 7), nx.icosahedral_graph()):
        assert is_planar(matrix(graph))
    assert is_planar(matrix(nx.empty_graph(1)))
    kuratowski = [nx.complete_graph(5), nx.complete_bipartite_graph(3, 3), nx.petersen_graph()]
    for graph in kuratowski:
        assert not is_planar(matrix(graph))
        subdivided = nx.Graph()
        for start, end in graph.edges:
            nx.add_path(subdivided, [("node", start), (start, end), ("node", end)])
        assert not is_planar(matrix(subdivided))
    assert not is_planar(matrix(with_isolated_node(nx.complete_graph(4))))


def test_tree() -> None:
    for graph in (nx.empty_graph(1), nx.star_graph(9), nx.random_labeled_tree(64, seed=0)):
        assert is_tree(matrix(graph))
    cycle_and_node = with_isolated_node(nx.cycle_graph(5))
    assert cycle_and_node.number_of_edges() == len(cycle_and_node) - 1
    for graph in (nx.cycle_graph(5), cycle_and_node, nx.empty_graph(2), nx.complete_graph(4)):
        assert not is_tree(matrix(graph))


def test_community_accepts_its_generator_in_any_order() -> None:
    rng = np.random.default_rng(0)
    graphs = [matrix(two_communities(int(rng.integers(6, 11)), rng)) for _ in range(300)]
    connected = [graph for graph in graphs if is_connected(graph)]
    verdicts = [is_community(graph) for graph in connected]
    assert np.mean(verdicts) >= 0.98
    for graph, verdict in zip(connected[:50], verdicts[:50], strict=True):
        order = rng.permutation(len(graph))
        assert is_community(graph[np.ix_(order, order)]) == verdict


def test_community_rejects_other_graphs() -> None:
    three = nx.connected_caveman_graph(3, 6)
    sparse = nx.disjoint_union(nx.cycle_graph(8), nx.cycle_graph(8))
    sparse.add_edge(0, 8)
    many_bridges = nx.disjoint_union(nx.complete_graph(8), nx.complete_graph(8))
    many_bridges.add_edges_from((node, node + 8) for node in range(8))
    apart = nx.disjoint_union(nx.complete_graph(8), nx.complete_graph(8))
    for graph in (three, sparse, many_bridges, apart, nx.complete_graph(16), nx.path_graph(3)):
        assert not is_community(matrix(graph))
    apart.add_edge(0, 8)
    assert is_community(matrix(apart))


def test_community_copes_with_large_graphs() -> None:
    assert not is_community(matrix(nx.gnp_random_graph(150, 0.5, seed=0)))
    assert is_community(matrix(two_communities(75, np.random.default_rng(0))))


def test_sbm_lite_accepts_most_of_its_generator() -> None:
    # With the true blocks 91.6 % of fresh graphs pass: a pair of blocks without an edge fails.
    rng = np.random.default_rng(0)
    graphs = [
        block_model(rng.integers(20, 41, size=k).tolist(), 0.3, 0.005, seed)
        for seed, k in enumerate((2, 3, 4, 5) * 8)
    ]
    assert np.mean([is_sbm_lite(matrix(graph)) for graph in graphs]) >= 0.75


def test_sbm_lite_rejects_other_graphs() -> None:
    wrong = [
        block_model([30], 0.3, 0.0, 0),
        block_model([10, 10, 10], 0.6, 0.005, 1),
        block_model([60, 60], 0.3, 0.005, 2),
        block_model([30, 30, 30], 0.9, 0.005, 3),
        block_model([25] * 7, 0.3, 0.005, 4),
        nx.gnp_random_graph(100, 0.1, seed=5),
        nx.empty_graph(50),
    ]
    assert not any(is_sbm_lite(matrix(graph)) for graph in wrong)


def test_rules_see_graphs_without_padding() -> None:
    batch = dense([nx.path_graph(4), nx.cycle_graph(5), nx.empty_graph(3)], size=9)
    batch["edges"][:, 8, 7] = batch["edges"][:, 7, 8] = 1
    assert validity(batch, "tree").tolist() == [True, False, False]
    assert validity(batch).tolist() == [True, True, False]
    assert validity(batch, lambda graph: len(graph) == 5).tolist() == [False, True, False]


def test_vun_by_hand() -> None:
    # Two copies of a known path, two of a new star, a new but disconnected graph.
    star = nx.star_graph(3)
    turned = nx.relabel_nodes(star, {0: 3, 3: 0}, copy=True)
    reordered = nx.Graph()
    reordered.add_nodes_from(range(4))
    reordered.add_edges_from(turned.edges)
    generated = dense([nx.path_graph(4), nx.path_graph(4), star, reordered, nx.empty_graph(3)])
    train = dense([nx.cycle_graph(7), nx.path_graph(4)])
    expected = {"valid": 4 / 5, "unique": 3 / 5, "novel": 3 / 5, "vun": 1 / 5}
    assert vun(generated, train) == pytest.approx(expected)
    assert vun(generated, GraphSet(train), "tree") == pytest.approx(expected)


def test_vun_of_the_training_set_is_zero() -> None:
    train = dense([nx.gnp_random_graph(10, 0.5, seed=seed) for seed in range(12)])
    found = vun(train, train)
    assert found["novel"] == 0
    assert found["vun"] == 0
    assert found["unique"] == 1


def test_largest_component() -> None:
    graph = nx.disjoint_union_all([nx.path_graph(2), nx.cycle_graph(4), nx.empty_graph(1)])
    batch = dense([graph, nx.path_graph(3), nx.empty_graph(2)], size=8)
    batch["nodes"] = torch.arange(8).expand(3, 8) * batch["mask"]
    found = largest_component(batch)
    assert found["mask"].sum(-1).tolist() == [4, 3, 1]
    assert found["mask"][0].tolist() == [True] * 4 + [False] * 4
    assert found["nodes"][0].tolist() == [2, 3, 4, 5, 0, 0, 0, 0]
    assert np.array_equal(found["edges"][0, :4, :4] > 0, matrix(nx.cycle_graph(4)))
    assert found["edges"][0].sum() == 8
    assert validity(batch).tolist() == [False, True, False]
    assert validity(found).all()


def test_isolated_nodes_make_graphs_different() -> None:
    found = vun(dense([with_isolated_node(nx.cycle_graph(4))]), dense([nx.cycle_graph(4)]))
    assert found == {"valid": 0.0, "unique": 1.0, "novel": 1.0, "vun": 0.0}


@pytest.mark.parametrize("function", [lambda b: validity(b, "sbm"), lambda b: vun(b, b, "sbm")])
def test_unknown_rule_is_refused(function: Callable[[dict[str, Tensor]], object]) -> None:
    assert set(VALIDITY_RULES) == {"connected", "planar", "tree", "community", "sbm_lite"}
    with pytest.raises(
        ValueError, match=r"rule is 'sbm'; expected one of 'connected', .*function"
    ):
        function(dense([nx.path_graph(3)]))


def test_no_graph_is_refused() -> None:
    batch = dense([nx.path_graph(3)])
    with pytest.raises(ValueError, match="generated has no graph"):
        vun({name: value[:0] for name, value in batch.items()}, batch)
