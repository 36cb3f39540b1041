"""Every sampler carries noise to the data's distribution, at its order and its cost, sample by sample."""

import math

import pytest
import torch
from problems import PROCESSES, ExactDenoiser, ExactGenerator, gaussian, unequal_mixture
from torch import nn

from latentgen.chain import Chain
from latentgen.denoiser import VelocityDenoiser
from latentgen.noise import NoiseStream
from latentgen.process import VPSDE, Process
from latentgen.sampler import (
    DDIM,
    SAMPLERS,
    Ancestral,
    DPMSolver,
    EulerMaruyama,
    GANSampler,
    Heun,
    PredictorCorrector,
    ProbabilityFlow,
    Sampler,
    make_sampler,
    time_grid,
)

SECOND_ORDER: dict[str, Sampler] = {"heun": Heun(40), "dpm": DPMSolver(60)}
FIRST_ORDER: dict[str, Sampler] = {
    "ddim": DDIM(120),
    "ddim, eta 1": DDIM(160, eta=1.0),
    "ancestral, small": Ancestral(160, "small"),
    "ancestral, large": Ancestral(160, "large"),
    "euler": EulerMaruyama(160),
    "pc": PredictorCorrector(120),
}
ALL: dict[str, Sampler] = {"ode": ProbabilityFlow(1e-4), **SECOND_ORDER, **FIRST_ORDER}
CASES = [
    *((name, process) for name in ALL for process in ("vp", "ve")),
    *((name, process) for name in ("ode", "dpm", "euler") for process in ("sub-vp", "geometric", "cosine", "linear")),
]


def discretisation(name: str, process: Process) -> float:
    """Stated size of a sampler's own error, relative: 0.3 h^order for steps of h in the log-SNR.

    The adaptive solver's is a hundred times its tolerance; the corrector's adds snr^2, the bias of a Langevin step.
    """
    if name == "ode":
        return 1e-2
    ends = torch.cat(process.ends(torch.zeros(1, dtype=torch.float64)))
    h = -process.log_snr(ends).diff().item() / (ALL[name].steps - 1)
    order = 2 if name in SECOND_ORDER else 1
    return 0.3 * h**order + (0.16**2 if name == "pc" else 0.0)


@pytest.mark.parametrize(("name", "law"), CASES)
def test_samplers_carry_a_gaussian_mixture_to_its_moments_and_weights(name, law):
    """Mean, covariance and component weights within five standard errors plus the stated discretisation error."""
    torch.manual_seed(0)
    process, mixture, n = PROCESSES[law], unequal_mixture(), 10_000
    denoiser = ExactDenoiser(mixture, process).eval()
    z = ALL[name](denoiser, process.terminal_std * torch.randn(n, 2)).double()
    bias = discretisation(name, process)

    covariance = mixture.denoised_covariance(process)
    scale = covariance.diagonal().sqrt()
    assert ((z.mean(0) - mixture.mean()).abs() < scale * (5 / math.sqrt(n) + bias)).all()

    # the standard error of a covariance is that of true samples: a sampler with heavy tails must not widen it
    true = mixture.sample(n)
    spread = (true[:, :, None] * true[:, None, :]).std(0)
    error = (torch.cov(z.T) - covariance).abs()
    assert (error < 5 * spread / math.sqrt(n) + bias * scale[:, None] * scale).all()

    weights = mixture.weights
    assert ((mixture.shares(z) - weights).abs() < 5 * (weights * (1 - weights) / n).sqrt() + bias / 2).all()


@pytest.mark.parametrize("law", ["vp", "ve"])
@pytest.mark.parametrize(("name", "steps"), [("dpm", 25), ("heun", 13), (None, None)])
def test_short_names_are_good_for_few_calls(name, steps, law):
    """25 calls by the spacing that a short name chooses: the mixture's covariance to a tenth, its weights to .02.

    Uniform steps of the log-SNR reach .003 (dpm) and .08 (heun) of the covariance here.
    """
    torch.manual_seed(0)
    process, mixture, n = PROCESSES[law], unequal_mixture(), 20_000
    sampler = make_sampler(name, steps)
    z = sampler(ExactDenoiser(mixture, process).eval(), process.terminal_std * torch.randn(n, 2)).double()
    assert sampler.calls == 25
    covariance = mixture.denoised_covariance(process)
    scale = covariance.diagonal().sqrt()
    # five standard errors of a variance are .04
    assert ((torch.cov(z.T) - covariance).abs() < (0.1 + 0.04) * scale[:, None] * scale).all()
    assert (mixture.shares(z) - mixture.weights).abs().max() < 0.02 + 5 * math.sqrt(0.21 / n)


