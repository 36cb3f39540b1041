"""One step of a sampler, and where its steps lie: the moments and the levels that the formulas state."""

from __future__ import annotations

import math

import pytest
import torch
from problems import ExactDenoiser, LinearPath, gaussian
from torch import Tensor

from latentgen import VESDE, VPSDE
from latentgen.process import Process
from latentgen.sampler import DDIM, DPMSolver, GridSampler, Heun, PredictorCorrector, time_grid
from latentgen.sampler.spacing import Spacing

SEED = 0
VARIANCE = 0.6
"""Of z_0, normal and of mean 0."""
N = 20_000
LIKE = torch.zeros(1, dtype=torch.float64)
SCALE = 3.0


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(SEED)


def one_step(sampler: GridSampler, process: Process, z: Tensor, t: float, s: float) -> Tensor:
    """The sampler's step from t to s with the exact denoiser."""
    denoiser = ExactDenoiser(gaussian(VARIANCE), process).eval()
    stepper = sampler.stepper(process, lambda z, t, remember=True: denoiser(z, t.expand(len(z))), None, None)
    return stepper(z, z.new_full((len(z),), t), z.new_full((len(z),), s))


def levels(process: Process, t: float) -> tuple[float, float, float]:
    """alpha_t, sigma_t^2 and the variance of z_t."""
    alpha, sigma2 = (float(value(LIKE + t)) for value in (process.alpha, process.sigma2))
    return alpha, sigma2, alpha**2 * VARIANCE + sigma2


def bridge(process: Process, t: float, s: float) -> tuple[float, float, float]:
    """p, q and v of q(z_s | z_t, z_0) = N(p z_t + q z_0, v)."""
    (alpha_t, var_t, _), (alpha_s, var_s, _) = levels(process, t), levels(process, s)
    a = alpha_t / alpha_s
    v = var_t - a**2 * var_s
    return a * var_s / var_t, alpha_s * v / var_t, v * var_s / var_t


def assert_moments(z: Tensor, mean: float, variance: float) -> None:
    """Mean and variance of normal numbers [N, 1] within five standard errors."""
    assert abs(z.mean() - mean) < 5 * math.sqrt(variance / N), (z.mean(), mean)
    assert abs(z.var() / variance - 1) < 5 * math.sqrt(2 / N), (z.var(), variance)


@pytest.mark.parametrize("process", [VPSDE(), VESDE(1e-2, 100.0)], ids=["VP", "VE"])
@pytest.mark.parametrize("snr", [0.16, 0.4])
@pytest.mark.parametrize("corrections", [1, 2])
def test_a_correction_adds_the_noise_of_its_langevin_step(process: Process, snr: float, corrections: int) -> None:
    """Size d = 2 snr^2 sigma^2: z becomes (1 - d / V) z + N(0, 2 d) for z_t ~ N(0, V); a step to s then follows.

    All samples start at one point, so that every part of the variance is noise of this step.
    """
    t, s, start = 0.6, 0.58, 1.3
    z = one_step(PredictorCorrector(2, corrections, snr), process, LIKE.new_full((N, 1), start), t, s)
    alpha, sigma2, spread2 = levels(process, t)
    size, mean, variance = 2 * snr**2 * sigma2, start, 0.0
    for _ in range(corrections):
        mean, variance = (1 - size / spread2) * mean, (1 - size / spread2) ** 2 * variance + 2 * size
    p, q, v = bridge(process, t, s)
    factor = p + q * alpha * VARIANCE / spread2
    assert_moments(z, factor * mean, factor**2 * variance + v)


