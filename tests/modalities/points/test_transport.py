"""Earth mover's distances against all permutations, a linear programme and sorted numbers; bounds against the same."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from modalities.points.procedural import shapes
from modalities.points.transport import emd, emd_bounds, pairwise_emd, subsets


def clouds(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_against_all_permutations() -> None:
    x, y = clouds(4, 5, 3), clouds(4, 5, 3, seed=1)
    for k in range(4):
        best = min(float((x[k] - y[k, list(order)]).norm(dim=1).mean()) for order in permutations(range(5)))
        assert float(emd(x, y)[k]) == pytest.approx(best)


def test_on_a_line_points_are_matched_in_order() -> None:
    x, y = clouds(1, 60, 3), clouds(1, 60, 3, seed=1)
    x[..., 1:], y[..., 1:] = 0, 0
    expected = (x[0, :, 0].sort().values - y[0, :, 0].sort().values).abs().mean()
    torch.testing.assert_close(emd(x, y)[0], expected)


def test_against_a_linear_programme() -> None:
    n, x, y = 12, clouds(1, 12, 3), clouds(1, 12, 3, seed=1)
    cost = torch.cdist(x, y)[0].numpy()
    rows = np.kron(np.eye(n), np.ones(n))
    columns = np.kron(np.ones(n), np.eye(n))
    found = linprog(cost.ravel(), A_eq=np.vstack([rows, columns]), b_eq=np.full(2 * n, 1 / n))
    assert float(emd(x, y)[0]) == pytest.approx(found.fun)


@pytest.mark.parametrize("iterations", [1, 10])
def test_bounds_hold_whatever_the_iterations_reach(iterations) -> None:
    surfaces = shapes(12).shapes
    for x, y in ((surfaces.sample(100)[:6], surfaces.sample(100)[6:]), (surfaces.sample(100), surfaces.sample(100, 1))):
        lower, upper = emd_bounds(x, y, iterations=iterations)
        exact = emd(x, y)
        assert (lower <= exact * (1 + 1e-5)).all()
        assert (upper >= exact * (1 - 1e-5)).all()


def test_the_errors_that_are_stated() -> None:
    surfaces = shapes(24, 7, ["chair"]).shapes
    x, y = surfaces.sample(128), surfaces.sample(128, 1)
    different = emd(x[:12], y[12:])
    lower, upper = emd_bounds(x[:12], y[12:])
    assert 0 <= float((1 - lower / different).mean()) < 0.01
    assert 0 <= float((upper / different - 1).mean()) < 0.05
    assert 0 <= float((1 - emd_bounds(x, y)[0] / emd(x, y)).mean()) < 0.02
    finer = emd_bounds(x[:12], y[12:], finest=0.002, levels=10, iterations=60)
    assert (finer[0] >= lower * (1 - 1e-4)).double().mean() > 0.9
    assert (finer[1] - finer[0]).mean() < (upper - lower).mean()


def test_coincident_points_are_at_no_distance() -> None:
    x = torch.zeros(1, 10, 3)
    lower, upper = emd_bounds(x, x)
    assert float(lower) == pytest.approx(0, abs=1e-6)
    assert float(upper) == pytest.approx(0, abs=1e-6)
    y = clouds(1, 50, 3)
    assert float(emd(y, y.flip(1))) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("method", ["exact", "dual"])
def test_all_pairs(method) -> None:
    a, b = clouds(4, 20, 3), clouds(3, 20, 3, seed=1) + 1
    one = emd if method == "exact" else lambda x, y: emd_bounds(x, y)[0]
    expected = torch.stack([torch.cat([one(x[None], y[None]) for y in b]) for x in a])
    torch.testing.assert_close(pairwise_emd(a, b, method), expected)
    own = pairwise_emd(a, None, method)
    assert own.diagonal().abs().max() == 0
    torch.testing.assert_close(own[0, 2], one(a[:1], a[2:3])[0])
    assert torch.equal(own, own.T)


def test_subsets_repeat_no_point() -> None:
    points = torch.arange(50).float()[None, :, None].expand(2, -1, 3)
    drawn = subsets(points, 20)[..., 0]
    assert all(len(row.unique()) == 20 for row in drawn)
    assert not torch.equal(drawn[0], drawn[1])
    with pytest.raises(ValueError, match="at most as many"):
        subsets(points, 51)


def test_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="as many points of both"):
        emd(torch.zeros(1, 3, 3), torch.zeros(1, 4, 3))
    with pytest.raises(ValueError, match="choose exact or dual"):
        pairwise_emd(torch.zeros(1, 3, 3), None, "fast")