def test_samples_have_the_shape_of_their_component_too():
    """Within each component the covariance is that component's: not only the overall one."""
    torch.manual_seed(0)
    process, mixture, n = PROCESSES["vp"], unequal_mixture(), 10_000
    z = DPMSolver(60)(ExactDenoiser(mixture, process).eval(), torch.randn(n, 2)).double()
    which = mixture.components(z, torch.ones(n).double(), torch.zeros(n).double())[0].argmax(1)
    t = torch.tensor([process.t_min]).double()
    for k in range(2):
        part = z[which == k]
        # posterior means at t_min: S - (S^-1 + alpha^2 / sigma^2)^-1
        S = mixture.covariances[k]
        left = torch.linalg.inv(torch.linalg.inv(S) + torch.eye(2).double() * process.log_snr(t).exp())
        expected, scale = S - left, S.diagonal().sqrt()
        assert ((torch.cov(part.T) - expected).abs() / (scale[:, None] * scale) < 5 * math.sqrt(2 / len(part))).all()
        assert ((part.mean(0) - mixture.means[k]).abs() / scale < 5 / math.sqrt(len(part))).all()


# ---- the few large steps of a denoising diffusion GAN, with a generator that draws from the exact posterior ----


@pytest.mark.parametrize(
    ("law", "steps", "spacing"),
    [
        *((law, steps, spacing) for law in ("vp", "ve") for steps in (1, 2, 4) for spacing in ("time", "log_snr")),
        *((law, 3, "log_snr") for law in ("sub-vp", "geometric", "cosine", "linear")),
        ("vp", 8, "time"),
    ],
)
def test_a_perfect_generator_carries_noise_to_a_mixture_in_any_number_of_steps(law, steps, spacing):
    """No error but that of sampling: means, covariances and weights, of the whole and of each component."""
    torch.manual_seed(0)
    process, mixture, n = PROCESSES[law], unequal_mixture(), 40_000
    sampler, generator = GANSampler(), ExactGenerator(mixture, Chain(process, steps, spacing=spacing)).eval()
    z = sampler(generator, process.terminal_std * torch.randn(n, 2, dtype=torch.float64))
    assert sampler.calls == steps
    weights = mixture.weights
    assert ((mixture.shares(z) - weights).abs() < 5 * (weights * (1 - weights) / n).sqrt() + 1e-3).all()
    which = mixture.components(z, torch.ones(n).double(), torch.zeros(n).double())[0].argmax(1)
    parts = [(z, mixture.mean(), mixture.covariance())]
    parts += [(z[which == k], mixture.means[k], mixture.covariances[k]) for k in range(2)]
    for part, mean, covariance in parts:
        scale = covariance.diagonal().sqrt()
        assert ((part.mean(0) - mean).abs() / scale < 5 / math.sqrt(len(part)) + 5e-3).all()
        assert ((torch.cov(part.T) - covariance).abs() / (scale[:, None] * scale)
                < 5 * math.sqrt(2 / len(part)) + 5e-3).all()


@pytest.mark.parametrize("law", ["vp", "ve"])
@pytest.mark.parametrize(("start", "first"), [(0.5, 2), (0.51, 3), (1.0, 4), (0.1, 1)])
def test_a_chain_can_be_entered_at_its_times(law, start, first):
    """From the exact marginal at t_k the data are reached in k calls; another start counts as the next t_k."""
    torch.manual_seed(0)
    process, mixture, n = PROCESSES[law], unequal_mixture(), 10_000
    chain = Chain(process, 4, times=[0.2, 0.5, 0.8, 1.0])
    z_k = chain.process.marginal(mixture.sample(n), chain.time(torch.full((n,), first))).rsample()
    sampler = GANSampler()
    z = sampler(ExactGenerator(mixture, chain).eval(), z_k, start=start)
    assert sampler.calls == first
    scale = mixture.covariance().diagonal().sqrt()
    error = (torch.cov(z.T) - mixture.covariance()).abs() / (scale[:, None] * scale)
    assert (error < 5 * math.sqrt(2 / n)).all()
    assert ((mixture.shares(z) - mixture.weights).abs() < 5 * math.sqrt(0.21 / n)).all()


