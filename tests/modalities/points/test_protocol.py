"""Published figures against hand-made matrices, brute force, scipy, and distributions whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon

from latentgen.metrics import nearest_neighbour_accuracy as of_features
from modalities.points.protocol import (
    coverage,
    minimum_matching_distance,
    nearest_neighbour_accuracy,
    occupancy,
    occupancy_divergence,
    protocol_figures,
    standard_error,
)


def matrices(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.cdist(a, a), torch.cdist(a, b), torch.cdist(b, b)


def normal(count: int, seed: int, shift: float = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 4, generator=generator, dtype=torch.float64) + shift


def test_by_hand() -> None:
    """Generated at 0, 1, 10, real at 0.4, 11: nearest are 0.4 (other), 0.4 (other), 11 (other); 0 (other), 10."""
    a, b = torch.tensor([[0.0], [1], [10]]), torch.tensor([[0.4], [11]])
    within, cross, real = matrices(a, b)
    assert nearest_neighbour_accuracy(within, cross, real) == 0
    assert minimum_matching_distance(cross) == pytest.approx((0.4 + 1) / 2)
    assert coverage(cross) == 1
    assert coverage(cross[:2]) == 0.5


def test_against_brute_force() -> None:
    a, b = normal(30, 0), normal(40, 1, 0.3)
    both, own = torch.cat([a, b]), [0] * 30 + [1] * 40
    right = 0
    for k in range(70):
        others = [(float((both[k] - both[j]).norm()), own[j]) for j in range(70) if j != k]
        right += min(others)[1] == own[k]
    assert nearest_neighbour_accuracy(*matrices(a, b)) == right / 70
    assert nearest_neighbour_accuracy(*matrices(a, b)) == of_features(b, a)
    nearest = {min(range(40), key=lambda j, x=x: float((x - b[j]).norm())) for x in a}
    found = protocol_figures(*matrices(a, b))
    assert found["cov"] == len(nearest) / 40
    assert found["mmd"] == pytest.approx(np.mean([min(float((x - y).norm()) for x in a) for y in b]))


def test_known_truths_of_the_accuracy() -> None:
    same = nearest_neighbour_accuracy(*matrices(normal(1000, 0), normal(1000, 1)))
    # neighbours are dependent: twice the binomial error is allowed five times
    assert abs(same - 0.5) < 5 * 2 * standard_error(0.5, 1000, 1000)
    assert nearest_neighbour_accuracy(*matrices(normal(100, 0), normal(100, 1, 50))) == 1
    copies = normal(100, 0)
    assert nearest_neighbour_accuracy(*matrices(copies, copies)) == 0
    assert coverage(torch.cdist(copies, copies)) == 1
    one = copies[:1].expand(100, -1)
    assert coverage(torch.cdist(one, copies)) == 0.01


def test_ties_count_half() -> None:
    equal = torch.ones(2, 2) - torch.eye(2)
    assert nearest_neighbour_accuracy(equal, torch.ones(2, 2), equal) == 0.5


def test_occupancy_takes_the_nearest_node() -> None:
    x = torch.tensor([[[0.0, 0, 0], [0.24, 0, 0.26], [1, 1, 1], [9, 9, 9]]])
    found = occupancy(x, torch.zeros(3), 1.0, grid=3).reshape(3, 3, 3)
    assert (float(found[0, 0, 0]), float(found[0, 0, 1]), float(found[2, 2, 2])) == (0.25, 0.25, 0.5)
    mask = torch.tensor([[True, True, False, False]])
    assert float(occupancy(x, torch.zeros(3), 1.0, mask, 3).reshape(3, 3, 3)[0, 0, 0]) == 0.5


def test_divergence_against_scipy() -> None:
    a, b = torch.rand(20, 50, 3, generator=torch.Generator().manual_seed(0)), torch.rand(10, 80, 3) ** 2
    corner, edge = torch.zeros(3), 1.0
    p, q = (occupancy(x, corner, edge).numpy() for x in (a, b))
    expected = jensenshannon(p, q, base=2) ** 2
    assert occupancy_divergence(a, b, cube=(corner, edge)) == pytest.approx(expected)
    assert occupancy_divergence(a, a) == 0
    assert occupancy_divergence(a + 100, a, cube=(corner, 200.0)) == pytest.approx(1)


def test_divergence_knows_no_padding() -> None:
    x = torch.rand(4, 30, 3, generator=torch.Generator().manual_seed(0))
    padded, mask = torch.cat([x, torch.full((4, 5, 3), 7.0)], dim=1), torch.arange(35).expand(4, 35) < 30
    assert occupancy_divergence(padded, padded, mask, mask) == 0
    assert occupancy_divergence(padded, x[:2], mask) == occupancy_divergence(x, x[:2])


def test_what_does_not_fit() -> None:
    good = torch.zeros(3, 3)
    with pytest.raises(ValueError, match="give \\(2, 2\\)"):
        nearest_neighbour_accuracy(good, torch.zeros(2, 3), good)
    with pytest.raises(ValueError, match="at least 2 shapes"):
        nearest_neighbour_accuracy(torch.zeros(1, 1), torch.zeros(1, 3), good)
    with pytest.raises(ValueError, match="NaN or infinity"):
        coverage(torch.tensor([[math.nan]]))
