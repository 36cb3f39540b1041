"""Shapes as a data set: points drawn anew for every number, whole batches by indexing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from latentgen.tensors import Batch

from .draws import streams
from .normalisation import Normalisation
from .shape_set import ShapeSet

REDRAWS = 256
"""Sets of points that training draws of a shape."""


class PointData:
    """Sets of points by number; ``__getitems__`` gives whole batches.

    Numbers beyond the count of shapes name further draws of the same shapes (number k is draw k // S of shape k mod
    S), so that an example is a function of its number alone: the same on every process, in every worker, after every
    resume.

    Args:
        shapes: what points are drawn from: surfaces afresh, clouds as random subsets.
        normalisation: fitted; it moves the coordinates.
        points: N, points of a set at most; smaller clouds give all of theirs.
        least: if given, sizes of sets are drawn uniformly from ``least`` to ``points``.
        redraws: draws of each shape; 1 makes a fixed set, such as that of tests.
        classes: size of the one-hot ``condition``; 0 for none.
        seed: of the draws.

    Attributes:
        sizes: points that each shape gives at most, int64, shape [S].

    Raises:
        ValueError: if an argument is out of its range.
    """

    def __init__(
        self,
        shapes: ShapeSet,
        normalisation: Normalisation,
        points: int = 2048,
        least: int | None = None,
        redraws: int = 1,
        classes: int = 0,
        seed: int = 0,
    ) -> None:
        if points < 1 or redraws < 1 or not 1 <= (points if least is None else least) <= points:
            raise ValueError(f"points is {points}, least {least}, redraws {redraws}; give 1 <= least <= points.")
        if classes and shapes.labels is None:
            raise ValueError(f"classes is {classes}, and the shapes have no labels; give 0, or shapes with labels.")
        self.shapes, self.normalisation, self.points, self.least = shapes, normalisation, points, least
        self.redraws, self.classes, self.seed = redraws, classes, seed
        self.placement = normalisation.placement(shapes.shapes.bounds())
        given = shapes.shapes.sizes
        self.sizes: Tensor = torch.full((len(shapes),), points) if given is None else given.clamp(max=points)

    def __len__(self) -> int:
        return len(self.shapes) * self.redraws

    def __getitem__(self, number: int) -> Batch:
        """One example, as :meth:`__getitems__` without its first axis."""
        if not -len(self) <= number < len(self):
            raise IndexError(f"number is {number} for {len(self)} sets of points; correct it.")
        return {key: value[0] for key, value in self.__getitems__([number % len(self)]).items()}

    def __getitems__(self, numbers: Sequence[int]) -> Batch:
        """A batch: ``x`` float32 [B, N, 3 + F], 0 at padding; ``mask`` bool [B, N], the real points first, N the size
        of the largest set; ``label`` int64 [B] where classes are known; with ``classes`` ``condition`` float32 [B, K].
        """
        numbers = [int(number) for number in numbers]
        places = torch.tensor([number % len(self.shapes) for number in numbers])
        sources = streams(numbers, self.seed)
        counts = self.sizes[places].tolist()
        if self.least is not None:
            counts = [int(source.integers(min(self.least, count), count + 1))
                      for source, count in zip(sources, counts, strict=True)]
        drawn = self.shapes.shapes.draw(places, counts, sources)
        mask = torch.arange(max(counts)) < torch.tensor(counts)[:, None]
        x = self.placement.apply(torch.nn.utils.rnn.pad_sequence(drawn, batch_first=True), places)
        batch = {"x": x * mask.unsqueeze(-1), "mask": mask}
        if self.shapes.labels is not None:
            batch["label"] = self.shapes.labels[places]
        if self.classes:
            batch["condition"] = torch.nn.functional.one_hot(batch["label"], self.classes).float()
        return batch

    def original(self, batch: Batch, numbers: Sequence[int]) -> Tensor:
        """Points [B, N, 3 + F] of these examples where the source has them, before normalisation."""
        return self.placement.invert(batch["x"], torch.tensor([number % len(self.shapes) for number in numbers]))

    def size_shares(self) -> Tensor:
        """Share of sets of 0, 1, ..., N points, float64, shape [N + 1]; with ``least`` its uniform law."""
        shares = torch.bincount(self.sizes, minlength=self.points + 1).double() / len(self.sizes)
        if self.least is None:
            return shares
        spread = torch.zeros_like(shares)
        for size in shares.nonzero().flatten().tolist():
            low = min(self.least, size)
            spread[low : size + 1] += shares[size] / (size + 1 - low)
        return spread


def masks(u: Tensor, shares: Tensor) -> Tensor:
    """Masks of new sets by the inverse distribution function of their sizes.

    Args:
        u: uniform in [0, 1), shape [n].
        shares: of sets of 0, 1, ..., N points, shape [N + 1].

    Returns:
        bool [n, N].
    """
    most = len(shares) - 1
    counts = torch.searchsorted(shares.cumsum(0).to(u.device), u.double(), right=True).clamp(max=most)
    return torch.arange(most, device=u.device) < counts.unsqueeze(1)
