"""Molecules as SMILES in a CSV table."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch_geometric.data import Data
from tqdm import tqdm

from modalities.graphs.readers.raw import check_size, shown
from modalities.graphs.readers.text import numbered_lines

# The first branch takes the element of a bracket atom; the others are the atoms that SMILES
# writes without brackets, in upper case or, when aromatic, in lower case.
ATOM = re.compile(r"\[\d*([A-Z][a-z]?|[a-z]{1,2})[^\]]*\]|(Cl|Br|[BCNOPSFI])|([bcnops])")
LENGTH_LIMIT = 10_000
# QM9 has C, N, O, F and ZINC250k the first nine, in the order that their users expect.
USUAL_ORDER = ("C", "N", "O", "S", "F", "Cl", "Br", "I", "P", "B", "Si", "Se")
BONDS = ("single", "double", "triple")


@dataclass(frozen=True, slots=True)
class SmilesRow:
    """One row of the table: its line, the molecule, and its part, if the table has any."""

    where: str
    smiles: str
    split: str | None


def read_smiles_rows(path: Path) -> list[SmilesRow]:
    """The rows of a CSV file with the columns `smiles` and, where it exists, `split`.

    Args:
        path: The file.

    Raises:
        ValueError: If the file has no such column, or a row is malformed.
    """
    with path.open("rb") as stream:
        lines = list(numbered_lines(stream, path.name))
    header = [cell.lower() for cell in _cells(path.name, *lines[0])] if lines else []
    if "smiles" not in header:
        raise ValueError(
            f"source {path.name}: the first line must name a column smiles, got "
            f"{shown(header)}; add the header smiles or smiles,split."
        )
    column, part = header.index("smiles"), header.index("split") if "split" in header else None
    rows = []
    for number, line in lines[1:]:
        cells = _cells(path.name, number, line)
        where = f"source {path.name}, line {number}"
        if len(cells) != len(header) or not 0 < len(cells[column]) <= LENGTH_LIMIT:
            raise ValueError(
                f"{where}: expected {len(header)} cells and a SMILES of 1 to {LENGTH_LIMIT:,} "
                f"characters, got {shown(line)}; correct or remove the line."
            )
        rows.append(SmilesRow(where, cells[column], None if part is None else cells[part]))
    return rows


def find_atoms(rows: Sequence[SmilesRow]) -> tuple[str, ...]:
    """The elements that occur in SMILES, hydrogen left out, in the usual order.

    Args:
        rows: The molecules.
    """
    found: set[str] = set()
    for row in rows:
        for bracket, plain, aromatic in ATOM.findall(row.smiles):
            found.add((bracket or plain or aromatic).capitalize())
    known = [atom for atom in USUAL_ORDER if atom in found]
    return (*known, *sorted(found - {"H"} - set(known)))


def read_molecules(
    rows: Sequence[SmilesRow],
    atoms: Sequence[str],
    max_nodes: int | None,
    *,
    skip_invalid: bool,
    progress: bool,
) -> Iterator[tuple[SmilesRow, Data | None]]:
    """The rows with their graphs, None for a molecule that cannot be read and is passed over.

    Args:
        rows: The molecules.
        atoms: Elements, in the order of their types.
        max_nodes: Greatest allowed number of heavy atoms of a molecule.
        skip_invalid: Whether to pass over what cannot be read instead of stopping.
        progress: Whether to show a progress bar when the output is a terminal.

    Raises:
        ValueError: If a molecule cannot be read or is too large; the message names the line.
    """
    from modalities.graphs.molecules import smiles_to_data

    for row in tqdm(rows, desc="molecules", unit="", disable=None if progress else True):
        try:
            data = smiles_to_data(row.smiles, atoms)
        except ValueError as error:
            if not skip_invalid:
                raise ValueError(
                    f"{row.where}: {error} To leave such molecules out, pass skip_invalid=True."
                ) from None
            yield row, None
            continue
        check_size(row.where, int(data.num_nodes or 0), max_nodes)
        yield row, data


def _cells(name: str, number: int, line: str) -> list[str]:
    """The cells of one line."""
    try:
        return [cell.strip() for cell in next(csv.reader([line], strict=True))]
    except csv.Error as error:
        raise ValueError(
            f"source {name}, line {number}: expected cells separated by commas, got the error "
            f"'{error}'; correct the line."
        ) from None
