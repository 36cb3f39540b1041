"""Discriminators judge each sample on its own, whatever the order and the padding of its items."""

from __future__ import annotations

import pytest
import torch

from latentgen import GridDiscriminator, LatentSpec, TokenDiscriminator
from latentgen.nn.discriminator import minibatch_std

SET = LatentSpec((6, 3), "set", masked=True)
GRID = LatentSpec((3, 8, 6), "grid")


def inputs(spec: LatentSpec, n: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(n, *spec.shape, requires_grad=True), torch.randn(n, *spec.shape), torch.linspace(-3, 3, n)


def influence(discriminator, spec: LatentSpec, **given) -> torch.Tensor:
    """Whether logit i depends on input j."""
    z_s, z_t, log_snr = inputs(spec)
    logit = discriminator(z_s, z_t, log_snr, **given)
    rows = [torch.autograd.grad(value, z_s, retain_graph=True)[0].flatten(1).abs().sum(1) > 0 for value in logit]
    return torch.stack(rows)


@pytest.mark.parametrize("spec", [LatentSpec((4, 3), "sequence"), SET, GRID], ids=["sequence", "set", "grid"])
def test_samples_do_not_mix(spec) -> None:
    made = GridDiscriminator(spec, 8, 2) if spec.layout == "grid" else TokenDiscriminator(spec, 16, 2, 2)
    assert torch.equal(influence(made, spec), torch.eye(4, dtype=torch.bool))


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
def test_conditions_count(spec) -> None:
    kind = GridDiscriminator if spec.layout == "grid" else TokenDiscriminator
    discriminator = kind(spec, 16, 1, condition_dim=2)
    z_s, z_t, log_snr = inputs(spec)
    a, b = (discriminator(z_s, z_t, log_snr, condition=torch.full((4, 2), value)) for value in (0.5, -0.5))
    assert not torch.allclose(a, b, atol=1e-4)
    absent = discriminator(z_s, z_t, log_snr, condition=torch.full((4, 2), float("nan")))
    assert absent.isfinite().all()


def test_refusals() -> None:
    with pytest.raises(ValueError, match="TokenDiscriminator takes the others, use GridDiscriminator"):
        TokenDiscriminator(GRID)
    with pytest.raises(ValueError, match=r"GridDiscriminator takes a grid \(C, H, W\)"):
        GridDiscriminator(SET)
