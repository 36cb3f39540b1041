"""Densities, entropies and divergences against torch.distributions; masks against the items left out."""

import math

import pytest
import torch
from torch import distributions as reference

from latentgen.distributions import BernoulliLikelihood, DiagonalGaussian, NormalLikelihood, categorical_log_prob


@pytest.fixture
def q():
    torch.manual_seed(0)
    return DiagonalGaussian(torch.randn(4, 3, 2).double(), torch.rand(4, 3, 2).double() + 0.1)


def independent(mean, std):
    return reference.Independent(reference.Normal(mean, std), mean.dim() - 1)


def test_log_prob_and_entropy_of_the_diagonal_gaussian(q):
    z = torch.randn(4, 3, 2).double()
    assert torch.allclose(q.log_prob(z), independent(q.mean, q.std).log_prob(z))
    assert torch.allclose(q.entropy(), independent(q.mean, q.std).entropy())


@pytest.mark.parametrize("std", [1.0, 0.3, 50.0])
def test_kl_to_a_normal(q, std):
    target = independent(torch.zeros_like(q.mean), torch.full_like(q.std, std))
    assert torch.allclose(q.kl_to_normal(std), reference.kl_divergence(independent(q.mean, q.std), target))


def test_kl_of_the_normal_to_itself_is_zero():
    assert torch.equal(DiagonalGaussian(torch.zeros(2, 3), torch.ones(2, 3)).kl_to_normal(), torch.zeros(2))


def test_a_sample_is_mean_plus_std_times_noise_and_carries_the_gradient(q):
    mean, std = q.mean.clone().requires_grad_(), q.std.clone().requires_grad_()
    eps = torch.randn_like(mean)
    z = DiagonalGaussian(mean, std).rsample(eps)
    assert torch.equal(z, mean + std * eps)
    gradients = torch.autograd.grad(z.sum(), (mean, std))
    assert torch.equal(gradients[0], torch.ones_like(mean))
    assert torch.equal(gradients[1], eps)


def test_masked_items_count_nothing(q):
    mask = torch.tensor([[True, True, False]] * 4)
    masked = DiagonalGaussian(q.mean, q.std, mask)
    cut = DiagonalGaussian(q.mean[:, :2], q.std[:, :2])
    z = torch.randn(4, 3, 2).double()
    assert torch.allclose(masked.log_prob(z), cut.log_prob(z[:, :2]))
    assert torch.allclose(masked.entropy(), cut.entropy())
    assert torch.allclose(masked.kl_to_normal(2.0), cut.kl_to_normal(2.0))


def test_entropy_is_the_mean_negative_log_density():
    torch.manual_seed(0)
    q = DiagonalGaussian(torch.tensor([[1.0, -2.0]]).double(), torch.tensor([[0.5, 3.0]]).double())
    wide = DiagonalGaussian(q.mean.expand(20_000, 2), q.std.expand(20_000, 2))
    values = -wide.log_prob(wide.rsample())
    assert abs(values.mean() - q.entropy()) < 5 * values.std() / math.sqrt(20_000)


@pytest.mark.parametrize("std", [0.4, torch.tensor([0.4, 1.0, 2.0]).double()])
def test_normal_likelihood(std):
    torch.manual_seed(0)
    mean, x = torch.randn(2, 5, 3).double(), torch.randn(2, 5, 3).double()
    likelihood = NormalLikelihood(mean, std)
    spread = torch.as_tensor(std).double().expand_as(mean)
    assert torch.allclose(likelihood.log_prob({"x": x}), independent(mean, spread).log_prob(x))
    assert torch.equal(likelihood.mode()["x"], mean)


def test_normal_likelihood_draws_with_its_own_mean_and_std():
    torch.manual_seed(0)
    draws = NormalLikelihood(torch.full((20_000, 1), 3.0), 0.5, "y").sample()["y"]
    assert abs(draws.mean() - 3) < 5 * 0.5 / math.sqrt(20_000)
    assert abs(draws.std() - 0.5) < 5 * 0.5 / math.sqrt(40_000)


def test_bernoulli_likelihood():
    torch.manual_seed(0)
    logits, x = torch.randn(2, 4).double(), torch.bernoulli(torch.full((2, 4), 0.5)).double()
    likelihood = BernoulliLikelihood(logits)
    expected = reference.Independent(reference.Bernoulli(logits=logits), 1).log_prob(x)
    assert torch.allclose(likelihood.log_prob({"x": x}), expected)
    assert torch.allclose(likelihood.log_prob({"x": x.long()}), expected)
    assert torch.equal(likelihood.mode()["x"], (logits > 0).double())


def test_bernoulli_likelihood_draws_zeros_and_ones_at_its_rate():
    torch.manual_seed(0)
    draws = BernoulliLikelihood(torch.full((20_000, 1), -1.0)).sample()["x"]
    rate = 1 / (1 + math.e)
    assert set(draws.unique().tolist()) <= {0.0, 1.0}
    assert abs(draws.mean() - rate) < 5 * math.sqrt(rate * (1 - rate) / 20_000)


def test_categorical_log_prob():
    torch.manual_seed(0)
    logits, target = torch.randn(2, 3, 5), torch.randint(5, (2, 3))
    expected = reference.Categorical(logits=logits).log_prob(target)
    assert torch.allclose(categorical_log_prob(logits, target), expected)
    assert categorical_log_prob(logits.bfloat16(), target).dtype == torch.float32
    assert categorical_log_prob(logits.double(), target).dtype == torch.float64
