"""What is estimated for one sample does not depend on its place in the batch, nor on what stands beside it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from toy import Toy

import latentgen
from latentgen import VPSDE, ImportanceTimes, LatentSpec, LogSNRTimes, ScorePrior, UniformTimes, UnweightedWeighting
from latentgen.adversarial import Discriminate
from latentgen.autoencoder import IdentityAutoencoder
from latentgen.denoiser import Denoiser
from latentgen.nn.augment import GridAugmentation
from latentgen.nn.augmented_discriminator import AugmentedDiscriminator
from latentgen.nn.discriminator import GridDiscriminator, minibatch_std

STD = 0.3


class Exact(Denoiser):
    """E[eps | z_t] of N(0, STD^2)."""

    def __init__(self) -> None:
        super().__init__(nn.Identity(), VPSDE(t_min=1e-3))

    def noise(
        self, z_t: Tensor, t: Tensor, mask: Tensor | None, condition: Tensor | None, previous: Tensor | None = None
    ) -> Tensor:
        alpha, sigma = self.process.alpha(t)[:, None], self.process.sigma(t)[:, None]
        return sigma * z_t / ((alpha * STD) ** 2 + sigma**2)


SAMPLERS = [LogSNRTimes(), UniformTimes(), ImportanceTimes(UnweightedWeighting())]


@pytest.mark.parametrize("times", SAMPLERS, ids=lambda times: type(times).__name__)
def test_the_time_of_each_sample_follows_the_proposal_wherever_it_stands(times: latentgen.TimeSampler) -> None:
    torch.manual_seed(0)
    process, draws = VPSDE(), 4000
    first = torch.stack([times(8, process)[0] for _ in range(draws)])
    alone = type(times)(*([times.weighting] if hasattr(times, "weighting") else []), stratified=False)
    expected = alone(400_000, process)[0]
    error = float(expected.std()) / math.sqrt(draws)
    assert (first.mean(0) - expected.mean()).abs().max() < 5 * error


def test_one_time_of_a_batch_lies_in_each_part_of_the_distribution() -> None:
    torch.manual_seed(0)
    for _ in range(20):
        level = (UniformTimes()(16, VPSDE(t_min=1e-3))[0] - 1e-3) / (1 - 1e-3)
        assert torch.allclose(level.sort().values.diff(), torch.full((15,), 1 / 16), atol=1e-5)


def test_the_bound_of_an_example_is_unbiased_at_every_place_of_a_batch() -> None:
    torch.manual_seed(0)
    prior = ScorePrior(LatentSpec((1,)), Exact()).eval()
    z = torch.full((8, 1), 0.1)
    draws = torch.stack([prior.cross_entropy(z) for _ in range(6000)]).double()
    mean, error = draws.mean(0), draws.std(0) / math.sqrt(len(draws))
    truth = 0.5 * math.log(2 * math.pi * STD**2) + 0.5 * (0.1 / STD) ** 2
    # the bound lies above the truth by the step from t_min to 0, the same at every place
    assert ((mean - mean.mean()).abs() < 5 * error).all()
    assert truth - 0.2 < float(mean.mean()) < truth + 0.5


# a discriminator that compares samples


def grids(count: int, scale: float) -> Tensor:
    return scale * torch.randn(count, 3, 8, 8)


@pytest.mark.parametrize("count", [4, 5, 6, 8])
@pytest.mark.parametrize("augmented", [False, True])
def test_what_is_said_of_real_samples_does_not_depend_on_the_generated_ones(count: int, augmented: bool) -> None:
    torch.manual_seed(0)
    latents = LatentSpec((3, 8, 8), "grid")
    inner = GridDiscriminator(latents, width=8, depth=1, group=4)
    discriminator = AugmentedDiscriminator(inner, GridAugmentation()).eval() if augmented else inner.eval()
    assert discriminator.group == 4
    prior = latentgen.DDGAN(1, width=8, depth=1, heads=1).players(latents, 0)[0]
    objective = Discriminate(IdentityAutoencoder(), prior, discriminator)
    real, z_t, log_snr = grids(count, 1.0), grids(count, 1.0), torch.zeros(count)
    alone = discriminator(real, z_t, log_snr)
    for fake in (grids(count, 1.0), grids(count, 100.0)):
        real_logit, fake_logit = objective._logits(real, fake, z_t, log_snr, None, None)
        assert torch.allclose(real_logit, alone, atol=1e-5)
        assert torch.allclose(fake_logit, discriminator(fake, z_t, log_snr), atol=1e-4, rtol=1e-4)


def test_a_discriminator_that_judges_each_by_itself_takes_one_pass() -> None:
    torch.manual_seed(0)
    latents = LatentSpec((3, 8, 8), "grid")
    discriminator = GridDiscriminator(latents, width=8, depth=1)
    sizes: list[int] = []
    discriminator.register_forward_pre_hook(lambda module, given: sizes.append(len(given[0])))
    prior = latentgen.DDGAN(1, width=8, depth=1, heads=1).players(latents, 0)[0]
    real, fake, z_t, log_snr = grids(3, 1.0), grids(3, 1.0), grids(3, 1.0), torch.zeros(3)
    found = Discriminate(IdentityAutoencoder(), prior, discriminator)._logits(real, fake, z_t, log_snr, None, None)
    assert sizes == [6]
    apart = [discriminator(z, z_t, log_snr) for z in (real, fake)]
    assert all(torch.allclose(one, two, atol=1e-5) for one, two in zip(found, apart, strict=True))


def test_the_spread_of_a_group_is_that_of_its_own_samples() -> None:
    x = torch.arange(4.0)[:, None, None, None].expand(4, 2, 3, 3)
    std = minibatch_std(x, 4)
    assert std.shape == (4, 1, 3, 3)
    assert torch.allclose(std, torch.full_like(std, math.sqrt(1.25)))


# figures


def test_the_error_of_the_prior_is_logged_alike_in_both_modes() -> None:
    errors = []
    for times in (None, LogSNRTimes()):
        torch.manual_seed(0)
        prepared = latentgen.LSGM(width=16, depth=1, heads=2, prior_times=times).prepare(Toy())
        (objective,) = prepared.objectives
        batch = {"x": torch.randn(4096, 2)}
        errors.append(float(objective(batch)["prior_error"]))
    assert errors[1] == pytest.approx(errors[0], rel=0.15)


def test_copies_of_the_data_are_not_called_best() -> None:
    assert "nn_accuracy" not in latentgen.metrics.BETTER


def test_a_geometric_process_stays_below_unit_variance() -> None:
    with pytest.raises(ValueError, match=r"sigma2_0 is 0.01, with which sigma\^2\(1\)"):
        latentgen.GeometricVPSDE(sigma2_0=0.01)
    assert latentgen.GeometricVPSDE(sigma2_max=0.98, sigma2_0=0.01).log_alpha(torch.ones(1)).isfinite()