def test_the_calls_of_a_chain_are_observed():
    """T predictions, at the chain's times: the last one's mean is the sample."""
    torch.manual_seed(0)
    generator = ExactGenerator(unequal_mixture(), Chain(VPSDE(), 4, spacing="log_snr")).eval()
    seen = []
    z = GANSampler()(
        generator, torch.randn(3, 2).double(), observe=lambda t, prediction: seen.append((float(t), prediction.mean))
    )
    assert [t for t, _ in seen] == pytest.approx(generator.chain.times[:0:-1])
    assert torch.allclose(seen[-1][1], z, atol=1e-5)
    assert not torch.allclose(seen[-2][1], z, atol=1e-3)


def test_a_chain_keeps_samples_and_items_apart():
    """Masked items are zero and influence nothing, and sample i is the same however many are drawn."""
    generator = ExactGenerator(unequal_mixture(), Chain(VPSDE(), 3), items=3).eval()
    mask = torch.tensor([[True, True, True], [True, False, False]])
    z_1 = torch.randn(2, 3, 2, dtype=torch.float64)

    def draw(z_1: torch.Tensor, mask: torch.Tensor, indices: range) -> torch.Tensor:
        return GANSampler()(generator, z_1, mask=mask, noise=NoiseStream(0, indices, (3, 2)))

    z = draw(z_1, mask, range(2))
    assert torch.equal(z[~mask], torch.zeros(2, 2).double())
    assert torch.allclose(draw(torch.where(mask[..., None], z_1, 100.0), mask, range(2)), z, atol=1e-12)
    assert torch.allclose(draw(z_1[1:], mask[1:], range(1, 2))[0], z[1], atol=1e-12)
    assert torch.allclose(draw(z_1[1:, :1], mask[1:, :1], range(1, 2))[0], z[1, :1], atol=1e-12)


def test_a_chain_has_its_own_number_of_steps_and_needs_a_generator():
    generator = ExactGenerator(unequal_mixture(), Chain(VPSDE(), 4)).eval()
    assert GANSampler(4)(generator, torch.randn(3, 2)).shape == (3, 2)
    with pytest.raises(ValueError, match="steps is 5 for sampler 'gan'; this generator was trained for 4"):
        GANSampler(5)(generator, torch.randn(3, 2))
    with pytest.raises(ValueError, match="sampler 'gan' was given a ExactDenoiser; it needs a generator"):
        GANSampler()(ExactDenoiser(unequal_mixture(), VPSDE()), torch.randn(3, 2))


# ---- order of convergence, on a Gaussian whose flow is known exactly ----

VARIANCES = (0.05, 0.4, 3.0)


def exact_flow(process: Process, z_1: torch.Tensor, start: torch.Tensor | None = None) -> torch.Tensor:
    """The flow from 1 to t_min scales each axis by a ratio of standard deviations; then comes the posterior mean.

    A grid that starts later than at t = 1 first scales z_1 to the spread of latents of variance s^2 at its start.
    """
    spread = torch.tensor(VARIANCES, dtype=torch.float64)
    first, last = process.ends(z_1)
    total = lambda t, spread=spread: process.alpha(t) ** 2 * spread + process.sigma2(t)
    if start is not None:
        assumed = torch.tensor(process.latent_std**2, dtype=torch.float64)
        z_1, last = z_1 * (total(start, assumed) / total(last, assumed)).sqrt(), start
    return z_1 * (total(first) / total(last)).sqrt() * process.alpha(first) * spread / total(first)


