"""A chain that drifts is brought back to the moments that it must have."""

from __future__ import annotations

import math

import pytest
import torch

from latentgen import VESDE, VPSDE, Chain, DenoisingGANPrior, Generator, LatentSpec, MomentMatching, VectorNetwork
from latentgen.adversarial_recipe import make_generator
from latentgen.gan_prior import LatentBlock
from latentgen.noise import NoiseStream
from latentgen.sampler import GANSampler
from latentgen.testing import NormalDenoiser

N = 20_000


def states_of(prior: DenoisingGANPrior, n: int, mask: torch.Tensor | None = None) -> dict[int, torch.Tensor]:
    """z_k by k of fresh chains: what every step of the sampler starts from, and the samples as 0."""
    found, generate = {}, prior.generator.generate

    def watched(z_t, t, *args):
        found[int((torch.tensor(prior.generator.chain.times) - t[0]).abs().argmin())] = z_t
        return generate(z_t, t, *args)

    prior.generator.generate = watched
    found[0] = prior.sample(n, mask, GANSampler())
    del prior.generator.generate
    return found


def off_centre(n: int) -> torch.Tensor:
    """Latents far from N(0, I), mixtures and correlated numbers among them."""
    one = torch.where(torch.rand(n) < 0.3, 1.5, -0.6) + 0.2 * torch.randn(n)
    return torch.stack([one, 0.5 * one + 0.4 * torch.randn(n) + 0.7], dim=1)


