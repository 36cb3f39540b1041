"""The cross-entropy is a bound, tight where the denoiser is exact; samples and densities are the prior's own."""

import math

import pytest
import torch
from problems import (
    PROCESSES,
    ExactDenoiser,
    LinearGaussianVAE,
    Perceptron,
    ZeroNetwork,
    gaussian,
    randomize,
    unequal_mixture,
)

from latentgen.denoiser import MixedDenoiser, VelocityDenoiser
from latentgen.distributions import LOG_2PI
from latentgen.latents import LatentSpec
from latentgen.noise import NoiseStream
from latentgen.objective import ELBO, JointELBO
from latentgen.prior import NormalPrior, ScorePrior
from latentgen.process import VPSDE, Process
from latentgen.sampler import DDIM, Ancestral, DPMSolver, EulerMaruyama, PredictorCorrector
from latentgen.times import ImportanceTimes, LogSNRTimes, TimeSampler, UniformTimes
from latentgen.weighting import UnweightedWeighting

LIKE = torch.zeros(1, dtype=torch.float64)
PLANE = LatentSpec((2,))
SETS = LatentSpec((4, 2), "set", masked=True)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(params=list(PROCESSES))
def process(request):
    return PROCESSES[request.param]


def expected_bound(prior: ScorePrior, times: TimeSampler, levels: int = 1) -> torch.Tensor:
    """E[bound] over z_0 ~ N(0, s^2), eps and t, per dimension, without Monte Carlo error.

    A linear denoiser's error is a quadratic form, whose mean is the sum over the responses to (z_0, eps) = (s, 0) and
    (0, 1); the terminal KL is linear in z_0^2, so that z_0 = s gives its mean; t is a midpoint rule.
    """
    process = prior.process
    t, density = times.quantile(process, (torch.arange(levels, dtype=torch.float64) + 0.5) / levels)
    s, zero = torch.full((levels, 1), process.latent_std).double(), torch.zeros(levels, 1).double()
    error = prior.error(s, t, zero) + prior.error(zero, t, zero + 1)
    return prior.bound(s, t, density, None, error).mean()


def entropy_and_mismatch(process: Process) -> float:
    """H(q(z_tmin)) + KL(q(z_1) || p(z_1)) - ln alpha(t_min) for z_0 ~ N(0, s^2)."""
    first, last = process.ends(LIKE)
    before, after = (process.alpha(t) ** 2 * process.latent_std**2 + process.sigma2(t) for t in (first, last))
    ratio = after / process.terminal_std**2
    mismatch = 0.5 * (ratio - 1 - ratio.log())
    return (0.5 * (1 + LOG_2PI + before.log()) + mismatch - process.log_alpha(first)).item()


@pytest.mark.parametrize("mixed", [False, True], ids=["velocity", "mixed at zero"])
def test_golden_gaussian_end_to_end(mixed):
    """z ~ N(0, 1) under VP: 1.4189385 nats per dimension with the terminal KL, besides the step from t_min to 0."""
    process = VPSDE()
    network = randomize(Perceptron(1)).double()
    if mixed:
        denoiser = MixedDenoiser(network, process, LatentSpec((1,)), initial_logit=-60.0).double()
    else:
        denoiser = VelocityDenoiser(ZeroNetwork(), process)
    value = expected_bound(ScorePrior(LatentSpec((1,)), denoiser), LogSNRTimes())
    assert (value + process.log_alpha(LIKE + process.t_min)).item() == pytest.approx(1.4189385332, abs=1e-9)
    assert value.item() - 1.4189385332 == pytest.approx(0.5 * (0.1 * 0.01 + 0.5 * 19.9 * 0.01**2), abs=1e-9)


def test_bound_of_a_gaussian_is_its_entropy_for_every_process(process):
    prior = ScorePrior(LatentSpec((1,)), VelocityDenoiser(ZeroNetwork(), process))
    assert expected_bound(prior, LogSNRTimes()).item() == pytest.approx(entropy_and_mismatch(process), abs=1e-7)


@pytest.mark.parametrize("times", [UniformTimes(), ImportanceTimes(UnweightedWeighting())])
def test_bound_does_not_depend_on_the_proposal(times):
    prior = ScorePrior(LatentSpec((1,)), VelocityDenoiser(ZeroNetwork(), VPSDE()))
    assert expected_bound(prior, times, 20_000).item() == pytest.approx(entropy_and_mismatch(VPSDE()), abs=2e-3)


