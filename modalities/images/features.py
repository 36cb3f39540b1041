"""Feature maps of images, and the figures that are computed on them."""

from __future__ import annotations

import torch
from torch import Tensor

from latentgen.metrics import FeatureMap, density_coverage, frechet_distance, precision_recall
from latentgen.tensors import Batch

from .likelihood import places

LEAST = 6
"""Images without which nearest neighbours have no meaning: the fifth neighbour must exist."""


class LowResolutionFeatures(FeatureMap):
    """Pixels, averaged to a small image: a feature map that needs no network and no labels.

    Args:
        edge: greatest height and width of the small image.
    """

    def __init__(self, edge: int = 8) -> None:
        self.edge = edge

    @property
    def name(self) -> str:
        """With its size."""
        return f"pixels averaged to {self.edge} x {self.edge}"

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Tensor:
        """Shape [B, C edge edge] for ``x`` uint8 [B, C, H, W]; places in [-1, 1]."""
        size = (min(self.edge, batch["x"].shape[2]), min(self.edge, batch["x"].shape[3]))
        return torch.nn.functional.adaptive_avg_pool2d(places(batch["x"]), size).flatten(1)


def image_figures(real: Tensor, generated: Tensor) -> dict[str, float]:
    """Frechet distance on all features; precision, recall and coverage on equal numbers of both.

    Args:
        real: features [N, F].
        generated: features [M, F].
    """
    figures = {"frechet": frechet_distance(real, generated)}
    count = min(len(real), len(generated))
    if count < LEAST:
        return figures
    a, b = _spread(real, count), _spread(generated, count)
    return {**figures, **precision_recall(a, b), "coverage": density_coverage(a, b)["coverage"]}


def _spread(features: Tensor, count: int) -> Tensor:
    """Evenly spaced ones of all: real images often lie sorted by class."""
    return features[torch.linspace(0, len(features) - 1, count).long()]
