"""Graphs as JSON lines and molecules as SMILES, so that the readers give them back."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from torch_geometric.data import Data

from latentgen.storage import replace_file

Label = int | str


def write_json_lines(
    graphs: Sequence[Data], path: Path, node_labels: Sequence[Label] = (), edge_labels: Sequence[Label] = ()
) -> Path:
    """Write one object a line, with `n`, `edges` and, where there are several, the labels of nodes and edges.

    Args:
        graphs: Simple undirected graphs with `x` int64 [n], `edge_index` [2, 2M] and `edge_attr` [2M].
        path: The file, replaced as a whole.
        node_labels: Label of each node type; none leaves nodes without.
        edge_labels: Label of edge types 1, 2, ...; none leaves edges without.
    """
    lines = []
    for graph in graphs:
        start, end = graph.edge_index
        once = start < end
        record: dict[str, object] = {"n": int(graph.num_nodes), "edges": graph.edge_index[:, once].T.tolist()}
        if node_labels:
            record["node_labels"] = [node_labels[kind] for kind in graph.x.tolist()]
        if edge_labels:
            record["edge_labels"] = [edge_labels[kind - 1] for kind in graph.edge_attr[once].tolist()]
        lines.append(json.dumps(record))
    replace_file(path, "".join(f"{line}\n" for line in lines).encode())
    return path


def write_smiles(smiles: Sequence[str], path: Path) -> Path:
    """Write a CSV file with the column `smiles`.

    Args:
        smiles: The molecules.
        path: The file, replaced as a whole.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([["smiles"], *([one] for one in smiles)])
    replace_file(path, text.getvalue().encode())
    return path