def test_bound_of_a_wider_process_start_approaches_the_entropy():
    """The step from t_min to 0 costs D |ln alpha(t_min)|, which vanishes with t_min."""
    prior = ScorePrior(LatentSpec((1,)), VelocityDenoiser(ZeroNetwork(), VPSDE(t_min=1e-5)))
    assert expected_bound(prior, LogSNRTimes()).item() == pytest.approx(1.4189385332, abs=1e-6)


def test_cross_entropy_draws_average_to_the_entropy():
    """The public function, by Monte Carlo: N(0, I) in two dimensions."""
    prior = ScorePrior(PLANE, VelocityDenoiser(ZeroNetwork(), VPSDE()))
    value = prior.cross_entropy(torch.randn(20_000, 2), draws=2)
    assert abs(value.mean() - 2 * entropy_and_mismatch(VPSDE())) < 5 * value.std() / math.sqrt(20_000)


@pytest.mark.parametrize("law", ["vp", "sub-vp", "ve"])
def test_cross_entropy_is_tight_point_by_point_for_the_exact_denoiser_of_a_mixture(law):
    """At any z, not only on average: the reverse process then is the true one. Five standard errors and sigma^2."""
    processes = {"vp": VPSDE(t_min=1e-3), "sub-vp": PROCESSES["sub-vp"], "ve": PROCESSES["ve"]}
    mixture, process, n = unequal_mixture(), processes[law], 20_000
    prior = ScorePrior(PLANE, ExactDenoiser(mixture, process))
    sigma2 = process.sigma2(LIKE + process.t_min).item()
    for z in ([0.2, -0.1], [1.3, -0.7], [-0.6, 0.9]):
        point = torch.tensor([z], dtype=torch.float64)
        value = prior.cross_entropy(point.expand(n, 2))
        exact = -mixture.log_prob(point).item()
        # smallest component variance is about 0.02: the Gaussian step errs by sigma^2 / 0.02 per dimension at most
        assert abs(value.mean() - exact) < 5 * value.std() / math.sqrt(n) + 2 * sigma2 / 0.02


def test_cross_entropy_of_the_normal_denoiser_is_that_of_the_normal_prior():
    """A VelocityDenoiser that starts at zero is the NormalPrior, at any z."""
    prior, n = ScorePrior(PLANE, VelocityDenoiser(ZeroNetwork(), VPSDE(t_min=1e-4))), 20_000
    for z in ([0.0, 0.0], [2.0, -1.0]):
        points = torch.tensor([z]).expand(n, 2)
        value = prior.cross_entropy(points)
        exact = NormalPrior(PLANE).cross_entropy(points[:1]).item()
        assert abs(value.mean() - exact) < 5 * value.std() / math.sqrt(n) + 1e-3


def test_cross_entropy_bounds_the_entropy_from_above_for_any_network():
    mixture, n = unequal_mixture(), 4000
    z = mixture.sample(n)
    log_prob = mixture.log_prob(z)
    for seed in range(3):
        torch.manual_seed(seed)
        network = randomize(Perceptron(2), 0.5).double()
        gap = ScorePrior(PLANE, VelocityDenoiser(network, VPSDE())).cross_entropy(z) + log_prob
        assert gap.mean() > -5 * gap.std() / math.sqrt(n)


@pytest.mark.parametrize("law", ["vp", "ve", "sub-vp"])
def test_log_prob_agrees_with_the_bound_for_gaussian_data(law):
    process, n = PROCESSES[law], 2000
    s = process.latent_std
    prior = ScorePrior(PLANE, ExactDenoiser(gaussian(s**2, s**2), process))
    z = s * torch.randn(n, 2, dtype=torch.float64)
    flow, bound = -prior.log_prob(z, tolerance=1e-5), prior.cross_entropy(z, draws=4)
    expected = 2 * entropy_and_mismatch(process)
    for value in (flow, bound):
        assert abs(value.mean() - expected) < 5 * value.std() / math.sqrt(n)


def test_log_prob_of_a_mixture_bounds_its_density_from_below_and_nearly_meets_it():
    mixture, process, n = unequal_mixture(), VPSDE(t_min=1e-3), 600
    z = mixture.sample(n)
    gap = mixture.log_prob(z) - ScorePrior(PLANE, ExactDenoiser(mixture, process)).log_prob(z)
    error = 5 * gap.std() / math.sqrt(n)
    assert gap.mean() > -error
    # sigma^2(t_min) = 1.1e-4 against variances of 0.02 and more: at most half a percent a dimension
    assert gap.mean() < 0.02 + error


