"""All metrics of one feature map at once, with what they were measured by."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..tensors import Batch
from .features import FeatureMap
from .frechet import frechet_distance
from .kernel import kernel_distance, mmd
from .neighbours import density_coverage, nearest_neighbour_accuracy, precision_recall

BETTER = {
    "frechet": "lower",
    "kernel": "lower",
    "mmd": "lower",
    "precision": "higher",
    "recall": "higher",
    "density": "higher",
    "coverage": "higher",
}
"""For every figure, "lower" or "higher". ``nn_accuracy`` has no such order: 0.5 is best, copies of the data have 0."""


@dataclass(frozen=True)
class FeatureReport:
    """Figures and their provenance.

    Attributes:
        values: figures by the names of ``BETTER``, and ``nn_accuracy``.
        n_real: number of real samples.
        n_generated: number of generated samples.
        feature_map: its name.
        hash: its hash.
    """

    values: dict[str, float]
    n_real: int
    n_generated: int
    feature_map: str
    hash: str


def metrics_of_features(real: Tensor, generated: Tensor) -> dict[str, float]:
    """Every figure of ``BETTER``, and ``nn_accuracy``, for features [N, F] and [M, F]."""
    return {
        "frechet": frechet_distance(real, generated),
        "kernel": kernel_distance(real, generated),
        "mmd": mmd(real, generated),
        **precision_recall(real, generated),
        **density_coverage(real, generated),
        "nn_accuracy": nearest_neighbour_accuracy(real, generated),
    }


@torch.no_grad()
def feature_metrics(real: Batch, generated: Batch, feature_map: FeatureMap) -> FeatureReport:
    """Compare generated with real data on a feature map. Put real data in both places for the row of reference.

    Args:
        real: N examples.
        generated: M examples; equal numbers make rows comparable.
        feature_map: what is compared.
    """
    x, y = feature_map(real), feature_map(generated)
    return FeatureReport(metrics_of_features(x, y), len(x), len(y), feature_map.name, feature_map.hash)
