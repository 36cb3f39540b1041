"""Dense batches against graphs written by hand, and round trips."""

from collections.abc import Callable

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader
from torch_geometric.data import Data

from modalities.graphs import dense
from modalities.graphs.dense import DenseGraphs, from_batch, to_batch, to_networkx
from modalities.graphs.generators import communities, trees


@pytest.fixture
def path() -> Data:
    """Nodes of types 2, 0, 1 in a row, joined by edges of kinds 1 and 3."""
    return Data(
        x=torch.tensor([2, 0, 1]),
        edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]),
        edge_attr=torch.tensor([1, 1, 3, 3]),
        num_nodes=3,
    )


def same(first: Data, second: Data) -> bool:
    names = ("x", "edge_index", "edge_attr")
    return bool(first.num_nodes == second.num_nodes) and all(
        torch.equal(first[name], second[name]) for name in names
    )


def test_batch_of_a_path_and_a_lone_node(path: Data) -> None:
    batch = to_batch([path, Data(num_nodes=1)], max_nodes=4)
    assert batch["nodes"].tolist() == [[2, 0, 1, 0], [0, 0, 0, 0]]
    assert batch["mask"].tolist() == [[True, True, True, False], [True, False, False, False]]
    assert batch["edges"][0].tolist() == [[0, 1, 0, 0], [1, 0, 3, 0], [0, 3, 0, 0], [0, 0, 0, 0]]
    assert not batch["edges"][1].any()
    types = {name: value.dtype for name, value in batch.items()}
    assert types == {"nodes": torch.int64, "edges": torch.int64, "mask": torch.bool}


def test_features_may_be_left_out() -> None:
    edge = Data(edge_index=torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
    batch = to_batch([edge], max_nodes=2)
    assert batch["edges"].tolist() == [[[0, 1], [1, 0]]] and batch["nodes"].tolist() == [[0, 0]]


@st.composite
def graphs(draw: st.DrawFn) -> Data:
    n = draw(st.integers(1, 7))
    kinds = torch.zeros(n, n, dtype=torch.int64)
    for i in range(n):
        for j in range(i):
            kinds[i, j] = kinds[j, i] = draw(st.sampled_from([0, 0, 1, 2, 5]))
    x = torch.tensor(draw(st.lists(st.integers(0, 4), min_size=n, max_size=n)))
    index = kinds.nonzero().t()
    return Data(x=x, edge_index=index, edge_attr=kinds[index[0], index[1]], num_nodes=n)


@settings(deadline=None, max_examples=40)
@given(st.lists(graphs(), min_size=1, max_size=5), st.integers(7, 9))
def test_round_trips(several: list[Data], max_nodes: int) -> None:
    batch = to_batch(several, max_nodes)
    assert all(same(*pair) for pair in zip(several, from_batch(batch), strict=True))
    for data, graph in zip(several, to_networkx(batch), strict=True):
        assert [kind for _, kind in graph.nodes(data="type")] == data.x.tolist()
        adjacency = nx.to_numpy_array(graph, weight="type", dtype=int)
        n = data.num_nodes
        assert (adjacency == to_batch([data], n)["edges"][0].numpy()).all()


def test_nodes_outside_the_mask_are_passed_over(path: Data) -> None:
    batch = to_batch([path], max_nodes=3)
    batch["mask"][0, 0] = False
    (graph,) = from_batch(batch)
    assert graph.num_nodes == 2 and graph.x.tolist() == [0, 1]
    assert graph.edge_index.tolist() == [[0, 1], [1, 0]] and graph.edge_attr.tolist() == [3, 3]


def test_a_batch_may_hold_an_empty_graph(path: Data) -> None:
    batch = to_batch([path, path], max_nodes=3)
    batch["mask"][0] = False
    empty, full = from_batch(batch)
    assert empty.num_nodes == 0 and empty.edge_index.shape == (2, 0) and same(full, path)


def test_permutation_of_nodes_permutes_the_batch(path: Data) -> None:
    order = torch.tensor([2, 0, 1])
    moved = Data(
        x=path.x[order.argsort()],
        edge_index=order[path.edge_index],
        edge_attr=path.edge_attr,
        num_nodes=3,
    )
    batch, other = to_batch([path], 3), to_batch([moved], 3)
    assert torch.equal(batch["edges"], other["edges"][:, order][:, :, order])
    assert torch.equal(batch["nodes"], other["nodes"][:, order])


def test_data_set_gathers_and_trims() -> None:
    several = communities(30, seed=0)
    data = DenseGraphs(several, max_nodes=24)
    assert len(data) == 30 and data.edges.dtype == torch.uint8
    smallest = min(range(30), key=lambda i: several[i].num_nodes)
    for indices in ([4, 0, 4], [smallest], list(range(30))):
        chosen = [several[i] for i in indices]
        expected = to_batch(chosen, max(graph.num_nodes for graph in chosen))
        batch = data.__getitems__(indices)
        assert all(torch.equal(batch[name], expected[name]) for name in expected)
        assert {name: value.dtype for name, value in batch.items()} == {
            name: value.dtype for name, value in expected.items()
        }
    item, expected = data[-1], to_batch(several[-1:], 24)
    assert all(torch.equal(item[name], expected[name][0]) for name in expected)


def test_data_set_is_the_same_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    several = trees(9, seed=1, nodes=6)
    whole = DenseGraphs(several)
    monkeypatch.setattr(dense, "CHUNK_ENTRIES", 80)
    parts = DenseGraphs(several)
    assert torch.equal(whole.edges, parts.edges) and torch.equal(whole.sizes, parts.sizes)


def test_data_set_feeds_a_loader() -> None:
    several = communities(10, seed=2)
    loader = DataLoader(DenseGraphs(several), batch_size=4, collate_fn=lambda batch: batch)
    back = [graph for batch in loader for graph in from_batch(batch)]
    assert all(same(*pair) for pair in zip(several, back, strict=True))


def test_data_set_ends() -> None:
    data = DenseGraphs(trees(3, seed=0, nodes=4))
    for index in (3, -4):
        with pytest.raises(IndexError) as caught:
            data[index]
        assert str(caught.value) == f"index must lie in 0..2, got {index}; correct it."


def data_of(
    edges: list[tuple[int, int]],
    kinds: list[float] | None = None,
    x: torch.Tensor | None = None,
    n: int = 3,
) -> Data:
    index = torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).t()
    return Data(
        x=x,
        edge_index=index,
        edge_attr=None if kinds is None else torch.tensor(kinds),
        num_nodes=n,
    )


