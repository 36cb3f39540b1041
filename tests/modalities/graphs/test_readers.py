"""Reading graphs: dispatch, parts, types, repairs and what is said about them."""

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from modalities.graphs.dense import to_batch, to_networkx
from modalities.graphs.generators import communities
from modalities.graphs.readers import GraphCollection, read_collection, read_graphs


def quiet(source: Any, **options: Any) -> tuple[GraphCollection, list[str]]:
    """The collection and the warnings that came with it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        collection = read_collection(source, **options)
    return collection, [str(warning.message) for warning in caught]


def edges(data: Data) -> list[tuple[int, int]]:
    return [(i, j) for i, j in data.edge_index.t().tolist() if i < j]


def paths(count: int) -> list[nx.Graph]:
    return [nx.path_graph(n + 1) for n in range(count)]


def test_own_graphs_come_back_unchanged() -> None:
    graphs = communities(5, seed=0)
    collection, said = quiet(graphs)
    assert said == [] and (collection.node_types, collection.edge_types) == (1, 2)
    back = [*collection.graphs["test"], *collection.graphs["train"]]
    for first, second in zip(graphs, back, strict=True):
        assert all(torch.equal(first[key], second[key]) for key in ("x", "edge_index"))
        assert torch.equal(first.edge_attr, second.edge_attr)


def test_dense_batches_go_through_networkx_and_back() -> None:
    batch = to_batch(communities(4, seed=1), 20)
    again = to_batch(read_graphs({"train": to_networkx(batch)}), 20)
    assert all(torch.equal(batch[name], again[name]) for name in batch)


def test_labels_become_contiguous_types() -> None:
    first, second = nx.path_graph(3), nx.path_graph(2)
    nx.set_node_attributes(first, {0: "N", 1: "C", 2: "O"}, "type")
    nx.set_node_attributes(second, "C", "type")
    nx.set_edge_attributes(first, {(0, 1): 7, (1, 2): 3}, "type")
    nx.set_edge_attributes(second, 7, "type")
    collection, said = quiet([first, second, nx.create_empty_copy(second)])
    one, two, three = collection.graphs["train"]
    assert one.x.tolist() == [1, 0, 2] and two.x.tolist() == three.x.tolist() == [0, 0]
    assert one.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    assert one.edge_attr.tolist() == [2, 2, 1, 1] and two.edge_attr.tolist() == [2, 2]
    assert (collection.node_types, collection.edge_types) == (3, 3)
    assert (collection.node_labels, collection.edge_labels) == (("C", "N", "O"), (3, 7))
    assert said == []
    assert collection.notes == [
        "3 node labels became types 0..2.",
        "2 edge labels became types 1..2.",
        "the first 0 graphs of 3 became the test set.",
    ]


def test_first_fifth_is_the_test_set() -> None:
    collection = read_collection(paths(11), valid=0.25)
    sizes = {part: [g.num_nodes for g in graphs] for part, graphs in collection.graphs.items()}
    assert sizes == {"test": [1, 2], "valid": [3, 4], "train": [5, 6, 7, 8, 9, 10, 11]}
    assert collection.notes == [
        "the first 2 graphs of 11 became the test set.",
        "the first 2 training graphs became the validation set.",
    ]
    assert [g.num_nodes for g in collection.select()] == [5, 6, 7, 8, 9, 10, 11, 3, 4, 1, 2]
    assert [g.num_nodes for g in collection.select("val")] == [3, 4]


def test_a_mapping_names_the_parts() -> None:
    source = {"training": paths(3), "dev": paths(1), "test": paths(2)}
    collection = read_collection(source, valid=0.5)
    assert {part: len(graphs) for part, graphs in collection.graphs.items()} == {
        "train": 3,
        "valid": 1,
        "test": 2,
    }
    assert collection.notes == ["the parts are those that the source names."]
    assert len(read_graphs(source, split="test")) == 2


def test_repairs_are_told_and_counted() -> None:
    directed = nx.DiGraph([(0, 1), (1, 0), (1, 2), (2, 2)])
    several = nx.MultiGraph([(0, 1), (0, 1), (1, 0), (1, 1), (0, 0)])
    collection, said = quiet([directed, several])
    assert [edges(data) for data in collection.graphs["train"]] == [[(0, 1), (1, 2)], [(0, 1)]]
    expected = [
        "removed 3 self-loops in 2 graphs, since graphs here have none.",
        "1 directed edge in 1 graph became undirected, since graphs here are undirected.",
        "merged 2 repeated edges in 1 graph, since graphs here have at most one edge between "
        "two nodes.",
    ]
    assert said == expected
    assert collection.notes[:3] == expected


def test_both_directions_of_an_edge_are_one_edge() -> None:
    mutual = nx.DiGraph([(0, 1), (1, 0)])
    collection, said = quiet([mutual])
    assert said == [] and edges(collection.graphs["train"][0]) == [(0, 1)]


def test_names_of_nodes() -> None:
    shuffled = nx.Graph([(2, 0), (0, 1)])
    named = nx.Graph([("b", "a"), ("a", "c")])
    first, second = read_graphs([shuffled, named])
    assert edges(first) == [(0, 1), (0, 2)]
    assert edges(second) == [(0, 1), (1, 2)]


def test_attributes_that_are_not_read_are_named() -> None:
    graph = nx.Graph()
    graph.add_node(0, pos=1.5)
    graph.add_edge(0, 1, weight=0.5)
    collection, _ = quiet([graph])
    assert collection.notes[0] == (
        "attributes were not read, since only types are used: 'pos', 'weight'."
    )


def test_pyg_features() -> None:
    index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    hot = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    kinds = torch.tensor([[5.0], [5.0], [2.0], [2.0]])
    (data,) = read_graphs([Data(x=hot, edge_index=index, edge_attr=kinds, y=torch.tensor([4]))])
    assert data.x.tolist() == [1, 0, 2] and data.edge_attr.tolist() == [2, 2, 1, 1]
    assert data.y.tolist() == [4]
    (lone,) = read_graphs([Data(num_nodes=2)])
    assert lone.num_nodes == 2 and lone.edge_index.shape == (2, 0)


def test_pyg_edges_listed_once_become_undirected() -> None:
    _, said = quiet([Data(edge_index=torch.tensor([[0, 1], [1, 2]]), num_nodes=3)])
    assert said == [
        "2 directed edges in 1 graph became undirected, since graphs here are undirected."
    ]


def labelled(n: int, values: Sequence[object]) -> nx.Graph:
    graph = nx.path_graph(n)
    for node, value in enumerate(values):
        graph.nodes[node]["type"] = value
    return graph


def data_of(**fields: Any) -> Data:
    return Data(**{"edge_index": torch.zeros(2, 0, dtype=torch.int64), "num_nodes": 2, **fields})


CATEGORIES = (
    "source[0]: {} must be all integers or all strings of at most 64 characters, got {}; give "
    "categories, one each, or leave them out."
)
IN_MEMORY = [
    (
        lambda: read_collection([nx.Graph()]),
        "source[0]: n must be an integer of at least 1, got 0; "
        "give the number of nodes or remove the graph.",
    ),
    (
        lambda: read_collection([nx.path_graph(9)], max_nodes=8),
        "source[0]: n must be at most max_nodes=8, got 9; raise max_nodes or remove the graph.",
    ),
    (
        lambda: read_collection([Data(num_nodes=10**9)]),
        "source[0]: n must be at most the default "
        "limit of 100,000, got 1000000000; raise max_nodes or remove the graph.",
    ),
    (
        lambda: read_collection([labelled(2, [1.5, 1])]),
        CATEGORIES.format("node attribute 'type'", "1.5"),
    ),
    (
        lambda: read_collection([labelled(2, [1, float("nan")])]),
        CATEGORIES.format("node attribute 'type'", "nan"),
    ),
    (
        lambda: read_collection([labelled(2, ["a", 1])]),
        CATEGORIES.format("node attribute 'type'", "'a'"),
    ),
    (
        lambda: read_collection([labelled(2, [True, 1])]),
        CATEGORIES.format("node attribute 'type'", "True"),
    ),
    (
        lambda: read_collection([data_of(x=torch.tensor([0.0, float("inf")]))]),
        CATEGORIES.format("x", "inf"),
    ),
    (
        lambda: read_collection([data_of(x=torch.rand(2, 3))]),
        "source[0]: x must hold 2 integer "
        "types or one-hot rows, got shape [2, 3]; convert the features to types or leave x out.",
    ),
    (
        lambda: read_collection([data_of(edge_index=torch.zeros(3, 2, dtype=torch.int64))]),
        "source[0]: edge_index must be integers of shape [2, M], got torch.int64 of shape [3, 2]; "
        "transpose or convert it.",
    ),
    (
        lambda: read_collection([data_of(edge_index=torch.tensor([[0, 5], [1, 0]]))]),
        "source[0]: edges must name nodes 0..1, got the edge [5, 0]; correct it or raise the "
        "number of nodes.",
    ),
    (
        lambda: read_collection([labelled(3, [1])]),
        "source[0]: either every node or none must have "
        "the attribute 'type', got 1 of 3; add or remove it.",
    ),
    (
        lambda: read_collection([labelled(1, [1]), nx.path_graph(2)]),
        "source[1]: node_labels must be of one kind in all graphs, got no labels after integers; "
        "label all graphs alike or none.",
    ),
    (
        lambda: read_collection([labelled(1, ["a"]), labelled(1, [1])]),
        "source[1]: node_labels must be of one kind in all graphs, got integers after strings; "
        "label all graphs alike or none.",
    ),
    (
        lambda: read_collection([labelled(300, range(300))]),
        "source: node_labels must have fewer "
        "than 256 different values, got 300; give categories rather than names or measurements.",
    ),
    (
        lambda: read_collection(
            [data_of(edge_index=torch.tensor([[0, 1], [1, 0]]), edge_attr=torch.tensor([1, 2]))]
        ),
        "source[0]: an undirected edge must have one label, got 1 and 2 for the edge [1, 0]; keep "
        "one of them.",
    ),
    (
        lambda: read_collection({"holdout": paths(1)}),
        "source: split must be train, valid or test, got 'holdout'; rename it.",
    ),
    (
        lambda: read_collection(paths(3)).select("valid"),
        "split must be one of the parts of this source, train, got 'valid'; choose one of them.",
    ),
    (
        lambda: read_collection(paths(1), valid=1.0),
        "valid must be a share in [0, 1), got 1.0; give for example 0.1.",
    ),
    (
        lambda: read_collection(paths(1), max_nodes=0),
        "max_nodes must be at least 1, got 0; raise it or give None.",
    ),
]


@pytest.mark.parametrize(("call", "message"), IN_MEMORY)
def test_messages_for_graphs_in_memory(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message


def test_an_empty_list() -> None:
    with pytest.raises(
        ValueError, match=r"^source must hold at least one graph, got none; give a"
    ):
        read_collection([])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            nx.path_graph(2),
            "source must be a path or a list of networkx or PyG graphs, got Graph; "
            "put single graphs in a list.",
        ),
        (
            None,
            "source must be a path or a list of networkx or PyG graphs, got NoneType; put "
            "single graphs in a list.",
        ),
        (
            {"test": 3},
            "source['test'] must be a path or a list of networkx or PyG graphs, got int; "
            "put single graphs in a list.",
        ),
        ([np.eye(3)], "source[0] must be a networkx graph or PyG Data, got ndarray; convert it."),
    ],
)
def test_other_kinds_of_sources(source: Any, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        read_collection(source)
    assert str(caught.value) == message


def test_missing_path(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere.jsonl"
    with pytest.raises(ValueError) as caught:
        read_collection(missing)
    assert str(caught.value) == (
        f"source must be an existing file or folder, got {str(missing)!r}, which does not exist; "
        "check the path."
    )


@pytest.mark.parametrize("suffix", [".pkl", ".pt", ".npy", ".PICKLE"])
def test_pickled_files_are_never_opened(tmp_path: Path, suffix: str) -> None:
    """The payload would leave a mark if anything unpickled it."""
    mark = tmp_path / "mark"
    payload = f"cos\nsystem\n(S'touch {mark}'\ntR.".encode()
    file = tmp_path / f"graphs{suffix}"
    for target in (file, tmp_path / "graphs.jsonl", tmp_path / "graphs.txt"):
        target.write_bytes(payload)
        with pytest.raises(ValueError):
            read_collection(target)
    assert not mark.exists()
    with pytest.raises(ValueError) as caught:
        read_collection(file)
    assert str(caught.value) == (
        f"source graphs{suffix}: {suffix} files are not read, since unpickling runs the code in "
        "them; load the graphs in a script that trusts the file and pass the list of networkx or "
        'PyG graphs, or write them as JSON lines {"n": 3, "edges": [[0, 1], [1, 2]]}.'
    )


def test_unknown_files_and_empty_folders(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("hello")
    for source in (tmp_path / "notes.md", tmp_path):
        with pytest.raises(
            ValueError, match=r"^source must be a \.jsonl file, a TUDataset folder"
        ):
            read_collection(source)


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.zip", "a.graphml", "a.txt"])
def test_pipes_and_devices_are_not_opened(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / name).symlink_to("/dev/zero")
    folders = [tmp_path / "b"] if name in ("a.graphml", "a.txt") else []
    for path in (tmp_path / name, tmp_path / "b" / name, *folders):
        with pytest.raises(ValueError, match="must be a regular file or a folder, got a pipe, socket or device"):
            read_collection(path)


def test_a_path_of_absurd_length_is_the_usual_error() -> None:
    with pytest.raises(ValueError, match=r"^source must be an existing file or folder, got 'xxx.*\(File name"):
        read_collection("x" * 5000)
