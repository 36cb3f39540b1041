"""Figures on feature maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from latentgen.metrics import frechet_distance
from modalities.images.features import LowResolutionFeatures, image_figures


def test_low_resolution_features_are_means_of_blocks() -> None:
    x = torch.randint(256, (3, 3, 16, 32), dtype=torch.uint8)
    found = LowResolutionFeatures(8)({"x": x}).reshape(3, 3, 8, 8)
    blocks = (2.0 * x.numpy() / 255 - 1).reshape(3, 3, 8, 2, 8, 4).mean((3, 5))
    assert np.allclose(found, blocks, atol=1e-6)
    assert LowResolutionFeatures(8)({"x": x[:, :, :5, :9]}).shape == (3, 3 * 5 * 8)


def test_figures_of_equal_and_of_collapsed_sets() -> None:
    torch.manual_seed(0)
    real, same = torch.randn(400, 5), torch.randn(400, 5)
    good = image_figures(real, same)
    collapsed = image_figures(real, same[:1] + 0.01 * torch.randn(400, 5))
    assert good["frechet"] == pytest.approx(frechet_distance(real, same))
    assert good["frechet"] < 0.3 < collapsed["frechet"]
    assert good["coverage"] > 0.85 and collapsed["coverage"] < 0.1 and collapsed["recall"] < 0.1
    assert good["precision"] > 0.8 and good["recall"] > 0.8


def test_real_images_that_lie_sorted_are_thinned_evenly() -> None:
    """Two classes one after the other; samples of both must cover both halves of the thinned set."""
    torch.manual_seed(0)
    real = torch.cat([torch.randn(500, 3), torch.randn(500, 3) + 50])
    samples = torch.cat([torch.randn(50, 3), torch.randn(50, 3) + 50])
    figures = image_figures(real, samples)
    assert figures["recall"] > 0.8 and figures["precision"] > 0.8


def test_too_few_images_leave_neighbours_out() -> None:
    assert image_figures(torch.randn(30, 3), torch.randn(4, 3)).keys() == {"frechet"}
