"""Graphs in the text format of the TUDataset collection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from modalities.graphs.readers.archive import Opener, open_files
from modalities.graphs.readers.raw import RawGraph, check_size
from modalities.graphs.readers.text import integer_table
from modalities.graphs.simple import IntArray

EDGES = "_A.txt"


def is_tu_folder(path: Path) -> bool:
    """Whether a folder holds the edge list of a TUDataset."""
    return path.is_dir() and any(path.glob(f"*{EDGES}"))


def read_tu_dataset(path: Path, max_nodes: int | None, notes: list[str]) -> Iterator[RawGraph]:
    """The graphs of a TUDataset folder or zip archive.

    Read are the edges (`NAME_A.txt`), the graph of each node (`NAME_graph_indicator.txt`) and,
    where they exist, node, edge and graph labels (Morris et al. 2020).

    Args:
        path: The folder or archive.
        max_nodes: Greatest allowed number of nodes of a graph.
        notes: Receives a sentence about each file that is passed over.

    Raises:
        ValueError: If a file is missing, malformed, or does not fit the others.
    """
    with open_files(path) as files:
        name = _dataset_name(path, files)
        tables = _Tables(files, name)
        for suffix in ("node_attributes", "edge_attributes", "graph_attributes"):
            if f"{name}_{suffix}.txt" in files:
                notes.append(f"{name}_{suffix}.txt was not read, since only labels are used.")
        owners = tables.read("graph_indicator", 1)[:, 0]
        sizes = _sizes(name, owners, max_nodes)
        edges = tables.read("A", 2) - 1
        node_labels = tables.column("node_labels", rows=len(owners))
        edge_labels = tables.column("edge_labels", rows=len(edges))
        graph_labels = tables.column("graph_labels", rows=len(sizes))
    local, edge_owner = _local_edges(name, owners, edges)
    by_node = _groups(owners - 1, len(sizes))
    by_edge = _groups(edge_owner, len(sizes))
    for graph, (nodes, listed) in enumerate(zip(by_node, by_edge, strict=True)):
        yield RawGraph(
            where=f"source {name}, graph {graph + 1}",
            n=len(nodes),
            pairs=local[listed],
            both_directions=True,
            node_labels=node_labels[nodes] if node_labels is not None else None,
            edge_labels=edge_labels[listed] if edge_labels is not None else None,
            graph_label=int(graph_labels[graph]) if graph_labels is not None else None,
        )


class _Tables:
    """The integer tables of one data set.

    Args:
        files: Openers by base name.
        name: Name of the data set, the prefix of its files.
    """

    def __init__(self, files: Mapping[str, Opener], name: str) -> None:
        self.files, self.name = files, name

    def read(self, suffix: str, columns: int) -> IntArray:
        """One table, [rows, columns]."""
        file = f"{self.name}_{suffix}.txt"
        if file not in self.files:
            raise ValueError(
                f"source {self.name}: a TUDataset must hold {file}, got only "
                f"{', '.join(sorted(self.files)[:8])}; add the missing file."
            )
        with self.files[file]() as stream:
            return integer_table(stream, file, columns)

    def column(self, suffix: str, rows: int) -> IntArray | None:
        """A table of one column, [rows], or None where the file does not exist."""
        file = f"{self.name}_{suffix}.txt"
        if file not in self.files:
            return None
        values = self.read(suffix, 1)[:, 0]
        if len(values) != rows:
            raise ValueError(
                f"source {file}: expected {rows:,} lines to match the other files, got "
                f"{len(values):,}; replace the file."
            )
        return values


def _dataset_name(path: Path, files: Mapping[str, Opener]) -> str:
    """The common prefix of the files."""
    shown = [file for file in files if not file.startswith(".")]
    names = sorted(file.removesuffix(EDGES) for file in shown if file.endswith(EDGES))
    if len(names) != 1:
        raise ValueError(
            f"source {path.name} must hold one TUDataset, a single file NAME{EDGES}, got "
            f"{', '.join(names) or 'none'}; give a folder or archive of one data set."
        )
    return names[0]


def _sizes(name: str, owners: IntArray, max_nodes: int | None) -> IntArray:
    """Number of nodes of each graph, [G]."""
    file = f"{name}_graph_indicator.txt"
    if not len(owners):
        raise ValueError(
            f"source {file} must list a graph for each node, got an empty file; replace the file."
        )
    last = int(owners.max())
    if owners.min() < 1 or last > len(owners):
        raise ValueError(
            f"source {file}: graphs must be numbered 1..{len(owners)} at most, as many as there "
            f"are nodes, got {int(owners.min())}..{last}; renumber them."
        )
    sizes = np.bincount(owners, minlength=last + 1)[1:]
    for graph in (int(sizes.argmin()), int(sizes.argmax())):
        check_size(f"source {name}, graph {graph + 1}", int(sizes[graph]), max_nodes)
    return sizes


def _local_edges(name: str, owners: IntArray, edges: IntArray) -> tuple[IntArray, IntArray]:
    """Edges by their node's place within its graph, [M, 2], and the graph of each edge, [M]."""
    outside = ((edges < 0) | (edges >= len(owners))).any(axis=1)
    if outside.any():
        row = int(outside.argmax())
        raise ValueError(
            f"source {name}{EDGES}, row {row + 1}: edges must name nodes 1..{len(owners)}, got "
            f"{(edges[row] + 1).tolist()}; correct that row."
        )
    ends = owners[edges]
    across = ends[:, 0] != ends[:, 1]
    if across.any():
        row = int(across.argmax())
        raise ValueError(
            f"source {name}{EDGES}, row {row + 1}: an edge must stay within one graph, got "
            f"nodes of graphs {ends[row].tolist()}; correct that row."
        )
    order = np.argsort(owners, kind="stable")
    counts = np.bincount(owners)
    place = np.empty(len(owners), dtype=np.int64)
    place[order] = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
    return place[edges], ends[:, 0] - 1


def _groups(owner: IntArray, count: int) -> list[IntArray]:
    """Positions of the entries of each of `count` owners, in order."""
    order = np.argsort(owner, kind="stable")
    return np.split(order, np.cumsum(np.bincount(owner, minlength=count))[:-1])
