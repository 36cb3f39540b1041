"""A feature map of graphs: random graph isomorphism networks with fixed weights."""

from __future__ import annotations

import torch
from torch import Tensor

from latentgen.metrics import FeatureMap
from latentgen.tensors import Batch


class RandomGINFeatures(FeatureMap):
    r"""Sums over nodes of the states of a random GIN (Xu et al. 2019), as Thompson et al. 2022 judge graph generators
    by.

    h_0 are the node types (one-hot, with a 1 for "is a node") and the degrees of every kind; h_{l+1} = MLP_l(h_l +
    sum_kinds A_kind h_l W_kind) with orthogonal random weights from the seed. The features are the mean of every h_l
    over nodes and ln(1 + n); they do not depend on the order of nodes nor on padding.

    Args:
        node_types: number of node types.
        edge_types: number of edge types, "no edge" among them.
        depth: number of layers.
        width: size of h.
        seed: of the weights.
    """

    def __init__(
        self, node_types: int = 1, edge_types: int = 2, depth: int = 3, width: int = 32, seed: int = 0
    ) -> None:
        self.node_types, self.edge_types, self.depth, self.width, self.seed = node_types, edge_types, depth, width, seed
        generator = torch.Generator().manual_seed(seed)
        size, kinds = node_types + edge_types, edge_types - 1
        self._layers: list[tuple[Tensor, Tensor, Tensor]] = []
        for _ in range(depth):
            messages = torch.stack([_orthogonal(size, size, generator) for _ in range(kinds)])
            self._layers.append((messages, _orthogonal(size, width, generator), _orthogonal(width, width, generator)))
            size = width

    def __call__(self, batch: Batch) -> Tensor:
        """Features [B, node_types + edge_types + depth * width + 1] of ``nodes``, ``edges`` and ``mask``."""
        mask = batch["mask"].float()
        real = mask.unsqueeze(1) * mask.unsqueeze(2)
        kinds = [(batch["edges"] == kind).float() * real for kind in range(1, self.edge_types)]
        types = torch.nn.functional.one_hot(batch["nodes"].long(), self.node_types).float()
        hidden = torch.cat([types, mask.unsqueeze(-1), *(kind.sum(-1, keepdim=True) for kind in kinds)], dim=-1)
        hidden = hidden * mask.unsqueeze(-1)
        pooled = [self._pool(hidden, mask)]
        for messages, first, second in self._layers:
            weights = messages.to(hidden.device)
            heard = sum((kind @ hidden @ weight for kind, weight in zip(kinds, weights, strict=True)), hidden)
            hidden = torch.tanh(torch.relu(heard @ first.to(hidden.device)) @ second.to(hidden.device))
            hidden = hidden * mask.unsqueeze(-1)
            pooled.append(self._pool(hidden, mask))
        size = torch.log1p(mask.sum(1, keepdim=True))
        return torch.cat([*pooled, size], dim=1)

    @staticmethod
    def _pool(hidden: Tensor, mask: Tensor) -> Tensor:
        return torch.as_tensor(hidden.sum(1) / mask.sum(1, keepdim=True).clamp_min(1))


def _orthogonal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """A random matrix with orthonormal rows or columns, shape [rows, columns]."""
    size = max(rows, columns)
    q, _ = torch.linalg.qr(torch.randn(size, size, generator=generator))
    return torch.as_tensor(q[:rows, :columns]).contiguous()
