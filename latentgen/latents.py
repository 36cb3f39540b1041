"""What a prior knows of a modality: the shape and the layout of its latent."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

Layout = Literal["vector", "set", "sequence", "grid"]


@dataclass(frozen=True)
class LatentSpec:
    """Shape and meaning of one latent z, without the batch dimension.

    Attributes:
        shape: event shape E: ``(d,)`` for a vector, ``(N, d)`` for a set or a sequence of at most N items,
            ``(C, *S)`` for a grid with C channels on the spatial axes S.
        layout: "vector", "set" (no order), "sequence" (ordered items) or "grid" (channels first).
        masked: whether samples have different numbers of items, told by a mask [B, N].

    Raises:
        ValueError: if the shape does not fit the layout.
    """

    shape: tuple[int, ...]
    layout: Layout = "vector"
    masked: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(size) for size in self.shape))
        if self.layout not in get_args(Layout):
            raise ValueError(f"layout is {self.layout!r}; choose one of {', '.join(get_args(Layout))}.")
        if any(size < 1 for size in self.shape) or not self.shape:
            raise ValueError(f"shape is {self.shape}; every size must be at least 1.")
        axes = len(self.shape)
        expected = {"vector": axes == 1, "set": axes == 2, "sequence": axes == 2, "grid": axes >= 2}
        if not expected[self.layout]:
            raise ValueError(
                f"shape is {self.shape} for layout {self.layout!r}; a vector is (d,), a set or a sequence (N, d), "
                "a grid (C, *S)."
            )
        if self.masked and self.layout not in ("set", "sequence"):
            raise ValueError(f"masked is True for layout {self.layout!r}; only a set or a sequence has a mask.")

    @property
    def channels(self) -> int:
        """Size of the axis whose entries mean different things: d, or C for a grid."""
        return self.shape[0] if self.layout == "grid" else self.shape[-1]

    @property
    def dims(self) -> int:
        """Number of dimensions D of a full (unmasked) latent."""
        return math.prod(self.shape)
