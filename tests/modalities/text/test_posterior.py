"""The floor of the rate holds whatever the weights, and keeps a decoder from ignoring the latents."""

from __future__ import annotations

import math

import pytest
import torch

from latentgen.objective import latent_statistics
from modalities.text.grammar import sentences
from modalities.text.modality import Text
from modalities.text.posterior import PosteriorLimits, UnitSpread


@pytest.mark.parametrize("floor", [0.1, 0.5, 2.0])
def test_the_rate_is_never_below_the_floor(floor) -> None:
    torch.manual_seed(0)
    for scale, width in ((1e-2, 50.0), (1.0, 0.0), (100.0, -50.0), (3.0, 4.0)):
        limits = PosteriorLimits(12, free_nats=floor).train()
        q = limits(scale * torch.randn(256, 3, 4) + 7, torch.full((256, 3, 4), width))
        rate = float(q.kl_to_normal().mean()) / 12
        assert rate >= floor - 1e-3, (scale, width)
        assert float(q.std.max()) <= math.exp(-floor) + 1e-6
        assert float(q.std.min()) >= 0.02 - 1e-6
        if width == 50.0:  # widths at their bound: the floor is met, and the aggregate has variance 1
            assert rate == pytest.approx(floor, abs=1e-3)
            total = q.mean.var(0, unbiased=False) + (q.std**2).mean(0)
            assert torch.allclose(total, torch.ones(3, 4), atol=1e-3)


def test_statistics_are_those_of_all_data() -> None:
    torch.manual_seed(0)
    spread = UnitSpread(2, 1.0, momentum=0.02).train()
    for place in range(400):  # batches of two kinds: the spread between them counts too
        spread(torch.randn(256, 2) + (3 if place % 2 else -3))
    assert torch.allclose(spread.mean, torch.zeros(2), atol=0.2)
    assert torch.allclose(spread.variance, torch.full((2,), 10.0), rtol=0.1)
    before = spread.mean.clone()
    with torch.no_grad():
        spread(torch.randn(8, 2))
    spread.eval()(torch.randn(8, 2))
    assert torch.equal(spread.mean, before), "they move with gradients alone"


def test_gradients_are_those_of_batch_normalisation() -> None:
    """At its own statistics a batch has the values of batch normalisation, whose gradient autograd gives."""
    torch.manual_seed(0)
    x = torch.randn(64, 3, dtype=torch.float64, requires_grad=True)
    towards = torch.randn(64, 3, dtype=torch.float64)
    spread = UnitSpread(3, 0.7).double().train()
    ours = torch.autograd.grad(((spread(x) - towards) ** 2).sum(), x)[0]
    normal = 0.7 * (x - x.mean(0)) / x.var(0, unbiased=False).sqrt()
    expected = torch.autograd.grad(((normal - towards) ** 2).sum(), x)[0]
    assert torch.allclose(ours, expected, atol=1e-8)


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
    own, batch = text.autoencoder().train(), text.dataset("train").__getitems__(range(64))
    optimizer = torch.optim.AdamW([p for p in own.parameters() if p.requires_grad], lr=5e-3)
    for step in range(100):
        optimizer.param_groups[0]["lr"] = 5e-3 * (1 - step / 100)
        q = own.encode(batch)
        loss = (-own.decode(q.rsample()).log_prob(batch) + 10 * q.kl_to_normal()).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    with torch.no_grad():
        q = own.eval().encode(batch)
        return float(q.kl_to_normal().mean()) / 8, float(latent_statistics(q)["active_units"])


def test_a_floor_keeps_units_active_where_they_die_without() -> None:
    rate, active = collapsed(0.0)
    assert rate < 0.02
    assert active == 0
    rate, active = collapsed(0.3)
    assert 0.8 * 0.3 <= rate < 0.5, "up to the lag of the statistics"
    assert active == 4


@pytest.mark.parametrize(
    ("given", "message"),
    [({"min_std": 0.0}, "between 0 and 1"), ({"free_nats": -1.0}, "0 or more"), ({"free_nats": 4.0}, "less than")],
)
def test_arguments_are_checked(given, message) -> None:
    with pytest.raises(ValueError, match=message):
        PosteriorLimits(4, **given)
