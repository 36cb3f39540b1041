"""GraphML and edge lists, as networkx writes them and as others damage them."""

from pathlib import Path

import networkx as nx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modalities.graphs.readers import read_collection, read_graphs


def typed_path() -> nx.Graph:
    graph = nx.path_graph(4)
    nx.set_node_attributes(graph, dict(enumerate("CNOC")), "type")
    nx.set_edge_attributes(graph, {(0, 1): 1, (1, 2): 2, (2, 3): 1}, "type")
    return graph


def test_graphml_as_networkx_writes_it(tmp_path: Path) -> None:
    nx.write_graphml(typed_path(), tmp_path / "path.graphml")
    collection = read_collection(tmp_path / "path.graphml")
    (data,) = collection.graphs["train"]
    assert data.x.tolist() == [0, 1, 2, 0] and collection.node_labels == ("C", "N", "O")
    assert data.edge_index.tolist() == [[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]]
    assert data.edge_attr.tolist() == [1, 1, 2, 2, 1, 1]


def test_directed_graphml_without_namespace(tmp_path: Path) -> None:
    (tmp_path / "g.graphml").write_text(
        '<graphml><graph edgedefault="directed"><node id="a"/><node id="b"/><node id="c"/>'
        '<edge source="a" target="b"/><edge source="b" target="b"/></graph></graphml>'
    )
    with pytest.warns(UserWarning) as caught:
        (data,) = read_graphs(tmp_path / "g.graphml")
    assert data.num_nodes == 3 and data.edge_index.tolist() == [[0, 1], [1, 0]]
    assert [str(warning.message) for warning in caught] == [
        "removed 1 self-loop in 1 graph, since graphs here have none.",
        "1 directed edge in 1 graph became undirected, since graphs here are undirected.",
    ]


def test_several_graphs_in_one_file(tmp_path: Path) -> None:
    one = '<graph edgedefault="undirected"><node id="0"/></graph>'
    (tmp_path / "g.graphml").write_text(f"<graphml>{one}{one}</graphml>")
    assert len(read_graphs(tmp_path / "g.graphml")) == 2


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    nx.write_edgelist(nx.path_graph(3), tmp_path / "b.edgelist")
    nx.write_graphml(nx.path_graph(2), tmp_path / "a.graphml")
    (tmp_path / "c.txt").write_text("x y\n")
    (tmp_path / "readme.md").write_text("not a graph")
    assert [data.num_nodes for data in read_graphs(tmp_path)] == [2, 3, 2]


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("0 1\n1 2\n", [(0, 1), (1, 2)]),
        ("# a remark\n10,2\n\n2,7 # another\n", [(0, 1), (0, 2)]),
        ("b a\na c\n", [(0, 1), (1, 2)]),
        ("0\t1\t{}\n0\t2\t{'weight': 0.5, 'type': 3}\n", None),
        ("0 1 {'type': 3}\n0 2 {'type': 3}\n", [(0, 1), (0, 2)]),
    ],
)
def test_edge_lists(tmp_path: Path, text: str, pairs: list[tuple[int, int]] | None) -> None:
    path = tmp_path / "g.edgelist"
    path.write_text(text)
    if pairs is None:
        with pytest.raises(ValueError) as caught:
            read_graphs(path)
        assert str(caught.value) == (
            "source g.edgelist: either every edge or none must have the attribute 'type', got 1 "
            "of 2; add or remove it."
        )
        return
    (data,) = read_graphs(path)
    assert [(i, j) for i, j in data.edge_index.t().tolist() if i < j] == pairs


def test_edge_list_with_a_column_of_types(tmp_path: Path) -> None:
    (tmp_path / "g.txt").write_text("0 1 5\n1 2 2\n0 1 5\n")
    with pytest.warns(UserWarning, match="merged 1 repeated edge in 1 graph"):
        collection = read_collection(tmp_path / "g.txt")
    assert collection.graphs["train"][0].edge_attr.tolist() == [2, 2, 1, 1]
    assert collection.edge_labels == (2, 5)


