"""Networks for vectors: waves by their formula, zero at the start, conditions that can be absent."""

from __future__ import annotations

import math

import pytest
import torch

from latentgen import LatentSpec, VectorDiscriminator, VectorNetwork
from latentgen.nn.vector import Waves

SPEC = LatentSpec((3,))


def test_waves_are_sines_and_cosines_at_halving_periods() -> None:
    z = torch.randn(4, 2)
    found = Waves(2, 3)(z)
    assert found.shape == (4, 14)
    for j in range(2):
        for octave, period in enumerate((4.0, 2.0, 1.0)):
            angle = 2 * math.pi / period * z[:, j]
            assert torch.allclose(found[:, 2 + 3 * j + octave], angle.sin(), atol=1e-5)
            assert torch.allclose(found[:, 8 + 3 * j + octave], angle.cos(), atol=1e-5)


def test_it_starts_at_zero_and_then_uses_every_input() -> None:
    torch.manual_seed(0)
    network = VectorNetwork(SPEC, 16, 1, condition_dim=2, style_dim=4, self_condition=True)
    z, other, style, condition = torch.randn(5, 3), torch.randn(5, 3), torch.randn(5, 4), torch.randn(5, 2)
    log_snr = torch.zeros(5)
    assert (network(z, log_snr, None, condition, other, style) == 0).all()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    first = network(z, log_snr, None, condition, other, style)
    for changed in (
        network(z + 0.1, log_snr, None, condition, other, style),
        network(z, log_snr + 1, None, condition, other, style),
        network(z, log_snr, None, condition + 1, other, style),
        network(z, log_snr, None, None, other, style),
        network(z, log_snr, None, condition, other + 0.1, style),
        network(z, log_snr, None, condition, other, style + 1),
    ):
        assert not torch.allclose(first, changed, atol=1e-4)
    nan = torch.full_like(condition, float("nan"))
    assert torch.equal(network(z, log_snr, None, nan, other, style), network(z, log_snr, None, None, other, style))


def test_the_discriminator_judges_each_sample_on_its_own() -> None:
    torch.manual_seed(0)
    discriminator = VectorDiscriminator(SPEC, 16, 2, condition_dim=2)
    z_s, z_t, log_snr = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3), torch.zeros(4)
    logit = discriminator(z_s, z_t, log_snr, condition=torch.randn(4, 2))
    rows = [torch.autograd.grad(value, z_s, retain_graph=True)[0].abs().sum(1) > 0 for value in logit]
    assert torch.equal(torch.stack(rows), torch.eye(4, dtype=torch.bool))


def test_the_discriminator_uses_every_input_and_knows_what_is_absent() -> None:
    torch.manual_seed(0)
    discriminator = VectorDiscriminator(SPEC, 16, 2, condition_dim=2)
    z_s, z_t, log_snr, condition = torch.randn(4, 3), torch.randn(4, 3), torch.zeros(4), torch.randn(4, 2)
    first = discriminator(z_s, z_t, log_snr, None, condition)
    free = discriminator(z_s, z_t, log_snr)
    for changed in (
        discriminator(z_s + 0.1, z_t, log_snr, None, condition),
        discriminator(z_s, z_t + 0.1, log_snr, None, condition),
        discriminator(z_t, z_s, log_snr, None, condition),
        discriminator(z_s, z_t, log_snr + 1, None, condition),
        discriminator(z_s, z_t, log_snr, None, condition + 1),
        free,
    ):
        assert ((first - changed).abs() > 1e-5).all()
    condition[1, 0] = torch.nan
    partly = discriminator(z_s, z_t, log_snr, None, condition)
    assert torch.allclose(partly, torch.stack([first[0], free[1], first[2], first[3]]), atol=1e-6)
    zero = discriminator(z_s, z_t, log_snr, None, torch.zeros(4, 2))
    assert ((zero - free).abs() > 1e-5).all()


def test_refusals() -> None:
    grid = LatentSpec((2, 4, 4), "grid")
    for kind in (VectorNetwork, VectorDiscriminator):
        with pytest.raises(ValueError, match=f"latents has layout 'grid'; {kind.__name__} takes a vector"):
            kind(grid)
