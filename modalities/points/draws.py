"""Random numbers by counters, and sums over the parts of a tensor that holds many shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


def streams(numbers: Sequence[int], seed: int) -> list[np.random.Generator]:
    """An independent source of random numbers for each number (Philox, Salmon et al. 2011): a function of number and
    seed alone, the same on every process, in every worker, after every resume.
    """
    key = np.random.SeedSequence(seed % 2**64).generate_state(1, np.uint64)[0]
    return [np.random.Generator(np.random.Philox(key=np.array([number, key], dtype=np.uint64))) for number in numbers]


def stacked(shapes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Tensors [P_i, *F] one after another, and their offsets, int64 [S + 1].

    Raises:
        ValueError: if there is none, or their features differ.
    """
    if not shapes:
        raise ValueError("shapes is empty; give at least one.")
    widths = {tuple(shape.shape[1:]) for shape in shapes}
    if len(widths) > 1:
        raise ValueError(f"shapes have points of sizes {sorted(widths)}; give all the same features.")
    sizes = torch.tensor([0, *(len(shape) for shape in shapes)])
    return torch.cat(list(shapes)), sizes.cumsum(dim=0)


@dataclass(frozen=True)
class Bounds:
    """Where shapes lie, float64.

    Attributes:
        low: least coordinates, shape [S, 3].
        high: greatest coordinates, shape [S, 3].
        mean: shape [S, 3].
        square: mean of |x|^2, shape [S].
        radius: greatest |x - mean|, shape [S].
    """

    low: Tensor
    high: Tensor
    mean: Tensor
    square: Tensor
    radius: Tensor


def owners(offsets: Tensor) -> Tensor:
    """Number of the shape of every row, shape [P]."""
    return torch.repeat_interleave(torch.arange(len(offsets) - 1), offsets.diff())


def segment_sum(value: Tensor, offsets: Tensor) -> Tensor:
    """Sums over the rows of each shape, [P, *F] -> [S, *F]."""
    total = value.new_zeros(len(offsets) - 1, *value.shape[1:])
    return total.index_add(0, owners(offsets), value)


def segment_bounds(points: Tensor, offsets: Tensor, mean: Tensor, square: Tensor) -> Bounds:
    """Bounds of shapes whose means are known.

    Args:
        points: corners or points, float64, shape [P, 3].
        offsets: shape [S + 1].
        mean: shape [S, 3].
        square: shape [S].
    """
    owner = owners(offsets)
    wide, empty = owner[:, None].expand(-1, 3), points.new_zeros(len(mean), 3)
    low = empty.scatter_reduce(0, wide, points, "amin", include_self=False)
    high = empty.scatter_reduce(0, wide, points, "amax", include_self=False)
    away = (points - mean[owner]).norm(dim=1)
    radius = points.new_zeros(len(mean)).scatter_reduce(0, owner, away, "amax")
    return Bounds(low, high, mean, square, radius)
