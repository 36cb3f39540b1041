"""Random changes of graphs that leave their numbers of edges of every kind alone, on average."""

from __future__ import annotations

import torch
from torch import Tensor

from latentgen.tensors import Batch


@torch.no_grad()
def corrupted(batch: Batch, most: float) -> Batch:
    r"""Graphs whose nodes and pairs are drawn anew with probability c, c ~ U[0, most] for each graph.

    What is drawn anew takes its kind from the shares of kinds in the graph itself (the marginal transitions of Vignac
    et al. 2023): a pair of kind k changes with probability c (1 - share of k), a sparse graph stays as sparse, and an
    edge is lost as often as one appears.

    Args:
        batch: ``nodes`` [B, N], ``edges`` [B, N, N], ``mask`` [B, N].
        most: largest probability, in [0, 1].

    Returns:
        A new batch of the same shapes; everything but ``nodes`` and ``edges`` as it was.
    """
    nodes, edges, mask = batch["nodes"], batch["edges"], batch["mask"]
    share = most * torch.rand(len(nodes), device=nodes.device)
    real = mask.unsqueeze(1) & mask.unsqueeze(2)
    upper = torch.ones(edges.shape[1:], dtype=torch.bool, device=edges.device).triu(1) & real
    changed = upper & (torch.rand(edges.shape, device=edges.device) < share[:, None, None])
    drawn = torch.where(changed, _shuffled(edges.flatten(1), upper.flatten(1)).view_as(edges), edges).triu(1)
    moved = mask & (torch.rand(nodes.shape, device=nodes.device) < share[:, None])
    kinds = torch.where(moved, _shuffled(nodes, mask), nodes)
    return {**batch, "nodes": kinds, "edges": drawn + drawn.transpose(1, 2)}


def _shuffled(values: Tensor, real: Tensor) -> Tensor:
    """For each entry of a row, one of the row's real ones at random, perhaps itself; shape [B, M]."""
    weights = real.double() + 1e-30  # rows without any: multinomial needs a positive sum
    chosen = torch.multinomial(weights, values.shape[1], replacement=True)
    return values.gather(1, chosen)
