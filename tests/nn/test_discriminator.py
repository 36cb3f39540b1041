"""Discriminators judge each sample on its own, whatever the order and the padding of its items."""

from __future__ import annotations

import pytest
import torch

from latentgen import GridDiscriminator, LatentSpec, TokenDiscriminator
from latentgen.nn.discriminator import minibatch_std

VECTOR = LatentSpec((3,))
SET = LatentSpec((6, 3), "set", masked=True)
GRID = LatentSpec((3, 8, 6), "grid")
LINE, SOLID = LatentSpec((2, 9), "grid"), LatentSpec((2, 4, 5, 3), "grid")


def make(spec: LatentSpec, **given):
    if spec.layout == "grid":
        return GridDiscriminator(spec, 8, 2, **given)
    return TokenDiscriminator(spec, 16, 2, 2, **given)


def inputs(spec: LatentSpec, n: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(n, *spec.shape, requires_grad=True), torch.randn(n, *spec.shape), torch.linspace(-3, 3, n)


def influence(discriminator, spec: LatentSpec, **given) -> torch.Tensor:
    """Whether logit i depends on input j."""
    z_s, z_t, log_snr = inputs(spec)
    logit = discriminator(z_s, z_t, log_snr, **given)
    rows = [torch.autograd.grad(value, z_s, retain_graph=True)[0].flatten(1).abs().sum(1) > 0 for value in logit]
    return torch.stack(rows)


@pytest.mark.parametrize(
    "spec",
    [VECTOR, LatentSpec((4, 3), "sequence"), SET, LINE, GRID, SOLID],
    ids=["vector", "sequence", "set", "line", "grid", "solid"],
)
def test_samples_do_not_mix(spec) -> None:
    assert torch.equal(influence(make(spec), spec), torch.eye(4, dtype=torch.bool))
    assert torch.equal(influence(make(spec).eval(), spec), torch.eye(4, dtype=torch.bool))


def test_minibatch_statistics_mix_within_a_group_alone() -> None:
    found = influence(GridDiscriminator(GRID, 8, 2, group=2), GRID)
    # groups are strided, as samples i and i + 2 of 4
    expected = torch.eye(4, dtype=torch.bool) | torch.eye(4, dtype=torch.bool).roll(2, 0)
    assert torch.equal(found, expected)
    x = torch.randn(4, 5, 2, 2)
    pair = torch.stack([x[0], x[2]])
    expected_std = (pair.var(0, unbiased=False) + 1e-8).sqrt().mean()
    assert torch.allclose(minibatch_std(x, 2)[0], expected_std.expand(1, 2, 2))
    assert minibatch_std(torch.randn(3, 5, 2, 2), 2).shape == (3, 1, 2, 2)


def test_a_set_has_no_order_and_padding_counts_nothing() -> None:
    discriminator = TokenDiscriminator(SET, 16, 2, 2)
    z_s, z_t, log_snr = inputs(SET)
    mask = torch.arange(6) < torch.tensor([2, 6, 3, 5])[:, None]
    first = discriminator(z_s, z_t, log_snr, mask)
    order = torch.randperm(6)
    assert torch.allclose(first, discriminator(z_s[:, order], z_t[:, order], log_snr, mask[:, order]), atol=1e-5)
    other = torch.where(mask[..., None], z_s, 9.0)
    assert torch.allclose(first, discriminator(other, z_t, log_snr, mask), atol=1e-5)
    alone = discriminator(z_s[:1, :2], z_t[:1, :2], log_snr[:1], mask[:1, :2])
    assert torch.allclose(first[:1], alone, atol=1e-5)


def test_a_sequence_has_an_order_and_the_time_counts() -> None:
    spec = LatentSpec((5, 3), "sequence")
    discriminator = TokenDiscriminator(spec, 16, 2, 2)
    z_s, z_t, log_snr = inputs(spec)
    first = discriminator(z_s, z_t, log_snr)
    assert not torch.allclose(first, discriminator(z_s.flip(1), z_t.flip(1), log_snr), atol=1e-4)
    assert not torch.allclose(first, discriminator(z_s, z_t, log_snr + 1), atol=1e-4)
    assert not torch.allclose(first, discriminator(z_t, z_s, log_snr), atol=1e-4)


@pytest.mark.parametrize("spec", [SET, GRID], ids=["set", "grid"])
def test_conditions_count_and_rows_with_nan_are_rows_without(spec) -> None:
    discriminator = make(spec, condition_dim=2)
    z_s, z_t, log_snr = inputs(spec)
    free = discriminator(z_s, z_t, log_snr)
    a, b = (discriminator(z_s, z_t, log_snr, condition=torch.full((4, 2), value)) for value in (0.5, -0.5))
    zero = discriminator(z_s, z_t, log_snr, condition=torch.zeros(4, 2))
    assert ((a - b).abs() > 1e-5).all()
    assert ((zero - free).abs() > 1e-5).all()
    condition = torch.full((4, 2), 0.5)
    condition[1] = torch.nan
    condition[2, 0] = torch.nan
    partly = discriminator(z_s, z_t, log_snr, condition=condition)
    assert torch.allclose(partly, torch.stack([a[0], free[1], free[2], a[3]]), atol=1e-6)
    partly.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in discriminator.parameters())


