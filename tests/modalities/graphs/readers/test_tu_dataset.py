"""TUDataset folders and archives, and what is refused."""

import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest

from modalities.graphs.readers import archive, read_collection, read_graphs

# Two graphs: a triangle with labels and a single edge.
FILES = {
    "A": "1, 2\n2, 1\n2, 3\n3, 2\n1, 3\n3, 1\n4, 5\n5, 4\n",
    "graph_indicator": "1\n1\n1\n2\n2\n",
    "node_labels": "3\n1\n3\n1\n2\n",
    "edge_labels": "0\n0\n4\n4\n0\n0\n4\n4\n",
    "graph_labels": "1\n-1\n",
}


def folder(path: Path, **changes: str | None) -> Path:
    """A data set named TOY; None leaves a file out."""
    path = path / "TOY"
    path.mkdir(exist_ok=True)
    for suffix, text in {**FILES, **changes}.items():
        if text is not None:
            (path / f"TOY_{suffix}.txt").write_text(text)
    return path


def packed(path: Path, members: dict[str, bytes], **fields: Any) -> Path:
    """A zip archive; `fields` are set on each member."""
    target = path / "toy.zip"
    with zipfile.ZipFile(target, "w") as toy:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            for field, value in fields.items():
                setattr(info, field, value)
            toy.writestr(info, content)
    return target


def toy_members() -> dict[str, bytes]:
    return {f"TOY/TOY_{suffix}.txt": text.encode() for suffix, text in FILES.items()}


def test_folder_and_archive_are_read_alike(tmp_path: Path) -> None:
    for source in (folder(tmp_path), packed(tmp_path, {"TOY/": b"", **toy_members()})):
        collection = read_collection(source)
        triangle, edge = collection.graphs["train"]
        assert triangle.x.tolist() == [2, 0, 2] and edge.x.tolist() == [0, 1]
        assert triangle.edge_index.tolist() == [[0, 0, 1, 1, 2, 2], [1, 2, 0, 2, 0, 1]]
        assert triangle.edge_attr.tolist() == [1, 1, 1, 2, 1, 2]
        assert edge.edge_attr.tolist() == [2, 2]
        assert (triangle.y.tolist(), edge.y.tolist()) == ([1], [-1])
        assert (collection.node_labels, collection.edge_labels) == ((1, 2, 3), (0, 4))


def test_hidden_files_of_a_desktop_are_passed_over(tmp_path: Path) -> None:
    members = {"__MACOSX/TOY/._TOY_A.txt": b"\0\5\x16\7", **toy_members()}
    assert len(read_graphs(packed(tmp_path, members))) == 2


def test_plain_graphs_whose_nodes_are_mixed(tmp_path: Path) -> None:
    source = folder(
        tmp_path,
        A="1, 3\n3, 1\n2, 4\n4, 2\n4, 5\n5, 4\n",
        graph_indicator="2\n1\n2\n1\n1\n",
        node_labels=None,
        edge_labels=None,
        graph_labels=None,
        node_attributes="0.5\n" * 5,
    )
    collection = read_collection(source)
    path, edge = collection.graphs["train"]
    assert path.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    assert edge.num_nodes == 2 and edge.edge_index.tolist() == [[0, 1], [1, 0]]
    assert collection.notes[0] == (
        "TOY_node_attributes.txt was not read, since only labels are used."
    )


def test_edges_in_one_direction(tmp_path: Path) -> None:
    source = folder(tmp_path, A="1, 2\n4, 5\n", edge_labels=None)
    with pytest.warns(UserWarning, match="^2 directed edges in 2 graphs became undirected"):
        assert [data.num_edges for data in read_graphs(source)] == [2, 2]


