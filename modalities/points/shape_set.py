"""Shapes with what is known of them: surfaces or clouds, class labels and their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from .clouds import Clouds
from .draws import Bounds
from .surfaces import Surfaces


class Shapes(Protocol):
    """Things that points can be drawn from by number: ``Surfaces`` and ``Clouds``."""

    def __len__(self) -> int:
        """S, the number of shapes."""

    @property
    def channels(self) -> int:
        """3 coordinates and F features."""

    @property
    def sizes(self) -> Tensor | None:
        """Number of points of each shape, shape [S]; None if there is no end to them."""

    def draw(self, places: Tensor, counts: Sequence[int], sources: Sequence[np.random.Generator]) -> list[Tensor]:
        """Points [n, 3 + F] of each of these shapes, at most ``counts``."""

    def bounds(self) -> Bounds:
        """Where they lie."""


@dataclass(frozen=True)
class ShapeSet:
    """Shapes, their classes, and what the classes are called.

    Attributes:
        shapes: S surfaces or clouds.
        labels: class of each, int64, shape [S]; None if unknown.
        names: of the classes; empty if unknown.

    Raises:
        ValueError: if there are not as many labels as shapes.
    """

    shapes: Surfaces | Clouds
    labels: Tensor | None = None
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.labels is not None and self.labels.shape != (len(self.shapes),):
            shape = tuple(self.labels.shape)
            raise ValueError(f"labels has shape {shape} for {len(self.shapes)} shapes; give one each.")

    def __len__(self) -> int:
        return len(self.shapes)

    def chosen(self, places: Sequence[int] | Tensor) -> ShapeSet:
        """Some of the shapes, in this order."""
        index = torch.as_tensor(places, dtype=torch.long)
        flat = self.shapes.corners if isinstance(self.shapes, Surfaces) else self.shapes.points
        starts, ends = self.shapes.offsets[index].tolist(), self.shapes.offsets[index + 1].tolist()
        parts = [flat[start:end] for start, end in zip(starts, ends, strict=True)]
        return ShapeSet(type(self.shapes).of(parts), None if self.labels is None else self.labels[index], self.names)
