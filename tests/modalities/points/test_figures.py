"""All figures of shapes, and their features: real against real, copies, worse shapes; rotations and orders."""

from __future__ import annotations

import math

import pytest
import torch

from latentgen.metrics import feature_metrics
from modalities.points.features import ShapeFeatures
from modalities.points.figures import BETTER, PointSets, copied, points_figures
from modalities.points.procedural import shapes


def chairs(seed: int, sampling: int = 0, count: int = 64) -> torch.Tensor:
    return shapes(count, seed, ["chair"]).shapes.sample(160, sampling)


def test_figures_tell_real_noisy_and_copied_shapes_apart() -> None:
    train, test, new = (PointSets(chairs(seed)) for seed in (0, 1, 2))
    real = points_figures(new, test, train, emd=None)
    noisy = points_figures(PointSets(new.x + 0.2 * torch.randn_like(new.x)), test, train, emd=None)
    assert noisy["nna_cd"] > 0.9 > 0.7 > real["nna_cd"] > 0.3
    assert noisy["mmd_cd"] > real["mmd_cd"]
    assert noisy["jsd"] > real["jsd"]
    again = points_figures(PointSets(chairs(0, 1)), test, train, emd=None)
    assert again["copied"] > 0.95 > real["copied"]
    some = points_figures(PointSets(new.x[:24]), PointSets(test.x[:24]), train)
    assert set(some) == set(BETTER)
    assert some["nna_emd_48x128"] == pytest.approx(0.5, abs=0.3)
    same = points_figures(test, test, emd=None)
    assert (same["nna_cd"], same["cov_cd"], same["jsd"]) == (0, 1, 0)
    assert "copied" not in same


def test_one_copied_shape_of_many_is_found() -> None:
    """Every training shape is compared, not only as many as were generated."""
    train = PointSets(chairs(0, count=200))
    assert copied(PointSets(chairs(0, 1, count=200)[100:110]), train) == 1
    assert copied(PointSets(chairs(5, count=100)), train) == pytest.approx(0.5, abs=0.25)


def test_sets_of_different_sizes() -> None:
    x = chairs(0)
    mask = torch.arange(160) < torch.randint(130, 161, (64, 1), generator=torch.Generator().manual_seed(0))
    hidden = x.masked_fill(~mask.unsqueeze(-1), 50.0)
    figures = points_figures(PointSets(hidden, mask), PointSets(chairs(1)), emd=None)
    assert 0.3 < figures["nna_cd"] < 0.75
    assert "nna_emd_48x128" not in points_figures(PointSets(x[:, :100]), PointSets(chairs(1)))
    with pytest.raises(ValueError, match="NaN or infinite"):
        points_figures(PointSets(x * math.nan), PointSets(x))
    with pytest.raises(ValueError, match="give 2 of both"):
        points_figures(PointSets(x[:1]), PointSets(x))


def test_features_are_those_of_the_points_alone() -> None:
    x, features = chairs(0, count=8), ShapeFeatures()
    padded = torch.cat([x, torch.full((8, 9, 3), 5.0)], dim=1)
    found = features({"x": x})
    assert found.shape == (8, 73)
    torch.testing.assert_close(features({"x": padded, "mask": torch.arange(169).expand(8, -1) < 160}), found)
    joined = torch.cat([x, torch.ones(8, 160, 2)], dim=2)
    torch.testing.assert_close(features({"x": joined}), found)


def test_moments_and_quantiles_by_hand() -> None:
    x = torch.tensor([[[0.0, 0, 0], [2, 0, 0], [4, 0, 0]]])
    found = ShapeFeatures(quantiles=1, partners=1)({"x": x})[0]
    # pairs 0-2, 2-4, 4-0: the median distance is 2; medians of coordinates; mean; roots of the second moments
    expected = [2, 2, 0, 0, 2, 0, 0, math.sqrt(8 / 3), 0, 0, 0, 0, 0]
    assert found.tolist() == pytest.approx(expected)


def test_a_rotation_changes_no_distance() -> None:
    x, k = chairs(0, count=8), 16
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))[0]
    first, second = ShapeFeatures()({"x": x}), ShapeFeatures()({"x": x @ turn.T})
    torch.testing.assert_close(first[:, :k], second[:, :k])
    assert (first[:, k:] - second[:, k:]).abs().max() > 0.1


def test_generic_metrics_see_the_difference() -> None:
    real, new = {"x": chairs(0)}, {"x": chairs(1)}
    noisy = {"x": new["x"] + 0.2 * torch.randn_like(new["x"])}
    good, bad = (feature_metrics(real, batch, ShapeFeatures()).values for batch in (new, noisy))
    assert good["frechet"] < 0.5 * bad["frechet"]
    assert abs(good["nn_accuracy"] - 0.5) < 0.25 < 0.45 < bad["nn_accuracy"]
