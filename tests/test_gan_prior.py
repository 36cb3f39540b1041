"""The denoising-diffusion-GAN prior with a generator that knows the answer, and the prior of two halves."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from toy import Toy

import latentgen
from latentgen import (
    DDGAN,
    VESDE,
    VPSDE,
    Chain,
    DenoisingGANPrior,
    GANSampler,
    Generator,
    JointDDGAN,
    LatentSpec,
    ScoreGANPrior,
)
from latentgen.noise import NoiseStream

MEANS, STDS, WEIGHTS = torch.tensor([-1.2, 0.9]), torch.tensor([0.2, 0.35]), torch.tensor([0.3, 0.7])


class MixturePosterior(nn.Module):
    """The network that makes a generator draw from the exact q(z_0 | z_t) of a mixture of Gaussians on a line."""

    style_dim, self_condition = 1, True

    def __init__(self, process) -> None:
        super().__init__()
        self.process = process

    def forward(self, z, log_snr, mask=None, condition=None, previous=None, style=None):
        process, s = self.process, self.process.latent_std
        t = process.time_of_log_snr(log_snr)
        alpha, sigma2 = process.alpha(t)[:, None], process.sigma2(t)[:, None]
        total = alpha**2 * s**2 + sigma2
        z_t = z * total.sqrt()
        spread = alpha**2 * STDS**2 + sigma2
        log_weight = WEIGHTS.log() - 0.5 * (z_t - alpha * MEANS) ** 2 / spread - 0.5 * spread.log()
        chosen = torch.distributions.Categorical(logits=log_weight).sample()[:, None]
        mean = MEANS[chosen] + alpha * STDS[chosen] ** 2 / spread.gather(1, chosen) * (z_t - alpha * MEANS[chosen])
        std = (STDS[chosen] ** 2 * sigma2 / spread.gather(1, chosen)).sqrt()
        z_0 = mean + std * torch.randn_like(mean)
        return (z_0 - previous * s) / (sigma2.sqrt() * s * total.rsqrt())


@pytest.mark.parametrize("process", [VPSDE(), VESDE()], ids=["vp", "ve"])
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_the_chain_carries_noise_to_a_mixture(process, steps) -> None:
    torch.manual_seed(0)
    chain, n = Chain(process, steps), 60_000
    prior = DenoisingGANPrior(LatentSpec((1,)), Generator(MixturePosterior(chain.process), chain, 1)).eval()
    z = prior.sample(n)[:, 0]
    left = z < -0.25
    tolerance = 6 / math.sqrt(n * 0.3)
    assert abs(left.float().mean() - 0.3) < 0.012
    for half, mean, std in ((z[left], MEANS[0], STDS[0]), (z[~left], MEANS[1], STDS[1])):
        assert abs(half.mean() - mean) < tolerance * std + 0.004
        assert abs(half.std() - std) < tolerance * std + 0.004


@pytest.fixture(scope="module")
def joint() -> latentgen.LatentGenerativeModel:
    torch.manual_seed(0)
    recipe = JointDDGAN(latentgen.LSGM(width=16, depth=1, heads=2), DDGAN(3, width=16, depth=1, heads=2))
    return recipe.prepare(Toy()).model.eval()


@pytest.fixture(scope="module")
def alone() -> latentgen.LatentGenerativeModel:
    torch.manual_seed(0)
    return DDGAN(2, width=16, depth=1, heads=2).prepare(Toy()).model.eval()


def test_one_model_has_both_samplers(joint) -> None:
    assert isinstance(joint.prior, ScoreGANPrior)
    assert set(joint.prior.samplers) == set(latentgen.SAMPLERS)
    by_gan = joint.sample(4, "gan")["x"]
    assert joint.calls == 3
    by_flow = joint.sample(4, "dpm", steps=5)["x"]
    assert joint.calls == 5
    assert not torch.allclose(by_gan, by_flow)
    assert torch.equal(by_gan, joint.sample(4, "gan", steps=3)["x"])
    assert torch.allclose(by_gan[2:], joint.sample(2, "gan", start=2)["x"], atol=1e-5)
    batch = {"x": torch.randn(3, 2)}
    assert joint.log_prob(batch).isfinite().all()
    assert len(joint.trajectory(2, "gan")) == 3
    assert len(joint.trajectory(2, "dpm", steps=5)) == 5


def test_a_saved_model_samples_the_same(joint, tmp_path) -> None:
    joint.save_pretrained(tmp_path)
    loaded = latentgen.load(tmp_path, trust_remote_code=True)
    for name in ("gan", "dpm"):
        assert torch.allclose(joint.sample(3, name)["x"], loaded.sample(3, name)["x"], atol=1e-6)


def test_alone_it_is_sampled_by_its_own_sampler(alone) -> None:
    assert alone.prior.samplers == ("gan",)
    alone.sample(3)
    assert alone.calls == 2
    result = latentgen.evaluate(alone, samples=16, calls=(2, 4))
    assert [row["name"] for row in result["rows"]] == ["real data", "reconstruction", "no prior", "gan"]
    assert result["rows"][-1]["calls"] == 2
    assert any("no NELBO: DenoisingGANPrior has no likelihood" in note for note in result["notes"])
    assert "likelihood" not in result


def test_a_joint_model_is_measured_by_both_samplers_and_by_its_likelihood(joint) -> None:
    result = latentgen.evaluate(joint, samples=16, calls=(2, 5))
    rows = {row["name"]: row["calls"] for row in result["rows"]}
    assert list(rows) == ["real data", "reconstruction", "no prior", "dpm, 2 steps", "dpm, 5 steps", "gan"]
    assert (rows["dpm, 2 steps"], rows["dpm, 5 steps"], rows["gan"]) == (2, 5, 3)
    assert set(result["likelihood"]) == {"bound", "ode"}
    assert joint.prior.default_sampler != "gan"
    batch = {"x": torch.randn(3, 2)}
    assert joint.edit(batch, 0.3, steps=4)["x"].shape == (3, 2)


def test_each_half_does_what_it_does_alone(joint) -> None:
    """The sampler's kind decides; noise and start are the half's own."""
    score, gan = joint.prior.score, joint.prior.gan
    for half, sampler in ((gan, GANSampler()), (score, latentgen.DPMSolver(4)), (score, None)):
        draws = [prior.sample(5, sampler=sampler, noise=NoiseStream(1, range(5))) for prior in (joint.prior, half)]
        assert torch.equal(*draws)
    z = torch.randn(4, 2)
    torch.manual_seed(0)
    bound = joint.prior.cross_entropy(z)
    torch.manual_seed(0)
    assert torch.equal(bound, score.cross_entropy(z))
    assert joint.prior.denoiser_of(GANSampler()) is gan.generator
    assert joint.prior.denoiser_of(latentgen.DPMSolver(4)) is score.denoiser


def test_a_chain_starts_with_the_noise_of_its_process() -> None:
    """One step of a generator that returns z_T over its deviation: N(0, 1) whatever the process's terminal noise."""

    class Echo(Generator):
        def _clean(self, z_t, t, w, mask, condition):
            return z_t

    for process in (VPSDE(), VESDE(sigma2_max=400.0)):
        network = MixturePosterior(process)
        prior = DenoisingGANPrior(LatentSpec((2,)), Echo(network, Chain(process, 1), 1)).eval()
        torch.manual_seed(0)
        z = prior.sample(20_000)
        assert z.std().item() == pytest.approx(process.terminal_std, rel=5 / math.sqrt(80_000))