@pytest.mark.parametrize("process", [VPSDE(), VESDE(1e-2, 100.0)], ids=["VP", "VE"])
@pytest.mark.parametrize("eta", [0.0, 0.3, 0.5, 1.0])
def test_ddim_adds_eta_squared_of_the_bridge_variance(process: Process, eta: float) -> None:
    """z_s = alpha_s E[z_0 | z_t] + sqrt(sigma_s^2 - tau^2) eps_hat + tau eps with tau^2 = eta^2 v."""
    t, s, start = 0.6, 0.5, 1.3
    z = one_step(DDIM(2, eta), process, LIKE.new_full((N, 1), start), t, s)
    (alpha, sigma2, spread2), (alpha_s, sigma2_s, _) = levels(process, t), levels(process, s)
    tau2 = eta**2 * bridge(process, t, s)[2]
    clean, eps = alpha * VARIANCE / spread2 * start, math.sqrt(sigma2) / spread2 * start
    mean = alpha_s * clean + math.sqrt(sigma2_s - tau2) * eps
    if eta == 0:
        assert torch.allclose(z, torch.full_like(z, mean), rtol=1e-9)
    else:
        assert_moments(z, mean, tau2)


@pytest.mark.parametrize("std", [0.2, 1.0, 3.0])
@pytest.mark.parametrize("path", ["VE", "linear"])
def test_normal_spacing_lies_at_the_stated_quantiles_of_standardised_latents(path: str, std: float) -> None:
    """Nine parts N(2, 1.7^2) and one part uniform in l = lambda + ln s^2, from l = -5 on."""
    process = VESDE(1e-4 * std**2, 1e4 * std**2, std) if path == "VE" else LinearPath(latent_std=std)
    steps = 41
    times = time_grid(process, steps, "normal", 1.0, LIKE)
    level = process.log_snr(times) + 2 * math.log(std)
    assert level[0].item() == pytest.approx(-5, abs=1e-6)
    assert times[-1].item() == pytest.approx(process.t_min, rel=1e-6)
    normal = torch.distributions.Normal(2.0, 1.7).cdf(level)
    normal, even = ((value - value[0]) / (value[-1] - value[0]) for value in (normal, level))
    assert torch.allclose(0.9 * normal + 0.1 * even, torch.linspace(0, 1, steps).double(), atol=1e-5)


@pytest.mark.parametrize("spacing", ["log_snr", "normal", "karras", "time"])
def test_times_do_not_depend_on_the_unit_of_latents(spacing: Spacing) -> None:
    one = VESDE(1e-3, 900.0)
    other = VESDE(1e-3 * SCALE**2, 900.0 * SCALE**2, SCALE)
    for start in (1.0, 0.7):
        times = [time_grid(process, 9, spacing, start, LIKE) for process in (one, other)]
        assert torch.allclose(*times, atol=1e-6)


@pytest.mark.parametrize("make", [DPMSolver, Heun, DDIM])
def test_samples_do_not_depend_on_the_unit_of_latents(make: type[GridSampler]) -> None:
    """Latents and noise in thirds of a unit: every number is three times as large, that of a late first time too."""
    z = torch.randn(5, 1).double()
    small, large = (
        make(6, spacing="normal")(
            ExactDenoiser(gaussian(VARIANCE * scale**2), VESDE(1e-3 * scale**2, 900.0 * scale**2, scale)).eval(),
            30 * scale * z,
        )
        for scale in (1.0, SCALE)
    )
    assert torch.allclose(SCALE * small, large, rtol=1e-5)


def test_what_is_noise_before_the_first_time_is_passed_over_by_the_flow_of_normal_latents() -> None:
    """From t = 1 to the first time t, N(0, s^2) with s = latent_std is only rescaled: z_t = sqrt(V_t / V_1) z_1."""
    process, sampler = VESDE(1e-3, 1e4, SCALE), Heun(6, "normal")
    denoiser = ExactDenoiser(gaussian(SCALE**2), process).eval()
    first = time_grid(process, 6, "normal", 1.0, LIKE)[:1]
    assert process.log_snr(first) > process.log_snr(LIKE + 1) + 1
    before, after = (SCALE**2 + process.sigma2(t) for t in (LIKE + 1, first))
    z_1 = LIKE.new_full((1, 1), 100.0)
    passed, started = sampler(denoiser, z_1), sampler(denoiser, (after / before).sqrt() * z_1, start=float(first))
    assert torch.allclose(passed, started, rtol=1e-5)
