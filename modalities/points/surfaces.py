"""Many triangle meshes in one tensor, and points drawn from them in proportion to area."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from .draws import Bounds, segment_bounds, segment_sum, stacked, streams


@dataclass(frozen=True)
class Surfaces:
    """Triangles of S shapes, one after another.

    Attributes:
        corners: coordinates of the three corners, then F features of them, float32, shape [T, 3, 3 + F].
        offsets: triangles ``offsets[i]`` to ``offsets[i + 1]`` are those of shape i, int64, shape [S + 1].

    Raises:
        ValueError: if a shape has no area.
    """

    corners: Tensor
    offsets: Tensor

    def __post_init__(self) -> None:
        empty = (self.areas <= 0).nonzero().flatten().tolist()
        if empty:
            raise ValueError(f"shape {empty[0]} has no area; leave it out, or read its points instead.")

    @classmethod
    def of(cls, shapes: Sequence[Tensor]) -> Surfaces:
        """From the corners [T, 3, 3 + F] of each shape."""
        return cls(*stacked([shape.float() for shape in shapes]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def channels(self) -> int:
        """3 + F."""
        return self.corners.shape[2]

    @property
    def sizes(self) -> Tensor | None:
        """Number of points of each shape; None, since there are as many as one likes."""
        return None

    @cached_property
    def normals(self) -> Tensor:
        """Unit normals of triangles, by the right-hand rule, 0 without area, shape [T, 3]."""
        return torch.nn.functional.normalize(self._cross, dim=1).float()

    @cached_property
    def areas(self) -> Tensor:
        """Area of each shape, float64, shape [S]."""
        return segment_sum(self._triangle_areas, self.offsets)

    @cached_property
    def _cross(self) -> Tensor:
        a, b, c = self.corners[:, :, :3].double().unbind(dim=1)
        return torch.as_tensor(torch.linalg.cross(b - a, c - a))

    @cached_property
    def _triangle_areas(self) -> Tensor:
        return torch.as_tensor(self._cross.norm(dim=1) / 2)

    @cached_property
    def _up_to(self) -> Tensor:
        """Area of all triangles before each, and of all, float64, shape [T + 1]."""
        return torch.cat([torch.zeros(1, dtype=torch.float64), self._triangle_areas.cumsum(dim=0)])

    def at(self, places: Tensor, uniform: Tensor) -> Tensor:
        r"""Points as functions of uniform numbers (u, v, w): u chooses the triangle in proportion to area, and
        (1 - \sqrt v) a + \sqrt v (1 - w) b + \sqrt v w c is uniform in it (Osada et al. 2002).

        Args:
            places: numbers of shapes, int64, shape [B].
            uniform: in [0, 1), shape [B, n, 3].

        Returns:
            Coordinates and features, float32, shape [B, n, 3 + F].
        """
        u, v, w = uniform.double().unbind(dim=-1)
        first, end = self.offsets[places, None], self.offsets[places + 1, None]
        low, high = self._up_to[first], self._up_to[end]
        index = torch.searchsorted(self._up_to, low + u * (high - low), right=True) - 1
        a, b, c = self.corners[torch.minimum(torch.maximum(index, first), end - 1)].unbind(dim=2)
        root, w = v.sqrt().float().unsqueeze(-1), w.float().unsqueeze(-1)
        return (1 - root) * a + root * (1 - w) * b + root * w * c

    def draw(self, places: Tensor, counts: Sequence[int], sources: Sequence[np.random.Generator]) -> list[Tensor]:
        """Fresh samples of the surfaces.

        Args:
            places: numbers of shapes, shape [B].
            counts: number of points of each.
            sources: of random numbers of each.

        Returns:
            B tensors [n, 3 + F].
        """
        most = max(counts)
        uniform = np.stack([source.random((most, 3)) for source in sources])
        found = self.at(places, torch.from_numpy(uniform))
        return [cloud[:count] for cloud, count in zip(found, counts, strict=True)]

    def sample(self, count: int, seed: int = 0, normals: bool = False) -> Tensor:
        """Points of all shapes; another seed gives another sampling of the same surfaces.

        Args:
            count: n, points of a shape.
            seed: of the draws.
            normals: append those of triangles as features.

        Returns:
            Shape [S, n, 3 + F].
        """
        surfaces = self.with_normals() if normals else self
        places = torch.arange(len(self))
        return torch.stack(surfaces.draw(places, [count] * len(self), streams(places.tolist(), seed)))

    def with_normals(self) -> Surfaces:
        """The same with the normals of triangles as three more features."""
        return Surfaces(torch.cat([self.corners, self.normals[:, None].expand(-1, 3, -1)], dim=2), self.offsets)

    def bounds(self) -> Bounds:
        """Box, largest radius, mean and mean square of each shape; the means are integrals over its surface."""
        points = self.corners[:, :, :3].double()
        total = points.sum(dim=1)
        # the mean of |x|^2 over a triangle: (|a|^2 + |b|^2 + |c|^2 + |a + b + c|^2) / 12
        squares = (points.square().sum(dim=(1, 2)) + total.square().sum(dim=1)) / 12
        weights = self._triangle_areas
        mean = segment_sum(total / 3 * weights[:, None], self.offsets) / self.areas[:, None]
        square = segment_sum(squares * weights, self.offsets) / self.areas
        return segment_bounds(points.reshape(-1, 3), self.offsets * 3, mean, square)


def sample_surface(triangles: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
    """Points of one shape, uniform in area.

    Args:
        triangles: corners, shape [T, 3, 3 + F].
        count: n.
        generator: of the draws.

    Returns:
        Shape [n, 3 + F].
    """
    uniform = torch.rand(1, count, 3, generator=generator, dtype=torch.float64)
    return Surfaces.of([triangles]).at(torch.zeros(1, dtype=torch.long), uniform)[0]
