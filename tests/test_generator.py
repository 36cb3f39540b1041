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
