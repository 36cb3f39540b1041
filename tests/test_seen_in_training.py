"""What networks are shown in training: dropped conditions, earlier predictions, latents with less posterior noise."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from latentgen import VESDE, VPSDE, Chain, DenoisingGANPrior, Discriminate, Generate, IdentityAutoencoder, LatentSpec
from latentgen.denoiser import VelocityDenoiser
from latentgen.generator import Generator
from latentgen.prior import ScorePrior
from latentgen.process import Process

SEED = 0
NUMBER = LatentSpec((1,))


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(SEED)


class Recorder(nn.Module):
    """A network that keeps what it is given and answers with a constant.

    Args:
        answer: every number of the output.
        self_condition: whether it takes an earlier prediction.
    """

    style_dim = 4

    def __init__(self, answer: float = 0.0, self_condition: bool = False) -> None:
        super().__init__()
        self.answer, self.self_condition = answer, self_condition
        self.conditions: list[Tensor | None] = []
        self.previous: list[Tensor] = []
        self.gradients: list[bool] = []

    def forward(self, z, log_snr, mask=None, condition=None, previous=None, style=None) -> Tensor:
        self.conditions.append(condition)
        self.gradients.append(torch.is_grad_enabled())
        if previous is not None:
            self.previous.append(previous.detach().clone())
        return torch.full_like(z, self.answer)


def prior_of(network: nn.Module, process: Process, condition_dropout: float = 0.0) -> ScorePrior:
    return ScorePrior(LatentSpec((2,)), VelocityDenoiser(network, process), condition_dropout)


@pytest.mark.parametrize("share", [0.1, 0.25])
def test_the_stated_share_of_conditions_is_dropped_in_training(share: float) -> None:
    """A dropped row is NaN as a whole, and rows are dropped one by one: their number is binomial."""
    network, calls, rows = Recorder(), 100, 40
    prior = prior_of(network, VPSDE(), share).train()
    condition = torch.arange(rows * 3.0).reshape(rows, 3)
    for _ in range(calls):
        prior.cross_entropy(torch.randn(rows, 2), condition=condition)
    seen = torch.stack(network.conditions)
    dropped = seen.isnan()
    assert torch.equal(dropped.any(-1), dropped.all(-1))
    assert torch.equal(seen[~dropped], condition.expand_as(seen)[~dropped])
    n, counts = calls * rows, dropped.any(-1).sum(1).double()
    assert abs(counts.sum() / n - share) < 5 * math.sqrt(share * (1 - share) / n)
    variance = rows * share * (1 - share)
    # the excess kurtosis of a binomial of variance v is below 1 / v
    assert abs(counts.var() / variance - 1) < 5 * math.sqrt((2 + 1 / variance) / calls)
    assert not condition.isnan().any(), "the batch's own tensor stays as it is"


def test_no_condition_is_dropped_outside_of_training() -> None:
    network = Recorder()
    prior = prior_of(network, VPSDE(), 0.5).eval()
    prior.cross_entropy(torch.randn(50, 2), condition=torch.ones(50, 3), draws=4)
    assert len(network.conditions) == 4 and not torch.stack(network.conditions).isnan().any()


def test_every_other_training_call_is_given_an_earlier_prediction() -> None:
    """It is the mean of a first call at the same z_t, in units of latent_std, and that call takes no gradient."""
    process, calls = VESDE(1e-2, 100.0, latent_std=3.0), 400
    network = Recorder(answer=0.5, self_condition=True)
    prior = prior_of(network, process).train()
    given = 0
    for _ in range(calls):
        z_t, t = 3 * torch.randn(3, 2), torch.full((3,), 0.5)
        network.previous.clear()
        network.gradients.clear()
        prior.predict(z_t, t, None, None)
        *first, last = network.previous
        if first:
            given += 1
            sigma = process.sigma(t[0])
            eps = sigma / (9 + sigma**2) * z_t + 3 / (9 + sigma**2).sqrt() * 0.5
            assert torch.allclose(last, (z_t - sigma * eps) / 3, atol=1e-5)
            assert network.gradients == [False, True] and not first[0].any()
        else:
            assert not last.any() and network.gradients == [True]
    assert abs(given - calls / 2) < 5 * math.sqrt(calls / 4)


def test_no_earlier_prediction_is_made_outside_of_training_or_for_networks_that_take_none() -> None:
    z_t, t = torch.randn(3, 2), torch.full((3,), 0.5)
    for takes, training in ((True, False), (False, True)):
        network = Recorder(self_condition=takes)
        prior = prior_of(network, VPSDE()).train(training)
        for _ in range(30):
            prior.predict(z_t, t, None, None)
        assert len(network.gradients) == 30 and not any(value.any() for value in network.previous)


class Critic(nn.Module):
    """A discriminator that keeps the last pairs it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, z_s, z_t, log_snr, mask=None, condition=None) -> Tensor:
        self.pairs = z_s.detach(), z_t.detach(), log_snr
        return self.weight * z_s.flatten(1).sum(1)


