"""Exported graphs are read back as they were."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import pytest
import torch

import latentgen
from modalities.graphs import Graphs
from modalities.graphs.state import LABELS, check_state, pack_labels, unpack_labels

LSGM = latentgen.LSGM(width=16, depth=1, heads=2)
SMILES = ["CCO", "CC=O", "CC#N", "CCN", "OCC=O", "CCC", "CNC", "FC", "c1ccccc1", "CCF"]


def labelled() -> list[nx.Graph]:
    made = []
    for n in (3, 4, 5, 6, 4, 3, 5, 6, 4, 5):
        graph = nx.cycle_graph(n)
        nx.set_node_attributes(graph, {node: "ab"[node % 2] for node in graph}, "type")
        nx.set_edge_attributes(graph, {edge: 7 + sum(edge) % 2 for edge in graph.edges}, "type")
        made.append(graph)
    return made


def rows(batch: dict[str, torch.Tensor]) -> list[list[int]]:
    """Everything about the graphs, in an order of its own: parts are chosen from a file."""
    return sorted(torch.cat([batch["nodes"], batch["mask"].long(), batch["edges"].flatten(1)], dim=1).tolist())


def back(path: Path) -> list[list[int]]:
    graphs = Graphs(data=str(path))
    return rows(graphs.collate(graphs.collection.select()))


def test_plain_graphs_come_back(tmp_path: Path) -> None:
    graphs = Graphs(data="trees", train_size=20, test_size=4, options={"nodes": 7})
    batch = graphs.dataset("train").__getitems__([3, 1, 0, 5, 7])
    (path,) = graphs.export(batch, tmp_path)
    assert path.name == "graphs.jsonl" and "label" not in path.read_text()
    assert back(path) == rows(batch)


def test_labels_come_back_also_from_a_stored_model(tmp_path: Path) -> None:
    graphs = Graphs(data=labelled())
    batch = graphs.dataset("train").__getitems__([0, 1, 2])
    LSGM.prepare(graphs).model.save_pretrained(tmp_path)
    loaded = latentgen.load(tmp_path).modality
    assert loaded.data is None and loaded.labels == graphs.labels and all(graphs.labels)
    (path,) = loaded.export(batch, tmp_path)
    assert Graphs(data=str(path)).labels == graphs.labels and back(path) == rows(batch)


def test_molecules_as_smiles_from_a_stored_model_without_its_data(tmp_path: Path) -> None:
    pytest.importorskip("rdkit")
    table = tmp_path / "molecules.csv"
    table.write_text("\n".join(["smiles", *SMILES]))
    molecules = Graphs(data=str(table), protocol="molecules")
    batch = molecules.dataset("train").__getitems__([0, 1, 2])
    with pytest.raises(ValueError, match=r"could be lost to molecules\.csv in it; give another folder"):
        molecules.export(batch, tmp_path)
    assert table.read_text().splitlines() == ["smiles", *SMILES]
    want = molecules.smiles(batch)
    LSGM.prepare(molecules).model.save_pretrained(tmp_path / "model")
    table.unlink()
    loaded = latentgen.load(tmp_path / "model").modality
    assert loaded.elements == molecules.elements
    lines, csv = loaded.export(batch, tmp_path)
    assert csv.read_text().splitlines() == ["smiles", *want] and lines.name == "graphs.jsonl"


def test_molecules_of_an_older_model_without_its_data_are_graphs(tmp_path: Path) -> None:
    """Such a model has no labels stored."""
    pytest.importorskip("rdkit")
    table = tmp_path / "molecules.csv"
    table.write_text("\n".join(["smiles", *SMILES]))
    molecules = Graphs(data=str(table), protocol="molecules")
    batch, state = molecules.dataset("train").__getitems__([0, 1, 2]), molecules.state()
    table.unlink()
    older = Graphs(data=str(table), protocol="molecules")
    older.load_state({name: state[name] for name in ("sizes", "kinds")})
    with pytest.warns(UserWarning, match=r"molecules\.csv is not written: source must be an existing file"):
        assert [path.name for path in older.export(batch, tmp_path)] == ["graphs.jsonl"]


def test_other_molecules_are_read_with_the_model_s_own_types(tmp_path: Path) -> None:
    """Those with less elements would be numbered differently, and nitrogen be taken for oxygen."""
    pytest.importorskip("rdkit")
    for name, smiles in (("all", SMILES), ("few", ["CCN", "CNC", "CF", "CCF", "NCC", "NCN"])):
        (tmp_path / f"{name}.csv").write_text("\n".join(["smiles", *smiles]))
    molecules = Graphs(data=str(tmp_path / "all.csv"), protocol="molecules")
    other = Graphs(data=str(tmp_path / "few.csv"), protocol="molecules")
    other.load_state(molecules.state())
    batch = other.collate([*other.collection.select()])
    assert sorted(other.smiles(batch)) == sorted(["CCN", "CNC", "CF", "CCF", "CCN", "NCN"])


def test_labels_that_no_model_gave_are_refused() -> None:
    state = {"sizes": torch.tensor([0.0, 1.0]), "kinds": torch.tensor([2, 3])}
    for nodes, edges in (((), ()), (("C", 8), ()), (("C", "N"), (1, 2))):
        packed = pack_labels(nodes, edges)
        assert unpack_labels(check_state({**state, LABELS: packed})[LABELS]) == (nodes, edges)
    words = lambda text: torch.tensor(list(text), dtype=torch.uint8)
    for bad, message in (
        (torch.zeros(3), "labels must be bytes"),
        (words(b"\xff"), "two lists of whole numbers and words"),
        (words(b"[" * 100_000), "two lists"),
        (words(b'{"a": 1}'), "two lists"),
        (words(b"[[1.5, 2], []]"), "two lists"),
        (words(b"[[[1], 2], []]"), "two lists"),
        (words(b"[[1], []]"), "none or 2 of them, got 1"),
        (words(b"[[], [1, 2, 3]]"), "none or 2 of them, got 3"),
    ):
        with pytest.raises(ValueError, match=f"^state of Graphs: labels.*{message}|^state of Graphs: {message}"):
            check_state({**state, LABELS: bad})
