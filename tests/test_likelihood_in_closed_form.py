"""Likelihoods of normal latents, and the error that is stated with their mean."""

from __future__ import annotations

import math

import pytest
import torch
from problems import ExactDenoiser, LinearGaussianVAE, gaussian
from torch import Tensor

from latentgen import VESDE, VPSDE, Batch, LatentSpec, Modality, NormalPrior, ScorePrior
from latentgen.distributions import LOG_2PI
from latentgen.model import LatentGenerativeModel
from latentgen.process import Process

SEED = 0
VARIANCE = 0.6


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(SEED)


@pytest.mark.parametrize("process", [VPSDE(t_min=0.3), VPSDE(), VESDE(0.05, 400.0)], ids=["late VP", "VP", "VE"])
@pytest.mark.parametrize("masked", [False, True])
def test_the_flow_states_the_expected_bound_however_late_it_stops(process: Process, masked: bool) -> None:
    """E ln q_t(alpha z + sigma eps) + D ln alpha at t = t_min, for z_0 ~ N(0, v): a lower bound on ln N(z; 0, v)."""
    n, items = 600, 3
    size = items - 1 if masked else items
    prior = ScorePrior(LatentSpec((items, 1), "set", masked=True), ExactDenoiser(gaussian(VARIANCE), process).eval())
    z = torch.tensor([0.4, -1.1, 0.9]).reshape(1, items, 1).repeat(n, 1, 1)
    mask = (torch.arange(items) < size).expand(n, items) if masked else None
    with torch.no_grad():
        found = prior.log_prob(z, mask, tolerance=1e-4).double()

    def at(t: float) -> tuple[float, float, float]:
        time = torch.tensor([t], dtype=torch.float64)
        alpha, sigma2 = float(process.alpha(time)), float(process.sigma2(time))
        return alpha, sigma2, alpha**2 * VARIANCE + sigma2

    alpha, sigma2, variance = at(process.t_min)
    squares = (z[0, :size].double() ** 2).sum().item()
    # the flow carries z_t to sqrt(V_1 / V_t) z_t, whose density is taken as that of N(0, terminal_std^2)
    end, terminal = at(1.0)[2], process.terminal_std**2
    expected = size * math.log(alpha) - 0.5 * size * (LOG_2PI + math.log(variance * terminal / end))
    share = end / terminal / variance / 2
    expected -= share * (alpha**2 * squares + size * sigma2)
    error = share * math.sqrt(2 * size * sigma2**2 + 4 * alpha**2 * sigma2 * squares)
    assert abs(found.mean() - expected) < 5 * error / math.sqrt(n) + 0.01, (found.mean(), expected)
    assert abs(found.std() / error - 1) < 0.4, "wide: sums of two squares have heavy tails"
    exact = -0.5 * size * (LOG_2PI + math.log(VARIANCE)) - squares / (2 * VARIANCE)
    assert expected < exact + 0.02


class Vectors(Modality):
    """Data of the linear-Gaussian autoencoder."""

    latents = LatentSpec((2,))

    def dataset(self, split: str) -> list[Batch]:
        raise NotImplementedError

    def autoencoder(self) -> LinearGaussianVAE:
        return linear()


def linear() -> LinearGaussianVAE:
    return LinearGaussianVAE(torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]]), 0.5)


def draws(vae: LinearGaussianVAE, n: int) -> Tensor:
    return torch.randn(n, 2) @ vae.weight.T + vae.noise * torch.randn(n, 3)


@pytest.mark.parametrize("count", [10, 60])
def test_the_standard_error_is_the_spread_of_repeated_means(count: int) -> None:
    """R repeats with new data: the spread of their means has the relative error 1 / sqrt(2 R), their mean is H[x]."""
    model, repeats = LatentGenerativeModel(Vectors(), linear(), NormalPrior(Vectors.latents)), 150
    vae = model.autoencoder
    found = [model.nelbo([{"x": part} for part in draws(vae, count).split(7)]) for _ in range(repeats)]
    means, errors = torch.tensor([[each.mean, each.standard_error] for each in found], dtype=torch.float64).T
    assert {estimate.count for estimate in found} == {count}
    # squares, since those of the stated errors are unbiased
    assert abs((means.var() / errors.square().mean()).sqrt() - 1) < 5 / math.sqrt(2 * repeats) + 0.05
    covariance = vae.weight @ vae.weight.T + vae.noise**2 * torch.eye(3)
    entropy = 0.5 * (3 * (1 + LOG_2PI) + covariance.logdet().item())
    assert abs(means.mean() - entropy) < 5 * means.std() / math.sqrt(repeats), "an exact posterior's bound is exact"
