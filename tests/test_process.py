"""Each process is what its stochastic differential equation says, at every time and in single precision."""

import math

import pytest
import torch
from problems import PROCESSES, SHIPPED, CosinePath, LinearPath

from latentgen.process import VESDE, VPSDE, GeometricVPSDE, Process, SubVPSDE


@pytest.fixture(params=list(PROCESSES))
def process(request):
    return PROCESSES[request.param]


def times(process: Process, count: int = 200) -> torch.Tensor:
    """Times inside (t_min, 1), denser near both ends."""
    u = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    return process.t_min + (1 - process.t_min) * (u * u * (3 - 2 * u))


def derivative(function, t):
    t = t.clone().requires_grad_(True)
    value = function(t)
    if not value.requires_grad:
        return torch.zeros_like(t)
    return torch.autograd.grad(value.sum(), t, allow_unused=True)[0]


def test_drift_is_the_logarithmic_derivative_of_alpha(process):
    t = times(process)
    slope = derivative(process.log_alpha, t)
    assert torch.allclose(process.drift(t), torch.zeros_like(t) if slope is None else slope, rtol=1e-9, atol=1e-12)


def test_diffusion_is_what_the_variance_grows_by_beyond_the_drift(process):
    t = times(process)
    growth = derivative(process.sigma2, t) - 2 * process.drift(t) * process.sigma2(t)
    assert torch.allclose(process.diffusion2(t), growth, rtol=1e-9, atol=1e-12)


def test_diffusion_over_variance_is_minus_the_slope_of_the_log_snr(process):
    t = times(process)
    slope = -derivative(process.log_snr, t)
    assert torch.allclose(process.diffusion2(t) / process.sigma2(t), slope, rtol=1e-8)


def test_log_snr_falls_and_its_inverse_gives_the_time_back(process):
    t = times(process)
    log_snr = process.log_snr(t)
    assert (log_snr.diff() < 0).all()
    assert torch.allclose(process.time_of_log_snr(log_snr), t, atol=1e-10)


def test_closed_inverse_agrees_with_bisection(process):
    log_snr = process.log_snr(times(process, 40))
    assert torch.allclose(process.time_of_log_snr(log_snr), Process.time_of_log_snr(process, log_snr), atol=1e-10)


def test_alpha_sigma_and_log_snr_are_one_story(process):
    t = times(process)
    assert torch.allclose(process.alpha(t).log(), process.log_alpha(t))
    assert torch.allclose(process.sigma(t) ** 2, process.sigma2(t))
    assert torch.allclose(process.log_snr(t), 2 * (process.alpha(t) / process.sigma(t)).log())


def test_terminal_law_of_unit_latents_is_the_declared_one(process):
    one = torch.ones(1, dtype=torch.float64)
    variance = (process.alpha(one) * process.latent_std) ** 2 + process.sigma2(one)
    assert variance.sqrt().item() == pytest.approx(process.terminal_std, rel=2e-3)


def test_marginal_is_the_kernel(process):
    t, z_0 = times(process, 5), torch.randn(5, 3, 2, dtype=torch.float64)
    q = process.marginal(z_0, t)
    assert torch.allclose(q.mean, process.alpha(t)[:, None, None] * z_0)
    assert torch.allclose(q.std, process.sigma(t)[:, None, None].expand(5, 3, 2))


def pairs(process):
    t = times(process, 40)
    return t[:-5:5], t[5::5]


def test_transition_carries_the_marginal_at_s_to_the_marginal_at_t(process):
    s, t = pairs(process)
    a, v = process.transition(s, t)
    assert torch.allclose(a * process.alpha(s), process.alpha(t))
    assert torch.allclose(a**2 * process.sigma2(s) + v, process.sigma2(t), atol=1e-14)
    assert (v > 0).all()


def test_transitions_compose(process):
    s, t = pairs(process)
    u = (s + t) / 2
    (a, v), (a_1, v_1), (a_2, v_2) = process.transition(s, t), process.transition(s, u), process.transition(u, t)
    assert torch.allclose(a, a_2 * a_1)
    assert torch.allclose(v, a_2**2 * v_1 + v_2, rtol=1e-6, atol=1e-14)


def test_transition_over_a_short_time_is_the_stochastic_differential_equation(process):
    s = times(process, 20)[1:-1]
    h = 1e-6 * (1 - s)
    a, v = process.transition(s, s + h)
    assert torch.allclose((a - 1) / h, process.drift(s), rtol=1e-3, atol=1e-8)
    assert torch.allclose(v / h, process.diffusion2(s), rtol=1e-2)


def test_bridge_after_marginal_is_the_marginal_and_the_joint_is_the_transition(process):
    """Means, variances and covariance in closed form: z_s = A z_t + B z_0 + std eps."""
    s, t = pairs(process)
    one, zero = torch.ones(len(s), 1, dtype=torch.float64), torch.zeros(len(s), 1, dtype=torch.float64)
    slope = process.bridge(one, zero, s, t).mean[:, 0]
    shift = process.bridge(zero, one, s, t).mean[:, 0]
    variance = process.bridge(zero, zero, s, t).std[:, 0] ** 2
    assert torch.allclose(slope * process.alpha(t) + shift, process.alpha(s), rtol=1e-9)
    assert torch.allclose(slope**2 * process.sigma2(t) + variance, process.sigma2(s), rtol=1e-9)
    a, _ = process.transition(s, t)
    assert torch.allclose(slope * process.sigma2(t), a * process.sigma2(s), rtol=1e-9)


