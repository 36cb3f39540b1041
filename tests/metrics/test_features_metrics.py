"""Metrics on features against closed forms, scipy and brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import nn

from latentgen.metrics import (
    BETTER,
    FlattenFeatures,
    Moments,
    NetworkFeatures,
    density_coverage,
    feature_metrics,
    frechet_distance,
    kernel_distance,
    mmd,
    nearest_neighbour_accuracy,
    neighbours,
    precision_recall,
)

ALL = (frechet_distance, kernel_distance, mmd, precision_recall, density_coverage, nearest_neighbour_accuracy)


def data(n: int = 60, m: int = 50, width: int = 4, shift: float = 0.5) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(n, width), 1.3 * torch.randn(m, width) + shift


def test_frechet_against_scipy() -> None:
    x, y = data()
    a, b = (np.cov(value.double().numpy(), rowvar=False) for value in (x, y))
    cross = sqrtm(a @ b).real.trace()
    expected = ((x.double().mean(0) - y.double().mean(0)) ** 2).sum().item() + a.trace() + b.trace() - 2 * cross
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-8)


def test_frechet_of_known_gaussians() -> None:
    mean, second = torch.zeros(2).double(), torch.eye(2).double()
    n = 10**9
    a = Moments(n, n * mean, n * second)
    b = Moments(n, n * (mean + 3), n * (4 * second + 9))
    # |mu|^2 = 18 and (1 - 2)^2 for each of two axes
    assert frechet_distance(a, b) == pytest.approx(20.0, rel=1e-6)


def test_frechet_with_fewer_samples_than_features_and_in_parts() -> None:
    x, y = data(5, 6, 12)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-6)
    assert math.isfinite(frechet_distance(x, y))
    whole, parts = Moments.of(y), Moments.of(y[:2]) + Moments.of(y[2:])
    assert frechet_distance(x, whole) == pytest.approx(frechet_distance(x, parts))


def test_kernel_distance_is_the_unbiased_sum() -> None:
    x, y = data(7, 6, 3)
    kernel = lambda a, b: (float(a @ b) / 3 + 1) ** 3
    inner = lambda z: sum(kernel(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j)
    cross = sum(kernel(a, b) for a in x for b in y)
    expected = inner(x) / 42 + inner(y) / 30 - 2 * cross / 42
    assert kernel_distance(x, y) == pytest.approx(expected, rel=1e-5)


def test_kernel_distance_of_one_law_is_zero_on_average() -> None:
    torch.manual_seed(0)
    values = torch.tensor([kernel_distance(torch.randn(30, 3), torch.randn(30, 3)) for _ in range(300)])
    assert abs(values.mean()) < 4 * values.std() / math.sqrt(300)


def test_mmd_by_its_definition() -> None:
    x, y = data(6, 5, 2)
    h = 0.7
    kernel = lambda a, b: math.exp(-float(((a - b) ** 2).sum()) / (2 * h**2))
    mean = lambda u, v: sum(kernel(a, b) for a in u for b in v) / (len(u) * len(v))
    assert mmd(x, y, h) == pytest.approx(mean(x, x) + mean(y, y) - 2 * mean(x, y), rel=1e-5)
    assert mmd(x, x) == pytest.approx(0, abs=1e-12)
    median = torch.pdist(x).median().item()
    assert mmd(x, y) == pytest.approx(mmd(x, y, median), rel=0.2)


def brute_force(x: torch.Tensor, y: torch.Tensor, k: int, strict: bool) -> tuple[float, float, float]:
    """Share of y in balls of x, mean number of balls over k, share of balls that hold a y."""
    inside = []
    for i, a in enumerate(x):
        others = sorted(float((a - b).norm()) for j, b in enumerate(x) if j != i)
        radius = others[k - 1]
        inside.append([(d < radius if strict else d <= radius) for d in (float((a - b).norm()) for b in y)])
    table = np.array(inside)
    return table.any(0).mean(), table.sum() / (k * len(y)), table.any(1).mean()


@pytest.mark.parametrize("chunk", [2**22, 70])
def test_neighbour_metrics_against_loops(chunk, monkeypatch) -> None:
    monkeypatch.setattr(neighbours, "CHUNK", chunk)
    x, y = data(40, 30, 3, 1.0)
    x, y = x.double(), y.double()
    found = precision_recall(x, y)
    assert found["precision"] == pytest.approx(brute_force(x, y, 3, False)[0])
    assert found["recall"] == pytest.approx(brute_force(y, x, 3, False)[0])
    found = density_coverage(x, y)
    _, density, coverage = brute_force(x, y, 5, True)
    assert found == pytest.approx({"density": density, "coverage": coverage})
    both, own = torch.cat([x, y]), [0] * 40 + [1] * 30
    right = 0
    for i, a in enumerate(both):
        distances = [(float((a - b).norm()), own[j]) for j, b in enumerate(both) if j != i]
        right += min(distances)[1] == own[i]
    assert nearest_neighbour_accuracy(x, y) == pytest.approx(right / 70)


def test_known_values_at_the_ends() -> None:
    x, far = torch.randn(50, 3), torch.randn(50, 3) + 100
    assert precision_recall(x, far) == {"precision": 0, "recall": 0}
    assert density_coverage(x, far) == {"density": 0, "coverage": 0}
    assert nearest_neighbour_accuracy(x, far) == 1
    assert precision_recall(x, x) == {"precision": 1, "recall": 1}
    torch.manual_seed(0)
    same = nearest_neighbour_accuracy(torch.randn(1000, 3), torch.randn(1000, 3))
    assert abs(same - 0.5) < 4 * 0.5 / math.sqrt(1000)


def test_order_does_not_matter() -> None:
    x, y = data()
    for metric in ALL:
        assert metric(x, y) == pytest.approx(metric(x[torch.randperm(60)], y[torch.randperm(50)])), metric.__name__


def test_refusals() -> None:
    x, y = data(10, 10, 3)
    bad = y.clone()
    bad[2, 1] = float("nan")
    for metric in ALL:
        with pytest.raises(ValueError, match="has NaN or infinity in 1 of 10 samples"):
            metric(x, bad)
        with pytest.raises(ValueError, match="real has 3 features and generated 2; use one feature map"):
            metric(x, y[:, :2])
        with pytest.raises(ValueError, match=r"sample"):
            metric(x, y[:1])
        with pytest.raises(ValueError, match=r"has shape \(10,\); give one row a sample"):
            metric(x, y[:, 0])


def test_feature_maps_and_their_hashes() -> None:
    mask = torch.tensor([[True, False], [True, True]])
    batch = {"x": torch.ones(2, 2, 3), "y": torch.arange(2)[:, None], "mask": mask, "condition": torch.ones(2, 1)}
    flat = FlattenFeatures()(batch)
    assert flat.shape == (2, 7)
    assert flat[0].tolist() == [1, 1, 1, 0, 0, 0, 0]
    assert FlattenFeatures(("x",), items=4)(batch).shape == (2, 12)
    assert FlattenFeatures().hash == FlattenFeatures().hash != FlattenFeatures(("x",)).hash
    first, second = nn.Linear(3, 2), nn.Linear(3, 2)

    class Mean(nn.Module):
        def __init__(self, layer: nn.Linear) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, batch):
            return self.layer(batch["x"].mean(1))

    maps = [NetworkFeatures(Mean(layer), "mean") for layer in (first, first, second)]
    assert maps[0].hash == maps[1].hash != maps[2].hash
    assert maps[0](batch).shape == (2, 2)


def test_report_names_what_measured_it() -> None:
    x, y = data()
    report = feature_metrics({"x": x}, {"x": y}, FlattenFeatures())
    assert (report.n_real, report.n_generated, report.feature_map) == (60, 50, "FlattenFeatures")
    assert report.hash == FlattenFeatures().hash
    assert report.values["frechet"] == frechet_distance(x, y)
    assert set(report.values) == {*BETTER, "nn_accuracy"}
