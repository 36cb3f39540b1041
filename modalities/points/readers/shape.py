"""One shape as a reader finds it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[Any]
FeatureName = Literal["normals", "colours", "columns"]
FEATURES = ("normals", "colours", "columns")
FAR = 1000.0
"""A shape that lies more than so many of its sizes from the origin is centred: float32 would not resolve it there."""


@dataclass(frozen=True)
class Shape:
    """Triangles or points, and what the source says of them.

    Attributes:
        values: corners [T, 3, 3 + F] or points [P, 3 + F], float32.
        kind: its class; "" if unknown.
        part: "train", "valid" or "test"; "" if unknown.
    """

    values: Tensor
    kind: str = ""
    part: str = ""

    @property
    def is_mesh(self) -> bool:
        """Whether these are triangles."""
        return self.values.dim() == 3

    def named(self, kind: str, part: str) -> Shape:
        """The same, with class and part where it had none."""
        return replace(self, kind=self.kind or kind, part=self.part or part)


def shape_of(values: Array, name: str, kind: str = "", part: str = "") -> Shape:
    """A shape of corners [T, 3, 3 + F] or points [P, 3 + F].

    Args:
        values: numbers; coordinates first.
        name: what errors call it.
        kind: its class.
        part: its part.

    Raises:
        ValueError: if it is empty, of another form, has no area, or a number is not finite.
    """
    if values.ndim not in (2, 3) or values.shape[-1] < 3 or values.dtype.kind not in "fiub":
        given = f"{values.dtype} of shape {list(values.shape)}"
        raise ValueError(f"{name} has {given}; give numbers [P, 3], or more columns.")
    if not values.size:
        raise ValueError(f"{name} has no point; leave it out.")
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"{name} has coordinates that are NaN or infinite; repair it.")
    flat = values.reshape(-1, values.shape[-1])[:, :3]
    low, high = flat.min(axis=0), flat.max(axis=0)
    if np.abs(flat).max() > FAR * np.ptp(flat, axis=0).max() > 0:
        values[..., :3] -= (low + high) / 2
    if np.abs(values).max() > np.finfo(np.float32).max:
        raise ValueError(f"{name} has numbers beyond the range of float32; rescale it.")
    found = torch.from_numpy(values.astype(np.float32))
    if found.dim() == 3 and not _area(found) > 0:
        raise ValueError(f"{name} is a mesh without area; leave it out.")
    return Shape(found, kind, part)


def check_features(features: Collection[str]) -> None:
    """Refuse features that no reader knows.

    Raises:
        ValueError: if there is one.
    """
    for feature in features:
        if feature not in FEATURES:
            raise ValueError(f"features has {feature!r}; choose of {', '.join(FEATURES)}.")


def _area(corners: Tensor) -> float:
    a, b, c = corners[..., :3].double().unbind(dim=1)
    return float(torch.linalg.cross(b - a, c - a).norm(dim=1).sum() / 2)
