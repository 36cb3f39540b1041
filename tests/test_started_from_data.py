"""Editing, completing, interpolating and watching samples: normal latents, for which every answer has a closed form."""

from __future__ import annotations

import math

import pytest
import torch
from problems import ExactDenoiser, GaussianMixture, gaussian
from torch import Tensor

from latentgen import VESDE, VPSDE, Batch, IdentityAutoencoder, LatentSpec, Modality, ScorePrior
from latentgen.inpainting import inpaint_latents
from latentgen.model import LatentGenerativeModel
from latentgen.process import Process
from latentgen.sampler import Heun, ProbabilityFlow, make_sampler

SEED = 0
VARIANCE = 0.6
"""Of every latent number; no process here assumes it."""
LATE = VPSDE(t_min=0.3)
"""It stops at alpha = 0.63, so that a factor alpha(t_min) shows."""
WIDE = VESDE(1e-2, 400.0, t_min=0.1)
"""Its noise has the standard deviation 20, so that a factor terminal_std shows."""


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(SEED)


class Numbers(Modality):
    """Data that are their own latents, in any layout."""

    def __init__(self, latents: LatentSpec) -> None:
        self.spec = latents

    @property
    def latents(self) -> LatentSpec:
        return self.spec

    def dataset(self, split: str) -> list[Batch]:
        raise NotImplementedError

    def autoencoder(self) -> IdentityAutoencoder:
        return IdentityAutoencoder()


def model_of(law: GaussianMixture, process: Process, latents: LatentSpec) -> LatentGenerativeModel:
    prior = ScorePrior(latents, ExactDenoiser(law, process))
    return LatentGenerativeModel(Numbers(latents), IdentityAutoencoder(), prior)


def shape_of(process: Process, t: float) -> tuple[float, float, float]:
    """alpha_t, sigma_t and the standard deviation of z_t."""
    time = torch.tensor([t], dtype=torch.float64)
    alpha, sigma = float(process.alpha(time)), float(process.sigma(time))
    return alpha, sigma, math.sqrt(alpha**2 * VARIANCE + sigma**2)


def carried(process: Process, t: float) -> float:
    """What the flow from t and the last prediction multiply a centred z_t by: E[z_0 | z_tmin] with z_tmin = c z_t."""
    alpha, _, last = shape_of(process, process.t_min)
    return alpha * VARIANCE / last / shape_of(process, t)[2]


def assert_normal(z: Tensor, mean: float, std: float) -> None:
    """Mean and variance of independent normal numbers [n] within five standard errors and a solver's 0.5 %."""
    n, z = len(z), z.double()
    assert abs(z.mean() - mean) < 5 * std / math.sqrt(n) + 0.005 * std, (z.mean(), mean)
    assert abs(z.var() / std**2 - 1) < 5 * math.sqrt(2 / n) + 0.01, (z.std(), std)


@pytest.mark.parametrize("process", [VPSDE(), LATE, WIDE], ids=["VP", "late VP", "VE"])
@pytest.mark.parametrize("sampler", ["ode", "heun"])
def test_an_edit_is_the_flow_back_from_noised_data(process: Process, sampler: str) -> None:
    """z_t = alpha x + sigma eps, and the flow of N(m, v) is linear: the edit of x is normal, mean and spread known."""
    law, centre, n, strength = gaussian(VARIANCE), 0.8, 4000, 0.5
    law = GaussianMixture(law.weights, law.means + centre, law.covariances)
    model = model_of(law, process, LatentSpec((1,)))
    values = (-1.0, 2.0)
    x = torch.tensor(values).repeat_interleave(n).unsqueeze(1)
    found = model.edit({"x": x}, strength, sampler, steps=60, seed=SEED)["x"][:, 0]
    alpha, sigma, _ = shape_of(process, strength)
    factor = carried(process, strength)
    for part, value in zip(found.split(n), values, strict=True):
        assert_normal(part, centre + factor * alpha * (value - centre), factor * sigma)


def test_an_edit_by_an_exact_stochastic_sampler_is_a_draw_given_the_noised_data() -> None:
    """Small steps draw z_0 ~ p(z_0 | z_t), whose spread adds to that of z_t; 60 steps lose 5 % of the variance."""
    n, strength, steps = 2000, 0.25, 60
    model = model_of(gaussian(VARIANCE), VPSDE(), LatentSpec((1,)))
    sampler = make_sampler("ancestral", steps)
    found = model.edit({"x": torch.full((n, 1), 2.0)}, strength, sampler, seed=SEED)["x"][:, 0]
    alpha, sigma, spread = shape_of(VPSDE(), strength)
    gain = alpha * VARIANCE / spread**2
    variance = (VARIANCE * sigma**2 / spread**2) + (gain * sigma) ** 2
    assert abs(found.mean() - gain * alpha * 2.0) < math.sqrt(variance) * (5 / math.sqrt(n) + 0.05)
    assert abs(found.var() / variance - 1) < 5 * math.sqrt(2 / n) + 0.1


