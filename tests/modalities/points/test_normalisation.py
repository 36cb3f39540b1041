"""Normalisation: what it promises of spheres, boxes and moments, and back."""

from __future__ import annotations

import pytest
import torch

from modalities.points.clouds import Clouds
from modalities.points.dataset import PointData
from modalities.points.normalisation import Normalisation
from modalities.points.procedural import shapes
from modalities.points.shape_set import ShapeSet


@pytest.fixture
def clouds() -> ShapeSet:
    generator = torch.Generator().manual_seed(0)
    return ShapeSet(Clouds.of([torch.randn(n, 4, generator=generator) * n + 3 for n in (20, 30, 40)]))


def test_spheres_and_boxes(clouds) -> None:
    sphere = PointData(clouds, Normalisation("sphere"), points=100).__getitems__(range(3))
    coordinates = sphere["x"][..., :3]
    torch.testing.assert_close(coordinates.norm(dim=2).amax(dim=1), torch.ones(3))
    assert (coordinates.sum(dim=1) / sphere["mask"].sum(dim=1, keepdim=True)).abs().max() < 1e-5
    box = PointData(clouds, Normalisation("box"), points=100).__getitems__(range(3))
    for cloud, mask in zip(box["x"][..., :3], box["mask"], strict=True):
        low, high = cloud[mask].amin(dim=0), cloud[mask].amax(dim=0)
        torch.testing.assert_close(low, -high)
        assert float(high.max()) == pytest.approx(1)


def test_a_data_set_has_mean_nought_and_variance_one(clouds) -> None:
    rule = Normalisation("dataset").fit(clouds.shapes.bounds())
    batch = PointData(clouds, rule, points=100).__getitems__(range(3))
    weights = (batch["mask"] / batch["mask"].sum(dim=1, keepdim=True)).unsqueeze(-1) / 3
    mean = (batch["x"][..., :3] * weights).sum(dim=(0, 1))
    assert mean.abs().max() < 1e-5
    assert float((batch["x"][..., :3].square() * weights).sum() / 3) == pytest.approx(1, abs=1e-5)


def test_surfaces_have_the_moments_of_their_points() -> None:
    found = shapes(60)
    rule = Normalisation("dataset").fit(found.shapes.bounds())
    x = PointData(found, rule, points=2000).__getitems__(range(60))["x"]
    assert x.mean(dim=(0, 1)).abs().max() < 0.02
    assert float(x.square().mean()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("kind", ["dataset", "sphere", "box", "none"])
def test_there_and_back(clouds, kind) -> None:
    data = PointData(clouds, Normalisation(kind).fit(clouds.shapes.bounds()), points=100)
    batch = data.__getitems__([2, 0])
    found = data.original(batch, [2, 0])
    torch.testing.assert_close(found[0], clouds.shapes.points[50:], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(batch["x"][0, :, 3], clouds.shapes.points[50:, 3])
    if kind == "dataset":
        again = Normalisation(kind)
        again.load_state(data.normalisation.state())
        torch.testing.assert_close(again.restore(batch["x"])[batch["mask"]], found[batch["mask"]])


def test_what_has_no_size() -> None:
    dot = ShapeSet(Clouds.of([torch.ones(4, 3)]))
    with pytest.raises(ValueError, match="one single point"):
        Normalisation("dataset").fit(dot.shapes.bounds())
    with pytest.raises(ValueError, match="shape 0 is one single point"):
        PointData(dot, Normalisation("box"))
    with pytest.raises(ValueError, match="choose dataset, sphere, box, none"):
        Normalisation("cube")
