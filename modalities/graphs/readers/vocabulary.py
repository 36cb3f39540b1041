"""Types of nodes and edges, numbered over all graphs of a source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from torch_geometric.data import Data

from modalities.graphs.readers.raw import TOTAL_NODE_LIMIT, Labels, RawGraph
from modalities.graphs.simple import IntArray, simple_graph

TYPE_LIMIT = 256


def number_types(raws: Sequence[RawGraph]) -> tuple[list[Data], Labels | None, Labels | None]:
    """The graphs with contiguous types, and the labels of node and edge types.

    Types are numbered in the order of their labels: nodes from 0, edges from 1.

    Args:
        raws: Tidy graphs.

    Raises:
        ValueError: If some graphs have labels and others not, or there are too many labels.
    """
    total = sum(raw.n for raw in raws)
    if total > TOTAL_NODE_LIMIT:
        raise ValueError(
            f"source: all graphs together must have at most {TOTAL_NODE_LIMIT:,} nodes, got "
            f"{total:,}; split the source into several."
        )
    nodes = _vocabulary("node_labels", raws, [raw.node_labels for raw in raws])
    linked = [raw for raw in raws if len(raw.pairs)]
    edges = _vocabulary("edge_labels", linked, [raw.edge_labels for raw in linked])
    graphs = [
        simple_graph(
            raw.n,
            raw.pairs,
            _index(nodes, raw.node_labels),
            _index(edges, raw.edge_labels, first=1),
        )
        for raw in raws
    ]
    return graphs, nodes, edges


def _vocabulary(
    name: str, raws: Sequence[RawGraph], labels: Sequence[Labels | None]
) -> Labels | None:
    """The different labels of all graphs, sorted, or None where there are none."""
    present = [array for array in labels if array is not None]
    if not present:
        return None
    kinds = [None if array is None else array.dtype.kind for array in labels]
    odd = next((i for i, kind in enumerate(kinds) if kind != kinds[0]), None)
    if odd is not None:
        said = {None: "no labels", "i": "integers", "U": "strings"}
        raise ValueError(
            f"{raws[odd].where}: {name} must be of one kind in all graphs, got "
            f"{said[kinds[odd]]} after {said[kinds[0]]}; label all graphs alike or none."
        )
    found = cast("Labels", np.unique(np.concatenate(present)))
    if len(found) >= TYPE_LIMIT:
        raise ValueError(
            f"source: {name} must have fewer than {TYPE_LIMIT} different values, got "
            f"{len(found):,}; give categories rather than names or measurements."
        )
    return found


def _index(vocabulary: Labels | None, labels: Labels | None, first: int = 0) -> IntArray | None:
    """Types of the labels, counted from `first`."""
    if vocabulary is None or labels is None:
        return None
    return np.searchsorted(vocabulary, labels).astype(np.int64) + first
