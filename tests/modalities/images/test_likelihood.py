"""Pixel likelihoods: masses that sum to 1, agree with scipy and with what is drawn, and gradients without NaN."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch

from modalities.images.likelihood import (
    BernoulliPixels,
    LaplacePixels,
    NormalPixels,
    bits_per_dimension,
    edges,
    laplace_log_mass,
    log1mexp,
    logistic_log_mass,
    nearest_level,
    normal_log_mass,
    places,
)

KINDS = {"normal": NormalPixels, "laplace": LaplacePixels}
DENSITIES = {"normal": scipy.stats.norm, "laplace": scipy.stats.laplace, "logistic": scipy.stats.logistic}
MASSES = {"normal": normal_log_mass, "laplace": laplace_log_mass, "logistic": logistic_log_mass}


def all_levels(levels: int = 256) -> dict[str, torch.Tensor]:
    return {"x": torch.arange(levels).reshape(-1, 1, 1, 1)}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("location", [-1.5, -1.0, -0.3, 0.0, 0.99, 2.0])
@pytest.mark.parametrize("log_scale", [-7.0, -3.0, 0.0, 2.0])
def test_the_masses_of_all_levels_sum_to_one(name: str, location: float, log_scale: float) -> None:
    like = KINDS[name](torch.full((256, 1, 1, 1), location).double(), torch.tensor(log_scale).double())
    log_prob = like.log_prob(all_levels())
    assert float(torch.logsumexp(log_prob, 0)) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("name", KINDS)
def test_single_precision_is_enough(name: str) -> None:
    location = torch.linspace(-1.2, 1.2, 49)[None, :, None, None].expand(256, -1, 1, 1)
    for log_scale in (-7.0, -3.0, 0.0):
        like = KINDS[name](location, torch.tensor(log_scale))
        lower, upper = edges(all_levels()["x"].expand(-1, 49, 1, 1), 256, torch.float32)
        mass = like.log_mass((lower - location) * math.exp(-log_scale), (upper - location) * math.exp(-log_scale))
        assert mass.logsumexp(0).abs().max() < 1e-3


@pytest.mark.parametrize("name", MASSES)
def test_masses_are_differences_of_scipys_distribution_function(name: str) -> None:
    """Each edge pair is also turned round, where scipy's survival function keeps the digits that the other loses."""
    a = torch.tensor([-8.0, -3.0, -0.5, -1e-3, 0.0, 0.1, 2.0, 9.0]).double()
    for width in (1e-3, 0.5, 5.0):
        b, kind = a + width, DENSITIES[name]
        right = np.asarray(a) > 0
        expected = np.where(right, kind.sf(a) - kind.sf(b), kind.cdf(b) - kind.cdf(a))
        assert np.allclose(MASSES[name](a, b).exp(), expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", MASSES)
def test_far_tails_are_finite_with_finite_gradients(name: str) -> None:
    a = torch.tensor([-1e7, -1e7, -3e3, 40.0, 3e3, -5.0, -1e-6], requires_grad=True)
    b = torch.tensor([0.5, 1e7, -2.9e3, 41.0, 3.1e3, 1e7, 1e-6], requires_grad=True)
    MASSES[name](a, b).sum().backward()
    assert a.grad is not None and b.grad is not None
    assert a.grad.isfinite().all() and b.grad.isfinite().all()


@pytest.mark.parametrize("name", MASSES)
def test_gradients_are_those_of_the_formula(name: str) -> None:
    a = torch.tensor([-2.0, -0.4, 0.3, 1.5]).double().requires_grad_(True)
    b = (a.detach() + torch.tensor([0.1, 1.0, 0.01, 2.0]).double()).requires_grad_(True)
    assert torch.autograd.gradcheck(MASSES[name], (a, b))


def test_log1mexp_keeps_its_digits() -> None:
    x = torch.tensor([1e-10, 1e-4, 0.6, 0.8, 50.0]).double()
    expected = [math.log(-math.expm1(-value)) for value in x.tolist()]
    assert log1mexp(x).tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", KINDS)
def test_draws_have_the_masses(name: str) -> None:
    torch.manual_seed(0)
    location = torch.full((40_000, 1, 1, 1), 0.9)
    like = KINDS[name](location, torch.tensor(-2.5))
    counts = torch.bincount(like.sample()["x"].flatten().long(), minlength=256).double().numpy()
    one = KINDS[name](location[:256], torch.tensor(-2.5))
    expected = one.log_prob(all_levels()).exp().double().numpy() * counts.sum()
    busy = expected > 20
    statistic = ((counts - expected)[busy] ** 2 / expected[busy]).sum()
    assert statistic < scipy.stats.chi2(busy.sum()).ppf(1 - 1e-6)
    assert counts[255] > counts[200], "what lies beyond white is white"
    assert like.mode()["x"].unique().tolist() == [242] and like.mode()["x"].dtype == torch.uint8


def test_bernoulli_is_the_mean_over_binarisations() -> None:
    torch.manual_seed(0)
    logits = torch.randn(3, 1, 2, 2)
    x = torch.randint(256, (3, 1, 2, 2), dtype=torch.uint8)
    share = x.double() / 255
    both = [BernoulliPixels(logits.double()).log_prob({"x": torch.full_like(x, value)}) for value in (0, 255)]
    known = torch.distributions.Bernoulli(logits=logits.double())
    for value, found in enumerate(both):
        exact = known.log_prob(torch.full((3, 1, 2, 2), value).double()).flatten(1).sum(1)
        assert torch.allclose(found, exact, atol=1e-9)
    expected = (share * -torch.nn.functional.softplus(-logits.double())
                + (1 - share) * -torch.nn.functional.softplus(logits.double())).flatten(1).sum(1)
    assert torch.allclose(BernoulliPixels(logits.double()).log_prob({"x": x}), expected, atol=1e-9)


def test_bernoulli_draws_black_and_white() -> None:
    torch.manual_seed(0)
    logits = torch.full((1000, 1, 2, 2), 1.0)
    drawn = BernoulliPixels(logits).sample()["x"]
    assert drawn.dtype == torch.uint8 and drawn.unique().tolist() == [0, 255]
    chance = 1 / (1 + math.exp(-1))
    assert abs(float((drawn == 255).double().mean()) - chance) < 4 * math.sqrt(chance * (1 - chance) / 4000)
    assert BernoulliPixels(logits).mode()["x"].unique().tolist() == [255]
    assert BernoulliPixels(logits, binary=False).mode()["x"].unique().tolist() == [round(255 * chance)]


def test_levels_and_places_are_inverse() -> None:
    x = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(nearest_level(places(x)), x.float())
    assert places(torch.tensor([0, 255])).tolist() == [-1.0, 1.0]


def test_bits_per_dimension_of_uniform_pixels() -> None:
    assert bits_per_dimension(12 * math.log(256), 12) == pytest.approx(8.0)