@pytest.mark.parametrize("process", [VPSDE(), VESDE(latent_std=1.2)], ids=["vp", "ve"])
@pytest.mark.parametrize("gate", [0.3, 1.0])
def test_every_state_of_the_chain_gets_the_mean_and_variance_of_the_noised_data(process, gate) -> None:
    torch.manual_seed(0)
    spec = LatentSpec((2,))
    prior = DenoisingGANPrior(spec, make_generator(spec, Chain(process, 4, spacing="log_snr"), 16, 1, gate=gate)).eval()
    z_0 = off_centre(N)
    before = states_of(prior, N)
    prior.match([LatentBlock(z_0[: N // 2]), LatentBlock(z_0[N // 2 :])])
    after, chain = states_of(prior, N), prior.generator.chain
    errors = []
    for k in range(1, 4):
        t = chain.time(torch.tensor([k]))
        alpha, sigma2 = chain.process.alpha(t), chain.process.sigma2(t)
        mean, variance = alpha * z_0.mean(0), alpha**2 * z_0.var(0) + sigma2
        unit = variance.sqrt() / math.sqrt(N)
        # two independent sets: that of the measurement and that of the check
        assert ((after[k].mean(0) - mean).abs() < 6 * unit).all(), k
        assert torch.allclose(after[k].var(0), variance, rtol=8 * math.sqrt(2 / N)), k
        errors.append(float(((before[k].mean(0) - mean) / unit).detach().abs().max()))
    assert max(errors) > 30, "the chain was right before"


def test_an_exact_chain_is_left_alone() -> None:
    """Of normal latents, with the exact denoiser's mean and all of the posterior's spread."""
    torch.manual_seed(0)
    spec, mean, std = LatentSpec((3,)), 0.4, 1.0
    generator = make_generator(spec, Chain(VPSDE(), 4, spacing="log_snr"), 16, 1)
    generator.refine(NormalDenoiser(VPSDE(t_min=1e-3), mean, std))
    prior = DenoisingGANPrior(spec, generator).eval()
    prior.match([LatentBlock(mean + std * torch.randn(N, 3))])
    # at the last time the posterior's spread is nearly all of it; the draw's part of z_{k-1} shrinks with k there
    assert torch.allclose(generator.matching.scale, torch.ones(4, 3), atol=0.06)
    assert (generator.matching.shift.abs() < 0.06).all()


def test_the_last_step_is_as_it_was_learned() -> None:
    torch.manual_seed(0)
    spec = LatentSpec((2,))
    prior = DenoisingGANPrior(spec, make_generator(spec, Chain(VPSDE(), 3), 16, 1, gate=0.3)).eval()
    prior.match([LatentBlock(off_centre(500))])
    matching = prior.generator.matching
    assert torch.equal(matching.scale[0], torch.ones(2)) and torch.equal(matching.shift[0], torch.zeros(2))
    assert not torch.allclose(matching.scale[1:], torch.ones(2, 2), atol=0.02)


def test_items_of_a_set_share_their_moments_and_padding_has_none() -> None:
    torch.manual_seed(0)
    spec, n = LatentSpec((5, 2), "set", masked=True), 600
    mask = torch.arange(5) < torch.randint(2, 5, (n, 1))
    z_0 = off_centre(n * 4).reshape(n, 4, 2)
    found = []
    for items, filler in ((4, 0.0), (5, 100.0)):
        prior = DenoisingGANPrior(spec, make_generator(spec, Chain(VPSDE(), 3), 16, 1, 2, gate=0.3)).eval()
        padded = torch.full((n, items, 2), filler)
        padded[:, :4] = z_0
        padded = torch.where(mask[:, :items, None], padded, torch.tensor(filler))
        prior.match([LatentBlock(padded[:400], mask[:400, :items]), LatentBlock(padded[400:], mask[400:, :items])])
        found.append(prior.generator.matching)
    assert found[0].scale.shape == (3, 2)
    assert torch.allclose(found[0].scale, found[1].scale, atol=1e-5)
    assert torch.allclose(found[0].shift, found[1].shift, atol=1e-5)
    after = states_of(prior, n, mask)
    t = prior.generator.chain.time(torch.tensor([1]))
    alpha, sigma2 = prior.generator.process.alpha(t), prior.generator.process.sigma2(t)
    real, data = after[1][mask], z_0[mask[:, :4]]
    assert torch.allclose(real.mean(0), alpha * data.mean(0), atol=8 / math.sqrt(len(real)))
    assert torch.allclose(real.var(0), alpha**2 * data.var(0) + sigma2, rtol=0.15)


@pytest.mark.parametrize("spec", [LatentSpec((3, 2, 2), "grid"), LatentSpec((4, 3), "sequence")], ids=str)
def test_every_number_of_a_grid_or_sequence_has_its_own(spec) -> None:
    torch.manual_seed(0)
    prior = DenoisingGANPrior(spec, make_generator(spec, Chain(VPSDE(), 2), 16, 1, 2)).eval()
    place = torch.randn(spec.shape)
    prior.match([LatentBlock(place + 0.3 * torch.randn(800, *spec.shape))])
    z_1 = states_of(prior, 2000)[1]
    alpha = prior.generator.process.alpha(prior.generator.chain.time(torch.tensor([1])))
    assert torch.allclose(z_1.mean(0), alpha * place, atol=0.15)


def test_the_same_seed_measures_the_same_whatever_the_blocks() -> None:
    spec, z_0 = LatentSpec((2,)), off_centre(300)
    found = []
    for size in (300, 64):
        torch.manual_seed(1)
        prior = DenoisingGANPrior(spec, make_generator(spec, Chain(VPSDE(), 3), 16, 1, gate=0.3)).eval()
        prior.match([LatentBlock(part) for part in z_0.split(size)])
        found.append(prior.generator.matching.state_dict())
    assert all(torch.allclose(found[0][name], found[1][name], atol=1e-5) for name in found[0])


def test_a_second_measurement_starts_afresh() -> None:
    torch.manual_seed(0)
    spec, z_0 = LatentSpec((2,)), off_centre(300)
    prior = DenoisingGANPrior(spec, make_generator(spec, Chain(VPSDE(), 3), 16, 1, gate=0.3)).eval()
    prior.match([LatentBlock(z_0)])
    once = {name: value.clone() for name, value in prior.generator.matching.state_dict().items()}
    prior.match([LatentBlock(z_0)])
    assert all(torch.equal(once[name], value) for name, value in prior.generator.matching.state_dict().items())


def test_numbers_without_variance_leave_finite_scales() -> None:
    torch.manual_seed(0)
    spec = LatentSpec((2,))
    generator = make_generator(spec, Chain(VPSDE(), 3), 16, 1, gate=0.0)
    generator.refine(NormalDenoiser(VPSDE(t_min=1e-3), 0.0, 1e-9))
    prior = DenoisingGANPrior(spec, generator).eval()
    prior.match([LatentBlock(torch.zeros(50, 2))])
    assert generator.matching.scale.isfinite().all() and generator.matching.shift.isfinite().all()
    assert ((0.5 <= generator.matching.scale) & (generator.matching.scale <= 2)).all()


def test_one_draw_that_is_not_a_number_spoils_nothing() -> None:
    torch.manual_seed(0)
    spec, z_0 = LatentSpec((2,)), off_centre(600)
    found = []
    for spoil in (False, True):
        torch.manual_seed(1)
        prior = DenoisingGANPrior(spec, make_generator(spec, Chain(VPSDE(), 3), 16, 1, gate=0.3)).eval()
        generate = prior.generator.generate

        def sometimes(z_t, *args, generate=generate, spoil=spoil):
            made = generate(z_t, *args)
            made[0] = made[0] * (float("nan") if spoil else 1.0)
            return made

        prior.generator.generate = sometimes
        prior.match([LatentBlock(z_0)])
        found.append(prior.generator.matching.state_dict())
    assert all(value.isfinite().all() for value in found[1].values())
    assert all(torch.allclose(found[0][name], found[1][name], atol=0.02) for name in found[0])


def test_conditions_reach_the_generator() -> None:
    """With conditions that move its draws to one side, the shift takes that side away, and only then."""
    torch.manual_seed(0)
    spec = LatentSpec((2,))
    found = []
    for condition in (None, torch.ones(500, 1)):
        prior = DenoisingGANPrior(spec, make_generator(spec, Chain(VPSDE(), 2), 16, 1, condition_dim=1)).eval()
        generate = prior.generator.generate

        def led(z_t, t, w, mask, condition, generate=generate):
            return generate(z_t, t, w, mask, None) + (0.0 if condition is None else 3.0 * condition)

        prior.generator.generate = led
        prior.match([LatentBlock(torch.randn(500, 2), condition=condition)])
        found.append(prior.generator.matching.shift[1])
    assert (found[0].abs() < 0.5).all() and torch.allclose(found[1] - found[0], torch.tensor(-3.0), atol=0.6)


def test_measurements_and_samples_have_streams_of_their_own() -> None:
    torch.manual_seed(0)
    spec = LatentSpec((2,))
    prior = DenoisingGANPrior(spec, make_generator(spec, Chain(VPSDE(), 2), 16, 1)).eval()
    states, generate = [], prior.generator.generate

    def watched(z_t, *args):
        states.append(z_t)
        return generate(z_t, *args)

    prior.generator.generate = watched
    prior.match([LatentBlock(torch.randn(40, 2))])
    prior.sample(40, noise=NoiseStream(0, range(40), spec.shape))
    assert not torch.isclose(states[0], states[1]).any()


def test_the_base_is_evaluated_and_left_in_its_mode() -> None:
    torch.manual_seed(0)
    spec = LatentSpec((2,))
    generator = make_generator(spec, Chain(VPSDE(), 2), 16, 1)
    base = NormalDenoiser(VPSDE(t_min=1e-3), 0.0, 1.0).train()
    generator.refine(base)
    seen, noise = [], base.noise
    base.noise = lambda *args: (seen.append(base.training), noise(*args))[1]
    DenoisingGANPrior(spec, generator).train().match([LatentBlock(torch.randn(40, 2))])
    assert seen and not any(seen) and base.training and generator.training


def test_what_cannot_be_matched_is_refused() -> None:
    spec = LatentSpec((2,))
    plain = Generator(VectorNetwork(spec, 16, 1, style_dim=8, self_condition=True), Chain(VPSDE(), 2))
    with pytest.raises(ValueError, match="without latents"):
        DenoisingGANPrior(spec, plain).match([LatentBlock(torch.randn(4, 2))])
    prior = DenoisingGANPrior(spec, make_generator(spec, Chain(VPSDE(), 2), 16, 1))
    with pytest.raises(ValueError, match="1 examples"):
        prior.match([LatentBlock(torch.randn(1, 2))])


def test_samples_keep_their_streams() -> None:
    """A matched chain's sample i is still a function of the seed and of i."""
    torch.manual_seed(0)
    spec = LatentSpec((2,))
    prior = DenoisingGANPrior(spec, make_generator(spec, Chain(VPSDE(), 3), 16, 1, gate=0.3)).eval()
    prior.match([LatentBlock(off_centre(300))])
    both = prior.sample(4, noise=NoiseStream(3, range(4), spec.shape))
    last = prior.sample(2, noise=NoiseStream(3, range(2, 4), spec.shape))
    assert torch.allclose(both[2:], last, atol=1e-5)


def test_moments_over_blocks_are_those_of_the_whole() -> None:
    x, y = torch.randn(90, 3, dtype=torch.float64), torch.randn(90, 3, dtype=torch.float64)
    y = y + 0.5 * x
    found = MomentMatching(2, LatentSpec((3,))).moments(
        (a, b, None) for a, b in zip(x.split(40), y.split(40), strict=True)
    )
    assert torch.allclose(found.mean_y, y.mean(0))
    assert torch.allclose(found.variance_x, x.var(0, unbiased=False))
    assert torch.allclose(found.covariance, ((x - x.mean(0)) * (y - y.mean(0))).mean(0))
