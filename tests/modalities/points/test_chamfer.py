"""Chamfer distances against the full matrix of distances: values, gradients, masks, pairs."""

from __future__ import annotations

import pytest
import torch

from modalities.points import chamfer as module
from modalities.points.chamfer import chamfer, nearest, pairwise_chamfer


def brute(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Of two clouds [N, D] and [M, D], by broadcasting."""
    distance = (x[:, None] - y[None]).square().sum(dim=2)
    return distance.amin(dim=1).mean() + distance.amin(dim=0).mean()


def clouds(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_by_hand() -> None:
    x = torch.tensor([[[0.0, 0, 0], [3, 0, 0]]])
    y = torch.tensor([[[1.0, 0, 0]]])
    assert chamfer(x, y).item() == pytest.approx((1 + 4) / 2 + 1)
    assert chamfer(x, x).item() == 0


@pytest.mark.parametrize("entries", [64, 10**6])
def test_value_and_gradient_are_those_of_brute_force(monkeypatch, entries) -> None:
    monkeypatch.setitem(module.SEARCH_ENTRIES, "cpu", entries)
    x, y = clouds(3, 40, 3).requires_grad_(), clouds(3, 31, 3, seed=1).requires_grad_()
    weights = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    expected = torch.stack([brute(a, b) for a, b in zip(x, y, strict=True)])
    wanted = torch.autograd.grad((weights * expected).sum(), [x, y])
    found = chamfer(x, y)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad((weights * found).sum(), [x, y]), wanted)


def test_gradcheck() -> None:
    x, y = clouds(2, 6, 2).requires_grad_(), clouds(2, 5, 2, seed=1).requires_grad_()
    mask = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    assert torch.autograd.gradcheck(lambda a, b: chamfer(a, b, mask), (x, y))


@pytest.mark.parametrize("padding", [0.0, 1e3, float("nan")])
def test_padding_has_no_part(padding) -> None:
    x, y = clouds(2, 9, 3), clouds(2, 7, 3, seed=1)
    mask_x, mask_y = torch.ones(2, 9, dtype=torch.bool), torch.ones(2, 7, dtype=torch.bool)
    mask_x[0, 4:], mask_y[1, [0, 3]] = False, False
    expected = torch.stack([brute(a[m], b[n]) for a, m, b, n in zip(x, mask_x, y, mask_y, strict=True)])
    x[~mask_x], y[~mask_y] = padding, padding
    torch.testing.assert_close(chamfer(x, y, mask_x, mask_y), expected)
    whole = torch.stack([torch.stack([brute(a[m], b[n]) for b, n in zip(y, mask_y, strict=True)])
                         for a, m in zip(x, mask_x, strict=True)])
    torch.testing.assert_close(pairwise_chamfer(x, y, mask_x, mask_y), whole)


def test_single_precision_far_from_the_origin() -> None:
    """Without centring, the products of coordinates near 1,000 leave no digits for distances below 1."""
    x, y = clouds(1, 200, 3).float() + 1000, clouds(1, 200, 3, seed=1).float() + 1000
    exact = (x[:, :, None].double() - y[:, None].double()).square().sum(dim=3)
    chosen = exact.gather(2, nearest(x, y).unsqueeze(2)).squeeze(2)
    torch.testing.assert_close(chosen, exact.amin(dim=2), atol=1e-4, rtol=0)
    torch.testing.assert_close(pairwise_chamfer(x, y)[0, 0].double(), brute(x[0].double(), y[0].double()),
                               atol=1e-5, rtol=0)


@pytest.mark.parametrize("entries", [1, 200, 10**6])
def test_all_pairs(monkeypatch, entries) -> None:
    monkeypatch.setitem(module.PAIR_ENTRIES, "cpu", entries)
    a, b = clouds(5, 12, 3), clouds(4, 9, 3, seed=1)
    expected = torch.stack([torch.stack([brute(x, y) for y in b]) for x in a])
    torch.testing.assert_close(pairwise_chamfer(a, b), expected)
    own = pairwise_chamfer(a)
    torch.testing.assert_close(own, torch.stack([torch.stack([brute(x, y) for y in a]) for x in a]), atol=1e-12, rtol=0)
    assert torch.equal(own, own.T)


def test_half_precision_and_autocast_search_in_single() -> None:
    x, y = clouds(2, 64, 3).float(), clouds(2, 64, 3, seed=1).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(nearest(x, y), nearest(x.double(), y.double()))


@pytest.mark.parametrize(
    ("x", "y", "mask", "message"),
    [
        (torch.zeros(2, 3), torch.zeros(2, 3), None, "give \\[B, N, D\\]"),
        (torch.zeros(2, 3, 3), torch.zeros(1, 3, 3), None, "as many of both"),
        (torch.zeros(2, 3, 3), torch.zeros(2, 0, 3), None, "at least one point"),
        (torch.zeros(2, 3, 3), torch.zeros(2, 3, 3), torch.ones(2, 3), "give truth values"),
    ],
)
def test_what_does_not_fit(x, y, mask, message) -> None:
    with pytest.raises(ValueError, match=message):
        chamfer(x, y, mask)
