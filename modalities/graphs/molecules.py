r"""Molecules as typed graphs, and the molecule metrics of the graph-generation tables.

A node type is a position in a tuple of element symbols, an edge kind is the order of a kekulised
bond (1, 2, 3). Hydrogens, charges, stereo marks, isotopes and radicals are not stored; rdkit
fills in hydrogens, and a nitrogen or oxygen with one bond too many is read as a cation (Jo et al.
2022). So [N+](=O)[O-] returns as [N+](=O)O.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor
from torch_geometric.data import Data

from modalities.graphs.simple import simple_graph

if TYPE_CHECKING:
    from rdkit.Chem import Mol, RWMol

__all__ = [
    "QM9_ATOMS",
    "ZINC_ATOMS",
    "batch_to_molecules",
    "canonical_smiles",
    "frechet_chemnet",
    "is_valid",
    "largest_fragment",
    "molecule_metrics",
    "repair",
    "repaired_smiles",
    "smiles_to_data",
]

QM9_ATOMS = ("C", "N", "O", "F")
ZINC_ATOMS = ("C", "N", "O", "S", "F", "Cl", "Br", "I", "P")
_BOND_ORDERS = ("SINGLE", "DOUBLE", "TRIPLE")
# Sulfur needs no entry: rdkit accepts it with one bond too many, as a neutral atom.
_CATION_VALENCE = {"N": 4, "O": 3}

Bonds = list[tuple[int, int, int]]


def smiles_to_data(smiles: str, atoms: Sequence[str]) -> Data:
    """The heavy-atom graph of a molecule.

    Args:
        smiles: a SMILES string.
        atoms: element symbols in the order of the node types.

    Returns:
        `x` int64 [n] (position in `atoms`), `edge_index` [2, 2M], `edge_attr` int64 [2M] in
        {1, 2, 3}.

    Raises:
        ValueError: If the string cannot be parsed or holds an element outside `atoms`.
        ImportError: If rdkit is not installed.
    """
    symbols, bonds = _parse(smiles)
    unknown = sorted(set(symbols) - set(atoms))
    if unknown:
        raise ValueError(
            f"smiles {smiles!r} contains {', '.join(unknown)}; expected only {', '.join(atoms)}: "
            "drop the molecule or extend atoms."
        )
    table = np.array(bonds, dtype=np.int64).reshape(-1, 3)
    types = np.array([atoms.index(symbol) for symbol in symbols], dtype=np.int64)
    return simple_graph(len(symbols), table[:, :2], node_types=types, edge_kinds=table[:, 2])


def batch_to_molecules(batch: Mapping[str, Tensor], atoms: Sequence[str]) -> list[Mol]:
    """Molecules of a dense graph batch as they are, neither checked nor repaired.

    Args:
        batch: `nodes` [B, N] (positions in `atoms`), `edges` [B, N, N] in {0, 1, 2, 3} and
            `mask` [B, N].
        atoms: element symbols in the order of the node types.

    Raises:
        ValueError: If a node type or an edge kind has no element or bond.
        ImportError: If rdkit is not installed.
    """
    nodes, edges, mask = (batch[name].cpu() for name in ("nodes", "edges", "mask"))
    if not len(mask):
        return []
    if int(nodes.max()) >= len(atoms) or int(edges.max()) > len(_BOND_ORDERS):
        raise ValueError(
            f"nodes reaches {int(nodes.max())} and edges {int(edges.max())}; expected node types "
            f"below {len(atoms)} (the length of atoms) and bond orders up to {len(_BOND_ORDERS)}."
        )
    molecules = []
    for types, kinds, real in zip(nodes, edges, mask, strict=True):
        orders = kinds[real][:, real].triu(1)
        bonds = [(i, j, int(orders[i, j])) for i, j in orders.nonzero().tolist()]
        molecules.append(_build([atoms[kind] for kind in types[real].tolist()], bonds))
    return molecules


def is_valid(molecule: Mol) -> bool:
    """Whether a molecule passes rdkit's property check (valences), without any correction.

    Raises:
        ImportError: If rdkit is not installed.
    """
    return _offending_atom(molecule) is None


def repair(molecule: Mol) -> Mol:
    """A copy made valid: while an atom offends, its bond of highest order is lowered by one.

    Atoms are treated in their order, so that the repair, unlike the check, depends on it.

    Raises:
        ImportError: If rdkit is not installed.
    """
    chem = _chem()
    types = [getattr(chem.BondType, name) for name in _BOND_ORDERS]
    repaired: RWMol = chem.RWMol(molecule)
    while (offending := _offending_atom(repaired)) is not None:
        bond = max(repaired.GetAtomWithIdx(offending).GetBonds(), key=_order)
        order, ends = _order(bond), (bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())
        repaired.RemoveBond(*ends)
        if order > 1:
            repaired.AddBond(*ends, types[order - 2])
    result: Mol = repaired.GetMol()
    return result


def largest_fragment(molecule: Mol) -> Mol:
    """The connected part with the most heavy atoms; of equal ones that with the first atom.

    Raises:
        ImportError: If rdkit is not installed.
    """
    fragments = _chem().GetMolFrags(molecule, asMols=True, sanitizeFrags=False)
    largest: Mol = max(fragments, key=lambda fragment: fragment.GetNumAtoms())
    return largest


def repaired_smiles(molecule: Mol) -> str | None:
    """Canonical SMILES of the largest fragment of the repaired molecule; None if rdkit refuses it.

    Raises:
        ImportError: If rdkit is not installed.
    """
    return _smiles(largest_fragment(repair(molecule)))


def canonical_smiles(smiles: Iterable[str]) -> frozenset[str]:
    """Canonical SMILES of molecules after a passage through the graph form.

    What the graph form does not store (charges, stereo marks) is lost here too, so the strings can
    be compared with those of generated molecules. Compute it once for a training set.

    Raises:
        ValueError: If a string cannot be parsed.
        ImportError: If rdkit is not installed.
    """
    written = (_smiles(_build(*_parse(text))) for text in smiles)
    return frozenset(text for text in written if text is not None)


def molecule_metrics(molecules: Sequence[Mol], training: Collection[str]) -> dict[str, float]:
    """Validity, uniqueness and novelty of generated molecules.

    Args:
        molecules: molecules as sampled, from `batch_to_molecules`.
        training: canonical SMILES of the training molecules, from `canonical_smiles`.

    Returns:
        `valid`: share that passes the property check without correction.
        `unique`: distinct SMILES among the repaired largest fragments.
        `novel`: share of the distinct SMILES that are not in training.
        `connected`: share of single fragments.
        `vun`: share valid as sampled, in one piece, first of its SMILES, not in training.

    Raises:
        ValueError: If there is no molecule.
        ImportError: If rdkit is not installed.
    """
    if not molecules:
        raise ValueError("molecules is empty; expected at least one molecule: sample some first.")
    chem, training = _chem(), frozenset(training)
    valid = [is_valid(molecule) for molecule in molecules]
    whole = [len(chem.GetMolFrags(molecule)) == 1 for molecule in molecules]
    texts = [repaired_smiles(molecule) for molecule in molecules]
    written = [text for text in texts if text is not None]
    distinct = set(written)
    # Repair leaves valid molecules alone, so their SMILES are those of the samples.
    passed = {text for text, *good in zip(texts, valid, whole, strict=True) if text and all(good)}
    return {
        "valid": sum(valid) / len(molecules),
        "unique": len(distinct) / max(len(written), 1),
        "novel": len(distinct - training) / max(len(distinct), 1),
        "connected": sum(whole) / len(molecules),
        "vun": len(passed - training) / len(molecules),
    }


def frechet_chemnet(generated: Sequence[str], reference: Sequence[str]) -> float:
    """Frechet distance of ChemNet activations between two sets of SMILES (Preuer et al. 2018).

    Depends on the number of molecules: compare equal counts, 10,000 in the tables.

    Args:
        generated: canonical SMILES of generated molecules, at least two.
        reference: canonical SMILES of test molecules, at least two.

    Raises:
        ValueError: If a set has fewer than two molecules.
        ImportError: If the optional package fcd is not installed.
    """
    if min(len(generated), len(reference)) < 2:
        raise ValueError(
            f"generated has {len(generated)} and reference {len(reference)} molecules; expected "
            "at least two each: pass more."
        )
    try:
        fcd = import_module("fcd")
    except ImportError as error:
        raise ImportError(
            "frechet_chemnet needs the LGPL package fcd, which latentgen does not install; "
            "run `pip install fcd`."
        ) from error
    return float(fcd.get_fcd(list(generated), list(reference)))


def _chem() -> ModuleType:
    try:
        return import_module("rdkit.Chem")
    except ImportError as error:
        raise ImportError(
            "Molecules need rdkit, which is not installed; run `pip install latentgen[molecules]`."
        ) from error


def _parse(smiles: str) -> tuple[list[str], Bonds]:
    chem = _chem()
    with import_module("rdkit.rdBase").BlockLogs():
        molecule = chem.MolFromSmiles(smiles)
    if molecule is None or not molecule.GetNumAtoms():
        raise ValueError(f"smiles is {smiles!r}; expected a SMILES string that rdkit can read.")
    chem.Kekulize(molecule, clearAromaticFlags=True)
    symbols = [atom.GetSymbol() for atom in molecule.GetAtoms()]
    bonds = [
        (bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), _order(bond))
        for bond in molecule.GetBonds()
    ]
    return symbols, bonds


def _build(symbols: Sequence[str], bonds: Bonds) -> Mol:
    chem = _chem()
    molecule: RWMol = chem.RWMol()
    for symbol in symbols:
        molecule.AddAtom(chem.Atom(symbol))
    valence = [0] * len(symbols)
    for start, end, order in bonds:
        molecule.AddBond(start, end, getattr(chem.BondType, _BOND_ORDERS[order - 1]))
        valence[start] += order
        valence[end] += order
    for atom, symbol in enumerate(symbols):
        if valence[atom] == _CATION_VALENCE.get(symbol):
            molecule.GetAtomWithIdx(atom).SetFormalCharge(1)
    result: Mol = molecule.GetMol()
    return result


def _order(bond: object) -> int:
    return int(bond.GetBondTypeAsDouble())  # type: ignore[attr-defined]


def _offending_atom(molecule: Mol) -> int | None:
    chem = _chem()
    checks = chem.SanitizeFlags.SANITIZE_PROPERTIES
    with import_module("rdkit.rdBase").BlockLogs():
        problems = chem.DetectChemistryProblems(molecule, sanitizeOps=checks)
    return int(problems[0].GetAtomIdx()) if problems else None


def _smiles(molecule: Mol) -> str | None:
    chem = _chem()
    copy = chem.Mol(molecule)
    with import_module("rdkit.rdBase").BlockLogs():
        failure = chem.SanitizeMol(copy, catchErrors=True)
    return None if failure else str(chem.MolToSmiles(copy))
