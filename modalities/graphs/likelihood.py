"""Categorical likelihood of nodes and of unordered pairs of nodes."""

from __future__ import annotations

import torch
from torch import Tensor

from latentgen.distributions import categorical_log_prob
from latentgen.tensors import Batch


class GraphLikelihood:
    r"""ln p(G | z) = sum_i ln p(x_i | z) + sum_{i<j} ln p(e_ij | z), over real nodes.

    Args:
        node_logits: shape [B, N, node types].
        edge_logits: symmetric in the two node axes, shape [B, N, N, edge types]; kind 0 is "no edge".
        mask: True where a node is real, shape [B, N].
    """

    def __init__(self, node_logits: Tensor, edge_logits: Tensor, mask: Tensor) -> None:
        self.node_logits, self.edge_logits, self.mask = node_logits, edge_logits, mask

    @property
    def pairs(self) -> Tensor:
        """True where i < j are both real, shape [B, N, N]."""
        return (self.mask.unsqueeze(1) & self.mask.unsqueeze(2)).triu(1)

    def log_prob(self, batch: Batch) -> Tensor:
        """Nats, shape [B]."""
        edges = categorical_log_prob(self.edge_logits, batch["edges"]) * self.pairs
        # with one kind of node the second term is 0, but keeps its head in the graph that DDP expects
        nodes = categorical_log_prob(self.node_logits, batch["nodes"]) * self.mask
        return edges.flatten(1).sum(1) + nodes.sum(1)

    def sample(self) -> Batch:
        """Every node and pair drawn from its distribution."""
        return self._graph(_draw(self.node_logits), _draw(self.edge_logits))

    def mode(self) -> Batch:
        """Every node and pair at its most probable kind."""
        return self._graph(self.node_logits.argmax(-1), self.edge_logits.argmax(-1))

    def _graph(self, nodes: Tensor, edges: Tensor) -> Batch:
        upper = edges * self.pairs
        return {"nodes": nodes * self.mask, "edges": upper + upper.transpose(1, 2), "mask": self.mask}


def _draw(logits: Tensor) -> Tensor:
    """One class number from each softmax(logits), int64, by the Gumbel-max rule."""
    uniform = torch.rand_like(logits).clamp(1e-20, 1 - 1e-7)
    return (logits - torch.log(-torch.log(uniform))).argmax(-1)
