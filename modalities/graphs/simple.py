"""The in-memory form of one simple undirected graph."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch_geometric.data import Data

IntArray = npt.NDArray[np.int64]


def simple_graph(
    n: int,
    pairs: IntArray,
    node_types: IntArray | None = None,
    edge_kinds: IntArray | None = None,
) -> Data:
    r"""A simple undirected graph, with every edge stored in both directions.

    The edges are sorted by (start, end), so two equal graphs are equal tensor by tensor.
    Nothing is checked here: loops and repeated pairs must have been removed before.

    Args:
        n: Number of nodes.
        pairs: Ends of the M undirected edges, each listed once, [M, 2].
        node_types: Type of each node, 0..node_types-1, [n]; all 0 when left out.
        edge_kinds: Kind of each edge, 1..edge_types-1, [M]; all 1 when left out.

    Returns:
        `Data` with `x` int64 [n], `edge_index` int64 [2, 2M], `edge_attr` int64 [2M] and
        `num_nodes`.
    """
    kinds = np.ones(len(pairs), dtype=np.int64) if edge_kinds is None else edge_kinds
    starts = np.concatenate([pairs[:, 0], pairs[:, 1]])
    ends = np.concatenate([pairs[:, 1], pairs[:, 0]])
    order = np.argsort(starts * n + ends)
    types = np.zeros(n, dtype=np.int64) if node_types is None else node_types
    return Data(
        x=torch.from_numpy(types.astype(np.int64)),
        edge_index=torch.from_numpy(np.stack([starts[order], ends[order]]).astype(np.int64)),
        edge_attr=torch.from_numpy(np.concatenate([kinds, kinds])[order].astype(np.int64)),
        num_nodes=n,
    )
