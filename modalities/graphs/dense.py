"""Dense batches of graphs and the way back."""

from __future__ import annotations

from collections.abc import Sequence

import networkx as nx
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torch_geometric.data import Batch as Union
from torch_geometric.data import Data
from torch_geometric.utils import to_dense_adj, to_dense_batch

from latentgen.tensors import Batch

# Dense graphs grow with the square of their nodes; beyond this the process would be killed
# without a message.
BYTES_LIMIT = 2**34
CHUNK_ENTRIES = 2**21


def to_batch(graphs: Sequence[Data], max_nodes: int) -> Batch:
    r"""Graphs as one dense batch, padded to `max_nodes`.

    Args:
        graphs: Simple undirected graphs: both directions of each edge, `x` int64 [n] node types
            (all 0 when left out) and `edge_attr` int64 [2M] edge kinds >= 1 (all 1 when left
            out).
        max_nodes: Number of nodes N to pad to, at least that of the largest graph.

    Returns:
        `nodes` int64 [B, N] node types, 0 where padded; `edges` int64 [B, N, N], symmetric with
        zero diagonal, 0 = no edge; `mask` bool [B, N], true for the nodes that exist, which come
        first.

    Raises:
        ValueError: If there is no graph, one is too large, or one is not simple and undirected.
    """
    if not graphs:
        raise ValueError("graphs must hold at least one graph, got none; add some.")
    sizes = [int(graph.num_nodes or 0) for graph in graphs]
    if max(sizes) > max_nodes:
        raise ValueError(
            f"max_nodes must be at least the size of the largest graph, {max(sizes)}, got "
            f"{max_nodes}; raise it or leave larger graphs out."
        )
    _refuse_bytes(8 * len(graphs) * max_nodes**2)
    plain = [_plain(graph, n) for graph, n in zip(graphs, sizes, strict=True)]
    union = Union.from_data_list(plain)
    count = len(graphs)
    nodes, mask = to_dense_batch(union.x, union.batch, 0, max_nodes, count)
    edges = to_dense_adj(union.edge_index, union.batch, union.edge_attr, max_nodes, count)
    simple = torch.equal(edges, edges.transpose(1, 2)) and not edges.diagonal(dim1=1, dim2=2).any()
    if not simple or int(edges.count_nonzero()) != union.num_edges:
        raise ValueError(
            "graphs must be simple and undirected, each edge once in both directions with one "
            "kind >= 1, got one that is not; read them with modalities.graphs.readers."
        )
    return {"nodes": nodes, "edges": edges, "mask": mask}


def from_batch(batch: Batch) -> list[Data]:
    r"""The graphs of a dense batch, without padding.

    Args:
        batch: `nodes` [B, N], `edges` [B, N, N] and `mask` [B, N]; entries of nodes that the mask
            leaves out are passed over.

    Returns:
        B graphs with `x` int64 [n], `edge_index` int64 [2, 2M] and `edge_attr` int64 [2M].

    Raises:
        ValueError: If a tensor is missing or has another shape.
    """
    nodes, edges, mask = _checked(batch)
    sizes = mask.sum(dim=1)
    place = mask.cumsum(dim=1) - 1
    kept = edges * (mask[:, :, None] & mask[:, None, :])
    owner, start, end = kept.nonzero(as_tuple=True)
    edge_index = torch.stack([place[owner, start], place[owner, end]])
    counts = torch.bincount(owner, minlength=len(sizes)).tolist()
    types = torch.split(nodes[mask].long(), sizes.tolist())
    ends = torch.split(edge_index, counts, dim=1)
    kinds = torch.split(kept[owner, start, end].long(), counts)
    return [
        Data(x=x.clone(), edge_index=pair.clone(), edge_attr=kind.clone(), num_nodes=len(x))
        for x, pair, kind in zip(types, ends, kinds, strict=True)
    ]


def to_networkx(batch: Batch) -> list[nx.Graph]:
    """The graphs of a dense batch for networkx.

    Args:
        batch: `nodes` [B, N], `edges` [B, N, N] and `mask` [B, N].

    Returns:
        B graphs on the nodes 0..n-1; the attribute `type` of nodes and edges holds their type.

    Raises:
        ValueError: If a tensor is missing or has another shape.
    """
    result = []
    for data in from_batch(batch):
        graph = nx.Graph()
        graph.add_nodes_from((node, {"type": kind}) for node, kind in enumerate(data.x.tolist()))
        pairs = zip(data.edge_index.t().tolist(), data.edge_attr.tolist(), strict=True)
        graph.add_edges_from((i, j, {"type": kind}) for (i, j), kind in pairs if i < j)
        result.append(graph)
    return result


