"""The floor of the rate holds whatever the weights, and keeps a decoder from ignoring the latents."""

from __future__ import annotations

import math

import pytest
import torch

from latentgen.objective import latent_statistics
from modalities.text.grammar import sentences
from modalities.text.modality import Text
from modalities.text.posterior import PosteriorLimits


@pytest.mark.parametrize("floor", [0.1, 0.5, 2.0])
def test_the_rate_is_never_below_the_floor(floor) -> None:
    torch.manual_seed(0)
    limits = PosteriorLimits(12, free_nats=floor).train()
    for scale, width in ((1e-2, 50.0), (1.0, 0.0), (100.0, -50.0), (3.0, 4.0)):
        q = limits(scale * torch.randn(256, 3, 4) + 7, torch.full((256, 3, 4), width))
        rate = float(q.kl_to_normal().mean()) / 12
        assert rate >= floor - 1e-4, (scale, width)
        assert float(q.std.max()) <= math.exp(-floor) + 1e-6
        assert float(q.std.min()) >= 0.02 - 1e-6
        if width == 50.0:  # widths at their bound: the floor is met
            assert rate == pytest.approx(floor, abs=1e-4)


def test_the_aggregate_keeps_unit_variance_at_the_bound() -> None:
    torch.manual_seed(0)
    limits = PosteriorLimits(12, free_nats=0.4).train()
    q = limits(torch.randn(512, 3, 4), torch.full((512, 3, 4), 50.0))
    assert torch.allclose(q.mean.var(0, unbiased=False) + (q.std**2).mean(0), torch.ones(3, 4), atol=1e-4)
    for _ in range(150):
        limits(2 * torch.randn(512, 3, 4) + 1, torch.zeros(512, 3, 4))
    limits.eval()
    q = limits(2 * torch.randn(5000, 3, 4) + 1, torch.zeros(5000, 3, 4))
    assert torch.allclose(q.mean.var(0), torch.full((3, 4), limits.spread**2), atol=0.06), "running statistics serve"


def test_without_a_floor_nothing_is_normalised() -> None:
    limits = PosteriorLimits(4)
    assert limits.state_dict() == {}
    q = limits(torch.full((1, 1, 4), 100.0), torch.full((1, 1, 4), 100.0))
    assert torch.allclose(q.mean, torch.full((1, 1, 4), 5.0))
    assert torch.allclose(q.std, torch.ones(1, 1, 4))


def collapsed(free_nats: float) -> tuple[float, float]:
    """KL a unit and active units of an autoregressive VAE after a few steps at a KL weight that kills latents."""
    torch.manual_seed(0)
    text = Text(
        data=sentences(200, 0), vocabulary=300, width=16, depth=1, heads=2, tokens=2, latent=4, length=40,
        decoder="autoregressive", free_nats=free_nats,
    )
    own, batch = text.autoencoder().train(), text.dataset("train").__getitems__(range(100))
    optimizer = torch.optim.AdamW([p for p in own.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(60):
        q = own.encode(batch)
        loss = (-own.decode(q.rsample()).log_prob(batch) + 10 * q.kl_to_normal()).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    q = own.encode(batch)
    return float(q.kl_to_normal().mean()) / 8, float(latent_statistics(q)["active_units"])


def test_a_floor_keeps_units_active_where_they_die_without() -> None:
    rate, active = collapsed(0.0)
    assert rate < 0.02
    assert active == 0
    rate, active = collapsed(0.3)
    assert 0.3 - 1e-4 <= rate < 0.5
    assert active == 4


@pytest.mark.parametrize(
    ("given", "message"),
    [({"min_std": 0.0}, "between 0 and 1"), ({"free_nats": -1.0}, "0 or more"), ({"free_nats": 4.0}, "less than")],
)
def test_arguments_are_checked(given, message) -> None:
    with pytest.raises(ValueError, match=message):
        PosteriorLimits(4, **given)
