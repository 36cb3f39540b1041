"""Isomorphism of typed graphs: colour refinement for speed, networkx for the verdict.

Two graphs are the same if some renaming of nodes maps node types onto node types and edge kinds
onto edge kinds. Equal hashes never decide alone: they only choose the pairs that are compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import networkx as nx
import torch
from networkx.algorithms.isomorphism import categorical_edge_match, categorical_node_match
from torch import Tensor

__all__ = ["GraphSet", "graph_hashes", "refine_colours"]

# The finaliser of SplitMix64 (Steele, Lea and Flood 2014), constants as signed 64-bit integers.
_STEPS = ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15), (31, 1))
_GOLDEN = -0x61C8864680B583EB
_SAME_NODE = categorical_node_match(["colour", "kind"], [None, None])
_SAME_EDGE = categorical_edge_match("kind", None)


def refine_colours(batch: Mapping[str, Tensor], rounds: int = 16) -> Tensor:
    """Weisfeiler-Lehman colours of all nodes, [B, N] int64; 0 where the mask pads.

    A node starts with its type; each round it takes in the multiset of (kind of edge, colour of
    neighbour). Isomorphic graphs receive equal multisets of colours whatever the order of their
    nodes, their padding or the batch they are in.

    Args:
        batch: `edges` [B, N, N], `mask` [B, N] and, if nodes have types, `nodes` [B, N].
        rounds: rounds of refinement: information travels as many edges.
    """
    mask = batch["mask"].cpu()
    types = batch["nodes"].cpu() if "nodes" in batch else torch.zeros_like(mask, dtype=torch.long)
    edges = batch["edges"].cpu() * (mask[:, :, None] & mask[:, None, :])
    graph, start, end = edges.nonzero(as_tuple=True)
    kind = edges[graph, start, end].long() * _GOLDEN
    source, target = graph * mask.shape[1] + start, graph * mask.shape[1] + end
    colours = _mix(types.long().flatten() + 1)
    for _ in range(rounds):
        messages = _mix(colours[source] + kind)
        received = torch.zeros_like(colours).index_add_(0, target, messages)
        colours = _mix(colours * _GOLDEN + received)
    return colours.view(mask.shape) * mask


def graph_hashes(batch: Mapping[str, Tensor], rounds: int = 16) -> Tensor:
    """One integer per graph, [B] int64, equal for isomorphic graphs and rarely for others.

    Args:
        batch: see `refine_colours`.
        rounds: rounds of refinement.
    """
    return _combine(refine_colours(batch, rounds), batch["mask"].cpu())


def _combine(colours: Tensor, mask: Tensor) -> Tensor:
    return _mix(_mix(colours).masked_fill(~mask, 0).sum(-1) + mask.sum(-1))


def _mix(x: Tensor) -> Tensor:
    """Scramble 64-bit integers, one to one."""
    for shift, factor in _STEPS:
        # torch shifts arithmetically; the mask makes it a logical shift.
        x = (x ^ ((x >> shift) & ((1 << (64 - shift)) - 1))) * factor
    return x


class GraphSet:
    """A set of graphs that can be searched up to isomorphism, hashed once.

    Args:
        batch: `edges` [B, N, N], `mask` [B, N] and, if nodes have types, `nodes` [B, N].
    """

    def __init__(self, batch: Mapping[str, Tensor]) -> None:
        """Hash all graphs."""
        mask, edges = batch["mask"].cpu(), batch["edges"].cpu()
        nodes = batch["nodes"].cpu() if "nodes" in batch else torch.zeros_like(mask).long()
        colours = refine_colours(batch)
        self._hashes: list[int] = _combine(colours, mask).tolist()
        self._sorted = [_sort(*graph) for graph in zip(colours, nodes, edges, mask, strict=True)]
        self._graphs: dict[int, nx.Graph] = {}
        self._by_hash: dict[int, list[int]] = defaultdict(list)
        for index, value in enumerate(self._hashes):
            self._by_hash[value].append(index)

    def __len__(self) -> int:
        """Number of graphs."""
        return len(self._hashes)

    def classes(self) -> Tensor:
        """Position of the first graph isomorphic to each graph, [B] int64.

        A graph is the first of its class where the entry is its own position.
        """
        first = list(range(len(self)))
        for members in self._by_hash.values():
            representatives: list[int] = []
            for index in members:
                matches = (r for r in representatives if self._same(r, self, index))
                first[index] = next(matches, index)
                if first[index] == index:
                    representatives.append(index)
        return torch.tensor(first, dtype=torch.long)

    def contains(self, other: GraphSet, index: int) -> bool:
        """Whether graph `index` of `other` is isomorphic to a graph of this set."""
        candidates = self._by_hash.get(other._hashes[index], ())
        return any(self._same(candidate, other, index) for candidate in candidates)

    def _same(self, index: int, other: GraphSet, other_index: int) -> bool:
        mine, theirs = self._sorted[index], other._sorted[other_index]
        # Equal matrices in the order of colours are a proof, and spare the search on graphs of
        # distinct colours as well as on empty and complete ones, where it is slowest.
        if torch.equal(mine[1], theirs[1]) and torch.equal(mine[2], theirs[2]):
            return True
        # Refined colours are kept by every isomorphism, so they prune the search.
        one, two = self._graph(index), other._graph(other_index)
        return bool(nx.is_isomorphic(one, two, node_match=_SAME_NODE, edge_match=_SAME_EDGE))

    def _graph(self, index: int) -> nx.Graph:
        if index not in self._graphs:
            colours, types, edges = (part.tolist() for part in self._sorted[index])
            graph = nx.Graph()
            for node, (colour, kind) in enumerate(zip(colours, types, strict=True)):
                graph.add_node(node, colour=colour, kind=kind)
                links = ((end, link) for end, link in enumerate(edges[node][:node]) if link)
                graph.add_edges_from((node, end, {"kind": link}) for end, link in links)
            self._graphs[index] = graph
        return self._graphs[index]


def _sort(
    colours: Tensor, types: Tensor, edges: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Colours [n], types [n] and edges [n, n] of the real nodes of a graph, sorted by colour."""
    real = mask.nonzero().squeeze(-1)
    order = real[colours[real].argsort(stable=True)]
    return colours[order], types[order], edges[order][:, order]
