r"""Validity, uniqueness and novelty (V.U.N.) of generated graphs.

Graphs are judged as they were sampled, isolated nodes included: a disconnected graph is invalid
under every rule but `sbm_lite`, whose published original does not ask for connectedness. Some
papers first keep the largest component; who compares with them says so and passes
`largest_component(batch)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import networkx as nx
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from modalities.graphs.blocks import balanced_cut, block_counts, fit_blocks
from modalities.graphs.isomorphism import GraphSet

__all__ = [
    "VALIDITY_RULES",
    "ValidityRule",
    "is_community",
    "is_connected",
    "is_planar",
    "is_sbm_lite",
    "is_tree",
    "largest_component",
    "validity",
    "vun",
]

BoolArray = npt.NDArray[np.bool_]
ValidityRule: TypeAlias = Callable[[BoolArray], bool]
"""A verdict on one adjacency matrix [n, n] without padding; it must ignore the order of nodes."""

_SBM_BLOCKS = (2, 5)
_SBM_SIZES = (20, 40)
_SBM_WITHIN, _SBM_BETWEEN = 0.3, 0.005
_SBM_LEVEL = 0.9
_COMMUNITY_WITHIN, _COMMUNITY_BRIDGE = 0.7, 0.01
_COMMUNITY_LEVEL = 1e-3


def is_connected(adjacency: BoolArray) -> bool:
    """Whether every node can be reached from every other; one node is connected, none is not."""
    return len(adjacency) > 0 and bool(_reached(adjacency, 0).all())


def is_tree(adjacency: BoolArray) -> bool:
    """Connected and without a cycle, that is with n - 1 edges."""
    return int(adjacency.sum()) == 2 * (len(adjacency) - 1) and is_connected(adjacency)


def is_planar(adjacency: BoolArray) -> bool:
    """Connected and drawable in the plane without crossings (networkx's left-right test)."""
    n, edges = len(adjacency), int(adjacency.sum()) // 2
    if (n >= 3 and edges > 3 * n - 6) or not is_connected(adjacency):
        return False
    graph = nx.Graph(np.argwhere(np.triu(adjacency)).tolist())
    return bool(nx.check_planarity(graph)[0])


def is_community(adjacency: BoolArray) -> bool:
    """Connected, and two dense halves with few bridges: the stricter rule beside `connected`.

    In the smallest cut found into halves (sizes differ by at most one) neither half may have
    improbably few edges for G(n/2, 0.7), and the edges across may not be improbably many for
    Binomial(n_1 n_2, 0.01); improbable means an exact binomial tail below 0.001. One random graph
    of any density fails, as do three groups or a missing bridge. The generator of Community-small
    passes in 99.8 % of its draws.
    """
    if len(adjacency) < 4 or not is_connected(adjacency):
        return False
    edges, pairs = block_counts(adjacency, balanced_cut(adjacency).astype(np.int64))
    bridges = 1 - _binomial_cdf(int(edges[0, 1]) - 1, int(pairs[0, 1]), _COMMUNITY_BRIDGE)
    within = (_binomial_cdf(int(edges[k, k]), int(pairs[k, k]), _COMMUNITY_WITHIN) for k in (0, 1))
    return bridges >= _COMMUNITY_LEVEL and all(tail >= _COMMUNITY_LEVEL for tail in within)


def is_sbm_lite(adjacency: BoolArray) -> bool:
    r"""A stochastic block model of 2-5 blocks with 20-40 nodes, p_in 0.3 and p_out 0.005.

    Blocks are fitted by `fit_blocks`. With p_rs the edge frequency between blocks r and s and
    q_rs in {0.3, 0.005}, W_rs = (p_rs - q_rs)^2 / (p_rs (1 - p_rs) + 1e-6) has the chi^2_1 tail
    erfc(sqrt(W_rs / 2)), and the mean tail over all k x k entries must exceed 0.9
    (Martinkus et al. 2022). Their original infers blocks with graph-tool, which pip cannot
    install, hence `lite`: values are close to the published ones but not the same.
    """
    labels = fit_blocks(adjacency)
    size = np.bincount(labels)
    if not _SBM_BLOCKS[0] <= len(size) <= _SBM_BLOCKS[1]:
        return False
    if size.min() < _SBM_SIZES[0] or size.max() > _SBM_SIZES[1]:
        return False
    edges, pairs = block_counts(adjacency, labels)
    frequency = edges / pairs
    expected = np.where(np.eye(len(size), dtype=np.bool_), _SBM_WITHIN, _SBM_BETWEEN)
    wald = (frequency - expected) ** 2 / (frequency * (1 - frequency) + 1e-6)
    tails = [math.erfc(math.sqrt(w / 2)) for w in wald.flatten().tolist()]
    return sum(tails) / len(tails) > _SBM_LEVEL


VALIDITY_RULES: Mapping[str, ValidityRule] = MappingProxyType(
    {
        "connected": is_connected,
        "planar": is_planar,
        "tree": is_tree,
        "community": is_community,
        "sbm_lite": is_sbm_lite,
    }
)
"""Every named rule; `validity` and `vun` also accept a function of their user."""


def validity(batch: Mapping[str, Tensor], rule: str | ValidityRule = "connected") -> Tensor:
    """Verdict of a rule on every graph, [B] bool.

    Args:
        batch: `edges` [B, N, N] and `mask` [B, N].
        rule: a name in `VALIDITY_RULES`, or a function of one adjacency matrix [n, n] bool.

    Raises:
        ValueError: If the name is unknown.
    """
    if isinstance(rule, str):
        if rule not in VALIDITY_RULES:
            names = ", ".join(map(repr, VALIDITY_RULES))
            raise ValueError(f"rule is {rule!r}; expected one of {names}, or a function.")
        rule = VALIDITY_RULES[rule]
    present, masks = (batch["edges"] > 0).cpu().numpy(), batch["mask"].cpu().numpy()
    pairs = zip(present, masks, strict=True)
    return torch.tensor([rule(graph[mask][:, mask]) for graph, mask in pairs], dtype=torch.bool)


def vun(
    generated: Mapping[str, Tensor],
    train: Mapping[str, Tensor] | GraphSet,
    valid: str | ValidityRule = "connected",
) -> dict[str, float]:
    """Shares of the generated graphs that are valid, unique, novel, and all three at once.

    Unique is the first graph of each isomorphism class among the generated graphs; novel is a
    graph without an isomorphic training graph. Node types and edge kinds must match.

    Args:
        generated: `nodes` [B, N], `edges` [B, N, N], `mask` [B, N].
        train: training graphs, or their `GraphSet` where it is compared more than once.
        valid: the rule, see `validity`.

    Returns:
        `valid`, `unique`, `novel` and `vun`, each a share of all generated graphs.

    Raises:
        ValueError: If there is no generated graph or the rule is unknown.
    """
    if not len(generated["mask"]):
        raise ValueError("generated has no graph; expected at least one: sample some first.")
    sample, known = GraphSet(generated), train if isinstance(train, GraphSet) else GraphSet(train)
    good = validity(generated, valid)
    first = sample.classes()
    position = torch.arange(len(sample))
    unique = first == position
    seen = torch.zeros(len(sample), dtype=torch.bool)
    for index in position[unique].tolist():
        seen[index] = known.contains(sample, index)
    novel = ~seen[first]
    shares = {"valid": good, "unique": unique, "novel": novel, "vun": good & unique & novel}
    return {name: float(share.double().mean()) for name, share in shares.items()}


def largest_component(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same graphs reduced to their largest connected component, real nodes first.

    Of components of equal size the one with the first node is kept; N does not change.

    Args:
        batch: `edges` [B, N, N], `mask` [B, N] and, if present, `nodes` [B, N].
    """
    mask = batch["mask"].cpu().numpy()
    present = (batch["edges"] > 0).cpu().numpy() & mask[:, :, None] & mask[:, None, :]
    kept = [_largest(graph, real) for graph, real in zip(present, mask, strict=True)]
    keep = torch.from_numpy(np.stack(kept)).to(batch["mask"].device)
    order = keep.int().argsort(dim=-1, descending=True, stable=True)
    keep = keep.gather(1, order)
    rows = torch.arange(len(keep), device=keep.device)[:, None]
    edges = batch["edges"][rows[..., None], order[:, :, None], order[:, None, :]]
    result = {"edges": edges * (keep[:, :, None] & keep[:, None, :]), "mask": keep}
    if "nodes" in batch:
        result["nodes"] = batch["nodes"].gather(1, order) * keep
    return result


def _largest(adjacency: BoolArray, mask: BoolArray) -> BoolArray:
    left, best = mask.copy(), np.zeros_like(mask)
    while left.sum() > best.sum():
        component = _reached(adjacency, int(left.argmax()))
        left &= ~component
        if component.sum() > best.sum():
            best = component
    return best


def _reached(adjacency: BoolArray, start: int) -> BoolArray:
    """Nodes that can be reached from one node, itself included, [n] bool."""
    reached = np.zeros(len(adjacency), dtype=np.bool_)
    reached[start] = True
    frontier = reached
    while frontier.any():
        frontier = adjacency[frontier].any(0) & ~reached
        reached = reached | frontier
    return reached


def _binomial_cdf(k: int, n: int, p: float) -> float:
    """P(X <= k) for X ~ Binomial(n, p), 0 < p < 1."""
    odds, base = math.log(p) - math.log1p(-p), n * math.log1p(-p) + math.lgamma(n + 1)
    logs = (base + i * odds - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in range(k + 1))
    return math.fsum(map(math.exp, logs))