def gan_prior(process: Process, latents: LatentSpec = NUMBER) -> tuple[DenoisingGANPrior, Recorder]:
    network = Recorder(self_condition=True)
    generator = Generator(network, Chain(process, steps=2, first=0.01), noise_dim=3, latents=latents)
    return DenoisingGANPrior(latents, generator), network


@pytest.mark.parametrize("noise", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("make", [Discriminate, Generate])
def test_latents_of_the_adversarial_game_have_the_stated_share_of_posterior_noise(
    make: Callable[..., nn.Module], noise: float
) -> None:
    """Data at 0 with q(z | x) = N(0, 2^2): z_k of the chain has the variance alpha^2 (2 rho)^2 + sigma^2."""
    prior, _ = gan_prior(VPSDE())
    critic = Critic()
    make(IdentityAutoencoder(std=2.0), prior, critic, posterior_noise=noise)({"x": torch.zeros(8000, 1)})
    z_s, z_t, log_snr = (value[:8000] for value in critic.pairs)  # a discriminator is shown real pairs, then fakes
    chain = prior.generator.chain
    one = chain.time(torch.tensor([1]))
    variance = float(chain.process.alpha(one) ** 2 * (2 * noise) ** 2 + chain.process.sigma2(one))
    early = torch.isclose(log_snr, chain.process.log_snr(one))
    found = z_t[early, 0]
    assert len(found) > 3000, "about half of the pairs are of the first step"
    assert abs(found.var() / variance - 1) < 5 * math.sqrt(2 / len(found))
    if make is Discriminate:
        assert abs(z_s[early].std() - 2 * noise) < 5 * 2 * noise / math.sqrt(2 * len(found)) + 1e-3, "z_0 itself"


@pytest.mark.parametrize("noise", [0.0, 0.5, 1.0])
def test_a_chain_is_matched_on_latents_of_the_same_posterior_noise(noise: float) -> None:
    prior, _ = gan_prior(VPSDE(), LatentSpec((4,)))
    objective = Generate(IdentityAutoencoder(std=2.0), prior, Critic(), posterior_noise=noise)
    blocks = []
    prior.match = blocks.extend
    objective.finish([{"x": torch.zeros(1000, 4)}] * 3)
    z = torch.cat([block.z_0 for block in blocks])
    assert z.shape == (2048, 4)
    assert abs(z.std() - 2 * noise) < 5 * 2 * noise / math.sqrt(2 * z.numel()) + 1e-6


@pytest.mark.parametrize("std", [1.0, 3.0])
def test_a_generator_corrects_a_candidate_of_unit_variance(std: float) -> None:
    """For normal latents of standard deviation s the candidate is a draw of z_0, and the network sees it over s."""
    prior, network = gan_prior(VESDE(1e-2, 400.0, latent_std=std, t_min=0.1))
    generator, n = prior.generator, 8000
    for step in (1, 2):
        t = generator.chain.time(torch.full((n,), step))
        z_t = generator.process.marginal(std * torch.randn(n, 1), t).rsample()
        z_0 = generator.generate(z_t, t, generator.draw_noise(z_t))
        seen = network.previous[-1]
        assert torch.allclose(std * seen, z_0, atol=1e-5), "a network of zeros leaves the candidate as it is"
        assert abs(seen.var() - 1) < 5 * math.sqrt(2 / n)