INTEGERS = "expected 2 integers separated by commas, got "


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"A": "1, 2\n1, x\n"}, f"TOY_A.txt, line 2: {INTEGERS}'1, x'; correct that line."),
        ({"A": "1, 2\n1\n"}, f"TOY_A.txt, line 2: {INTEGERS}'1'; correct that line."),
        ({"A": "1, 99999999999999999999\n"},
         f"TOY_A.txt, line 1: {INTEGERS}'1, 99999999999999999999'; correct that line."),
        ({"A": "1, 9\n", "edge_labels": None},
         "TOY_A.txt, row 1: edges must name nodes 1..5, got [1, 9]; correct that row."),
        ({"A": "1, 2\n0, 1\n", "edge_labels": None},
         "TOY_A.txt, row 2: edges must name nodes 1..5, got [0, 1]; correct that row."),
        ({"A": "1, 2\n1, 4\n", "edge_labels": None}, "TOY_A.txt, row 2: an edge must stay within "
         "one graph, got nodes of graphs [1, 2]; correct that row."),
        ({"node_labels": "1\nnan\n1\n1\n1\n"}, "TOY_node_labels.txt, line 2: expected 1 integer, "
         "got 'nan'; correct that line."),
        ({"node_labels": "1\n0.5\n1\n1\n1\n"}, "TOY_node_labels.txt, line 2: expected 1 integer, "
         "got '0.5'; correct that line."),
        ({"node_labels": "1\n"}, "TOY_node_labels.txt: expected 5 lines to match the other files, "
         "got 1; replace the file."),
        ({"edge_labels": "1\n"}, "TOY_edge_labels.txt: expected 8 lines to match the other files, "
         "got 1; replace the file."),
        ({"graph_labels": "1\n"}, "TOY_graph_labels.txt: expected 2 lines to match the other "
         "files, got 1; replace the file."),
        ({"edge_labels": "1\n2\n" + "1\n" * 6}, "TOY, graph 1: an undirected edge must have one "
         "label, got 1 and 2 for the edge [1, 0]; keep one of them."),
        ({"graph_indicator": "1\n1\n1\n3\n3\n"}, "TOY, graph 2: n must be an integer of at least "
         "1, got 0; give the number of nodes or remove the graph."),
        ({"graph_indicator": "1\n1\n1\n2\n1000000000\n"}, "TOY_graph_indicator.txt: graphs must "
         "be numbered 1..5 at most, as many as there are nodes, got 1..1000000000; renumber "
         "them."),
        ({"graph_indicator": "0\n1\n1\n2\n2\n"}, "TOY_graph_indicator.txt: graphs must be "
         "numbered 1..5 at most, as many as there are nodes, got 0..2; renumber them."),
        ({"graph_indicator": ""}, "TOY_graph_indicator.txt must list a graph for each node, got "
         "an empty file; replace the file."),
        ({"graph_indicator": None, "edge_labels": None}, "TOY: a TUDataset must hold "
         "TOY_graph_indicator.txt, got only TOY_A.txt, TOY_graph_labels.txt, TOY_node_labels.txt; "
         "add the missing file."),
    ],
)  # fmt: skip
def test_messages(tmp_path: Path, changes: dict[str, str | None], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        read_graphs(folder(tmp_path, **changes))
    assert str(caught.value) == f"source {message}"


def test_graphs_larger_than_allowed(tmp_path: Path) -> None:
    with pytest.raises(ValueError) as caught:
        read_graphs(folder(tmp_path), max_nodes=2)
    assert str(caught.value) == (
        "source TOY, graph 1: n must be at most max_nodes=2, got 3; raise max_nodes or remove the "
        "graph."
    )


def test_two_data_sets_or_none(tmp_path: Path) -> None:
    for members, names in (({"a_A.txt": b"", "b_A.txt": b""}, "a, b"), ({"x.txt": b""}, "none")):
        with pytest.raises(ValueError) as caught:
            read_graphs(packed(tmp_path, members))
        assert str(caught.value) == (
            f"source toy.zip must hold one TUDataset, a single file NAME_A.txt, got {names}; give "
            "a folder or archive of one data set."
        )


def refusal(path: Path) -> str:
    with pytest.raises(ValueError) as caught:
        read_graphs(path)
    return str(caught.value)


PLAIN = "source toy.zip: members of the archive must be plain files below its root, got "
TRUST = "; do not trust this archive."


@pytest.mark.parametrize(
    "name",
    ["../TOY_A.txt", "/TOY_A.txt", "TOY/../../TOY_A.txt", "C:/TOY_A.txt", "a\\..\\TOY_A.txt"],
)
def test_members_outside_the_archive(tmp_path: Path, name: str) -> None:
    said = refusal(packed(tmp_path, {**toy_members(), name: b"1, 2\n"}))
    assert said == f"{PLAIN}{name!r} (its path leaves the archive){TRUST}"


def test_a_nul_in_a_name(tmp_path: Path) -> None:
    target = packed(tmp_path, {**toy_members(), "TOY_A.txt#": b"1, 2\n"})
    target.write_bytes(target.read_bytes().replace(b"TOY_A.txt#", b"TOY_A.txt\0"))
    assert refusal(target) == f"{PLAIN}'TOY_A.txt\\x00' (its path leaves the archive){TRUST}"


def test_links(tmp_path: Path) -> None:
    mode = (stat.S_IFLNK | 0o777) << 16
    said = refusal(packed(tmp_path, {"TOY/TOY_A.txt": b"/etc/passwd"}, external_attr=mode))
    assert said == f"{PLAIN}'TOY/TOY_A.txt' (a link or device){TRUST}"


def test_encryption_and_unusual_methods(tmp_path: Path) -> None:
    target = packed(tmp_path, {"TOY_A.txt": b"1, 2\n"})
    content = bytearray(target.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    target.write_bytes(content)
    assert refusal(target) == f"{PLAIN}'TOY_A.txt' (encrypted){TRUST}"
    target = packed(tmp_path, {"TOY_A.txt": b"1, 2\n"}, compress_type=zipfile.ZIP_BZIP2)
    assert refusal(target) == f"{PLAIN}'TOY_A.txt' (packed by an unusual method){TRUST}"


def test_a_decompression_bomb(tmp_path: Path) -> None:
    target = packed(tmp_path, {**toy_members(), "TOY_bomb.txt": b"1\n" * 2**24})
    assert target.stat().st_size < 2**20
    assert refusal(target) == f"{PLAIN}'TOY_bomb.txt' (a decompression bomb){TRUST}"


def test_a_huge_total(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "TOTAL_LIMIT", 50)
    assert refusal(packed(tmp_path, toy_members())) == (
        "source toy.zip: the archive must unpack to at most 50 bytes, got 81; unpack it yourself "
        "if you trust it, and give the folder."
    )


def test_damaged_archives(tmp_path: Path) -> None:
    target = tmp_path / "toy.zip"
    for content in (b"", b"not a zip"):
        target.write_bytes(content)
        assert refusal(target) == (
            "source toy.zip must be a zip archive, got a file that is none (File is not a zip "
            "file); download or pack it again."
        )
    whole = packed(tmp_path, toy_members()).read_bytes()
    for position in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        target.write_bytes(damaged)
        try:
            read_graphs(target)
        except ValueError as error:
            assert str(error).startswith("source ")


def test_a_small_archive_of_endless_text_is_not_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "X.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("X_graph_indicator.txt", "1\n" * 7_000_000)
        archive.writestr("X_A.txt", "1, 1\n")
    with pytest.raises(ValueError, match=r"^source X\.zip: .*\(a decompression bomb\)"):
        read_collection(tmp_path / "X.zip")