@pytest.mark.parametrize(
    "spec", [VECTOR, LatentSpec((4, 3), "sequence"), SET, LINE, GRID], ids=["vector", "sequence", "set", "line", "grid"]
)
def test_every_parameter_learns(spec) -> None:
    discriminator = make(spec, condition_dim=2)
    mask = torch.arange(6) < torch.tensor([2, 6, 3, 5])[:, None] if spec.masked else None
    discriminator(*inputs(spec), mask, torch.randn(4, 2)).square().sum().backward()
    assert [name for name, p in discriminator.named_parameters() if p.grad is None or not p.grad.any()] == []


SMALL_SET = LatentSpec((3, 2), "set", masked=True)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (SMALL_SET, "blocks.0.mlp.0.weight"),
        (SMALL_SET, "blocks.1.attention.qkv.weight"),
        (LatentSpec((1, 3), "grid"), "blocks.0.first.weight"),
        (LatentSpec((1, 3, 3), "grid"), "stem.weight"),
    ],
    ids=["mlp", "attention", "line", "grid"],
)
def test_the_gradient_of_the_penalty_is_that_of_finite_differences(spec, name) -> None:
    """What R1 sends to z_s and to the weights: second derivatives, with masks."""
    torch.manual_seed(0)
    discriminator = make(spec).double()
    z_t, log_snr = torch.randn(2, *spec.shape).double(), torch.tensor([-1.0, 2.0]).double()
    mask = torch.tensor([[True, True, False], [True, True, True]]) if spec.masked else None

    def penalty(z_s: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        logit = torch.func.functional_call(discriminator, {name: weight}, (z_s, z_t, log_snr, mask))
        (gradient,) = torch.autograd.grad(logit.sum(), z_s, create_graph=True)
        assert mask is None or (gradient[~mask] == 0).all()
        return gradient.square().sum()

    points = [torch.randn_like(z_t).requires_grad_(), dict(discriminator.named_parameters())[name]]
    gradients = torch.autograd.grad(penalty(*points), points)
    for number, gradient in enumerate(gradients):
        direction, step = torch.randn_like(gradient), 1e-5
        sides = []
        for sign in (1, -1):
            moved = [point.detach().clone().requires_grad_() for point in points]
            moved[number] = (points[number].detach() + sign * step * direction).requires_grad_()
            sides.append(penalty(*moved).item())
        expected = (gradient * direction).sum().item()
        assert (sides[0] - sides[1]) / (2 * step) == pytest.approx(expected, rel=1e-5, abs=1e-9)
        # convolutions with leaky ReLUs are piecewise linear in z_s: nothing to test there but that it is so
        assert (expected == 0) == (number == 0 and spec.layout == "grid")


def test_refusals() -> None:
    with pytest.raises(ValueError, match="TokenDiscriminator takes the others, use GridDiscriminator"):
        TokenDiscriminator(GRID)
    for spec in (SET, VECTOR, LatentSpec((1, 2, 2, 2, 2), "grid")):
        with pytest.raises(ValueError, match=r"GridDiscriminator takes a grid \(C, \*S\) of at most 3 spatial axes"):
            GridDiscriminator(spec)
