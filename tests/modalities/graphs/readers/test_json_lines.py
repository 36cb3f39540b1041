"""JSON lines: what is read, every message, and hostile text."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modalities.graphs.readers import read_collection, read_graphs


def write(folder: Path, *records: Any) -> Path:
    """A file with one record a line; strings and bytes are written as they are."""
    lines = []
    for record in records:
        text = record if isinstance(record, (str, bytes)) else json.dumps(record)
        lines.append(text if isinstance(text, bytes) else text.encode())
    path = folder / "graphs.jsonl"
    path.write_bytes(b"\n".join(lines))
    return path


def test_a_file_with_everything(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {
            "index": 0,
            "split": "val",
            "n": 3,
            "edges": [[0, 1], [1, 2]],
            "node_labels": [3, 1, 3],
            "edge_labels": ["double", "single"],
            "graph_label": 6,
        },
        "",
        {
            "split": "train",
            "n": 2,
            "edges": [[1, 0]],
            "node_labels": [1, 2],
            "edge_labels": ["single"],
            "graph_label": 1,
            "remark": None,
        },
        {"split": "test", "n": 1, "edges": [], "node_labels": [3], "edge_labels": []},
    )
    collection = read_collection(path)
    (valid,), (train,), (test,) = (collection.graphs[k] for k in ("valid", "train", "test"))
    assert valid.x.tolist() == [2, 0, 2] and train.x.tolist() == [0, 1] and test.x.tolist() == [2]
    assert valid.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    assert valid.edge_attr.tolist() == [1, 1, 2, 2] and train.edge_attr.tolist() == [2, 2]
    assert (valid.y.tolist(), train.y.tolist(), test.y) == ([6], [1], None)
    assert (collection.node_labels, collection.edge_labels) == ((1, 2, 3), ("double", "single"))


def test_byte_order_mark_and_line_ends(tmp_path: Path) -> None:
    path = write(
        tmp_path, b'\xef\xbb\xbf{"n": 2, "edges": [[0, 1]]}\r', b'{"n": 1, "edges": []}\r'
    )
    assert [data.num_nodes for data in read_graphs(path)] == [2, 1]


def test_loops_and_repeated_edges(tmp_path: Path) -> None:
    path = write(tmp_path, {"n": 3, "edges": [[0, 1], [1, 0], [0, 1], [2, 2]]})
    with pytest.warns(UserWarning) as caught:
        (data,) = read_graphs(path)
    assert data.edge_index.tolist() == [[0, 1], [1, 0]]
    assert [str(warning.message) for warning in caught] == [
        "removed 1 self-loop in 1 graph, since graphs here have none.",
        "merged 2 repeated edges in 1 graph, since graphs here have at most one edge between "
        "two nodes.",
    ]


WHERE = "source graphs.jsonl, line 2: "
PAIRS = "edges must be a list of pairs of node indices such as [[0, 1]], got "
SIZE = "; give the number of nodes or remove the graph."
KEYS = (
    'expected an object with the keys n and edges such as {"n": 3, "edges": [[0, 1], [1, 2]]}, '
    "got "
)
CATEGORY = (
    " must be all integers or all strings of at most 64 characters, got {}; give categories, one "
    "each, or leave them out."
)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("[1, 2]", KEYS + "[1, 2]; correct or remove the line."),
        ({"n": 2}, KEYS + "{'n': 2}; correct or remove the line."),
        ({"n": 0, "edges": []}, "n must be an integer of at least 1, got 0" + SIZE),
        ({"n": 2.0, "edges": []}, "n must be an integer of at least 1, got 2.0" + SIZE),
        ('{"n": NaN, "edges": []}', "n must be an integer of at least 1, got nan" + SIZE),
        ({"n": True, "edges": []}, "n must be an integer of at least 1, got True" + SIZE),
        ({"n": 10**9, "edges": []}, "n must be at most the default limit of 100,000, got "
         "1000000000; raise max_nodes or remove the graph."),
        ({"n": 10**300, "edges": []}, "n must be at most the default limit of 100,000, got "
         f"{'1' + 17 * '0'}...{19 * '0'}; raise max_nodes or remove the graph."),
        ({"n": 2, "edges": {}}, PAIRS + "{}; correct it."),
        ({"n": 2, "edges": [None]}, PAIRS + "None; correct it."),
        ({"n": 2, "edges": [[0, 1, 1]]}, PAIRS + "[0, 1, 1]; correct it."),
        ({"n": 2, "edges": [[0, 1.0]]}, PAIRS + "[0, 1.0]; correct it."),
        ({"n": 2, "edges": [[0, True]]}, PAIRS + "[0, True]; correct it."),
        ({"n": 2, "edges": [["0", "1"]]}, PAIRS + "['0', '1']; correct it."),
        ({"n": 2, "edges": [[0, 2**63]]}, PAIRS + "[0, 9223372036854775808]; correct it."),
        ({"n": 2, "edges": [[0, 2]]}, "edges must name nodes 0..1, got the edge [0, 2]; correct "
         "it or raise the number of nodes."),
        ({"n": 2, "edges": [[-1, 0]]}, "edges must name nodes 0..1, got the edge [-1, 0]; correct "
         "it or raise the number of nodes."),
        ({"n": 2, "edges": [], "node_labels": [1]}, "node_labels must be a list of 2 labels, got "
         "1; give one label each or leave node_labels out."),
        ({"n": 2, "edges": [], "node_labels": 5}, "node_labels must be a list of 2 labels, got "
         "5; give one label each or leave node_labels out."),
        ({"n": 2, "edges": [[0, 1]], "edge_labels": []}, "edge_labels must be a list of 1 labels, "
         "got 0; give one label each or leave edge_labels out."),
        ({"n": 2, "edges": [], "node_labels": [0.5, 1]}, "node_labels" + CATEGORY.format("0.5")),
        ('{"n": 1, "edges": [], "node_labels": [NaN]}', "node_labels" + CATEGORY.format("nan")),
        ({"n": 1, "edges": [], "node_labels": [None]}, "node_labels" + CATEGORY.format("None")),
        ({"n": 1, "edges": [], "node_labels": ["a" * 65]},
         "node_labels" + CATEGORY.format("'aaaaaaaaaaaa...aaaaaaaaaaaaa'")),
        ({"n": 1, "edges": [], "node_labels": [2**64]},
         "node_labels must fit 64 bits, got [18446744073709551616]; renumber them."),
        ({"n": 2, "edges": [[0, 1], [1, 0]], "edge_labels": [1, 2]}, "an undirected edge must "
         "have one label, got 1 and 2 for the edge [1, 0]; keep one of them."),
        ({"n": 1, "edges": [], "graph_label": 0.5}, "graph_label must be an integer, got 0.5; "
         "number the classes or leave it out."),
        ({"n": 1, "edges": [], "split": "holdout"}, "split must be train, valid or test, got "
         "'holdout'; rename it."),
        ({"n": 1, "edges": [], "split": ["train"]}, "split must be train, valid or test, got "
         "['train']; rename it."),
        (b'{"n": 1, "edges": [], "split": "\xff"}', "the file must be UTF-8 text, got the byte "
         "0xff; save it as UTF-8."),
    ],
)  # fmt: skip
def test_messages(tmp_path: Path, record: Any, message: str) -> None:
    good = {"n": 1, "edges": []}
    if isinstance(record, dict) and "split" in record:
        good["split"] = "train"
    with pytest.raises(ValueError) as caught:
        read_collection(write(tmp_path, good, record))
    assert str(caught.value) == WHERE + message


@pytest.mark.parametrize("line", ['{"n": 1, "edges": [}', "[" * 100_000, '{"n": ' + "9" * 5000])
def test_text_that_is_not_json(tmp_path: Path, line: str) -> None:
    with pytest.raises(ValueError) as caught:
        read_collection(write(tmp_path, {"n": 1, "edges": []}, line))
    start, _, end = str(caught.value).partition(", got text that is not JSON (")
    assert start == WHERE + 'expected one JSON object such as {"n": 3, "edges": [[0, 1], [1, 2]]}'
    assert end.endswith("); correct or remove the line.") and len(end) < 200


def test_messages_about_the_whole_file(tmp_path: Path) -> None:
    def message(*records: Any, **options: Any) -> str:
        with pytest.raises(ValueError) as caught:
            read_collection(write(tmp_path, *records), **options)
        return str(caught.value)

    plain = {"n": 1, "edges": []}
    assert message("").startswith("source must hold at least one graph, got none; give a .jsonl")
    assert message(plain, {**plain, "split": "test"}) == (
        "source graphs.jsonl, line 1: either every graph or none must name its split, got 1 of 2; "
        "add or remove the field split."
    )
    assert message({**plain, "node_labels": [1]}, plain) == (
        WHERE + "node_labels must be of one kind in all graphs, got no labels after integers; "
        "label all graphs alike or none."
    )
    assert message({"n": 5, "edges": []}, max_nodes=4) == (
        "source graphs.jsonl, line 1: n must be at most max_nodes=4, got 5; raise max_nodes or "
        "remove the graph."
    )
    assert message(*[{"n": 100_000, "edges": []}] * 501) == (
        "source: all graphs together must have at most 50,000,000 nodes, got 50,100,000; split "
        "the source into several."
    )


def test_a_line_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from modalities.graphs.readers import text

    monkeypatch.setattr(text, "LINE_LIMIT", 50)
    with pytest.raises(ValueError) as caught:
        read_collection(write(tmp_path, {"n": 1, "edges": []}, "x" * 51))
    assert str(caught.value) == (
        WHERE + "a line must have at most 50 bytes, got a longer one; put one record on each line."
    )


NUMBERS = st.one_of(st.integers(-2, 6), st.integers(), st.floats(), st.booleans())
ANYTHING = st.recursive(
    st.one_of(st.none(), NUMBERS, st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
RECORDS = st.fixed_dictionaries(
    {"n": st.one_of(st.integers(1, 5), NUMBERS, ANYTHING)},
    optional={
        "edges": st.one_of(
            st.lists(st.lists(st.integers(0, 4), min_size=2, max_size=2), max_size=6), ANYTHING
        ),
        "node_labels": st.one_of(st.lists(st.integers(0, 3), max_size=5), ANYTHING),
        "edge_labels": st.one_of(st.lists(st.sampled_from("ab"), max_size=6), ANYTHING),
        "graph_label": ANYTHING,
        "split": st.one_of(st.sampled_from(["train", "val", "test"]), ANYTHING),
    },
)


def only_value_errors(path: Path) -> None:
    """Either the file is refused by a ValueError or what comes out is sound."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            collection = read_collection(path)
        except ValueError as error:
            assert "\n" not in str(error) and len(str(error)) < 600
            return
    for data in collection.select():
        assert data.num_nodes >= 1 and data.x.shape == (data.num_nodes,)
        assert int(data.x.max()) < collection.node_types
        start, end = data.edge_index
        assert not bool((start == end).any())
        assert set(zip(start.tolist(), end.tolist(), strict=True)) == set(
            zip(end.tolist(), start.tolist(), strict=True)
        )
        assert data.edge_attr.tolist() == [] or data.edge_attr.min() >= 1
        assert data.edge_attr.tolist() == [] or data.edge_attr.max() < collection.edge_types


RELAXED = settings(
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@RELAXED
@given(st.lists(RECORDS, min_size=1, max_size=3))
def test_fuzzed_records(tmp_path: Path, records: list[Any]) -> None:
    only_value_errors(write(tmp_path, *records))


@RELAXED
@given(
    st.binary(max_size=40),
    st.integers(0, 200),
    st.integers(0, 3),
)
def test_fuzzed_bytes(tmp_path: Path, noise: bytes, position: int, cut: int) -> None:
    record = b'{"n": 4, "edges": [[0, 1], [2, 3]], "node_labels": [1, 2, 1, 2], "split": "test"}'
    position %= len(record)
    only_value_errors(write(tmp_path, record[:position] + noise + record[position + cut :]))
