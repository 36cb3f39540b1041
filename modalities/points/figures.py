"""The figures of generated shapes against reference shapes, by the published protocol."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .chamfer import pairwise_chamfer
from .protocol import occupancy_divergence, protocol_figures
from .transport import Method, pairwise_emd, subsets

EMD_SHAPES, EMD_POINTS = 48, 128
"""The Earth mover's figures are those of so many shapes of either set, with so many points of each."""
COPY_POINTS = 128
"""Points of each shape by which copies are looked for."""
BETTER = {
    "nna_cd": "lower",
    "mmd_cd": "lower",
    "cov_cd": "higher",
    "jsd": "lower",
    "copied": "lower",
    f"nna_emd_{EMD_SHAPES}x{EMD_POINTS}": "lower",
}
"""For every figure, "lower" or "higher"; the best 1-nearest-neighbour accuracy is 0.5."""


class PointSets(NamedTuple):
    """Points of shapes, [B, N, 3 + F], and where they are real, [B, N]; None means everywhere."""

    x: Tensor
    mask: Tensor | None = None


def points_figures(
    generated: PointSets,
    reference: PointSets,
    train: PointSets | None = None,
    emd: Method | None = "exact",
    progress: bool = False,
) -> dict[str, float]:
    """1-nearest-neighbour accuracy, minimum matching distance and coverage by the Chamfer distance, and the accuracy
    by the Earth mover's on a subset; divergence of occupancies; share of copies.

    Coordinates are those of the data, after normalisation is undone. Numbers are made equal, as the accuracy needs:
    evenly spaced ones are taken of the larger set. ``copied`` is the share of generated shapes that are nearer to some
    training shape than half of the training shapes are to their nearest other one; about .5 for real shapes, 1 for
    copies.

    Args:
        generated: shapes.
        reference: real ones that were not trained on.
        train: those that were; None leaves out ``copied``.
        emd: how the Earth mover's distance is computed; None leaves its figure out. It is also left out where a shape
            has fewer points than the subset takes.
        progress: show bars.

    Raises:
        ValueError: if there are fewer than two shapes of either, or a coordinate is not finite.
    """
    count = min(len(generated.x), len(reference.x))
    if count < 2:
        raise ValueError(f"generated has {len(generated.x)} shapes, reference {len(reference.x)}; give 2 of both.")
    made, real = _spread(generated, count), _spread(reference, count)
    for name, clouds in (("generated", made), ("reference", real)):
        if not (clouds.x if clouds.mask is None else clouds.x[clouds.mask]).isfinite().all():
            raise ValueError(f"{name} has coordinates that are NaN or infinite; look for them in the samples.")
    within = pairwise_chamfer(made.x, None, made.mask, progress=progress)
    cross = pairwise_chamfer(made.x, real.x, made.mask, real.mask, progress=progress)
    within_real = pairwise_chamfer(real.x, None, real.mask, progress=progress)
    found = protocol_figures(within, cross, within_real)
    figures = {f"{name}_cd": value for name, value in found.items()}
    figures["jsd"] = occupancy_divergence(made.x, real.x, made.mask, real.mask)
    if train is not None and len(train.x) > 1:
        figures["copied"] = copied(made, train, progress)
    if emd is not None and min(_least(made), _least(real)) >= EMD_POINTS:
        figures[f"nna_emd_{EMD_SHAPES}x{EMD_POINTS}"] = _by_transport(made, real, emd, progress)
    return figures


def copied(generated: PointSets, train: PointSets, progress: bool = False) -> float:
    """Share of generated shapes whose nearest training shape is nearer than the median distance of a training shape to
    its nearest other one, by the Chamfer distance of ``COPY_POINTS`` points.

    Args:
        generated: shapes.
        train: shapes; the more of them, the fewer copies are missed. As many of them as of generated ones, evenly
            spaced, give the median.
        progress: show bars.
    """
    count = min(COPY_POINTS, _least(generated), _least(train))
    made, known = _equal(generated, count, 0), _equal(train, count, 1)
    rows = torch.arange(min(len(made), len(known)), device=known.device)
    places = rows * len(known) // len(rows)
    own = pairwise_chamfer(known[places], known, progress=progress)
    own[rows, places] = float("inf")
    nearest = pairwise_chamfer(made, known, progress=progress).amin(dim=1)
    return float((nearest < own.amin(dim=1).median()).double().mean())


def _by_transport(made: PointSets, real: PointSets, method: Method, progress: bool) -> float:
    count = min(len(made.x), EMD_SHAPES)
    a, b = (_equal(_spread(clouds, count), EMD_POINTS, seed) for seed, clouds in enumerate((made, real)))
    within, cross, within_real = (pairwise_emd(x, y, method, progress) for x, y in ((a, None), (a, b), (b, None)))
    return protocol_figures(within, cross, within_real)["nna"]


def _equal(clouds: PointSets, count: int, seed: int) -> Tensor:
    """Coordinates of so many points of each shape, shape [B, count, 3]."""
    x = clouds.x[..., :3]
    if clouds.mask is None:
        return subsets(x, count, seed)
    return torch.cat([subsets(one[mask][None], count, seed) for one, mask in zip(x, clouds.mask, strict=True)])


def _least(clouds: PointSets) -> int:
    return clouds.x.shape[1] if clouds.mask is None else int(clouds.mask.sum(dim=1).min())


def _spread(clouds: PointSets, count: int) -> PointSets:
    """Coordinates of evenly spaced ones of all: real shapes often lie sorted by class."""
    index = torch.arange(count, device=clouds.x.device) * len(clouds.x) // count
    return PointSets(clouds.x[index, :, :3], None if clouds.mask is None else clouds.mask[index])