@pytest.mark.parametrize("law", ["vp", "ve", "sub-vp", "cosine"])
@pytest.mark.parametrize("spacing", ["log_snr", "karras", "normal"])
@pytest.mark.parametrize(("build", "order"), [(DDIM, 1), (Heun, 2), (DPMSolver, 2)])
def test_order_of_convergence_of_deterministic_samplers(build, order, spacing, law):
    torch.manual_seed(0)
    process = PROCESSES[law]
    denoiser = ExactDenoiser(gaussian(*VARIANCES), process).eval()
    z_1 = process.terminal_std * torch.randn(32, 3, dtype=torch.float64)
    start = time_grid(process, 9, spacing, 1.0, z_1)[:1]
    exact = exact_flow(process, z_1, start)
    intervals = [64, 128, 256]
    errors = [(build(n + 1, spacing=spacing)(denoiser, z_1) - exact).abs().max().item() for n in intervals]
    rate = math.log2(errors[1] / errors[2])
    assert rate == pytest.approx(order, abs=0.25)
    assert errors[2] < errors[1] < errors[0]


@pytest.mark.parametrize("law", ["vp", "ve"])
def test_adaptive_flow_converges_with_its_tolerance(law):
    torch.manual_seed(0)
    process = PROCESSES[law]
    denoiser = ExactDenoiser(gaussian(*VARIANCES), process).eval()
    z_1 = process.terminal_std * torch.randn(32, 3, dtype=torch.float64)
    for tolerance in (1e-3, 1e-5, 1e-7):
        sampler = ProbabilityFlow(tolerance)
        assert (sampler(denoiser, z_1) - exact_flow(process, z_1)).abs().max() < 100 * tolerance


class UnitNoise:
    """Stands for a noise stream: sample j gets a one at its j-th draw and zeros at all others."""

    def __init__(self) -> None:
        self.draw = 0

    def normal_like(self, z: torch.Tensor) -> torch.Tensor:
        self.draw += 1
        eps = torch.zeros_like(z)
        eps[self.draw] = 1
        return eps


def final_variance(sampler: Sampler, process: Process) -> torch.Tensor:
    """Exact variance of each axis after a linear sampler: the sum of squares of its responses to each noise."""
    denoiser = ExactDenoiser(gaussian(*VARIANCES), process).eval()
    z_1 = torch.zeros(sampler.steps, 3, dtype=torch.float64)
    z_1[0] = process.terminal_std
    return (sampler(denoiser, z_1, noise=UnitNoise()) ** 2).sum(0)


def true_variance(process: Process) -> torch.Tensor:
    """Variance of E[z_0 | z_tmin]."""
    spread = torch.tensor(VARIANCES, dtype=torch.float64)
    signal = spread * process.log_snr(torch.tensor([process.t_min], dtype=torch.float64)).exp()
    return spread * signal / (1 + signal)


@pytest.mark.parametrize("law", ["vp", "ve", "sub-vp", "cosine"])
@pytest.mark.parametrize(
    "build",
    [
        lambda steps: DDIM(steps, eta=1.0),
        lambda steps: DDIM(steps, eta=0.5),
        lambda steps: Ancestral(steps, "small"),
        lambda steps: Ancestral(steps, "large"),
        EulerMaruyama,
    ],
    ids=["ddim eta 1", "ddim eta .5", "ancestral small", "ancestral large", "euler"],
)
def test_stochastic_samplers_converge_weakly_at_first_order(build, law):
    """Variances without any Monte Carlo error: they approach the truth, halving the error with the step at least."""
    process = PROCESSES[law]
    errors = [(final_variance(build(n + 1), process) / true_variance(process) - 1).abs().max() for n in (150, 300)]
    assert errors[1] < 0.06
    assert math.log2(errors[0] / errors[1]) > 0.75


@pytest.mark.parametrize("law", ["vp", "ve", "sub-vp", "geometric"])
def test_ddim_with_eta_one_is_ancestral_sampling(law):
    """The same bridge, written twice: equal samples for equal noise."""
    process = PROCESSES[law]
    denoiser = ExactDenoiser(unequal_mixture(), process).eval()
    z_1 = process.terminal_std * torch.randn(6, 2, dtype=torch.float64)
    one, two = (s(denoiser, z_1, noise=NoiseStream(0, range(6))) for s in (DDIM(12, eta=1.0), Ancestral(12)))
    assert torch.allclose(one, two, atol=1e-8)


