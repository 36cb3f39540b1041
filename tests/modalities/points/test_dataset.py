"""Points as a data set: functions of numbers, masks, normalisation and its inverse."""

from __future__ import annotations

import pytest
import torch

from modalities.points.clouds import Clouds
from modalities.points.dataset import PointData, masks
from modalities.points.normalisation import Normalisation
from modalities.points.procedural import shapes
from modalities.points.shape_set import ShapeSet


def pools(*sizes: int, width: int = 3) -> ShapeSet:
    generator = torch.Generator().manual_seed(0)
    return ShapeSet(Clouds.of([torch.randn(size, width, generator=generator) * 3 + 5 for size in sizes]))


def test_an_example_is_a_function_of_its_number() -> None:
    found = shapes(6)
    data = PointData(found, Normalisation().fit(found.shapes.bounds()), points=32, redraws=4)
    again = PointData(found, Normalisation().fit(found.shapes.bounds()), points=32, redraws=4)
    batch = data.__getitems__([1, 7, 13])
    assert len(data) == 24
    assert torch.equal(batch["x"][1], again[7]["x"])
    assert batch["label"].tolist() == [1, 1, 1]
    assert not torch.equal(batch["x"][0], batch["x"][1])
    assert torch.equal(data[-1]["x"], data[23]["x"])
    with pytest.raises(IndexError, match="24 sets"):
        data[24]


def test_sets_of_all_sizes() -> None:
    data = PointData(pools(3, 10, 50, width=5), Normalisation("none"), points=20)
    batch = data.__getitems__([0, 1, 2])
    assert batch["x"].shape == (3, 20, 5)
    assert batch["mask"].sum(dim=1).tolist() == [3, 10, 20]
    assert (batch["x"][~batch["mask"]] == 0).all()
    assert data.__getitems__([0, 1])["x"].shape == (2, 10, 5)
    assert torch.equal(batch["x"][1, :10], data.shapes.shapes.points[3:13])
    assert data.size_shares()[[3, 10, 20]].tolist() == pytest.approx([1 / 3] * 3)


def test_drawn_sizes_are_uniform() -> None:
    data = PointData(pools(50, 50), Normalisation("none"), points=8, least=5, redraws=500)
    counts = data.__getitems__(range(1000))["mask"].sum(dim=1)
    shares = torch.bincount(counts, minlength=9).double() / 1000
    torch.testing.assert_close(data.size_shares()[5:], torch.full((4,), 0.25, dtype=torch.float64))
    assert (shares[5:] - 0.25).abs().max() < 5 * (0.25 * 0.75 / 1000) ** 0.5
    assert shares[:5].sum() == 0


def test_masks_follow_the_shares() -> None:
    shares = torch.tensor([0.0, 0.25, 0, 0.75], dtype=torch.float64)
    u = (torch.arange(1000) + 0.5) / 1000
    assert torch.bincount(masks(u, shares).sum(dim=1)).tolist() == [0, 250, 0, 750]
    assert masks(torch.tensor([0.9999999]), shares).tolist() == [[True, True, True]]


def test_conditions_need_labels() -> None:
    found = shapes(6)
    batch = PointData(found, Normalisation("none"), points=4, classes=3).__getitems__([2, 3])
    assert batch["condition"].tolist() == [[0, 0, 1], [1, 0, 0]]
    with pytest.raises(ValueError, match="have no labels"):
        PointData(pools(3), Normalisation("none"), classes=2)
    with pytest.raises(ValueError, match="1 <= least <= points"):
        PointData(pools(3), Normalisation("none"), points=4, least=5)