def test_log_prob_takes_the_exact_divergence_up_to_sixteen_dimensions():
    """With one probe the estimate of a correlated density would vary with the probe; the exact one does not."""
    prior = ScorePrior(PLANE, ExactDenoiser(unequal_mixture(), VPSDE()))
    z = torch.tensor([[0.9, -0.4]], dtype=torch.float64).expand(6, 2)

    class SameNoise:
        def __init__(self):
            self.first = True

        def normal_like(self, z):
            eps = torch.zeros_like(z) if self.first else torch.randn_like(z)
            self.first = False
            return eps

    value = prior.log_prob(z, noise=SameNoise())
    assert value.std() < 1e-3
    assert prior.log_prob(z, noise=SameNoise(), exact=False).std() > 1e-2


# ---- masks ----


def test_masked_items_count_nothing_in_the_bound():
    process = VPSDE()
    prior = ScorePrior(SETS, ExactDenoiser(unequal_mixture(), process))
    z, eps = torch.randn(2, 5, 4, 2, dtype=torch.float64).unbind()
    t, density = LogSNRTimes().quantile(process, torch.linspace(0.1, 0.9, 5, dtype=torch.float64))
    mask = (torch.arange(4) < 2).expand(5, 4)
    cut = prior.bound(z[:, :2], t, density, None, prior.error(z[:, :2], t, eps[:, :2]))
    assert torch.allclose(prior.bound(z, t, density, mask, prior.error(z, t, eps, mask)), cut)


def test_masked_items_count_nothing_in_the_density():
    process = VPSDE()
    prior = ScorePrior(SETS, ExactDenoiser(unequal_mixture(), process))
    z = unequal_mixture().sample(3, 4)
    mask = (torch.arange(4) < 2).expand(3, 4)

    class Fixed:
        def normal_like(self, z):
            return torch.full_like(z, 0.3)

    whole = prior.log_prob(z, mask, tolerance=1e-6, noise=Fixed(), exact=True)
    cut = prior.log_prob(z[:, :2], mask[:, :2], tolerance=1e-6, noise=Fixed(), exact=True)
    assert torch.allclose(whole, cut, atol=1e-3)


# ---- the standard normal prior ----


def test_normal_prior_is_the_normal_density():
    z = torch.randn(3, 4, 2)
    mask = torch.tensor([[True, True, True, False]] * 3)
    prior = NormalPrior(SETS)
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    assert torch.allclose(prior.log_prob(z), expected.sum(1))
    assert torch.allclose(prior.log_prob(z, mask), expected[:, :3].sum(1))
    assert torch.allclose(prior.cross_entropy(z, mask), -prior.log_prob(z, mask))


def test_normal_prior_draws_standard_normal_latents():
    z = NormalPrior(PLANE).sample(20_000)
    assert (z.mean(0).abs() < 5 / math.sqrt(20_000)).all()
    assert ((z.var(0) - 1).abs() < 5 * math.sqrt(2 / 20_000)).all()


# ---- sampling ----


def set_prior(process: Process | None = None) -> ScorePrior:
    return ScorePrior(SETS, ExactDenoiser(unequal_mixture(), process or VPSDE())).eval()


def test_samples_start_at_the_terminal_law():
    """One call of DDIM hands z_1 to the denoiser: its spread is the process's terminal_std."""
    seen = []
    process = PROCESSES["ve"]

    class Recorder(ExactDenoiser):
        def noise(self, z_t, t, mask, condition):
            seen.append(z_t)
            return super().noise(z_t, t, mask, condition)

    ScorePrior(PLANE, Recorder(unequal_mixture(), process)).eval().sample(4000, sampler=DDIM(1))
    assert seen[0].std().item() == pytest.approx(process.terminal_std, rel=5 / math.sqrt(2 * 8000))


def test_default_sampler_takes_25_calls():
    prior = set_prior()
    z = prior.sample(3)
    assert z.shape == (3, 4, 2)
    assert prior.denoiser.calls == 25


def test_masked_items_of_samples_are_zero():
    mask = torch.tensor([[True, True, False, False], [True] * 4])
    z = set_prior().sample(2, mask, noise=NoiseStream(0, range(2)))
    assert torch.equal(z[0, 2:], torch.zeros(2, 2))
    assert (z[mask] != 0).all()


