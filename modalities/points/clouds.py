"""Many clouds of points in one tensor, of any number of points each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .draws import Bounds, segment_bounds, segment_sum, stacked


@dataclass(frozen=True)
class Clouds:
    """Points of S shapes, one after another.

    Attributes:
        points: coordinates, then F features, float32, shape [P, 3 + F].
        offsets: points ``offsets[i]`` to ``offsets[i + 1]`` are those of shape i, int64, shape [S + 1].

    Raises:
        ValueError: if a shape has no point.
    """

    points: Tensor
    offsets: Tensor

    def __post_init__(self) -> None:
        if (self.sizes < 1).any():
            raise ValueError(f"shape {int(self.sizes.argmin())} has no point; leave it out.")

    @classmethod
    def of(cls, shapes: Sequence[Tensor]) -> Clouds:
        """From the points [P, 3 + F] of each shape."""
        return cls(*stacked([shape.float() for shape in shapes]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def channels(self) -> int:
        """3 + F."""
        return self.points.shape[1]

    @property
    def sizes(self) -> Tensor:
        """Number of points of each shape, int64, shape [S]."""
        return self.offsets.diff()

    def draw(self, places: Tensor, counts: Sequence[int], sources: Sequence[np.random.Generator]) -> list[Tensor]:
        """Random subsets without repetition; all points where a shape has no more.

        Args:
            places: numbers of shapes, shape [B].
            counts: number of points of each, at most.
            sources: of random numbers of each.

        Returns:
            B tensors [n, 3 + F].
        """
        found = []
        for place, count, source in zip(places.tolist(), counts, sources, strict=True):
            start, end = int(self.offsets[place]), int(self.offsets[place + 1])
            if end - start <= count:
                found.append(self.points[start:end])
            else:
                chosen = source.choice(end - start, count, replace=False)
                found.append(self.points[start + torch.from_numpy(chosen)])
        return found

    def bounds(self) -> Bounds:
        """Box, largest radius, mean and mean square of each shape."""
        points = self.points[:, :3].double()
        mean = segment_sum(points, self.offsets) / self.sizes[:, None]
        square = segment_sum(points.square().sum(dim=1), self.offsets) / self.sizes
        return segment_bounds(points, self.offsets, mean, square)
