"""Class-conditional shapes: how many are of the class that was asked for, and how good they are."""

from __future__ import annotations

from pathlib import Path

import torch
from harness import Rows, mean_spread
from points_shapes import PER_CENT, spent, two_stage
from torch import Tensor

from latentgen.evaluation import gather
from latentgen.tensors import Batch
from modalities.points import Points
from modalities.points.chamfer import pairwise_chamfer
from modalities.points.figures import points_figures

KNOWN = 600
"""Training shapes among which the nearest one is looked for."""
SETTINGS: tuple[tuple[str, str, int | None, float], ...] = (
    ("25 calls", "dpm", 25, 1.0),
    ("50 calls, guidance 2", "dpm", 25, 2.0),
    ("gan, 4 calls", "gan", None, 1.0),
)


def nearest_labels(shapes: Points, batch: Batch, known: Batch) -> Tensor:
    """For each shape, the label of its nearest training shape by the Chamfer distance, shape [B]."""
    nearest = pairwise_chamfer(shapes.clouds(batch).x, shapes.clouds(known).x).argmin(dim=1)
    return known["condition"].argmax(dim=1)[nearest]


def classes(rows: Rows, runs: Path, minutes: float, seeds: range) -> None:
    """Chairs, tables and lamps, 256 shapes of labels as the test shapes have them, against the test shapes."""
    shapes = Points(points=512, train_size=3000, test_size=256, condition="label")
    found: dict[str, dict[str, list[float]]] = {}

    def note(name: str, figures: dict[str, float]) -> None:
        for key, value in figures.items():
            found.setdefault(name, {}).setdefault(key, []).append(value)

    spending = ""
    for seed in seeds:
        run = runs / f"classes-seed{seed}"
        model = two_stage(minutes, shapes, run, seed)
        spending = spent(run)
        test, known = gather(model, "test", 256), gather(model, "train", KNOWN)
        labels = test["condition"].argmax(dim=1)
        shuffled = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]
        for name, sampler, steps, guidance in SETTINGS:
            batch = model.sample(
                len(labels), sampler, steps=steps, seed=seed, condition=test["condition"], guidance=guidance,
                batch_size=64,
            )
            figures = points_figures(shapes.clouds(batch), shapes.clouds(test), emd=None)
            note(name, {key: 100 * value if key in PER_CENT else value for key, value in figures.items()})
            read = nearest_labels(shapes, batch, known)
            note(name, {"of their class (%)": share(read, labels)})
            note(name, {"of a shuffled class (%), by chance": share(read, shuffled)})
        # no other figures of these two: test shapes would be judged against themselves
        for name, batch in (("real", test), ("reconstruction", model.reconstruct(test))):
            note(name, {"of their class (%)": share(nearest_labels(shapes, batch, known), labels)})
    for name, cells in found.items():
        for key, values in cells.items():
            mean, spread = mean_spread(values)
            rows.add(f"classes, {name}: {key}", mean, spread=spread, note=spending)


def share(read: Tensor, labels: Tensor) -> float:
    """Of equal labels, in percent."""
    return 100 * float((read == labels).float().mean())
