"""Classes of graphs: their names, the one-hot condition of class-conditional models, and numbers of nodes by class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data


def class_names(graphs: Sequence[Data]) -> tuple[str, ...]:
    """The labels ``y`` of graphs in rising order, as words; () where there are none."""
    return tuple(map(str, sorted({label for graph in graphs if (label := _label(graph)) is not None})))


def one_hot_classes(graphs: Sequence[Data], names: Sequence[str]) -> Tensor:
    """The condition of graphs, float32 [n, K]; NaN throughout, "no condition", for a graph without a label.

    Args:
        graphs: with ``y``, an integer each.
        names: the K classes, see :func:`class_names`.

    Raises:
        ValueError: if a graph is of another class.
    """
    places = {name: place for place, name in enumerate(names)}
    condition = torch.full((len(graphs), len(names)), float("nan"))
    for row, graph in zip(condition, graphs, strict=True):
        label = _label(graph)
        if label is None:
            continue
        if str(label) not in places:
            raise ValueError(
                f"graph_label is {label}, and the model's classes are {', '.join(names)}; leave such graphs out, or "
                "train on data that have them."
            )
        row.zero_()[places[str(label)]] = 1
    return condition


def sizes_by_class(sizes: Tensor, condition: Tensor, overall: Tensor) -> Tensor:
    """Share of each class's graphs with n nodes, float64 [K, N + 1].

    Args:
        sizes: nodes of every graph, int [G].
        condition: of every graph, see :func:`one_hot_classes`, [G, K].
        overall: shares of all graphs, [N + 1]; those of a class without a graph here.
    """
    counts = torch.zeros(condition.shape[1], len(overall), dtype=torch.float64)
    known = ~condition.isnan().any(dim=1)
    place = (condition[known].argmax(dim=1), sizes[known].long())
    counts.index_put_(place, torch.ones(len(place[0]), dtype=torch.float64), accumulate=True)
    total = counts.sum(dim=1, keepdim=True)
    return torch.where(total > 0, counts / total.clamp_min(1), overall.double())


def mask_by_class(u: Tensor, condition: Tensor, by_class: Tensor, overall: Tensor) -> Tensor:
    """Masks [n, N] with as many nodes as the inverse distribution function of a row's class says.

    Args:
        u: one uniform number a row, [n].
        condition: weights of classes, [n, K]; their mixture counts where several are positive, all graphs where the row
            is NaN.
        by_class: see :func:`sizes_by_class`.
        overall: shares of all graphs, [N + 1].
    """
    weights = condition.double().clamp_min(0)
    weights = weights / weights.sum(dim=1, keepdim=True)
    share = torch.where(weights.isnan().any(dim=1, keepdim=True), overall.to(u.device), weights @ by_class.to(u.device))
    counts = (share.cumsum(dim=1) <= u.double().unsqueeze(1)).sum(dim=1).clamp(max=len(overall) - 1)
    return torch.arange(len(overall) - 1, device=u.device) < counts.unsqueeze(1)


def _label(graph: Data) -> int | None:
    y = graph.y
    return int(y) if isinstance(y, Tensor) and y.numel() == 1 and not y.is_floating_point() else None