NOT_SIMPLE = (
    "graphs must be simple and undirected, each edge once in both directions with one kind >= 1, "
    "got one that is not; read them with modalities.graphs.readers."
)


@pytest.mark.parametrize(
    "data",
    [
        data_of([(0, 1)]),
        data_of([(0, 1), (1, 0), (2, 2)]),
        data_of([(0, 1), (1, 0)], [1, 2]),
        data_of([(0, 1), (1, 0)], [0, 0]),
        data_of([(0, 1), (1, 0), (0, 1), (1, 0)]),
    ],
    ids=["directed", "loop", "two kinds", "kind 0", "repeated"],
)
def test_graphs_that_are_not_simple(data: Data, path: Data) -> None:
    with pytest.raises(ValueError) as caught:
        to_batch([path, data], max_nodes=3)
    assert str(caught.value) == NOT_SIMPLE


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: to_batch([], 3), "graphs must hold at least one graph, got none; add some."),
        (lambda: DenseGraphs([]), "graphs must hold at least one graph, got none; add some."),
        (
            lambda: to_batch([data_of([], n=5)], 4),
            "max_nodes must be at least the size of the largest graph, 5, got 4; raise it or "
            "leave larger graphs out.",
        ),
        (
            lambda: to_batch([data_of([], x=torch.rand(3, 2))], 3),
            "graphs: x must hold 3 integer types, got torch.float32 of shape [3, 2]; read the "
            "graphs with modalities.graphs.readers.",
        ),
        (
            lambda: to_batch([data_of([(0, 1), (1, 0)], [0.5, 0.5])], 3),
            "graphs: edge_attr must hold 2 integer types, got torch.float32 of shape [2]; read "
            "the graphs with modalities.graphs.readers.",
        ),
        (
            lambda: DenseGraphs([data_of([], x=torch.tensor([0, 300, 1]))]),
            "graphs: x must lie in 0..255, got 0..300; number the types contiguously.",
        ),
        (
            lambda: to_batch([Data(num_nodes=100_000)], 100_000),
            "graphs must fit 16 GiB in dense form, got 74.5 GiB; lower max_nodes, leave large "
            "graphs out or give fewer.",
        ),
        (
            lambda: DenseGraphs([Data(num_nodes=1)] * 2, max_nodes=100_000),
            "graphs must fit 16 GiB in dense form, got 18.6 GiB; lower max_nodes, leave large "
            "graphs out or give fewer.",
        ),
        (
            lambda: from_batch({"nodes": torch.zeros(1, 2)}),
            "batch must hold nodes, edges and mask, got ['nodes']; add ['edges', 'mask'].",
        ),
        (
            lambda: from_batch(
                {
                    "nodes": torch.zeros(1, 2),
                    "edges": torch.zeros(1, 2, 3),
                    "mask": torch.ones(1, 2, dtype=torch.bool),
                }
            ),
            "batch must hold nodes [B, N], edges [B, N, N] and a bool mask [B, N], got shapes "
            "[1, 2], [1, 2, 3] and torch.bool [1, 2]; correct them.",
        ),
    ],
)
def test_messages(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message
