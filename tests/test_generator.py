"""A generator that has learned nothing yet is an exact sampler of normal latents, or a score prior's own sampler."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from latentgen import (
    VESDE,
    VPSDE,
    Chain,
    DenoisingGANPrior,
    Generator,
    LatentSpec,
    ScoreGANPrior,
    ScorePrior,
    Transformer,
    VectorNetwork,
    VelocityDenoiser,
)
from latentgen.adversarial_recipe import make_generator
from latentgen.noise import NoiseStream
from latentgen.testing import NormalDenoiser

SET = LatentSpec((6, 3), "set", masked=True)


def perturbed(generator: Generator) -> Generator:
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return generator.eval()


@pytest.mark.parametrize("process", [VPSDE(), VESDE(latent_std=1.5)], ids=["vp", "ve"])
@pytest.mark.parametrize("steps", [1, 2, 4, 8])
@pytest.mark.parametrize("spacing", ["time", "log_snr"])
def test_untrained_it_samples_normal_latents_exactly(process, steps, spacing) -> None:
    torch.manual_seed(0)
    spec, n = LatentSpec((3,)), 40_000
    prior = DenoisingGANPrior(spec, make_generator(spec, Chain(process, steps, spacing=spacing), 16, 1)).eval()
    z = prior.sample(n)
    s = process.latent_std
    assert (z.mean(0).abs() < 5 * s / math.sqrt(n)).all()
    # at t = 1 the chain holds a little of the data, which noise of the terminal standard deviation leaves out
    start = 1 - math.sqrt(1 + float(process.alpha(torch.ones(1))) ** 2 * s**2 / process.terminal_std**2) ** -1
    assert torch.allclose(z.T.cov(), s**2 * torch.eye(3), atol=s**2 * (6 / math.sqrt(n) + 2 * start))
    assert prior.generator.calls == steps


def test_samples_do_not_depend_on_batch_or_padding() -> None:
    torch.manual_seed(0)
    generator = perturbed(make_generator(SET, Chain(VPSDE(), 3), 32, 2))
    prior = DenoisingGANPrior(SET, generator).eval()
    counts = torch.tensor([2, 5, 3, 4])
    mask = torch.arange(6) < counts[:, None]
    together = prior.sample(4, mask, noise=NoiseStream(7, range(4), SET.shape))
    assert (together[~mask] == 0).all()
    for number, count in enumerate(counts.tolist()):
        own = torch.ones(1, count, dtype=torch.bool)
        alone = prior.sample(1, own, noise=NoiseStream(7, range(number, number + 1), SET.shape))
        assert torch.allclose(alone[0], together[number, :count], atol=1e-5)


def test_both_kinds_of_noise_matter_and_nothing_else_is_random() -> None:
    torch.manual_seed(0)
    spec = LatentSpec((4,))
    generator = perturbed(make_generator(spec, Chain(VPSDE(), 2), 32, 2))
    z, t = torch.randn(5, 4), torch.full((5,), 1.0)
    w = generator.draw_noise(z)
    first = generator.generate(z, t, w)
    assert torch.equal(first, generator.generate(z, t, w))
    assert not torch.allclose(first, generator.generate(z, t, w._replace(style=torch.randn_like(w.style))), atol=1e-3)
    assert not torch.allclose(first, generator.generate(z, t, w._replace(event=torch.randn_like(w.event))), atol=1e-3)
    assert generator.calls == 4


@pytest.mark.parametrize("process", [VPSDE(), VESDE(latent_std=2.0)], ids=["vp", "ve"])
def test_each_step_has_a_gate_of_its_own(process) -> None:
    """Untrained, z_0 given z_t is N(m, (g r)^2) with the gate g of that step: closed form of normal latents."""
    torch.manual_seed(0)
    chain, n, s = Chain(process, 4, spacing="log_snr"), 40_000, process.latent_std
    generator = make_generator(LatentSpec((1,)), chain, 16, 1)
    gates = torch.tensor([0.1, 0.7, 1.3, 2.0])
    with torch.no_grad():
        generator.gate.copy_(gates)
    for number in range(1, 5):
        t = chain.time(torch.full((n,), number))
        z_0 = generator.generate(torch.full((n, 1), 1.5), t, generator.draw_noise(torch.zeros(n, 1))).detach()
        alpha, sigma2 = float(chain.process.alpha(t[:1])), float(chain.process.sigma2(t[:1]))
        total = alpha**2 * s**2 + sigma2
        spread = float(gates[number - 1]) * math.sqrt(s**2 * sigma2 / total)
        assert abs(z_0.mean() - alpha * s**2 / total * 1.5) < 5 * spread / math.sqrt(n) + 1e-5
        assert abs(z_0.std() - spread) < 5 * spread / math.sqrt(2 * n) + 1e-5


def test_a_condition_counts_and_may_be_absent() -> None:
    torch.manual_seed(0)
    for spec in (LatentSpec((4,)), SET):
        generator = perturbed(make_generator(spec, Chain(VPSDE(), 2), 32, 2, condition_dim=3))
        prior, condition = DenoisingGANPrior(spec, generator).eval(), torch.randn(3, 3)

        def draw(given, prior=prior, spec=spec) -> torch.Tensor:
            return prior.sample(3, noise=NoiseStream(0, range(3), spec.shape), condition=given)

        free, first = draw(None), draw(condition)
        assert ((first - free).flatten(1).abs().amax(1) > 1e-3).all()
        condition[1, 2] = torch.nan
        assert torch.allclose(draw(condition), torch.stack([first[0], free[1], first[2]]), atol=1e-5)


def test_every_parameter_learns() -> None:
    torch.manual_seed(0)
    for spec in (LatentSpec((4,)), SET, LatentSpec((2, 4, 4), "grid")):
        generator = perturbed(make_generator(spec, Chain(VPSDE(), 2), 16, 1, 2)).train()
        z, t = torch.randn(6, *spec.shape), generator.chain.time(torch.tensor([1, 2, 1, 2, 1, 2]))
        generator.generate(z, t, generator.draw_noise(z)).square().sum().backward()
        dead = [name for name, p in generator.named_parameters() if p.grad is None or not p.grad.any()]
        assert dead == [], spec.layout
        assert generator.calls == 0, "training counts no function calls"


class PointMass(nn.Module):
    """The score network's optimum for latents that all sit at one place: the velocity view of E[z_0 | z_t] = place."""

    def __init__(self, place: float, process) -> None:
        super().__init__()
        self.place, self.process = place, process

    def forward(self, z, log_snr, mask=None, condition=None):
        t = self.process.time_of_log_snr(log_snr)
        alpha, sigma = (value[:, None] for value in (self.process.alpha(t), self.process.sigma(t)))
        z_t = z * (alpha**2 + sigma**2).sqrt()
        eps = (z_t - alpha * self.place) / sigma
        return (eps - sigma / (alpha**2 + sigma**2) * z_t) / (alpha * (alpha**2 + sigma**2).rsqrt())


