"""Proposals of time: golden values, unbiasedness by quadrature, and what stratification buys."""

import copy
import math

import pytest
import torch
from problems import PROCESSES, WEIGHTINGS, LinearPath

from latentgen.process import VESDE, VPSDE, GeometricVPSDE, Process, SubVPSDE
from latentgen.times import ImportanceTimes, LogSNRTimes, UniformTimes
from latentgen.weighting import LikelihoodWeighting, ReweightedWeighting, UnweightedWeighting, Weighting

LIKE = torch.zeros(1, dtype=torch.float64)
SAMPLERS = {
    "uniform": UniformTimes(),
    "log-snr": LogSNRTimes(),
    "importance ll": ImportanceTimes(LikelihoodWeighting()),
    "importance un": ImportanceTimes(UnweightedWeighting()),
    "importance re": ImportanceTimes(ReweightedWeighting()),
}


@pytest.fixture(params=list(PROCESSES))
def process(request):
    return PROCESSES[request.param]


@pytest.fixture(params=list(SAMPLERS))
def sampler(request):
    return SAMPLERS[request.param]


def levels(n: int) -> torch.Tensor:
    """Midpoints of n strata: the mean over them is a midpoint rule in rho."""
    return (torch.arange(n, dtype=torch.float64) + 0.5) / n


