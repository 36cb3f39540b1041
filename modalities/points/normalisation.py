"""Where shapes are put before a network sees them: unit spheres, unit boxes, or one place and scale of a data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from .draws import Bounds

NormalisationName = Literal["dataset", "sphere", "box", "none"]


@dataclass(frozen=True)
class Placement:
    """Centre c and scale s of every shape; a point p becomes (p - c) / s.

    Attributes:
        centre: float32, shape [S, 3].
        scale: float32, shape [S], above 0.
    """

    centre: Tensor
    scale: Tensor

    def apply(self, points: Tensor, places: Tensor) -> Tensor:
        """Points [B, N, 3 + F] of these shapes, features as they are."""
        moved = (points[..., :3] - self.centre[places, None]) / self.scale[places, None, None]
        return torch.cat([moved, points[..., 3:]], dim=-1)

    def invert(self, points: Tensor, places: Tensor) -> Tensor:
        """The inverse of :meth:`apply`."""
        moved = points[..., :3] * self.scale[places, None, None] + self.centre[places, None]
        return torch.cat([moved, points[..., 3:]], dim=-1)


class Normalisation:
    """A rule, and the centre and scale that it learned of the training shapes.

    ``"dataset"``: the mean of all training shapes and one standard deviation over coordinates, s^2 = E |p - c|^2 / 3,
    every shape of equal weight; sizes and places relative to others stay. ``"sphere"``: each shape by its own mean and
    greatest radius. ``"box"``: each by the centre of its box and half its longest edge, to [-1, 1]. ``"none"``: as is.
    Shapes drawn from a model have no own centre: :meth:`restore` undoes "dataset" and leaves the others alone.

    Args:
        kind: the rule.

    Attributes:
        centre: c of "dataset", float32, shape [3]; 0 for other rules.
        scale: s of "dataset", float32, shape []; 1 for other rules.

    Raises:
        ValueError: if the rule is unknown.
    """

    def __init__(self, kind: NormalisationName = "dataset") -> None:
        if kind not in get_args(NormalisationName):
            raise ValueError(f"normalisation is {kind!r}; choose {', '.join(get_args(NormalisationName))}.")
        self.kind: NormalisationName = kind
        self.centre, self.scale = torch.zeros(3), torch.ones(())

    def fit(self, bounds: Bounds) -> Normalisation:
        """Learn "dataset" from training shapes.

        Raises:
            ValueError: if they are one point.
        """
        if self.kind == "dataset":
            centre = bounds.mean.mean(dim=0)
            variance = (bounds.square.mean() - centre.square().sum()) / 3
            if not variance > 0:
                raise ValueError("the training shapes are one single point; give shapes with an extent.")
            self.centre, self.scale = centre.float(), variance.sqrt().float()
        return self

    def placement(self, bounds: Bounds) -> Placement:
        """Centre and scale of every one of some shapes.

        Raises:
            ValueError: if one of them is a single point, and the rule takes its size.
        """
        if self.kind == "sphere":
            centre, scale = bounds.mean, bounds.radius
        elif self.kind == "box":
            centre, scale = (bounds.low + bounds.high) / 2, (bounds.high - bounds.low).amax(dim=1) / 2
        else:
            count = len(bounds.mean)
            return Placement(self.centre.expand(count, 3), self.scale.expand(count))
        if (scale <= 0).any():
            raise ValueError(f"shape {int(scale.argmin())} is one single point; leave it out.")
        return Placement(centre.float(), scale.float())

    def restore(self, points: Tensor) -> Tensor:
        """Undo "dataset" for points [*, 3 + F] of new shapes."""
        centre, scale = self.centre.to(points), self.scale.to(points)
        return torch.cat([points[..., :3] * scale + centre, points[..., 3:]], dim=-1)

    def state(self) -> dict[str, Tensor]:
        """``centre`` and ``scale``, to be stored with a model."""
        return {"centre": self.centre, "scale": self.scale}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`state` gave."""
        self.centre, self.scale = state["centre"].float().cpu(), state["scale"].float().cpu()
