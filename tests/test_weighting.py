"""Each weighting is the statement about the log-SNR, or about the network's target, that it is named after."""

import math

import pytest
import torch
from problems import PROCESSES, SHIPPED, WEIGHTINGS
from torch.nn.functional import softplus

from latentgen.denoiser import Prediction
from latentgen.process import GeometricVPSDE
from latentgen.tensors import over
from latentgen.times import ImportanceTimes, LogSNRTimes
from latentgen.weighting import (
    LikelihoodWeighting,
    LogNormalWeighting,
    ReweightedWeighting,
    UnweightedWeighting,
    VelocityWeighting,
)


@pytest.fixture(params=list(PROCESSES))
def process(request):
    return PROCESSES[request.param]


@pytest.fixture
def t(process):
    return torch.linspace(max(process.t_min, 1e-3), 0.999, 100, dtype=torch.float64).requires_grad_(True)


def test_likelihood_weighting_is_minus_half_the_slope_of_the_log_snr(process, t):
    (slope,) = torch.autograd.grad(process.log_snr(t).sum(), t)
    assert torch.allclose(LikelihoodWeighting()(process, t.detach()), -slope / 2, rtol=1e-8)


def test_reweighted_is_the_likelihood_weighting_without_one_over_the_variance(process, t):
    t = t.detach()
    expected = LikelihoodWeighting()(process, t) * process.sigma2(t)
    assert torch.allclose(ReweightedWeighting()(process, t), expected)


def test_unweighted_is_one(process, t):
    assert torch.equal(UnweightedWeighting()(process, t), torch.ones_like(t))


@pytest.mark.parametrize("name", ["vp", "geometric", "cosine"])
def test_velocity_weighting_turns_the_noise_error_into_the_velocity_error(name):
    """For variance-preserving processes with sigma^2(0) about 0: ||v - v_hat||^2 = w_v ||eps - eps_hat||^2."""
    torch.manual_seed(0)
    process = PROCESSES[name]
    t = torch.linspace(max(process.t_min, 1e-2), 0.99, 20, dtype=torch.float64)
    z_0, eps, guess = (torch.randn(20, 3, dtype=torch.float64) for _ in range(3))
    alpha, sigma = process.alpha(t), process.sigma(t)
    z_t = over(alpha, z_0) * z_0 + over(sigma, eps) * eps
    true, hat = (Prediction(z_t, noise, alpha, sigma) for noise in (eps, guess))
    ratio = ((true.velocity - hat.velocity) ** 2).sum(1) / ((eps - guess) ** 2).sum(1)
    assert torch.allclose(ratio, VelocityWeighting()(process, t), rtol=1e-4)


def test_velocity_weighting_makes_every_time_equally_hard(process):
    """The importance proposal is uniform, since w_v sigmoid(lambda + ln s^2) = 1."""
    rho = torch.linspace(0, 1, 101, dtype=torch.float64)
    t, density = ImportanceTimes(VelocityWeighting()).quantile(process, rho)
    assert torch.allclose(t, process.t_min + (1 - process.t_min) * rho, atol=1e-10)
    assert torch.allclose(density, torch.full_like(rho, 1 / (1 - process.t_min)))


@pytest.mark.parametrize("floor", [0.0, 0.2, 1.0])
def test_log_normal_weighting_gives_importance_sampled_times_its_density_of_the_log_snr(process, floor):
    """Quantiles of lambda against (1 - floor) N(mean, std^2) + floor sigmoid(lambda + ln s^2) / Z, cut at both ends."""
    mean, std, shift = 1.0, 1.7, 2 * math.log(process.latent_std)
    rho = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    t, _ = ImportanceTimes(LogNormalWeighting(mean, std, floor), points=20_000).quantile(process, rho)
    normal = torch.distributions.Normal(torch.tensor(mean).double(), torch.tensor(std).double())
    start, end = (process.log_snr(edge) for edge in process.ends(rho))
    total = softplus(start + shift) - softplus(end + shift)

    def share(log_snr):
        return (1 - floor) * normal.cdf(log_snr) + floor * (softplus(log_snr + shift) - softplus(end + shift)) / total

    expected = (share(start) - share(process.log_snr(t))) / (share(start) - share(end))
    assert torch.allclose(expected, rho, atol=2e-3)


def test_log_normal_weighting_with_a_floor_keeps_the_encoders_weights_bounded(process):
    """w_ll / r times the error that is to be expected stays below Z / floor, with Z that of the likelihood integral."""
    floor, shift = 0.2, 2 * math.log(process.latent_std)
    rho = torch.linspace(0.001, 0.999, 500, dtype=torch.float64)
    t, density = ImportanceTimes(LogNormalWeighting(floor=floor), points=20_000).quantile(process, rho)
    value = LikelihoodWeighting()(process, t) / density * torch.sigmoid(process.log_snr(t) + shift)
    assert (value < LogSNRTimes.integral(process, rho[:1]) / floor * 1.01).all()


def test_log_normal_density_integrates_to_its_share(process):
    """Without a floor the integral of w sigmoid is the normal mass between the ends of the log-SNR."""
    like = torch.zeros(1, dtype=torch.float64)
    normal = torch.distributions.Normal(torch.tensor(2.4).double(), torch.tensor(2.4).double())
    low, high = (normal.cdf(process.log_snr(end)) for end in reversed(process.ends(like)))
    integral = ImportanceTimes(LogNormalWeighting(2.4, 2.4, floor=0.0), points=20_000).integral(process)
    assert integral == pytest.approx((high - low).item(), rel=1e-3)


@pytest.mark.parametrize("weighting", WEIGHTINGS, ids=lambda w: type(w).__name__)
def test_weights_are_positive_everywhere(process, weighting):
    t = torch.linspace(process.t_min, 1, 100)
    w = weighting(process, t)
    assert w.shape == t.shape
    assert w.isfinite().all()
    assert (w > 0).all()


def test_golden_constant_of_the_geometric_process():
    process = GeometricVPSDE(sigma2_min=3e-5, sigma2_max=0.999)
    t = torch.linspace(0, 1, 50, dtype=torch.float64)
    value = LikelihoodWeighting()(process, t) * (1 - process.sigma2(t))
    assert torch.allclose(value, torch.full_like(t, 5.2066563379), atol=1e-9)
    assert 5.2066563379 == pytest.approx(0.5 * math.log(0.999 / 3e-5), abs=1e-10)


def test_log_normal_weighting_needs_a_positive_std():
    with pytest.raises(ValueError, match=r"std is 0\.0; it must be positive"):
        LogNormalWeighting(std=0.0)
    with pytest.raises(ValueError, match=r"floor is 1\.5; it is a share between 0 and 1"):
        LogNormalWeighting(floor=1.5)


def test_weightings_depend_on_time_alone_where_they_should():
    """Shipped processes: the likelihood weighting of VE is constant, ln R / 2."""
    t = torch.linspace(0.01, 1, 5, dtype=torch.float64)
    half_log_ratio = 0.5 * math.log(2500 / 1e-4)
    assert torch.allclose(LikelihoodWeighting()(SHIPPED["ve"], t), torch.full_like(t, half_log_ratio))