def test_bridge_draws_have_the_marginals_moments():
    torch.manual_seed(0)
    process, n = SHIPPED["vp"], 40_000
    s, t = torch.full((n,), 0.2).double(), torch.full((n,), 0.5).double()
    z_0 = torch.full((n, 1), 1.3).double()
    z_s = process.bridge(process.marginal(z_0, t).rsample(), z_0, s, t).rsample()
    mean, variance = process.alpha(s)[0] * 1.3, process.sigma2(s)[0]
    assert abs(z_s.mean() - mean) < 5 * (variance / n).sqrt()
    assert abs(z_s.var() - variance) < 5 * variance * math.sqrt(2 / n)


def test_bridge_at_the_same_time_stays(process):
    t, z = times(process, 4), torch.randn(4, 3).double()
    q = process.bridge(z, torch.randn(4, 3).double(), t, t)
    assert torch.allclose(q.mean, z)
    # the variance is a difference of equal numbers: rounding of 1e-16 has a root of 1e-8
    assert (q.std < 1e-6).all()


@pytest.mark.parametrize("t", [1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.5, 0.9, 1.0])
def test_single_precision_keeps_its_digits(process, t):
    """Relative error of sigma^2, alpha and the log-SNR in float32: a few units of rounding, also at small t."""
    single, double = torch.tensor([t]), torch.tensor([t]).double()
    assert process.sigma2(single).item() == pytest.approx(process.sigma2(double).item(), rel=1e-5)
    assert process.log_alpha(single).item() == pytest.approx(process.log_alpha(double).item(), rel=1e-3, abs=1e-7)
    assert process.log_snr(single).item() == pytest.approx(process.log_snr(double).item(), abs=2e-3)


def test_single_precision_inverse(process):
    t = times(process, 50).float()
    back = process.time_of_log_snr(process.log_snr(t))
    assert torch.allclose(back, t, atol=1e-4)


def test_golden_variances_of_the_linear_vp_process():
    value = VPSDE().sigma2(torch.tensor([0.01, 1e-5, 1.0], dtype=torch.float64))
    golden = torch.tensor([1.993011310e-3, 1.000994499e-6, 0.9999568143], dtype=torch.float64)
    assert torch.allclose(value, golden, rtol=5e-10, atol=0)


@pytest.mark.parametrize("name", ["vp", "geometric", "cosine", "vp with an offset", "geometric from zero"])
def test_variance_preserving_processes_keep_unit_variance(name):
    process = PROCESSES[name]
    t, start = times(process), torch.zeros(1, dtype=torch.float64)
    offset = process.sigma2(start)
    assert torch.allclose((1 - offset) * process.alpha(t) ** 2, 1 - process.sigma2(t), atol=1e-12)


def test_sub_vp_lies_below_vp_with_the_same_alpha():
    t = times(SHIPPED["vp"])
    vp, sub = SHIPPED["vp"], SHIPPED["sub-vp"]
    assert torch.allclose(vp.log_alpha(t), sub.log_alpha(t))
    assert torch.allclose(sub.sigma2(t), vp.sigma2(t) ** 2)


def test_users_processes_need_no_inverse():
    for process in (CosinePath(), LinearPath()):
        assert type(process).time_of_log_snr is Process.time_of_log_snr
    t = times(LinearPath())
    log_snr = LinearPath().log_snr(t)
    assert torch.allclose(torch.sigmoid(-log_snr / 2), 0.999 * t / (1 - 0.999 * t + 0.999 * t), atol=1e-12)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: VPSDE(beta_min=0.0), "beta_min is 0.0; it must be a positive finite number"),
        (lambda: VPSDE(beta_max=math.inf), "beta_max is inf"),
        (lambda: VPSDE(t_min=-1e-3), "t_min is -0.001"),
        (lambda: SubVPSDE(t_min=0.0), "t_min is 0.0"),
        (lambda: GeometricVPSDE(sigma2_max=1.0), "sigma2_max is 1.0; it must lie between"),
        (lambda: GeometricVPSDE(sigma2_0=0.0), "t_min is 0 while sigma2_0 is 0"),
        (lambda: VESDE(sigma2_min=2.0, sigma2_max=1.0), "sigma2_max is 1.0; it must be larger than sigma2_min=2.0"),
        (lambda: VESDE(latent_std=0.0), "latent_std is 0.0"),
    ],
)
def test_impossible_settings_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    "build",
    [
        lambda: VPSDE(t_min=1.0),
        lambda: VPSDE(sigma2_0=1.0),
        lambda: VPSDE(sigma2_0=-0.1),
        lambda: GeometricVPSDE(sigma2_0=-1e-3),
        lambda: GeometricVPSDE(t_min=1.5),
        lambda: VESDE(t_min=-0.1),
    ],
)
def test_settings_outside_of_their_range_are_refused_too(build):
    with pytest.raises(ValueError, match="must"):
        build()