def test_refined_it_starts_from_the_denoisers_mean() -> None:
    """With the exact denoiser of a point mass and no noise of its own, every step's z_0 is the point."""
    torch.manual_seed(0)
    spec, process = LatentSpec((2,)), VPSDE(t_min=1e-3)
    score = ScorePrior(spec, VelocityDenoiser(PointMass(0.7, process), process))
    chain = Chain(VPSDE(beta_max=15.0), 3, spacing="log_snr")
    gan = DenoisingGANPrior(spec, make_generator(spec, chain, 16, 1, gate=0.0))
    plain = gan.sample(100)
    both = ScoreGANPrior(score, gan, refine=True).eval()
    z = both.gan.sample(100)
    assert not torch.allclose(plain, torch.full_like(plain, 0.7), atol=0.1)
    assert torch.allclose(z, torch.full_like(z, 0.7), atol=2e-3)
    names = [name for name, _ in both.named_parameters() if "score" in name]
    assert not any(name.startswith("gan.generator._base") for name in names)
    assert both.gan.generator.calls == 3


@pytest.mark.parametrize("own", [VPSDE(beta_max=12.0), VESDE()], ids=["vp", "ve"])
@pytest.mark.parametrize("process", [VPSDE(t_min=1e-3), VESDE()], ids=["base vp", "base ve"])
def test_refined_means_are_right_across_processes(process, own) -> None:
    """z_t of one process is another one's at the same log-SNR, up to scale: E[z_0|z_t] of N(m, s^2) in closed form."""
    torch.manual_seed(0)
    mean, std = 0.7, 0.5
    generator = make_generator(LatentSpec((2,)), Chain(own, 4, spacing="log_snr"), 16, 1, gate=0.0)
    generator.refine(NormalDenoiser(process, mean, std))
    z, k = torch.randn(40, 2), 1 + torch.arange(40) % 3
    t = generator.chain.time(k)
    alpha, sigma2 = (value[:, None] for value in (generator.process.alpha(t), generator.process.sigma2(t)))
    exact = mean + alpha * std**2 / (alpha**2 * std**2 + sigma2) * (z - alpha * mean)
    assert torch.allclose(generator.generate(z, t, generator.draw_noise(z)), exact, atol=2e-4)


def test_the_refined_denoiser_learns_nothing_from_the_generator() -> None:
    torch.manual_seed(0)
    score = ScorePrior(SET, VelocityDenoiser(Transformer(SET, 16, 1, 2), VPSDE()))
    generator = make_generator(SET, Chain(VPSDE(), 2), 16, 1, 2)
    both = ScoreGANPrior(score, DenoisingGANPrior(SET, generator), refine=True)
    with torch.no_grad():
        for parameter in both.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    z, mask = torch.randn(3, 6, 3, requires_grad=True), torch.arange(6) < torch.tensor([2, 6, 4])[:, None]
    w = generator.draw_noise(z)
    clean = generator.generate(z, torch.full((3,), 1.0), w, mask)
    assert (clean[~mask] == 0).all()
    clean.square().sum().backward()
    assert all(parameter.grad is None for parameter in score.parameters())
    assert generator.gate.grad is not None
    with torch.no_grad():
        next(iter(score.parameters())).mul_(1.5)
    assert not torch.allclose(clean, generator.generate(z, torch.full((3,), 1.0), w, mask), atol=1e-4)


def test_as_a_denoiser_it_predicts_what_it_draws() -> None:
    torch.manual_seed(0)
    spec = LatentSpec((2,))
    generator = make_generator(spec, Chain(VPSDE(), 2), 16, 1).eval()
    z, t = torch.randn(20_000, 2), torch.full((20_000,), 0.5005)
    mean = generator(z, t).mean
    alpha = generator.process.alpha(t[:1])
    spread = generator.spread(t[:1])
    assert torch.allclose((mean - alpha * z).std(), spread, rtol=0.02)


def test_refusals() -> None:
    spec = LatentSpec((2,))
    with pytest.raises(ValueError, match="network is a VectorNetwork with style_dim=0"):
        Generator(VectorNetwork(spec, self_condition=True), Chain(VPSDE(), 2))
    with pytest.raises(ValueError, match="takes a style and a second input"):
        Generator(Transformer(SET, 16, 1, 2, style_dim=8), Chain(VPSDE(), 2))
