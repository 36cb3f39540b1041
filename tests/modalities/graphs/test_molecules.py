"""Molecules to graphs and back, valences, charges and counts by hand."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from modalities.graphs.molecules import (
    QM9_ATOMS,
    ZINC_ATOMS,
    batch_to_molecules,
    canonical_smiles,
    frechet_chemnet,
    is_valid,
    largest_fragment,
    molecule_metrics,
    repair,
    repaired_smiles,
    smiles_to_data,
)

if TYPE_CHECKING:
    from rdkit.Chem import Mol

Chem = pytest.importorskip("rdkit.Chem")

SMILES = [
    "C",
    "C#N",
    "CC(=O)O",
    "c1ccccc1",
    "c1ccncc1",
    "c1cc[nH]c1",
    "Cn1cnc2c1c(=O)n(C)c(=O)n2C",
    "CC(=O)Oc1ccccc1C(=O)O",
    "O=S(=O)(N)c1ccc(F)cc1",
    "c1ccc2ccccc2c1",
    "CP(=O)(O)OCC",
    "FC(Cl)(Br)I",
    "C1CC2CC1CN2",
    "c1csc(-c2nccs2)c1",
    "C[N+](C)(C)C",
]


def dense(graphs: list[Data], size: int | None = None) -> dict[str, Tensor]:
    size = size or max(graph.num_nodes for graph in graphs)
    nodes = torch.zeros(len(graphs), size, dtype=torch.long)
    edges = torch.zeros(len(graphs), size, size, dtype=torch.long)
    mask = torch.zeros(len(graphs), size, dtype=torch.bool)
    for index, graph in enumerate(graphs):
        nodes[index, : graph.num_nodes] = graph.x
        edges[index, graph.edge_index[0], graph.edge_index[1]] = graph.edge_attr
        mask[index, : graph.num_nodes] = True
    return {"nodes": nodes, "edges": edges, "mask": mask}


def star(centre: str, orders: list[int], leaf: str = "C") -> Mol:
    """A molecule of one atom bound to leaves by bonds of the given orders."""
    n = len(orders) + 1
    edges = torch.zeros(1, n, n, dtype=torch.long)
    edges[0, 0, 1:] = edges[0, 1:, 0] = torch.tensor(orders)
    nodes = torch.tensor([[ZINC_ATOMS.index(centre)] + [ZINC_ATOMS.index(leaf)] * len(orders)])
    batch = {"nodes": nodes, "edges": edges, "mask": torch.ones(1, n, dtype=torch.bool)}
    return batch_to_molecules(batch, ZINC_ATOMS)[0]


def test_round_trip() -> None:
    batch = dense([smiles_to_data(smiles, ZINC_ATOMS) for smiles in SMILES], size=20)
    for smiles, molecule in zip(SMILES, batch_to_molecules(batch, ZINC_ATOMS), strict=True):
        assert is_valid(molecule)
        assert repaired_smiles(molecule) == Chem.CanonSmiles(smiles)
    assert canonical_smiles(SMILES) == {Chem.CanonSmiles(smiles) for smiles in SMILES}


def test_round_trip_in_any_order_of_nodes() -> None:
    generator = torch.Generator().manual_seed(0)
    for smiles in SMILES:
        batch = dense([smiles_to_data(smiles, ZINC_ATOMS)])
        order = torch.randperm(batch["mask"].shape[1], generator=generator)
        edges = batch["edges"][:, order][:, :, order]
        turned = {"nodes": batch["nodes"][:, order], "edges": edges, "mask": batch["mask"]}
        (molecule,) = batch_to_molecules(turned, ZINC_ATOMS)
        assert repaired_smiles(molecule) == Chem.CanonSmiles(smiles)


def test_graph_of_a_molecule() -> None:
    graph = smiles_to_data("C=CC#N", QM9_ATOMS)
    assert graph.num_nodes == 4
    assert graph.x.tolist() == [0, 0, 0, 1]
    assert graph.edge_index.tolist() == [[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]]
    assert graph.edge_attr.tolist() == [2, 2, 1, 1, 3, 3]
    alone = smiles_to_data("O", QM9_ATOMS)
    assert (alone.x.tolist(), tuple(alone.edge_index.shape)) == ([2], (2, 0))


def test_benzene_is_kekulised() -> None:
    assert sorted(smiles_to_data("c1ccccc1", QM9_ATOMS).edge_attr.tolist()) == [1] * 6 + [2] * 6


def test_charges_and_stereo_marks_are_lost_alike_in_training_and_samples() -> None:
    assert canonical_smiles(["C[N+](=O)[O-]"]) == {"C[N+](=O)O"}
    assert canonical_smiles(["C[NH+](C)C", "CN(C)C"]) == {"CN(C)C"}
    assert canonical_smiles(["C[C@H](N)O", "C[C@@H](N)O", "CC(N)O"]) == {"CC(N)O"}


@pytest.mark.parametrize(
    ("centre", "orders", "valid", "charge"),
    [
        ("C", [1, 1, 1, 1], True, 0),
        ("C", [2, 1, 1, 1], False, 0),
        ("N", [1, 1, 1], True, 0),
        ("N", [1, 1, 1, 1], True, 1),
        ("N", [2, 2], True, 1),
        ("N", [2, 2, 1], False, 0),
        ("O", [1, 1], True, 0),
        ("O", [2, 1], True, 1),
        ("O", [1, 1, 1], True, 1),
        ("O", [2, 2], False, 0),
        ("S", [1, 1, 1], True, 0),
        ("S", [2, 2, 1, 1], True, 0),
        ("S", [2, 2, 2, 1], False, 0),
        ("F", [1], True, 0),
        ("F", [1, 1], False, 0),
        ("P", [2, 1, 1, 1], True, 0),
    ],
)
def test_valence_and_charge_allowance(
    centre: str, orders: list[int], valid: bool, charge: int
) -> None:
    molecule = star(centre, orders)
    assert is_valid(molecule) is valid
    assert molecule.GetAtomWithIdx(0).GetFormalCharge() == charge


def test_repair_lowers_the_highest_bond() -> None:
    molecule = star("C", [3, 2, 1])
    assert not is_valid(molecule)
    repaired = repair(molecule)
    orders = [bond.GetBondTypeAsDouble() for bond in repaired.GetAtomWithIdx(0).GetBonds()]
    assert is_valid(repaired)
    assert sum(orders) == 4
    assert max(orders) <= 2
    assert not is_valid(molecule), "the original is left as it was"


def test_repair_may_cut_a_bond_and_the_largest_fragment_stays() -> None:
    molecule = star("F", [1, 1, 1], leaf="O")
    assert is_valid(repair(molecule))
    assert repaired_smiles(molecule) == "OF"
    pieces = batch_to_molecules(dense([smiles_to_data("O.CCN.CC", QM9_ATOMS)]), QM9_ATOMS)[0]
    assert largest_fragment(pieces).GetNumAtoms() == 3
    assert repaired_smiles(pieces) == "CCN"


def test_repair_leaves_valid_molecules_alone() -> None:
    for molecule in batch_to_molecules(
        dense([smiles_to_data(smiles, ZINC_ATOMS) for smiles in SMILES]), ZINC_ATOMS
    ):
        assert Chem.MolToSmiles(repair(molecule)) == Chem.MolToSmiles(molecule)


def test_metrics_by_hand() -> None:
    # Known ethanol twice, new methylamine, a new pair of pieces, one carbon with five bonds.
    texts = ["CCO", "OCC", "CN", "CF.O"]
    molecules = batch_to_molecules(
        dense([smiles_to_data(text, QM9_ATOMS) for text in texts]), QM9_ATOMS
    )
    molecules.append(star("C", [1] * 5, leaf="F"))
    found = molecule_metrics(molecules, canonical_smiles(["CCO", "C"]))
    # After repair and choice of a fragment: CCO, CCO, CN, CF, C(F)(F)(F)F.
    expected = {"valid": 4 / 5, "unique": 4 / 5, "novel": 3 / 4, "connected": 4 / 5, "vun": 1 / 5}
    assert found == pytest.approx(expected)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="contains Cl, S; expected only C, N, O, F"):
        smiles_to_data("CSCCl", QM9_ATOMS)
    for text in ("C1CC", "", "C(C)(C)(C)(C)C"):
        with pytest.raises(ValueError, match="expected a SMILES string that rdkit can read"):
            smiles_to_data(text, QM9_ATOMS)
    batch = dense([smiles_to_data("CCl", ZINC_ATOMS)])
    with pytest.raises(ValueError, match="nodes reaches 5 and edges 1; expected node types below"):
        batch_to_molecules(batch, QM9_ATOMS)
    with pytest.raises(ValueError, match="molecules is empty"):
        molecule_metrics([], [])


def test_no_molecules_from_an_empty_batch() -> None:
    batch = dense([smiles_to_data("CC", QM9_ATOMS)])
    assert batch_to_molecules({name: value[:0] for name, value in batch.items()}, QM9_ATOMS) == []


def test_missing_rdkit_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rdkit.Chem", None)
    with pytest.raises(ImportError, match=r"pip install latentgen\[molecules\]"):
        smiles_to_data("C", QM9_ATOMS)


def test_frechet_chemnet(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="generated has 1 and reference 2 molecules"):
        frechet_chemnet(["C"], ["C", "N"])
    monkeypatch.setitem(sys.modules, "fcd", None)
    with pytest.raises(ImportError, match="pip install fcd"):
        frechet_chemnet(["C", "N"], ["C", "N"])
    stand_in = ModuleType("fcd")
    monkeypatch.setattr(stand_in, "get_fcd", lambda a, b: len(a) + 10 * len(b), raising=False)
    monkeypatch.setitem(sys.modules, "fcd", stand_in)
    assert frechet_chemnet(["C", "N"], ["C", "N", "O"]) == 32.0
