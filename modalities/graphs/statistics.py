r"""Per-graph statistics behind the graph-generation benchmarks, on dense batches.

A batch holds `nodes` [B, N], `edges` [B, N, N] and `mask` [B, N]; two nodes are adjacent where
`edges > 0`. All counts are float64, exact up to 2**53, on the device of the batch. Padding and the
order of the nodes change nothing. A disconnected graph is measured as it is, isolated nodes
included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

__all__ = [
    "CLUSTERING_BINS",
    "ORBITS",
    "SPECTRAL_BINS",
    "GraphStatistics",
    "adjacency",
    "clustering_coefficients",
    "clustering_histogram",
    "degree_histogram",
    "laplacian_spectrum",
    "orbit_counts",
    "spectral_histogram",
]

CLUSTERING_BINS = 100
SPECTRAL_BINS = 200
ORBITS = 15
# A hair below zero, so that rounding never pushes the eigenvalue 0 out of its bin.
_SPECTRAL_RANGE = (-1e-5, 2.0)
_OUTSIDE_SPECTRUM = 3.0
_CHUNK_ELEMENTS = 2**22


def adjacency(batch: Mapping[str, Tensor]) -> Tensor:
    """Adjacency matrices of a dense graph batch, A [B, N, N] in {0, 1}, float64.

    Args:
        batch: `edges` [B, N, N] (0 = no edge, else the kind of edge) and `mask` [B, N] bool.

    Raises:
        ValueError: If shapes disagree, there is no graph, a graph has no node, or `edges` is not
            symmetric with a zero diagonal inside the mask.
    """
    edges, mask = batch["edges"], batch["mask"]
    if not len(mask):
        raise ValueError("mask holds no graph; expected at least one: pass a batch with B > 0.")
    if edges.shape != (*mask.shape, mask.shape[-1]):
        raise ValueError(
            f"edges has shape {tuple(edges.shape)} and mask {tuple(mask.shape)}; expected "
            "[B, N, N] and [B, N]: collate the graphs into one dense batch."
        )
    if not bool(mask.any(-1).all()):
        empty = torch.nonzero(~mask.any(-1)).flatten().tolist()
        raise ValueError(
            f"mask has no node in graphs {empty[:5]}; expected one or more: drop them."
        )
    present = (edges > 0) & mask[:, :, None] & mask[:, None, :]
    if bool((present != present.transpose(1, 2)).any()):
        raise ValueError("edges is not symmetric; expected undirected graphs: symmetrise it.")
    if bool(present.diagonal(dim1=1, dim2=2).any()):
        raise ValueError("edges has self-loops; expected a zero diagonal: set it to 0.")
    return present.to(torch.float64)


def degree_histogram(graphs: Tensor, mask: Tensor) -> Tensor:
    """Share of nodes of each degree 0 ... N-1, a pmf [B, N].

    Args:
        graphs: adjacency matrices A [B, N, N].
        mask: real nodes [B, N] bool.
    """
    degrees = graphs.sum(-1).long()
    counts = graphs.new_zeros(mask.shape).scatter_add_(1, degrees, mask.to(graphs.dtype))
    return counts / mask.sum(-1, keepdim=True)


def clustering_coefficients(graphs: Tensor) -> Tensor:
    """Share of a node's neighbour pairs that are adjacent, 2 T / (d (d - 1)), [B, N]; 0 for d < 2.

    Args:
        graphs: adjacency matrices A [B, N, N].
    """
    degree = graphs.sum(-1)
    pairs = degree * (degree - 1)
    closed = ((graphs @ graphs) * graphs).sum(-1)
    return torch.where(pairs > 0, closed / pairs.clamp(min=1), torch.zeros_like(pairs))


def clustering_histogram(graphs: Tensor, mask: Tensor) -> Tensor:
    """Histogram of the clustering coefficients, 100 bins on (0, 1), a pmf [B, 100].

    Args:
        graphs: adjacency matrices A [B, N, N].
        mask: real nodes [B, N] bool.
    """
    return _histogram(clustering_coefficients(graphs), mask, CLUSTERING_BINS, (0.0, 1.0))


def laplacian_spectrum(graphs: Tensor, mask: Tensor) -> Tensor:
    """Eigenvalues of I - D^-1/2 A D^-1/2 in ascending order, [B, N]; 3 in the padded places.

    The row of an isolated node is zero, so it contributes the eigenvalue 0.

    Args:
        graphs: adjacency matrices A [B, N, N].
        mask: real nodes [B, N] bool.
    """
    degree = graphs.sum(-1)
    scale = torch.where(degree > 0, degree.clamp(min=1).rsqrt(), torch.zeros_like(degree))
    diagonal = (degree > 0).to(graphs.dtype).masked_fill(~mask, _OUTSIDE_SPECTRUM)
    normalised = scale[:, :, None] * graphs * scale[:, None, :]
    spectrum: Tensor = torch.linalg.eigvalsh(torch.diag_embed(diagonal) - normalised)
    return spectrum


def spectral_histogram(graphs: Tensor, mask: Tensor) -> Tensor:
    """Histogram of the normalised-Laplacian spectrum, 200 bins on (-1e-5, 2), a pmf [B, 200].

    The eigenvalue 2 of a bipartite graph counts in the last bin even if rounding lifts it above 2.

    Args:
        graphs: adjacency matrices A [B, N, N].
        mask: real nodes [B, N] bool.
    """
    # Ascending order puts the padded eigenvalues last, whatever place the mask pads.
    real = torch.arange(mask.shape[1], device=mask.device) < mask.sum(-1, keepdim=True)
    return _histogram(laplacian_spectrum(graphs, mask), real, SPECTRAL_BINS, _SPECTRAL_RANGE)


def orbit_counts(graphs: Tensor) -> Tensor:
    """Induced four-node orbit counts of every node, o [B, N, 15], float64.

    Orbit 0 is the degree, 1-3 are the places in three-node graphlets, 4-14 in four-node graphlets
    (numbering of Przulj 2007). Subgraphs that need not be induced are counted in closed form, then
    denser graphlets are subtracted, from the clique down.

    Args:
        graphs: adjacency matrices A [B, N, N]; memory grows as B N max(N, d_max^2).
    """
    degree = graphs.sum(-1)
    loose = _subgraph_counts(graphs)
    clique, chord, rim = loose[14], loose[13] - 3 * loose[14], loose[12] - 3 * loose[14]
    tail_hub = loose[11] - 2 * chord - 3 * clique
    tail_base = loose[10] - 2 * chord - 2 * rim - 6 * clique
    tail_end = loose[9] - 2 * rim - 3 * clique
    cycle = loose[8] - rim - chord - 3 * clique
    claw_hub = loose[7] - tail_hub - chord - clique
    claw_end = loose[6] - tail_end - tail_base - 2 * rim - chord - 3 * clique
    dense = tail_base + 2 * rim + 6 * clique
    path_middle = loose[5] - 2 * cycle - 2 * tail_hub - 4 * chord - dense
    path_end = loose[4] - 2 * cycle - 2 * tail_end - 2 * rim - 2 * chord - dense
    triangles, pairs = loose[3], degree * (degree - 1) / 2
    ends = _apply(graphs, degree - 1) - 2 * triangles
    small = [degree, ends, pairs - triangles, triangles]
    large = [path_end, path_middle, claw_end, claw_hub, cycle]
    return torch.stack([*small, *large, tail_end, tail_base, tail_hub, rim, chord, clique], dim=-1)


def _subgraph_counts(graphs: Tensor) -> dict[int, Tensor]:
    """Not necessarily induced four-node subgraphs at each node, [B, N] per orbit; 3: triangles."""
    degree = graphs.sum(-1)
    walks = graphs @ graphs
    common = walks * graphs
    triangles = common.sum(-1) / 2
    onward = _apply(graphs, degree - 1)
    squares = walks * (walks - 1) / 2
    return {
        3: triangles,
        4: _apply(graphs, onward) - degree * (degree - 1) - 2 * triangles,
        5: (degree - 1) * onward - 2 * triangles,
        6: _apply(graphs, (degree - 1) * (degree - 2) / 2),
        7: degree * (degree - 1) * (degree - 2) / 6,
        8: squares.sum(-1) - squares.diagonal(dim1=1, dim2=2),
        9: _apply(graphs, triangles) - 2 * triangles,
        10: _apply(common, degree - 2),
        11: triangles * (degree - 2),
        12: ((graphs @ common) * graphs).sum(-1) / 2 - triangles,
        13: (common * (common - 1) / 2).sum(-1),
        14: _cliques(graphs),
    }


def _cliques(graphs: Tensor) -> Tensor:
    """Four-cliques at each node = triangles among its neighbours, [B, N]."""
    degree = graphs.sum(-1)
    width = int(degree.max())
    neighbours = graphs.argsort(-1, descending=True)[..., :width]
    rows = torch.arange(len(graphs), device=graphs.device)[:, None, None, None]
    among = graphs[rows, neighbours[..., :, None], neighbours[..., None, :]]
    real = (torch.arange(width, device=graphs.device) < degree[..., None]).to(graphs.dtype)
    among = among * real[..., :, None] * real[..., None, :]
    return ((among @ among) * among).sum((-1, -2)) / 6


def _apply(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector[..., None]).squeeze(-1)


def _histogram(values: Tensor, mask: Tensor, bins: int, span: tuple[float, float]) -> Tensor:
    # numpy's edges, so that a value on an edge (1/2, 3/10) falls where numpy.histogram puts it.
    edges = torch.from_numpy(np.linspace(*span, bins + 1)).to(values.device)
    index = (torch.bucketize(values, edges, right=True) - 1).clamp(0, bins - 1)
    weight = mask.to(values.dtype)
    counts = values.new_zeros(len(values), bins).scatter_add_(1, index, weight)
    return counts / weight.sum(-1, keepdim=True)


@dataclass(frozen=True)
class GraphStatistics:
    """The four statistics of a set of graphs, computed once and reused for every comparison.

    Attributes:
        degree: degree pmf [B, K], K at least the largest degree + 1.
        clustering: clustering-coefficient pmf [B, 100].
        orbit: orbit counts summed over nodes / number of nodes [B, 15] (not a pmf).
        spectral: normalised-Laplacian pmf [B, 200].
    """

    degree: Tensor
    clustering: Tensor
    orbit: Tensor
    spectral: Tensor

    @classmethod
    def from_batch(
        cls, batch: Mapping[str, Tensor], *, drop_isolated: bool = False
    ) -> GraphStatistics:
        """Compute the statistics of a dense graph batch, a bounded number of graphs at a time.

        Args:
            batch: `edges` [B, N, N] and `mask` [B, N].
            drop_isolated: Remove nodes without an edge first, as the GDSS protocol does with
                generated graphs (a graph without edges keeps one node).

        Raises:
            ValueError: See `adjacency`.
        """
        graphs = adjacency(batch)
        mask = _connected_nodes(graphs, batch["mask"]) if drop_isolated else batch["mask"]
        degree = max(int(graphs.sum(-1).max()), 1)
        per_graph = mask.shape[1] * max(mask.shape[1], degree**2)
        size = max(_CHUNK_ELEMENTS // per_graph, 1)
        chunks = [slice(start, start + size) for start in range(0, len(mask), size)]
        return cls.concatenate([cls._of_chunk(graphs[chunk], mask[chunk]) for chunk in chunks])

    @classmethod
    def _of_chunk(cls, graphs: Tensor, mask: Tensor) -> GraphStatistics:
        return cls(
            degree=degree_histogram(graphs, mask),
            clustering=clustering_histogram(graphs, mask),
            orbit=orbit_counts(graphs).sum(1) / mask.sum(-1, keepdim=True),
            spectral=spectral_histogram(graphs, mask),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[GraphStatistics]) -> GraphStatistics:
        """Join the statistics of several batches, whatever their padding.

        Raises:
            ValueError: If `parts` is empty.
        """
        if not parts:
            raise ValueError("parts is empty; expected at least one GraphStatistics.")
        width = max(part.degree.shape[1] for part in parts)
        return cls(
            degree=torch.cat([pad(p.degree, (0, width - p.degree.shape[1])) for p in parts]),
            clustering=torch.cat([part.clustering for part in parts]),
            orbit=torch.cat([part.orbit for part in parts]),
            spectral=torch.cat([part.spectral for part in parts]),
        )

    def subset(self, indices: Sequence[int] | Tensor) -> GraphStatistics:
        """Pick graphs by position, in the given order; repeats are allowed."""
        index = torch.as_tensor(indices, dtype=torch.long, device=self.degree.device)
        return GraphStatistics(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def __len__(self) -> int:
        """Number of graphs."""
        return len(self.degree)


def _connected_nodes(graphs: Tensor, mask: Tensor) -> Tensor:
    kept = mask & (graphs.sum(-1) > 0)
    first = torch.nn.functional.one_hot(mask.long().argmax(-1), mask.shape[1]).bool()
    return torch.where(kept.any(-1, keepdim=True), kept, first)