@pytest.mark.parametrize("law", ["vp", "ve"])
def test_langevin_corrections_keep_the_distribution(law):
    """Many corrections leave the variance of a narrow Gaussian in 2 and in 64 dimensions right, to snr^2 and noise."""
    torch.manual_seed(0)
    process = PROCESSES[law]
    for dims, n in ((2, 4000), (64, 150)):
        denoiser = ExactDenoiser(gaussian(*[0.1] * dims), process).eval()
        z = PredictorCorrector(40, corrections=4)(denoiser, process.terminal_std * torch.randn(n, dims)).double()
        signal = 0.1 * process.log_snr(torch.tensor([process.t_min]).double()).exp().item()
        expected = 0.1 * signal / (1 + signal)
        # five standard errors of a variance, the Langevin bias, and a first-order predictor with h = 0.42 at most
        assert (z**2).mean().item() == pytest.approx(expected, rel=5 * math.sqrt(2 / (n * dims)) + 0.16**2 + 0.1)


# ---- grids and costs ----


@pytest.mark.parametrize("spacing", ["log_snr", "normal", "karras", "time"])
@pytest.mark.parametrize("law", list(PROCESSES))
def test_grids_fall_from_the_start_to_t_min(spacing, law):
    """From the start itself, or where latents of the assumed spread are noise to within 0.7 %: lambda + ln s^2 = -5."""
    process = PROCESSES[law]
    for start in (1.0, 0.6):
        t = time_grid(process, 30, spacing, start, torch.zeros(1, dtype=torch.float64))
        if spacing == "normal":
            later = process.time_of_log_snr(torch.tensor([-5.0]).double() - 2 * math.log(process.latent_std)).item()
            assert t[0].item() == pytest.approx(min(start, later), abs=1e-6)
        else:
            assert t[0].item() == pytest.approx(start, abs=1e-7)
        assert t[-1].item() == pytest.approx(process.t_min, abs=1e-9)
        assert (t.diff() < 0).all()


def test_grids_are_uniform_in_what_they_say():
    process, like = VPSDE(), torch.zeros(1, dtype=torch.float64)
    even = lambda x: torch.allclose(x.diff(), x.diff()[0].expand(len(x) - 1), rtol=1e-6)
    assert even(time_grid(process, 20, "time", 1.0, like))
    assert even(process.log_snr(time_grid(process, 20, "log_snr", 1.0, like)))
    t = time_grid(process, 20, "karras", 1.0, like)
    assert even((process.sigma(t) / process.alpha(t)) ** (1 / 7))


COSTS = [
    (DDIM(7), 7),
    (DDIM(7, eta=1.0), 7),
    (DPMSolver(7), 7),
    (Ancestral(7), 7),
    (EulerMaruyama(7), 7),
    (Heun(7), 13),
    (PredictorCorrector(7), 13),
    (PredictorCorrector(7, corrections=3), 25),
    (DDIM(1), 1),
    (Heun(1), 1),
]


@pytest.mark.parametrize(("sampler", "calls"), COSTS)
def test_cost_is_counted_and_observed(sampler, calls):
    denoiser = ExactDenoiser(unequal_mixture(), VPSDE()).eval()
    seen = []
    sampler(denoiser, torch.randn(3, 2), observe=lambda t, prediction: seen.append((float(t), prediction.mean)))
    assert sampler.calls == calls
    assert len(seen) == calls
    assert denoiser.calls == calls
    sampler(denoiser, torch.randn(3, 2))
    assert sampler.calls == calls


def test_adaptive_cost_is_counted_and_grows_with_the_digits():
    denoiser, costs = ExactDenoiser(unequal_mixture(), VPSDE()).eval(), []
    for tolerance in (1e-2, 1e-4, 1e-6):
        sampler, before = ProbabilityFlow(tolerance), denoiser.calls
        sampler(denoiser, torch.randn(50, 2, dtype=torch.float64))
        costs.append(sampler.calls)
        assert sampler.calls == denoiser.calls - before
    assert costs[0] < costs[1] < costs[2]


def test_one_call_gives_the_mean_of_the_data():
    """From pure noise the best guess is E[z_0], up to alpha_1."""
    mixture = unequal_mixture()
    z = DDIM(1)(ExactDenoiser(mixture, VPSDE()).eval(), torch.randn(5, 2, dtype=torch.float64))
    assert (z - mixture.mean()).abs().max() < 0.05