def test_refusals(alone, joint) -> None:
    with pytest.raises(ValueError, match="steps is 5 for sampler 'gan'; this generator was trained for 2"):
        alone.sample(1, "gan", steps=5)
    with pytest.raises(ValueError, match="sampler is DPMSolver; a denoising diffusion GAN is sampled by 'gan' alone"):
        alone.sample(1, "dpm")
    with pytest.raises(ValueError, match=r"guidance is 2\.0; a denoising diffusion GAN has none"):
        alone.sample(1, guidance=2.0)
    with pytest.raises(ValueError, match="has no likelihood; train a score prior on the same latents"):
        alone.log_prob({"x": torch.randn(2, 2)})
    with pytest.raises(ValueError, match=r"guidance is 2\.0; a denoising diffusion GAN has none"):
        joint.sample(1, "gan", guidance=2.0)
    for call in (alone.prior.cross_entropy, alone.prior.log_prob):
        with pytest.raises(ValueError, match="has no likelihood"):
            call(torch.randn(2, 2))
    with pytest.raises(ValueError, match="steps is 4 for sampler 'gan'; this generator was trained for 3"):
        joint.sample(1, "gan", steps=4)
    with pytest.raises(ValueError, match="edit needs a score prior"):
        alone.edit({"x": torch.randn(2, 2)})
    with pytest.raises(ValueError, match="sampler 'gan' was given a VelocityDenoiser"):
        GANSampler()(joint.prior.score.denoiser, torch.randn(2, 2))