class DenseGraphs(Dataset[Batch]):
    """Graphs as a data set of dense items, held in one byte per entry.

    A `DataLoader` fetches a whole batch with `__getitems__`; give it the identity as
    `collate_fn`.

    Args:
        graphs: Simple undirected graphs, as in `to_batch`.
        max_nodes: Number of nodes N of a single item; the largest graph's when left out.
        condition: A row for each graph, float32 [n, K]; items then have `condition` too.

    Raises:
        ValueError: If there is no graph, one is too large, or one is not simple and undirected.
    """

    def __init__(
        self, graphs: Sequence[Data], max_nodes: int | None = None, condition: Tensor | None = None
    ) -> None:
        largest = max((int(graph.num_nodes or 0) for graph in graphs), default=0)
        self.max_nodes = largest if max_nodes is None else max_nodes
        _refuse_bytes(len(graphs) * self.max_nodes**2)
        chunk = max(1, CHUNK_ENTRIES // max(self.max_nodes, 1) ** 2)
        starts = range(0, max(len(graphs), 1), chunk)
        parts = [_compact(to_batch(graphs[k : k + chunk], self.max_nodes)) for k in starts]
        self.nodes = torch.cat([part["nodes"] for part in parts])
        self.edges = torch.cat([part["edges"] for part in parts])
        self.sizes = torch.cat([part["mask"].sum(dim=1) for part in parts])
        self.condition = condition

    def __len__(self) -> int:
        """Number of graphs."""
        return len(self.sizes)

    def __getitem__(self, index: int) -> Batch:
        """One graph: `nodes` int64 [N], `edges` int64 [N, N] and `mask` bool [N].

        Args:
            index: Its position; negative ones count from the end.

        Raises:
            IndexError: If there is no such graph.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"index must lie in 0..{len(self) - 1}, got {index}; correct it.")
        return {name: value[0] for name, value in self._gather([index], self.max_nodes).items()}

    def __getitems__(self, indices: list[int]) -> Batch:
        """A batch: `nodes` int64 [B, N], `edges` int64 [B, N, N] and `mask` bool [B, N].

        Args:
            indices: Positions of the B graphs; N is the size of the largest of them.
        """
        return self._gather(indices, int(self.sizes[indices].max()))

    def _gather(self, indices: list[int], size: int) -> Batch:
        """The graphs at these positions, cut to `size` nodes."""
        batch = {
            "nodes": self.nodes[indices, :size].long(),
            "edges": self.edges[indices, :size, :size].long(),
            "mask": torch.arange(size) < self.sizes[indices, None],
        }
        return batch if self.condition is None else {**batch, "condition": self.condition[indices]}


def _plain(graph: Data, n: int) -> Data:
    """The graph with types for all nodes and edges and nothing else."""
    edge_index = graph.edge_index
    if edge_index is None:
        edge_index = torch.zeros(2, 0, dtype=torch.int64)
    x = torch.zeros(n, dtype=torch.int64) if graph.x is None else graph.x
    kinds = graph.edge_attr
    if kinds is None:
        kinds = torch.ones(edge_index.shape[1], dtype=torch.int64)
    for name, value, count in (("x", x, n), ("edge_attr", kinds, edge_index.shape[1])):
        if value.is_floating_point() or value.shape != (count,):
            raise ValueError(
                f"graphs: {name} must hold {count} integer types, got {value.dtype} of shape "
                f"{list(value.shape)}; read the graphs with modalities.graphs.readers."
            )
    return Data(x=x.long(), edge_index=edge_index, edge_attr=kinds.long(), num_nodes=n)


def _checked(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """The three tensors, once their shapes agree."""
    missing = {"nodes", "edges", "mask"} - batch.keys()
    if missing:
        raise ValueError(
            f"batch must hold nodes, edges and mask, got {sorted(batch)}; add {sorted(missing)}."
        )
    nodes, edges, mask = batch["nodes"], batch["edges"], batch["mask"]
    square = nodes.dim() == 2 and edges.shape == (*nodes.shape, nodes.shape[1])
    if not square or mask.shape != nodes.shape or mask.dtype != torch.bool:
        raise ValueError(
            "batch must hold nodes [B, N], edges [B, N, N] and a bool mask [B, N], got shapes "
            f"{list(nodes.shape)}, {list(edges.shape)} and {mask.dtype} {list(mask.shape)}; "
            "correct them."
        )
    return nodes, edges, mask


def _compact(batch: Batch) -> Batch:
    """The batch with types in one byte each."""
    for name, tensor in (("x", batch["nodes"]), ("edge_attr", batch["edges"])):
        low, high = (int(bound) for bound in tensor.aminmax()) if tensor.numel() else (0, 0)
        if low < 0 or high > torch.iinfo(torch.uint8).max:
            raise ValueError(
                f"graphs: {name} must lie in 0..255, got {low}..{high}; number the types "
                "contiguously."
            )
    return {name: tensor.to(torch.uint8) for name, tensor in batch.items()}


def _refuse_bytes(count: int) -> None:
    """Refuse a dense form that would not fit the memory of most machines."""
    if count > BYTES_LIMIT:
        raise ValueError(
            f"graphs must fit {BYTES_LIMIT / 2**30:.0f} GiB in dense form, got "
            f"{count / 2**30:.1f} GiB; lower max_nodes, leave large graphs out or give fewer."
        )