# ---- masks, streams, editing ----


@pytest.mark.parametrize("name", list(ALL))
def test_masked_items_are_zero_and_influence_nothing(name):
    process = VPSDE()
    denoiser = ExactDenoiser(unequal_mixture(), process).eval()
    sampler = ProbabilityFlow(1e-5) if name == "ode" else make_sampler(ALL[name].__class__(8))
    mask = torch.tensor([[True, True, True], [True, False, False]])
    z_1, noise = torch.randn(2, 3, 2, dtype=torch.float64), lambda: NoiseStream(0, range(2))
    z = sampler(denoiser, z_1, mask=mask, noise=noise())
    assert torch.equal(z[~mask], torch.zeros(2, 2).double())
    other = torch.where(mask[..., None], z_1, 100 * torch.ones_like(z_1))
    # the adaptive solver's steps see the whole batch, but masked items do not move
    assert torch.allclose(sampler(denoiser, other, mask=mask, noise=noise()), z, atol=1e-4 if name == "ode" else 1e-12)


@pytest.mark.parametrize("name", list(ALL))
def test_sample_i_does_not_depend_on_the_batch(name):
    process = VPSDE()
    denoiser = ExactDenoiser(unequal_mixture(), process).eval()
    sampler = ProbabilityFlow(1e-6) if name == "ode" else make_sampler(ALL[name].__class__(8))

    def draw(indices: range) -> torch.Tensor:
        noise = NoiseStream(11, indices)
        return sampler(denoiser, noise.normal((3, 2)).double(), noise=noise)

    whole = draw(range(12))
    for part in (range(4, 7), range(11, 12)):
        assert torch.allclose(draw(part), whole[part.start : part.stop], atol=1e-3 if name == "ode" else 1e-12)


@pytest.mark.parametrize("name", ["ode", "dpm", "ancestral, small"])
def test_editing_starts_in_the_middle(name):
    """From the exact marginal at t = 0.5 a sampler reaches the data as well as from 1."""
    torch.manual_seed(0)
    process, mixture, n = VPSDE(), unequal_mixture(), 4000
    t = torch.full((n,), 0.5, dtype=torch.float64)
    z_t = process.marginal(mixture.sample(n), t).rsample()
    z = ALL[name](ExactDenoiser(mixture, process).eval(), z_t, start=0.5)
    error = (torch.cov(z.T) - mixture.denoised_covariance(process)).abs()
    assert (error < 5 * math.sqrt(2 / n) * mixture.covariance().diagonal().max() + 0.02).all()


@pytest.mark.parametrize("start", [0.97, 0.9, 0.5])
@pytest.mark.parametrize("law", ["vp", "ve"])
@pytest.mark.parametrize("spacing", ["log_snr", "normal"])
def test_editing_starts_from_the_spread_at_its_own_start(spacing, law, start):
    """Also where the grid's first time is later than the start: z must be scaled from the one to the other."""
    process = PROCESSES[law]
    denoiser = ExactDenoiser(gaussian(1.0), process).eval()
    t = torch.tensor([start], dtype=torch.float64)
    z_t = (process.alpha(t) ** 2 + process.sigma2(t)).sqrt().reshape(1, 1)
    z_0 = DDIM(400, spacing=spacing)(denoiser, z_t, start=start)
    # one standard deviation at the start is one at the end: that of E[z_0 | z_tmin]
    signal = process.log_snr(torch.tensor([process.t_min]).double()).exp()
    assert z_0.item() == pytest.approx((signal / (1 + signal)).sqrt().item(), abs=0.02)


