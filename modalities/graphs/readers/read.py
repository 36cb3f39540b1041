"""Reading graphs from whatever the user has."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import networkx as nx
import torch
from torch_geometric.data import Data

from latentgen.archive import regular, shortened
from modalities.graphs.readers.collection import GraphCollection, divide
from modalities.graphs.readers.json_lines import read_json_lines
from modalities.graphs.readers.memory import read_memory
from modalities.graphs.readers.networkx_graphs import (
    EDGE_LISTS,
    GRAPHML,
    read_edge_list,
    read_graphml,
)
from modalities.graphs.readers.raw import RawGraph, Repairs, note_passed_over, plural, tidy
from modalities.graphs.readers.smiles_csv import (
    BONDS,
    find_atoms,
    read_molecules,
    read_smiles_rows,
)
from modalities.graphs.readers.tu_dataset import is_tu_folder, read_tu_dataset
from modalities.graphs.readers.vocabulary import number_types

Graphs = Iterable[nx.Graph | Data]
Source = str | os.PathLike[str] | Graphs | Mapping[str, Graphs]

JSON_LINES = (".jsonl", ".ndjson")
PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".npy", ".npz", ".joblib", ".gpickle")
READABLE = (
    "a .jsonl file, a TUDataset folder or .zip, a .graphml, .edgelist or .txt file or a folder "
    "of those, a .csv with a column smiles, or a list of networkx or PyG graphs"
)


def read_graphs(
    source: Source, split: str | None = None, max_nodes: int | None = None
) -> list[Data]:
    """The graphs of a source, as a plain list.

    `read_collection` returns them with their types and notes, and takes more options.

    Args:
        source: See `read_collection`.
        split: "train", "valid" (or "val") or "test"; None reads all parts, in that order.
        max_nodes: Greatest allowed number of nodes of a graph.

    Raises:
        TypeError: If the source is of a kind that cannot be read.
        ValueError: If the source is malformed or has no such part.
    """
    return read_collection(source, max_nodes=max_nodes).select(split)


def read_collection(
    source: Source,
    *,
    max_nodes: int | None = None,
    valid: float = 0.0,
    atoms: Sequence[str] | None = None,
    skip_invalid: bool = False,
    progress: bool = True,
) -> GraphCollection:
    """The graphs of a source with their parts, types and notes.

    A source is a `.jsonl` file (one object `{"n", "edges"}` a line), a TUDataset folder or `.zip`,
    a `.graphml`, `.edgelist` or `.txt` file or a folder of those, a `.csv` with a column
    `smiles`, a list of networkx or PyG graphs, or a mapping from parts to such lists. Self-loops
    are dropped, directed edges become undirected and repeated ones are merged, each with a note
    and a warning. Labels are numbered contiguously. Nothing is ever unpickled.

    Parts are those that the source names; without any, the first 20 % are the test set.

    Args:
        source: What to read.
        max_nodes: Greatest allowed number of nodes of a graph.
        valid: Share of the training graphs that becomes the validation set where the source has
            none, in [0, 1).
        atoms: For molecules, the elements in the order of their types; found when left out.
        skip_invalid: For molecules, whether to leave out what cannot be read.
        progress: Whether to show a progress bar for molecules when the output is a terminal.

    Raises:
        TypeError: If the source is of a kind that cannot be read.
        ValueError: If the source or an argument is malformed; the message says where and why.
    """
    if not 0 <= valid < 1:
        raise ValueError(f"valid must be a share in [0, 1), got {valid}; give for example 0.1.")
    if max_nodes is not None and max_nodes < 1:
        raise ValueError(f"max_nodes must be at least 1, got {max_nodes}; raise it or give None.")
    notes: list[str] = []
    if not isinstance(source, (str, os.PathLike)):
        return _collect(read_memory(source, max_nodes, notes), notes, valid)
    path = _existing(source)
    try:
        if path.suffix.lower() == ".csv":
            return _molecules(path, max_nodes, valid, atoms, skip_invalid, progress)
        return _collect(_from_path(path, max_nodes, notes), notes, valid)
    except OSError as error:
        raise ValueError(
            f"source {path.name} must be readable, got the error '{error.strerror}'; check its "
            "permissions."
        ) from None


def _existing(source: str | os.PathLike[str]) -> Path:
    """The path, once it is known to exist and not to be pickled."""
    path, name = Path(source), shortened(source)
    if path.suffix.lower() in PICKLES:
        raise ValueError(
            f"source {path.name}: {path.suffix} files are not read, since unpickling runs the "
            "code in them; load the graphs in a script that trusts the file and pass the list of "
            "networkx or PyG graphs, or write them as JSON lines "
            '{"n": 3, "edges": [[0, 1], [1, 2]]}.'
        )
    try:
        found = path.exists()
    except OSError as error:
        raise ValueError(
            f"source must be an existing file or folder, got {name} ({error.strerror}); check the "
            "path."
        ) from None
    if not found:
        raise ValueError(
            f"source must be an existing file or folder, got {name}, which does not exist; check "
            "the path."
        )
    return regular(path)


def _from_path(path: Path, max_nodes: int | None, notes: list[str]) -> Iterator[RawGraph]:
    """The graphs of a file or folder."""
    suffix = path.suffix.lower()
    if is_tu_folder(path) or (suffix == ".zip" and path.is_file()):
        yield from read_tu_dataset(path, max_nodes, notes)
        return
    if suffix in JSON_LINES and path.is_file():
        yield from read_json_lines(path, max_nodes)
        return
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    files = [file for file in files if file.suffix.lower() in (GRAPHML, *EDGE_LISTS)]
    if not files:
        raise ValueError(f"source must be {READABLE}; got {path.name}, convert it to one of them.")
    passed_over: set[str] = set()
    for file in map(regular, files):
        if file.suffix.lower() == GRAPHML:
            yield from read_graphml(file, max_nodes, passed_over)
        else:
            yield read_edge_list(file, max_nodes, passed_over)
    note_passed_over(passed_over, notes)


def _collect(raws: Iterable[RawGraph], notes: list[str], valid: float) -> GraphCollection:
    """The collection of tidy graphs."""
    repairs = Repairs()
    tidied = [tidy(raw, repairs) for raw in raws]
    if not tidied:
        raise ValueError(f"source must hold at least one graph, got none; give {READABLE}.")
    graphs, nodes, edges = number_types(tidied)
    for graph, raw in zip(graphs, tidied, strict=True):
        if raw.graph_label is not None:
            graph.y = torch.tensor([raw.graph_label])
    if nodes is not None and nodes.tolist() != list(range(len(nodes))):
        notes.append(f"{plural(len(nodes), 'node label')} became types 0..{len(nodes) - 1}.")
    if edges is not None and edges.tolist() != list(range(1, len(edges) + 1)):
        notes.append(f"{plural(len(edges), 'edge label')} became types 1..{len(edges)}.")
    wheres, splits = [raw.where for raw in tidied], [raw.split for raw in tidied]
    parts, made = divide(graphs, wheres, splits, valid)
    for note in repairs.notes():
        warnings.warn(note, UserWarning, stacklevel=3)
    return GraphCollection(
        graphs=parts,
        node_types=1 if nodes is None else len(nodes),
        edge_types=2 if edges is None else len(edges) + 1,
        notes=[*notes, *repairs.notes(), *made],
        node_labels=() if nodes is None else tuple(nodes.tolist()),
        edge_labels=() if edges is None else tuple(edges.tolist()),
    )


def _molecules(
    path: Path,
    max_nodes: int | None,
    valid: float,
    atoms: Sequence[str] | None,
    skip_invalid: bool,
    progress: bool,
) -> GraphCollection:
    """The collection of the molecules of a CSV file."""
    rows = read_smiles_rows(path)
    elements = find_atoms(rows) if atoms is None else tuple(atoms)
    options = {"skip_invalid": skip_invalid, "progress": progress}
    read = list(read_molecules(rows, elements, max_nodes, **options))
    kept = [(row, data) for row, data in read if data is not None]
    if not kept:
        raise ValueError(f"source {path.name} must hold a molecule, got none; add some rows.")
    graphs = [data for _, data in kept]
    wheres, splits = [row.where for row, _ in kept], [row.split for row, _ in kept]
    parts, notes = divide(graphs, wheres, splits, valid)
    if len(kept) < len(read):
        first = next(row for row, data in read if data is None)
        left_out = plural(len(read) - len(kept), "molecule")
        notes.insert(0, f"left out {left_out} that cannot be read, the first at {first.where}.")
        warnings.warn(notes[0], UserWarning, stacklevel=3)
    return GraphCollection(parts, len(elements), len(BONDS) + 1, notes, elements, BONDS)
