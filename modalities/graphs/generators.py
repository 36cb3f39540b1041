"""Fresh synthetic graphs: endless data whose law is known.

Every function returns a list of plain graphs (one node type, one kind of edge). Graph i depends
on `(seed, i)` alone, so a longer list starts with the shorter one, and different generators
never share random numbers.
"""

from __future__ import annotations

import heapq
import operator
import zlib
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from scipy.spatial import Delaunay
from torch_geometric.data import Data

from modalities.graphs.simple import IntArray, simple_graph

WITHIN_COMMUNITY = 0.7
BRIDGE = 0.01
SBM_WITHIN = 0.3
SBM_BETWEEN = 0.005


def communities(n_graphs: int, seed: int, min_nodes: int = 12, max_nodes: int = 20) -> list[Data]:
    r"""Two dense groups joined by few bridges, the recipe of Community-small.

    The size n is uniform on {min_nodes..max_nodes}. Each group is a random graph
    G(floor(n/2), 0.7), so an odd n yields n - 1 nodes. Any two connected components are joined by
    a bridge at each of their cross pairs with probability 0.01, and by one bridge at a uniform
    cross pair when none was drawn, which makes the graph connected (You et al. 2018; Jo et al.
    2022). The published file reuses one random graph per size; here every graph is drawn anew.

    Args:
        n_graphs: Number of graphs.
        seed: Seed, a non-negative integer.
        min_nodes: Least size n, at least 2.
        max_nodes: Greatest size n.

    Returns:
        `n_graphs` connected graphs; the first half of the nodes is the first group.

    Raises:
        ValueError: If a number lies outside its range.
    """
    _at_least("min_nodes", min_nodes, 2)
    _at_least("max_nodes", max_nodes, min_nodes)
    return [
        _two_communities(rng, int(rng.integers(min_nodes, max_nodes, endpoint=True)) // 2)
        for rng in _streams("communities", n_graphs, seed)
    ]


def planar(n_graphs: int, seed: int, nodes: int = 20) -> list[Data]:
    r"""Delaunay triangulations of uniform points in the unit square.

    With h points on the convex hull a graph has 3 nodes - 3 - h edges; it is planar and connected
    (Martinkus et al. 2022 use 64 nodes).

    Args:
        n_graphs: Number of graphs.
        seed: Seed, a non-negative integer.
        nodes: Number of points, at least 3.

    Returns:
        `n_graphs` graphs of `nodes` nodes.

    Raises:
        ValueError: If a number lies outside its range.
    """
    _at_least("nodes", nodes, 3)
    graphs = []
    for rng in _streams("planar", n_graphs, seed):
        corners = Delaunay(rng.random((nodes, 2))).simplices.astype(np.int64)
        sides = np.sort(np.concatenate([corners[:, :2], corners[:, 1:], corners[:, ::2]]), axis=1)
        keys = np.unique(sides[:, 0] * nodes + sides[:, 1])
        graphs.append(simple_graph(nodes, np.stack(np.divmod(keys, nodes), axis=1)))
    return graphs


def trees(n_graphs: int, seed: int, nodes: int = 64) -> list[Data]:
    r"""Uniform random labelled trees, decoded from Pruefer sequences.

    Each of the nodes^(nodes - 2) labelled trees has the same probability (Pruefer 1918).

    Args:
        n_graphs: Number of graphs.
        seed: Seed, a non-negative integer.
        nodes: Number of nodes, at least 1.

    Returns:
        `n_graphs` trees of `nodes` nodes.

    Raises:
        ValueError: If a number lies outside its range.
    """
    _at_least("nodes", nodes, 1)
    return [
        simple_graph(nodes, _decode_pruefer(rng.integers(nodes, size=max(nodes - 2, 0)), nodes))
        for rng in _streams("trees", n_graphs, seed)
    ]


def sbm(
    n_graphs: int,
    seed: int,
    min_blocks: int = 2,
    max_blocks: int = 5,
    min_size: int = 20,
    max_size: int = 40,
) -> list[Data]:
    r"""Stochastic block model graphs with 2 to 5 blocks of 20 to 40 nodes.

    The number of blocks and their sizes are uniform; an edge has probability 0.3 inside a block
    and 0.005 between blocks (Martinkus et al. 2022). As in the published file a graph may be
    disconnected (about one in fifty).

    Args:
        n_graphs: Number of graphs.
        seed: Seed, a non-negative integer.
        min_blocks: Least number of blocks, at least 1.
        max_blocks: Greatest number of blocks.
        min_size: Least number of nodes of a block, at least 1.
        max_size: Greatest number of nodes of a block.

    Returns:
        `n_graphs` graphs whose nodes are ordered by block.

    Raises:
        ValueError: If a number lies outside its range.
    """
    _at_least("min_blocks", min_blocks, 1)
    _at_least("max_blocks", max_blocks, min_blocks)
    _at_least("min_size", min_size, 1)
    _at_least("max_size", max_size, min_size)
    graphs = []
    for rng in _streams("sbm", n_graphs, seed):
        blocks = int(rng.integers(min_blocks, max_blocks, endpoint=True))
        sizes = rng.integers(min_size, max_size, size=blocks, endpoint=True)
        block = np.repeat(np.arange(blocks), sizes)
        chance = np.where(block[:, None] == block[None, :], SBM_WITHIN, SBM_BETWEEN)
        graphs.append(simple_graph(len(block), _upper_pairs(rng.random(chance.shape) < chance)))
    return graphs


def grids(n_graphs: int, seed: int, min_side: int = 10, max_side: int = 19) -> list[Data]:
    r"""Rectangular grids with uniform side lengths (10 to 19 is the Grid benchmark's range).

    Args:
        n_graphs: Number of graphs.
        seed: Seed, a non-negative integer.
        min_side: Least side, at least 1.
        max_side: Greatest side.

    Returns:
        `n_graphs` grids of rows x columns nodes, numbered row by row.

    Raises:
        ValueError: If a number lies outside its range.
    """
    _at_least("min_side", min_side, 1)
    _at_least("max_side", max_side, min_side)
    graphs = []
    for rng in _streams("grids", n_graphs, seed):
        rows, columns = (int(k) for k in rng.integers(min_side, max_side, size=2, endpoint=True))
        index = np.arange(rows * columns, dtype=np.int64).reshape(rows, columns)
        across = np.stack([index[:, :-1].ravel(), index[:, 1:].ravel()], axis=1)
        down = np.stack([index[:-1].ravel(), index[1:].ravel()], axis=1)
        graphs.append(simple_graph(rows * columns, np.concatenate([across, down])))
    return graphs


GENERATORS: Mapping[str, Callable[..., list[Data]]] = MappingProxyType(
    {"communities": communities, "planar": planar, "trees": trees, "sbm": sbm, "grids": grids}
)
"""Every generator by its name; all accept `(n_graphs, seed)`."""


def _streams(name: str, n_graphs: int, seed: int) -> Iterator[np.random.Generator]:
    """One independent random generator per graph, fixed by (name, seed, index)."""
    _at_least("n_graphs", n_graphs, 0)
    _at_least("seed", seed, 0)
    tag = zlib.crc32(name.encode())
    for index in range(n_graphs):
        entropy = np.random.SeedSequence(seed, spawn_key=(tag, index))
        yield np.random.Generator(np.random.PCG64(entropy))


def _two_communities(rng: np.random.Generator, half: int) -> Data:
    """One graph of two groups of `half` nodes each, with its bridges."""
    pairs, components = [], []
    for offset in (0, half):
        linked = np.triu(rng.random((half, half)) < WITHIN_COMMUNITY, k=1)
        pairs.append(_upper_pairs(linked) + offset)
        components += [part + offset for part in _components(linked | linked.T)]
    for i, first in enumerate(components):
        for second in components[i + 1 :]:
            drawn = np.argwhere(rng.random((len(first), len(second))) < BRIDGE)
            if not len(drawn):
                drawn = rng.integers([len(first), len(second)])[None]
            pairs.append(np.stack([first[drawn[:, 0]], second[drawn[:, 1]]], axis=1))
    return simple_graph(2 * half, np.concatenate(pairs))


def _components(linked: npt.NDArray[np.bool_]) -> list[IntArray]:
    """Node sets of the connected components of a symmetric adjacency matrix [n, n]."""
    left = np.ones(len(linked), dtype=np.bool_)
    found = []
    while left.any():
        reached = np.zeros_like(left)
        grown = reached.copy()
        grown[int(left.argmax())] = True
        while (grown != reached).any():
            reached, grown = grown, grown | linked[grown].any(axis=0)
        found.append(np.flatnonzero(reached).astype(np.int64))
        left &= ~reached
    return found


def _decode_pruefer(sequence: IntArray, nodes: int) -> IntArray:
    """Edges [nodes - 1, 2] of the tree with this Pruefer sequence [nodes - 2]."""
    if nodes == 1:
        return np.empty((0, 2), dtype=np.int64)
    degree = np.bincount(sequence, minlength=nodes) + 1
    leaves = np.flatnonzero(degree == 1).tolist()
    edges = []
    for parent in sequence.tolist():
        edges.append((heapq.heappop(leaves), parent))
        degree[parent] -= 1
        if degree[parent] == 1:
            heapq.heappush(leaves, parent)
    edges.append((leaves[0], leaves[1]))
    return np.array(edges, dtype=np.int64)


def _upper_pairs(linked: npt.NDArray[np.bool_]) -> IntArray:
    """Pairs (i, j), i < j, marked in the upper triangle of a matrix [n, n], as [M, 2]."""
    return np.argwhere(np.triu(linked, k=1)).astype(np.int64)


def _at_least(name: str, value: int, least: int) -> None:
    """Refuse what is not an integer of at least `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{name} must be an integer, got {value!r}; give a whole number."
        ) from None
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}; raise it.")
