"""Classes of graphs: their names, and the one-hot condition of class-conditional models."""

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


def _label(graph: Data) -> int | None:
    y = graph.y
    return int(y) if isinstance(y, Tensor) and y.numel() == 1 and not y.is_floating_point() else None