def double_exponential(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Points and weights of an integral over (0, 1) whose integrand may grow steeply at the ends."""
    x = torch.linspace(-3.4, 3.4, n, dtype=torch.float64)
    u = math.pi * torch.sinh(x)
    rho = torch.sigmoid(u)
    return rho, math.pi * torch.cosh(x) * rho * torch.sigmoid(-u) * (x[1] - x[0])


def model_error(process: Process, t: torch.Tensor) -> torch.Tensor:
    """A smooth error, with the shape that errors have: sigmoid(lambda + ln s^2), bent by a cosine."""
    return torch.sigmoid(process.log_snr(t) + 2 * math.log(process.latent_std)) * (1 + 0.5 * torch.cos(5 * t))


def quadrature(process: Process, function) -> float:
    """Midpoint rule over [t_min, 1], clustered at both ends."""
    n = 20_000
    v = levels(n)
    t = process.t_min + (1 - process.t_min) * v * v * (3 - 2 * v)
    width = (1 - process.t_min) * 6 * v * (1 - v) / n
    return (function(t) * width).sum().item()


@pytest.mark.parametrize("weighting", WEIGHTINGS, ids=lambda w: type(w).__name__)
def test_importance_weights_are_unbiased(sampler, weighting, process):
    """The mean of w(t) / r(t) error over the proposal is the integral of w error, whatever the proposal."""
    rho, width = double_exponential(2000)
    t, density = sampler.quantile(process, rho)
    estimate = (weighting(process, t) / density * model_error(process, t) * width).sum().item()
    truth = quadrature(process, lambda t: weighting(process, t) * model_error(process, t))
    assert estimate == pytest.approx(truth, rel=1e-3)


def test_density_integrates_to_one(sampler, process):
    t, density = sampler.quantile(process, levels(10_000))
    assert (t.diff() >= 0).all()
    # trapezoid between the quantiles; beyond the outer ones lies a share of 1 / 10000
    assert torch.trapezoid(density, t).item() == pytest.approx(1, abs=2e-3)


def test_density_is_the_slope_of_the_distribution_function(sampler, process):
    rho = torch.linspace(0.05, 0.95, 50, dtype=torch.float64)
    step = 1e-7
    (low, _), (_, density), (high, _) = (sampler.quantile(process, rho + shift) for shift in (-step, 0.0, step))
    inside = ((high - low) / (2 * step) * density).sub(1).abs() < 1e-3
    # a step may straddle two cells of a table, rarely
    assert inside.float().mean() >= 0.9


def test_quantiles_run_from_t_min_to_one(sampler, process):
    t, density = sampler.quantile(process, torch.tensor([0.0, 1.0], dtype=torch.float64))
    assert t[0].item() == pytest.approx(process.t_min, abs=1e-9)
    assert t[1].item() == pytest.approx(1, abs=1e-6)
    assert density.isfinite().all()


def test_proposals_of_the_likelihood_weighting_are_optimal(process):
    """If the error is sigmoid(lambda + ln s^2), every draw of w / r error is the same number: the integral Z."""
    t, density = LogSNRTimes().quantile(process, levels(200))
    error = torch.sigmoid(process.log_snr(t) + 2 * math.log(process.latent_std))
    value = LikelihoodWeighting()(process, t) / density * error
    assert torch.allclose(value, LogSNRTimes.integral(process, LIKE).expand(200), rtol=1e-7)


def test_table_and_closed_form_agree_for_the_likelihood_weighting(process):
    """Distance of the two distribution functions; a table of 4096 cells is within a few of its own cells' masses."""
    rho = levels(500)
    exact, table = LogSNRTimes().quantile(process, rho)[0], ImportanceTimes(LikelihoodWeighting())
    t = table.quantile(process, rho)[0]
    shift = 2 * math.log(process.latent_std)
    mass = lambda t: torch.nn.functional.softplus(process.log_snr(t) + shift)
    total = mass(LIKE + process.t_min) - mass(LIKE + 1)
    assert ((mass(t) - mass(exact)) / total).abs().max() < 5e-3
    assert table.integral(process) == pytest.approx(LogSNRTimes.integral(process, LIKE).item(), rel=5e-3)


def test_every_proposal_is_optimal_for_its_weighting(process):
    """ImportanceTimes(w): the draws of w / r error have hardly any spread when the error is as assumed."""
    for weighting in WEIGHTINGS:
        t, density = ImportanceTimes(weighting).quantile(process, levels(400))
        error = torch.sigmoid(process.log_snr(t) + 2 * math.log(process.latent_std))
        value = weighting(process, t) / density * error
        assert value.std() / value.mean() < 0.05


def test_stratified_times_fall_one_into_each_stratum(sampler, process):
    torch.manual_seed(0)
    t, _ = sampler(64, process)
    edges, _ = sampler.quantile(process, torch.linspace(0, 1, 65))
    t, edges = t.sort().values, edges.sort().values
    inside = (t >= edges[:-1] - 1e-5) & (t <= edges[1:] + 1e-5)
    assert inside.all()


def test_stratification_lowers_the_variance():
    """Batch estimates of an integral whose integrand varies: 200 batches of 16."""
    torch.manual_seed(0)
    process, weighting = VPSDE(), LikelihoodWeighting()
    for make in (UniformTimes, LogSNRTimes, lambda stratified: ImportanceTimes(weighting, stratified=stratified)):
        spread = []
        for stratified in (True, False):
            sampler = make(stratified=stratified)
            draws = [sampler(16, process) for _ in range(200)]
            means = [(weighting(process, t) / r * model_error(process, t)).mean() for t, r in draws]
            spread.append(torch.stack(means).var())
        assert spread[0] < 0.5 * spread[1]


def test_independent_times_follow_the_distribution(sampler):
    """Kolmogorov-Smirnov distance of 4000 draws; 2.3 / sqrt(n) is exceeded once in 40,000 runs."""
    torch.manual_seed(0)
    process, independent = VPSDE(), copy.copy(sampler)
    independent.stratified = False
    t, _ = independent(4000, process)
    ordered = t.double().sort().values
    quantiles, _ = sampler.quantile(process, levels(4000))
    # compare at the level of rho: the share of draws below the quantile of level rho is rho
    share = torch.searchsorted(ordered, quantiles) / 4000
    assert (share - levels(4000)).abs().max() < 2.3 / math.sqrt(4000)


def test_single_precision_times_are_inside_and_finite(sampler, process):
    torch.manual_seed(0)
    t, density = sampler(512, process)
    assert t.dtype == density.dtype == torch.float32
    assert (t >= process.t_min - 1e-7).all()
    assert (t <= 1).all()
    assert (density > 0).all()
    assert density.isfinite().all()


def test_tables_belong_to_their_process():
    weighting = UnweightedWeighting()
    shared, rho = ImportanceTimes(weighting), levels(11)
    for process in (VPSDE(), VESDE(), VPSDE(beta_max=10.0), VPSDE()):
        assert torch.equal(shared.quantile(process, rho)[0], ImportanceTimes(weighting).quantile(process, rho)[0])


def test_a_copied_sampler_does_not_take_one_process_for_another(monkeypatch):
    """A copy holds copies of the processes: an original's number (``id``) may come to mean another process."""
    monkeypatch.setattr("latentgen.times.id", lambda process: 7, raising=False)
    sampler, rho = ImportanceTimes(UnweightedWeighting(), points=64), levels(11)
    sampler.quantile(VPSDE(), rho)
    other, fresh = VPSDE(beta_max=1.0), ImportanceTimes(UnweightedWeighting(), points=64)
    assert torch.equal(copy.deepcopy(sampler).quantile(other, rho)[0], fresh.quantile(other, rho)[0])


# ---- golden values (float64; quadrature and closed forms agree to eight digits or more) ----


@pytest.mark.parametrize(("t_min", "golden"), [(1e-2, 3.1090326882), (1e-5, 6.9072366833)])
def test_golden_likelihood_integral_of_vp(t_min, golden):
    process = VPSDE(t_min=t_min)
    assert LogSNRTimes.integral(process, LIKE).item() == pytest.approx(golden, abs=1e-9)
    start, end = process.ends(LIKE)
    assert 0.5 * (process.sigma2(end) / process.sigma2(start)).log().item() == pytest.approx(golden, abs=1e-9)


def test_golden_likelihood_quantiles_of_vp_are_geometric_in_the_variance():
    process, rho = VPSDE(), levels(9)
    t, _ = LogSNRTimes().quantile(process, rho)
    start, end = (process.sigma2(entry) for entry in process.ends(LIKE))
    assert torch.allclose(process.sigma2(t), start ** (1 - rho) * end**rho, rtol=1e-9)


def test_golden_reweighted_integral_of_vp():
    """By the table's midpoint rule: 4096 cells leave an error of about 1e-7."""
    table = ImportanceTimes(ReweightedWeighting())
    assert table.integral(VPSDE()) == pytest.approx(0.4989819015, abs=1e-6)
    rho = levels(9)
    t, _ = table.quantile(VPSDE(), rho)
    start, end = (VPSDE().sigma2(entry) for entry in VPSDE().ends(LIKE))
    assert torch.allclose(VPSDE().sigma2(t), (1 - rho) * start + rho * end, atol=1e-6)


def test_golden_unweighted_normaliser_and_quantile_of_vp():
    """By the table: its integral to 1e-7, its quantile to 1e-6."""
    table = ImportanceTimes(UnweightedWeighting())
    assert table.integral(VPSDE()) == pytest.approx(0.2660037023, abs=1e-7)
    t, _ = table.quantile(VPSDE(), torch.tensor([0.37], dtype=torch.float64))
    assert t.item() == pytest.approx(0.1137114172, abs=1e-6)


def test_golden_likelihood_integral_of_the_geometric_process_and_its_uniform_times():
    """The golden value is for data of variance 1 - sigma2_0; for unit variance the integral differs by 2e-5."""
    process, rho = GeometricVPSDE(sigma2_min=3e-5, sigma2_max=0.999), levels(9)
    assert LogSNRTimes.integral(process, LIKE).item() == pytest.approx(5.2066563379, abs=2e-5)
    assert torch.allclose(LogSNRTimes().quantile(process, rho)[0], rho, atol=2e-5)
    process.latent_std = math.sqrt(1 - 3e-5)
    assert LogSNRTimes.integral(process, LIKE).item() == pytest.approx(5.2066563379, abs=1e-9)
    assert torch.allclose(LogSNRTimes().quantile(process, rho)[0], rho, atol=1e-10)


def test_golden_integrals_of_ve():
    process = VESDE(sigma2_min=0.01, sigma2_max=2500.0, latent_std=math.sqrt(0.99), t_min=1e-3)
    assert LogSNRTimes.integral(process, LIKE).item() == pytest.approx(2.2962350541, abs=1e-9)
    # midpoint rule of 4096 cells
    assert ImportanceTimes(ReweightedWeighting()).integral(process) == pytest.approx(3.8730368519, abs=1e-5)


def test_golden_likelihood_quantiles_of_ve():
    """v_t = s^2 / (1 - exp(rho (a + b) - b)), the closed form of this process."""
    process, rho = VESDE(sigma2_min=0.01, sigma2_max=2500.0, latent_std=math.sqrt(0.99), t_min=1e-3), levels(9)
    start, end = (process.sigma2(entry) for entry in process.ends(LIKE))
    a, b = (end / (0.99 + end)).log(), ((0.99 + start) / start).log()
    t, _ = LogSNRTimes().quantile(process, rho)
    assert torch.allclose(0.99 + process.sigma2(t), 0.99 / (1 - torch.exp(rho * (a + b) - b)), rtol=1e-8)


def test_golden_sub_vp():
    process = SubVPSDE(t_min=1e-3)
    assert LogSNRTimes.integral(process, LIKE).item() == pytest.approx(9.1154632523, abs=1e-9)
    t, _ = LogSNRTimes().quantile(process, torch.tensor([0.42], dtype=torch.float64))
    assert t.item() == pytest.approx(0.01807238006946, abs=1e-12)


def test_golden_linear_path():
    """The integral over [.001, .999] of the path alpha = 1 - t, sigma = t, stretched to end at t = 1."""
    process = LinearPath(end=0.999, t_min=0.001 / 0.999)
    assert LogSNRTimes.integral(process, LIKE).item() == pytest.approx(6.9067547786, abs=1e-9)


class FlowMatchingWeighting(Weighting):
    """A user's weighting: the error of the velocity eps - z_0 of the linear path."""

    def __call__(self, process: Process, t: torch.Tensor) -> torch.Tensor:
        return process.alpha(t) ** -2


@pytest.mark.parametrize(("s", "golden"), [(0.3, 0.4712388980), (1.0, 1.5707963268), (2.5, 3.9269908170)])
def test_golden_velocity_error_of_the_linear_path_is_half_pi_s(s, golden):
    """pi s / 2, by a user's process and a user's weighting; midpoint rule of 4096 cells."""
    process = LinearPath(end=1.0, t_min=1e-9, latent_std=s)
    assert ImportanceTimes(FlowMatchingWeighting()).integral(process) == pytest.approx(golden, abs=1e-5)


def test_a_table_needs_two_points():
    with pytest.raises(ValueError, match="points is 1; a table needs at least 2"):
        ImportanceTimes(UnweightedWeighting(), points=1)
