"""Graphs held in memory: networkx or PyG objects, in lists or in lists by part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import networkx as nx
import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from modalities.graphs.readers.collection import canonical_split
from modalities.graphs.readers.networkx_graphs import raw_from_networkx
from modalities.graphs.readers.raw import RawGraph, check_size, label_array, note_passed_over
from modalities.graphs.simple import IntArray

KNOWN = {"x", "edge_index", "edge_attr", "num_nodes", "y"}


def read_memory(source: object, max_nodes: int | None, notes: list[str]) -> Iterator[RawGraph]:
    """The graphs of a list, or of a mapping from parts to lists.

    Args:
        source: The list or mapping.
        max_nodes: Greatest allowed number of nodes of a graph.
        notes: Receives a sentence about attributes that are passed over.

    Raises:
        TypeError: If the source, or one of its items, is of another kind.
        ValueError: If a graph is malformed.
    """
    parts = source if isinstance(source, Mapping) else {None: source}
    passed_over: set[str] = set()
    for part, graphs in parts.items():
        split = None if part is None else canonical_split("source", part)
        name = "source" if part is None else f"source[{part!r}]"
        if isinstance(graphs, (nx.Graph, Data, Tensor)) or not isinstance(graphs, Iterable):
            raise TypeError(
                f"{name} must be a path or a list of networkx or PyG graphs, got "
                f"{type(graphs).__name__}; put single graphs in a list."
            )
        for index, graph in enumerate(graphs):
            raw = _raw(f"{name}[{index}]", graph, max_nodes, passed_over)
            yield replace(raw, split=split)
    note_passed_over(passed_over, notes)


def _raw(where: str, graph: object, max_nodes: int | None, passed_over: set[str]) -> RawGraph:
    """One graph of either kind."""
    if isinstance(graph, nx.Graph):
        return raw_from_networkx(where, graph, max_nodes, passed_over)
    if isinstance(graph, Data):
        return raw_from_data(where, graph, max_nodes, passed_over)
    raise TypeError(
        f"{where} must be a networkx graph or PyG Data, got {type(graph).__name__}; convert it."
    )


def raw_from_data(
    where: str, data: Data, max_nodes: int | None, passed_over: set[str]
) -> RawGraph:
    """A PyG graph whose `x` and `edge_attr` hold types: integers or one-hot rows.

    Args:
        where: Place of the graph, for messages.
        data: The graph.
        max_nodes: Greatest allowed number of nodes.
        passed_over: Receives the names of the attributes that are not read.

    Raises:
        ValueError: If the graph is empty, too large, or its features are not types.
    """
    n = check_size(where, int(data.num_nodes or 0), max_nodes)
    edge_index = data.edge_index
    if edge_index is None:
        edge_index = torch.empty(2, 0, dtype=torch.int64)
    if edge_index.is_floating_point() or edge_index.dim() != 2 or len(edge_index) != 2:
        raise ValueError(
            f"{where}: edge_index must be integers of shape [2, M], got "
            f"{edge_index.dtype} of shape {list(edge_index.shape)}; transpose or convert it."
        )
    passed_over.update(key for key in data.to_dict() if key not in KNOWN)
    y = data.y if isinstance(data.y, Tensor) and data.y.numel() == 1 else None
    return RawGraph(
        where=where,
        n=n,
        pairs=edge_index.t().numpy(force=True).astype(np.int64).reshape(-1, 2),
        both_directions=True,
        node_labels=_types(where, "x", data.x, n),
        edge_labels=_types(where, "edge_attr", data.edge_attr, edge_index.shape[1]),
        graph_label=int(y) if y is not None and not y.is_floating_point() else None,
    )


def _types(where: str, name: str, features: Tensor | None, count: int) -> IntArray | None:
    """Types [count] from integers [count], [count, 1] or one-hot rows [count, K]."""
    if features is None:
        return None
    if features.dim() == 2 and features.shape[1] > 1 and _is_one_hot(features):
        features = features.argmax(dim=1)
    if features.dim() == 2 and features.shape[1] == 1:
        features = features[:, 0]
    if features.shape != (count,):
        raise ValueError(
            f"{where}: {name} must hold {count} integer types or one-hot rows, got shape "
            f"{list(features.shape)}; convert the features to types or leave {name} out."
        )
    return label_array(where, name, features.tolist()).astype(np.int64)


def _is_one_hot(features: Tensor) -> bool:
    """Whether every row holds a single 1 and zeros else."""
    ones = (features == 1).sum(dim=1)
    return bool((ones == 1).all() and ((features != 0).sum(dim=1) == 1).all())
