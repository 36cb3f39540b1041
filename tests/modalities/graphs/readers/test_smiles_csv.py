"""Molecules in CSV tables."""

from pathlib import Path
from typing import Any

import pytest

from modalities.graphs.readers import read_collection, read_graphs
from modalities.graphs.readers.smiles_csv import SmilesRow, find_atoms

pytest.importorskip("rdkit")


def table(folder: Path, text: str) -> Path:
    path = folder / "molecules.csv"
    path.write_text(text)
    return path


def test_molecules_with_parts(tmp_path: Path) -> None:
    collection = read_collection(
        table(tmp_path, 'index,SMILES,split\n1,C=O,train\n\n2,"N#C",val\n3,FCC,test\n')
    )
    assert (collection.node_types, collection.edge_types) == (4, 4)
    assert collection.node_labels == ("C", "N", "O", "F")
    assert collection.edge_labels == ("single", "double", "triple")
    (aldehyde,), (cyanide,), (fluoride,) = (
        collection.graphs[part] for part in ("train", "valid", "test")
    )
    assert aldehyde.x.tolist() == [0, 2] and aldehyde.edge_attr.tolist() == [2, 2]
    assert cyanide.x.tolist() == [1, 0] and cyanide.edge_attr.tolist() == [3, 3]
    assert fluoride.x.tolist() == [3, 0, 0] and fluoride.edge_attr.tolist() == [1, 1, 1, 1]


def test_types_follow_the_given_atoms(tmp_path: Path) -> None:
    collection = read_collection(table(tmp_path, "smiles\nCO\n"), atoms=["O", "S", "C"])
    assert collection.node_types == 3 and collection.node_labels == ("O", "S", "C")
    assert collection.graphs["train"][0].x.tolist() == [2, 0]


@pytest.mark.parametrize(
    ("smiles", "atoms"),
    [
        ("c1ccccc1", ("C",)),
        ("CNOS(=O)(=O)F", ("C", "N", "O", "S", "F")),
        ("ClCCBr", ("C", "Cl", "Br")),
        ("C[C@@H](N)[O-]", ("C", "N", "O")),
        ("[nH]1cccc1", ("C", "N")),
        ("[13CH3][Si](C)C[se]", ("C", "Si", "Se")),
        ("[H]C([2H])P", ("C", "P")),
        ("[Na+].[Zn]", ("Na", "Zn")),
        ("CSc1nc(I)co1", ("C", "N", "O", "S", "I")),
    ],
)
def test_atoms_are_found(smiles: str, atoms: tuple[str, ...]) -> None:
    assert find_atoms([SmilesRow("", smiles, None)]) == atoms


def test_molecules_that_cannot_be_read(tmp_path: Path) -> None:
    path = table(tmp_path, "smiles\nCC\nC(\nCCC\nC1C\n")
    with pytest.raises(ValueError) as caught:
        read_graphs(path)
    said = str(caught.value)
    assert said.startswith("source molecules.csv, line 3: smiles is 'C('; expected ")
    assert said.endswith(" To leave such molecules out, pass skip_invalid=True.")
    with pytest.warns(UserWarning) as warned:
        collection = read_collection(path, skip_invalid=True)
    expected = (
        "left out 2 molecules that cannot be read, the first at source molecules.csv, line 3."
    )
    assert [str(warning.message) for warning in warned] == [expected]
    assert collection.notes == [expected, "the first 0 graphs of 2 became the test set."]
    assert [data.num_nodes for data in collection.select()] == [2, 3]


HEADER = "source molecules.csv: the first line must name a column smiles, got "
ROW = "source molecules.csv, line 2: "
CELLS = "expected 2 cells and a SMILES of 1 to 10,000 characters, got "


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, HEADER + "[]; add the header smiles or smiles,split."),
        ("a,b\nC,D\n", {}, HEADER + "['a', 'b']; add the header smiles or smiles,split."),
        ("smiles\n", {}, "source molecules.csv must hold a molecule, got none; add some rows."),
        ("smiles,split\nC\n", {}, f"{ROW}{CELLS}'C'; correct or remove the line."),
        ("smiles,split\n,train\n", {}, f"{ROW}{CELLS}',train'; correct or remove the line."),
        ("smiles,split\n" + "C" * 10_001 + ",train\n", {},
         f"{ROW}{CELLS}'CCCCCCCCCCCC...CCCCCCC,train'; correct or remove the line."),
        ('smiles,split\n"C\n', {}, f"{ROW}expected cells separated by commas, got the error "
         "'unexpected end of data'; correct the line."),
        ("smiles,split\nC,best\n", {}, f"{ROW}split must be train, valid or test, got 'best'; "
         "rename it."),
        ("smiles\nCCCC\n", {"max_nodes": 3}, f"{ROW}n must be at most max_nodes=3, got 4; raise "
         "max_nodes or remove the graph."),
    ],
)  # fmt: skip
def test_messages(tmp_path: Path, text: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        read_collection(table(tmp_path, text), **options)
    assert str(caught.value) == message


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "molecules.csv"
    path.write_bytes(b"smiles\nC\n\xe9\n")
    with pytest.raises(ValueError) as caught:
        read_graphs(path)
    assert str(caught.value) == (
        "source molecules.csv, line 3: the file must be UTF-8 text, got the byte 0xe9; save it as "
        "UTF-8."
    )
