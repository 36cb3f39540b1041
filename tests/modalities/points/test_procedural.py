"""Procedural shapes: functions of number and seed, of every kind, all different."""

from __future__ import annotations

import pytest
import torch

from modalities.points.chamfer import chamfer, pairwise_chamfer
from modalities.points.procedural import KINDS, shapes


def test_a_shape_depends_on_its_number_and_the_seed_alone() -> None:
    few, many, other = shapes(6, 3), shapes(30, 3), shapes(6, 4)
    assert torch.equal(few.shapes.sample(64), many.chosen(range(6)).shapes.sample(64))
    assert few.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert few.names == KINDS
    assert not torch.equal(few.shapes.areas, other.shapes.areas)


def test_a_new_sampling_is_nearer_than_another_shape() -> None:
    chairs = shapes(40, 0, ["chair"])
    first, second = chairs.shapes.sample(512, 0), chairs.shapes.sample(512, 1)
    distance = pairwise_chamfer(first, second)
    same, others = distance.diagonal(), distance + torch.eye(40) * 1e3
    assert (same < others.amin(dim=1)).all()
    torch.testing.assert_close(same, chamfer(first, second), atol=1e-5, rtol=1e-3)


def test_furniture_stands_on_the_floor_and_has_a_size() -> None:
    bounds = shapes(300, 1).shapes.bounds()
    assert bounds.low[:, 2].min() > -0.05
    assert bounds.low[:, 2].max() < 0.03
    tall = bounds.high[:, 2]
    assert 0.3 < float(tall.min()) < float(tall.max()) < 2
    # no kind of shape leans or sits to one side: y is symmetric
    assert bounds.mean[:, 1].abs().max() < 0.06


def test_kinds_differ() -> None:
    """The nearest other shape is mostly of the same kind."""
    found = shapes(90, 2)
    points = found.shapes.sample(256)
    points = points - points.mean(dim=1, keepdim=True)
    nearest = (pairwise_chamfer(points) + torch.eye(90) * 1e3).argmin(dim=1)
    assert (found.labels[nearest] == found.labels).double().mean() > 0.85


@pytest.mark.parametrize("kinds", [["sofa"], [], ["chair", "chair"]])
def test_unknown_kinds(kinds) -> None:
    with pytest.raises(ValueError, match="give different ones of chair, table, lamp"):
        shapes(3, 0, kinds)
    with pytest.raises(ValueError, match="at least one shape"):
        shapes(0)