def test_weights_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "g.txt").write_text("0 1 {'weight': 0.5}\n1 1 {'a': ()}\n")
    with pytest.warns(UserWarning, match="removed 1 self-loop"):
        collection = read_collection(tmp_path / "g.txt")
    assert collection.graphs["train"][0].edge_attr.tolist() == [1, 1]
    assert collection.notes[0] == (
        "attributes were not read, since only types are used: 'a', 'weight'."
    )


EXPECTED = "expected two node names and at most one integer edge type, got "
END = "; correct the line or remove its other columns."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"0 1\n2\n", f"line 2: {EXPECTED}'2'{END}"),
        (b"0 1 0.5\n", f"line 1: {EXPECTED}'0 1 0.5'{END}"),
        (b"0 1 {'a': }\n", f'line 1: {EXPECTED}"0 1 {{\'a\': }}"{END}'),
        (b"0 1 {" + b"(" * 9000, f"line 1: {EXPECTED}'0 1 {{(((((((...((((((((((((('{END}"),
        (b"0 1\n\xff 2\n", "line 2: the file must be UTF-8 text, got the byte 0xff; save it as "
         "UTF-8."),
    ],
)  # fmt: skip
def test_messages_for_edge_lists(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "g.txt").write_bytes(content)
    with pytest.raises(ValueError) as caught:
        read_graphs(tmp_path / "g.txt")
    assert str(caught.value) == f"source g.txt, {message}"


def test_an_edge_list_without_edges(tmp_path: Path) -> None:
    (tmp_path / "g.txt").write_text("# nothing\n")
    with pytest.raises(ValueError) as caught:
        read_graphs(tmp_path / "g.txt")
    assert str(caught.value) == (
        "source g.txt: n must be an integer of at least 1, got 0; give the number of nodes or "
        "remove the graph."
    )


LAUGHS = b"".join(
    b'<!ENTITY l%d "%s">' % (i, b"&l%d;" % (i - 1) * 10 if i else b"lol" * 10) for i in range(10)
)
REWRITE = "; write the file again with networkx.write_graphml."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE g [" + LAUGHS + b"]><graphml>&l9;</graphml>",
         ": GraphML must not declare XML entities or hold NUL bytes, got some" + REWRITE),
        ("<graphml/>".encode("utf-16-le"),
         ": GraphML must not declare XML entities or hold NUL bytes, got some" + REWRITE),
        (b"<graphml>\xff</graphml>",
         ": the file must be UTF-8 text, got the byte 0xff at 9; save it as UTF-8."),
        (b'<graphml xmlns="x"><graph>', " must be GraphML as networkx reads it, got the error 'no "
         "element found: line 1, column 26'" + REWRITE),
    ],
)  # fmt: skip
def test_messages_for_graphml(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "g.graphml").write_bytes(content)
    with pytest.raises(ValueError) as caught:
        read_graphs(tmp_path / "g.graphml")
    assert str(caught.value) == "source g.graphml" + message


def test_graphml_without_graphs(tmp_path: Path) -> None:
    for content in ("<graphml></graphml>", "<html></html>"):
        (tmp_path / "g.graphml").write_text(content)
        with pytest.raises(ValueError, match=r"^source must hold at least one graph, got none"):
            read_graphs(tmp_path / "g.graphml")


@settings(
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.binary(max_size=30), st.integers(0, 10**6), st.integers(0, 30))
@pytest.mark.filterwarnings("ignore")
def test_fuzzed_files(tmp_path: Path, noise: bytes, position: int, cut: int) -> None:
    nx.write_graphml(typed_path(), tmp_path / "g.graphml")
    nx.write_edgelist(typed_path(), tmp_path / "g.txt")
    for path in (tmp_path / "g.graphml", tmp_path / "g.txt"):
        content = path.read_bytes()
        start = position % len(content)
        path.write_bytes(content[:start] + noise + content[start + cut :])
        try:
            graphs = read_graphs(path)
        except ValueError as error:
            assert "\n" not in str(error)
        else:
            assert all(data.num_nodes >= 1 for data in graphs)