@pytest.mark.parametrize(
    "sampler",
    [DPMSolver(8), DDIM(8, eta=1.0), Ancestral(8), EulerMaruyama(8), PredictorCorrector(8)],
    ids=lambda sampler: type(sampler).__name__,
)
def test_padding_does_not_change_a_sample(sampler):
    """A batch is trimmed to its largest sample: who shares the batch must not matter, for stochastic samplers too."""
    prior = set_prior()
    mask = torch.tensor([[True, True, False, False], [True, True, True, False]])
    wide = prior.sample(2, mask, sampler, NoiseStream(3, range(2), SETS.shape))
    trimmed = prior.sample(2, mask[:, :3], sampler, NoiseStream(3, range(2), SETS.shape))
    alone = prior.sample(1, mask[:1, :2], sampler, NoiseStream(3, range(1), SETS.shape))
    assert torch.allclose(wide[:, :3], trimmed, atol=1e-5)
    assert torch.allclose(wide[:1, :2], alone, atol=1e-5)


def test_sample_i_is_the_same_in_every_batch():
    prior = set_prior()
    whole = prior.sample(10, noise=NoiseStream(3, range(10)), sampler=Ancestral(8))
    part = prior.sample(2, noise=NoiseStream(3, range(6, 8)), sampler=Ancestral(8))
    assert torch.allclose(whole[6:8], part, atol=1e-5)


def test_guided_samples_cost_two_calls_a_step():
    denoiser = VelocityDenoiser(randomize(Perceptron(2, condition_dim=3)), VPSDE())
    prior, sampler = ScorePrior(PLANE, denoiser).eval(), DDIM(6)
    condition = torch.randn(4, 3)
    prior.sample(4, sampler=sampler, condition=condition)
    assert sampler.calls == 6
    prior.sample(4, sampler=sampler, condition=condition, guidance=2.0)
    assert sampler.calls == 12


def test_guidance_moves_samples_to_the_condition():
    """Guidance 0 forgets the condition, 1 is the plain conditional sample."""
    denoiser = VelocityDenoiser(randomize(Perceptron(2, condition_dim=3), 0.5), VPSDE())
    prior, condition = ScorePrior(PLANE, denoiser).eval(), torch.randn(4, 3)

    def draw(condition, guidance):
        noise = NoiseStream(0, range(4))
        return prior.sample(4, noise=noise, sampler=DDIM(6), condition=condition, guidance=guidance)

    assert torch.allclose(draw(condition, 0.0), draw(None, 1.0), atol=1e-5)
    assert not torch.allclose(draw(condition, 2.0), draw(condition, 1.0), atol=1e-2)


# ---- evidence of a linear-Gaussian model ----


@pytest.fixture
def vae(double):
    weight = torch.linalg.qr(torch.randn(5, 2)).Q * torch.tensor([1.5, 0.6])
    return LinearGaussianVAE(weight, noise=0.3)


def test_posterior_of_the_linear_model_is_exact(vae):
    """ln p(x | z) + ln p(z) - ln q(z | x) is the evidence, whatever z."""
    batch = {"x": torch.randn(6, 5)}
    q = vae.encode(batch)
    z = q.rsample()
    total = vae.decode(z).log_prob(batch) + NormalPrior(PLANE).log_prob(z) - q.log_prob(z)
    assert torch.allclose(total, vae.evidence(batch["x"]))


def repeated(vae: LinearGaussianVAE, count: int) -> tuple[dict, torch.Tensor]:
    """Draws of the model itself and their mean evidence."""
    x = torch.randn(count, 2) @ vae.weight.T + vae.noise * torch.randn(count, 5)
    return {"x": x}, vae.evidence(x)


@pytest.mark.parametrize("tight", [True, False])
@pytest.mark.parametrize("kind", ["normal", "score"])
def test_elbo_is_at_most_the_evidence_and_tight_at_the_optimum(vae, kind, tight):
    """Five standard errors of the difference; the score prior's bound adds D |ln alpha(t_min)| = 1e-5."""
    n, process = 20_000, VPSDE(t_min=1e-4)
    if not tight:
        with torch.no_grad():
            vae.encoder.add_(0.2 * torch.randn_like(vae.encoder))
            vae.log_std.add_(0.5)
    batch, evidence = repeated(vae, n)
    if kind == "normal":
        objective = ELBO(vae, NormalPrior(PLANE))
    else:
        objective = JointELBO(vae, ScorePrior(PLANE, VelocityDenoiser(ZeroNetwork(), process)))
    with torch.no_grad():
        runs = torch.stack([objective(batch)["nelbo"] for _ in range(5)]) + evidence.mean()
    # a fifth of the spread between runs is generous as a standard error of their mean
    error = 5 * runs.std() / math.sqrt(5) + 0.02
    assert runs.mean() > -error
    assert (runs.mean() < error) if tight else (runs.mean() > 0.1)