@pytest.mark.parametrize("process", [VPSDE(), WIDE], ids=["VP", "VE"])
@pytest.mark.parametrize("sampler", [ProbabilityFlow(1e-4), Heun(60)], ids=["ode", "heun"])
def test_what_is_not_kept_has_the_spread_that_a_sample_has(process: Process, sampler) -> None:
    """Independent numbers: a known one tells nothing of the other, which starts at N(0, terminal_std^2)."""
    n = 4000
    prior = ScorePrior(LatentSpec((2,)), ExactDenoiser(gaussian(VARIANCE, VARIANCE), process).eval())
    keep = torch.tensor([True, False]).expand(n, 2)
    z = inpaint_latents(prior, torch.full((n, 2), 1.5), keep, sampler)
    assert torch.equal(z[:, 0], torch.full((n,), 1.5))
    assert_normal(z[:, 1], 0.0, carried(process, 1.0) * process.terminal_std)


@pytest.mark.parametrize("process", [VPSDE(), WIDE], ids=["VP", "VE"])
def test_a_trajectory_runs_from_the_first_prediction_to_a_sample(process: Process) -> None:
    """The first state is E[z_0 | z_1] with z_1 ~ N(0, terminal_std^2), the last has the spread of a sample."""
    model = model_of(gaussian(VARIANCE, VARIANCE), process, LatentSpec((2,)))
    states = model.trajectory(500, "ode", seed=SEED)
    alpha, _, spread = shape_of(process, 1.0)
    first, last = (state["x"].flatten() for state in (states[0], states[-1]))
    assert_normal(first, 0.0, alpha * VARIANCE / spread**2 * process.terminal_std)
    assert_normal(last, 0.0, carried(process, 1.0) * process.terminal_std)


@pytest.mark.parametrize("process", [VPSDE(), WIDE], ids=["VP", "VE"])
@pytest.mark.parametrize("sampler", ["ode", "heun", "pc"])
def test_a_trajectory_ends_at_the_samples_of_its_seed(process: Process, sampler: str) -> None:
    model, steps = model_of(gaussian(VARIANCE), process, LatentSpec((1,))), None if sampler == "ode" else 8
    states = model.trajectory(5, sampler, steps=8, seed=SEED)
    assert torch.allclose(states[-1]["x"], model.sample(5, sampler, steps, seed=SEED)["x"], atol=1e-5)


@pytest.mark.parametrize("process", [VPSDE(), LATE, WIDE], ids=["VP", "late VP", "VE"])
def test_the_ends_of_a_path_are_what_is_predicted_from_the_data_without_noise(process: Process) -> None:
    """There and back along one flow: E[z_0 | z_tmin = alpha x] = alpha^2 v / (alpha^2 v + sigma^2) x."""
    model = model_of(gaussian(VARIANCE, VARIANCE), process, LatentSpec((2,)))
    a, b = torch.randn(6, 2), torch.randn(6, 2)
    ends = model.interpolate({"x": a}, {"x": b}, n=2, tolerance=1e-5)
    alpha, _, spread = shape_of(process, process.t_min)
    share = (alpha / spread) ** 2 * VARIANCE
    for found, given in zip(ends, (a, b), strict=True):
        assert torch.allclose(found["x"], share * given, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("process", [VPSDE(), WIDE], ids=["VP", "VE"])
def test_items_that_one_end_lacks_are_noise_of_the_terminal_spread(process: Process) -> None:
    """The other end is zero, and so is its noise: half-way, sin(45 deg) of the first end's fresh noise is left."""
    items = 3000
    model = model_of(gaussian(VARIANCE), process, LatentSpec((items, 1), "set", masked=True))
    zeros, every = torch.zeros(1, items, 1), torch.ones(1, items, dtype=torch.bool)
    real = torch.arange(items) < 10
    _, middle, _ = model.interpolate({"x": zeros, "mask": real[None]}, {"x": zeros, "mask": every}, n=3)
    assert middle["mask"].all() and middle["x"][0, real].abs().max() < 1e-4
    found = middle["x"][0, ~real, 0]
    assert_normal(found, 0.0, math.sqrt(0.5) * carried(process, 1.0) * process.terminal_std)


def test_the_middle_of_a_path_does_not_depend_on_padding() -> None:
    """Noise of items that neither end has must not decide the angle between the ends."""
    torch.manual_seed(0)
    model = model_of(gaussian(1.0), VPSDE(), LatentSpec((40, 1), "set", masked=True))
    a, b, mask = torch.randn(1, 4, 1), torch.randn(1, 4, 1), torch.ones(1, 4, dtype=torch.bool)

    def middle(padding: int) -> Tensor:
        ends = [torch.nn.functional.pad(z, (0, 0, 0, padding)) for z in (a, b)]
        real = torch.nn.functional.pad(mask, (0, padding))
        path = model.interpolate(*({"x": z, "mask": real} for z in ends), n=3, tolerance=1e-6)
        return path[1]["x"][:, :4]

    assert torch.allclose(middle(36), middle(0), atol=1e-4)