@pytest.mark.parametrize("build", [DDIM, DPMSolver, Heun])
def test_an_early_end_returns_the_mean_there(build):
    """The flow to t = end, then E[z_0 | z_end]: less spread than the data by what the noise at the end hides."""
    torch.manual_seed(0)
    process, end = VPSDE(), torch.tensor([0.2], dtype=torch.float64)
    denoiser = ExactDenoiser(gaussian(*VARIANCES), process).eval()
    z_1 = torch.randn(32, 3, dtype=torch.float64)
    spread = torch.tensor(VARIANCES, dtype=torch.float64)
    total = lambda t: process.alpha(t) ** 2 * spread + process.sigma2(t)
    _, last = process.ends(z_1)
    exact = z_1 * (total(end) / total(last)).sqrt() * process.alpha(end) * spread / total(end)
    errors = [(build(n, end=0.2)(denoiser, z_1) - exact).abs().max().item() for n in (129, 257)]
    assert errors[1] < (0.05 if build is DDIM else 1e-3)
    assert math.log2(errors[0] / errors[1]) == pytest.approx(1 if build is DDIM else 2, abs=0.25)


@pytest.mark.parametrize("spacing", ["log_snr", "normal", "karras", "time"])
def test_grids_end_where_they_are_told(spacing):
    t = time_grid(VPSDE(), 20, spacing, 1.0, torch.zeros(1, dtype=torch.float64), end=0.15)
    assert t[-1].item() == pytest.approx(0.15, abs=1e-7)
    assert (t.diff() < 0).all()


@pytest.mark.parametrize("end", [0.6, 0.5])
def test_an_end_that_is_not_after_the_start_is_refused(end):
    """Editing from t = 0.5 with a sampler that ends at 0.6 would run backwards."""
    denoiser = ExactDenoiser(gaussian(1.0), VPSDE()).eval()
    with pytest.raises(ValueError, match="end is"):
        DPMSolver(5, end=end)(denoiser, torch.randn(2, 1), start=0.5)


def test_predictions_are_handed_on_to_networks_with_self_conditioning():
    """Every call gets the call before's mean, in units of s; the first one gets zeros."""
    seen = []

    class Recorder(nn.Module):
        self_condition = True

        def forward(self, z, log_snr, mask, condition, previous=None):
            seen.append(previous)
            return 0.1 * z

    process, means = PROCESSES["ve of small latents"], []
    denoiser = VelocityDenoiser(Recorder(), process).eval()
    DDIM(5)(denoiser, torch.randn(3, 2), observe=lambda t, prediction: means.append(prediction.mean))
    assert not seen[0].any()
    assert len(seen) == 5
    assert all(torch.allclose(a, b / 0.3) for a, b in zip(seen[1:], means[:-1], strict=True))


# ---- names and refusals ----


def test_samplers_by_name():
    for name, kind in SAMPLERS.items():
        assert type(make_sampler(name)) is kind
    assert type(make_sampler(None)) is DPMSolver
    assert make_sampler("ddim", steps=17).steps == 17
    assert make_sampler("ode", tolerance=1e-2).tolerance == 1e-2
    own = DDIM(3)
    assert make_sampler(own) is own
    assert make_sampler("ancestral").spacing == "normal"
    ddpm = make_sampler("ancestral", 1000, spacing="time", variance="large")
    assert (ddpm.steps, ddpm.spacing, ddpm.variance) == (1000, "time", "large")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: make_sampler("rk45"),
            "sampler is 'rk45'; the known ones are ancestral, ddim, dpm, euler, gan, heun, ode, pc",
        ),
        (lambda: make_sampler("ode", steps=10), "steps is 10 for sampler 'ode', which takes tolerance instead"),
        (lambda: make_sampler("ddim", tolerance=1e-3), "tolerance is 0.001 for sampler 'ddim', which takes steps"),
        (lambda: make_sampler("ddim", snr=0.1), "snr is 0.1 for sampler 'ddim', which takes steps and eta and spacing"),
        (lambda: make_sampler("ode", tolerance="abc"), "sampler 'ode' has tolerance = 'abc', which it cannot take"),
        (lambda: DDIM(0), "steps is 0; a sampler needs at least 1"),
        (lambda: DDIM(5, spacing="cubic"), "spacing is 'cubic'; choose one of log_snr, normal, karras, time"),
        (lambda: Ancestral(5, "medium"), "variance is 'medium'; choose small or large"),
        (lambda: ProbabilityFlow(0.0), "tolerance is 0.0; it must be a positive number"),
        (lambda: ProbabilityFlow(math.nan), "tolerance is nan"),
    ],
)
def test_refusals_name_what_is_known(call, message):
    with pytest.raises(ValueError, match=message):
        call()
