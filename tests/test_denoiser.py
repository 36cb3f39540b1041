"""Parameterisations agree in all their views, start where they say, and count their calls."""

import math

import pytest
import torch
from problems import PROCESSES, SHIPPED, ExactDenoiser, Perceptron, ZeroNetwork, gaussian, randomize, unequal_mixture
from torch import nn

from latentgen.denoiser import Denoiser, GuidedDenoiser, MixedDenoiser, NoiseDenoiser, VelocityDenoiser
from latentgen.latents import LatentSpec
from latentgen.process import Process
from latentgen.tensors import over

LATENTS = LatentSpec((3, 2), "set", masked=True)
PARAMETERISATIONS = {
    "mixed": lambda network, process: MixedDenoiser(network, process, LATENTS),
    "velocity": VelocityDenoiser,
    "noise": NoiseDenoiser,
}


@pytest.fixture(params=list(PROCESSES))
def process(request):
    return PROCESSES[request.param]


@pytest.fixture(params=list(PARAMETERISATIONS))
def parameterisation(request):
    return PARAMETERISATIONS[request.param]


def noisy(process: Process, shape=(3, 2), count: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    t = torch.linspace(max(process.t_min, 1e-3), 1, count, dtype=torch.float64)
    return process.marginal(torch.randn(count, *shape, dtype=torch.float64), t).rsample(), t


def random_network() -> nn.Module:
    return randomize(Perceptron(2)).double()


def test_views_of_one_prediction_are_consistent(process, parameterisation):
    z_t, t = noisy(process)
    prediction = parameterisation(random_network(), process).double()(z_t, t)
    alpha, sigma = over(process.alpha(t), z_t), over(process.sigma(t), z_t)
    # the mean is a difference divided by alpha: its rounding grows with sigma / alpha
    assert torch.allclose(alpha * prediction.mean + sigma * prediction.eps, z_t, rtol=1e-9)
    assert torch.allclose(prediction.score, -prediction.eps / sigma)
    assert torch.allclose(prediction.velocity, alpha * prediction.eps - sigma * prediction.mean)


def test_true_noise_gives_the_true_latent_and_velocity(process):
    torch.manual_seed(0)
    z_0, eps = torch.randn(2, 8, 3, dtype=torch.float64).unbind()
    t = torch.linspace(max(process.t_min, 1e-3), 1, 8, dtype=torch.float64)
    alpha, sigma = over(process.alpha(t), z_0), over(process.sigma(t), z_0)

    class Oracle(Denoiser):
        def noise(self, z_t, t, mask, condition):
            return eps

    prediction = Oracle(nn.Identity(), process)(alpha * z_0 + sigma * eps, t)
    assert torch.allclose(prediction.mean, z_0, rtol=1e-6, atol=1e-9)
    assert torch.allclose(prediction.velocity, alpha * eps - sigma * z_0, rtol=1e-6, atol=1e-9)


def test_score_of_the_exact_denoiser_is_the_gradient_of_the_noised_density(process):
    """The problem itself: eps_hat = -sigma grad ln q(z_t), by autograd of the mixture's density."""
    mixture = unequal_mixture()
    z_t, t = noisy(process, (3, 2))
    z_t.requires_grad_(True)
    (gradient,) = torch.autograd.grad(mixture.log_prob(z_t, process, t).sum(), z_t)
    assert torch.allclose(ExactDenoiser(mixture, process)(z_t, t).score, gradient, rtol=1e-8, atol=1e-10)


def test_mean_of_the_exact_denoiser_is_the_posterior_mean():
    """Tweedie's formula against Bayes: importance weights of q(z_t | z_0) on a fine grid of z_0, in one dimension."""
    mixture = gaussian(0.3)
    process, t = SHIPPED["vp"], torch.tensor([0.3], dtype=torch.float64)
    z_t, grid = torch.tensor([[0.7]], dtype=torch.float64), torch.linspace(-4, 4, 8001, dtype=torch.float64)
    log_weight = mixture.log_prob(grid[:, None]) - 0.5 * ((0.7 - process.alpha(t) * grid) / process.sigma(t)) ** 2
    expected = (log_weight.softmax(0) * grid).sum().item()
    assert ExactDenoiser(mixture, process)(z_t, t).mean.item() == pytest.approx(expected, abs=1e-9)


def test_velocity_denoiser_starts_as_the_normal_prior(process):
    """With a zero network eps_hat is the exact one of N(0, s^2 I)."""
    z_t, t = noisy(process)
    s2 = process.latent_std**2
    exact = ExactDenoiser(gaussian(s2, s2), process)(z_t, t).eps
    assert torch.allclose(VelocityDenoiser(ZeroNetwork(), process)(z_t, t).eps, exact)


def test_mixed_denoiser_is_the_normal_prior_at_mixing_zero(process):
    z_t, t = noisy(process)
    s2 = process.latent_std**2
    exact = ExactDenoiser(gaussian(s2, s2), process)(z_t, t).eps
    denoiser = MixedDenoiser(random_network(), process, LATENTS, initial_logit=-60.0).double()
    assert torch.allclose(denoiser(z_t, t).eps, exact)


def test_mixed_denoiser_interpolates_between_normal_and_network(process):
    z_t, t = noisy(process)
    network = random_network()
    denoiser = MixedDenoiser(network, process, LATENTS).double()
    with torch.no_grad():
        denoiser.logit.copy_(torch.tensor([-3.0, 2.0]))
    mix = torch.sigmoid(torch.tensor([-3.0, 2.0], dtype=torch.float64))
    normal = VelocityDenoiser(ZeroNetwork(), process)(z_t, t).eps
    plain = NoiseDenoiser(network, process)(z_t, t).eps
    assert torch.allclose(denoiser(z_t, t).eps, (1 - mix) * normal + mix * plain)


def test_mixed_denoiser_starts_at_the_published_mixing():
    logit = MixedDenoiser(ZeroNetwork(), SHIPPED["vp"], LATENTS).logit
    assert torch.equal(logit, torch.full((2,), -3.0))
    assert logit.sigmoid()[0].item() == pytest.approx(0.0474, abs=1e-4)


@pytest.mark.parametrize(
    ("latents", "shape"),
    [
        (LatentSpec((5,)), (5,)),
        (LatentSpec((4, 3), "set"), (3,)),
        (LatentSpec((4, 8, 8), "grid"), (4, 1, 1)),
        (LatentSpec((4, 8), "grid"), (4, 1)),
    ],
)
def test_mixing_is_learned_for_every_channel(latents, shape):
    denoiser = MixedDenoiser(ZeroNetwork(), SHIPPED["vp"], latents)
    assert denoiser.logit.shape == shape
    z = torch.randn(2, *latents.shape)
    assert denoiser(z, torch.full((2,), 0.5)).eps.shape == z.shape


@pytest.mark.parametrize("latents", [LatentSpec((3, 2), "set"), LatentSpec((2, 3, 4), "grid")])
def test_a_channel_left_out_keeps_its_normal_prior_and_is_unseen(latents):
    process, axis = SHIPPED["vp"], 1 if latents.layout == "grid" else -1

    class Reads(nn.Module):
        self_condition = True

        def forward(self, z, log_snr, mask, condition, previous):
            return (z + previous).sum(axis, keepdim=True).expand_as(z)

    denoiser = MixedDenoiser(Reads(), process, latents, initial_logit=0.0, partial=True)
    whole = MixedDenoiser(Reads(), process, latents, initial_logit=0.0)
    z_t, t, previous = torch.randn(5, *latents.shape), torch.full((5,), 0.5), torch.randn(5, *latents.shape)
    assert torch.equal(denoiser(z_t, t, previous=previous).eps, whole(z_t, t, previous=previous).eps)
    denoiser.active[0] = False
    eps, normal = denoiser(z_t, t, previous=previous).eps, denoiser.normal_noise(z_t, t)
    assert torch.equal(eps.select(axis, 0), normal.select(axis, 0))
    assert not torch.allclose(eps.select(axis, 1), normal.select(axis, 1))
    other, before = z_t.clone(), previous.clone()
    other.select(axis, 0).add_(3.0)
    before.select(axis, 0).add_(3.0)
    assert torch.equal(denoiser(other, t, previous=before).eps.select(axis, 1), eps.select(axis, 1))
    again = MixedDenoiser(Reads(), process, latents, partial=True)
    again.load_state_dict(denoiser.state_dict())
    assert again.active.flatten().tolist() == [False, True]
    assert "active" not in whole.state_dict()


def test_velocity_networks_target_has_unit_variance_at_every_time(process):
    """F* = (eps - c) / k for z_0 of standard deviation s: linear in (z_0, eps), so the variance is exact."""
    t = torch.linspace(max(process.t_min, 1e-3), 1, 30, dtype=torch.float64)
    alpha, sigma, one = process.alpha(t), process.sigma(t), torch.ones(30, 1, dtype=torch.float64)

    class Constant(nn.Module):
        def forward(self, z, log_snr, mask, condition):
            return torch.ones_like(z)

    k = VelocityDenoiser(Constant(), process)(0 * one, t).eps[:, 0]
    normal = VelocityDenoiser(ZeroNetwork(), process)(one, t).eps[:, 0]
    of_eps, of_data = (1 - normal * sigma) / k, -normal * alpha / k
    assert torch.allclose(of_eps**2 + (of_data * process.latent_std) ** 2, torch.ones(30, dtype=torch.float64))


@pytest.mark.parametrize("name", ["vp", "cosine"])
def test_velocity_network_predicts_the_velocity_of_variance_preserving_processes(name):
    process = PROCESSES[name]
    z_t, t = noisy(process)
    network = random_network()
    prediction = VelocityDenoiser(network, process)(z_t, t)
    # the input of unit variance is z_t itself
    expected = network(z_t, process.log_snr(t), None, None)
    assert torch.allclose(prediction.velocity, expected, rtol=1e-6, atol=1e-9)


def test_networks_input_has_unit_variance_and_their_clock_is_the_log_snr(process, parameterisation):
    seen = []

    class Recorder(nn.Module):
        def forward(self, z, log_snr, mask, condition):
            seen.append((z, log_snr))
            return torch.zeros_like(z)

    t = torch.linspace(max(process.t_min, 1e-3), 1, 30, dtype=torch.float64)
    denoiser = parameterisation(Recorder(), process)
    ones = torch.ones(30, 3, 2, dtype=torch.float64)
    denoiser(over(process.alpha(t), ones) * process.latent_std * ones, t)
    denoiser(over(process.sigma(t), ones) * ones, t)
    (from_data, log_snr), (from_noise, _) = seen
    assert torch.allclose(from_data**2 + from_noise**2, ones)
    assert torch.allclose(log_snr, process.log_snr(t))


def test_a_prediction_of_single_precision_stays_so_whatever_the_network_returns(parameterisation):
    class Half(nn.Module):
        def forward(self, z, log_snr, mask, condition):
            return z.bfloat16()

    z = torch.randn(2, 3, 2)
    assert parameterisation(Half(), SHIPPED["vp"])(z, torch.full((2,), 0.5)).eps.dtype == torch.float32


def test_calls_are_counted_in_evaluation_mode_alone(parameterisation):
    denoiser, z, t = parameterisation(ZeroNetwork(), SHIPPED["vp"]), torch.randn(2, 3, 2), torch.full((2,), 0.5)
    denoiser.train()
    denoiser(z, t)
    assert denoiser.calls == 0
    denoiser.eval()
    for _ in range(3):
        denoiser(z, t)
    assert denoiser.calls == 3


@pytest.mark.parametrize("guidance", [0.0, 1.0, 2.5])
def test_guidance_extrapolates_from_unconditional_to_conditional(guidance):
    z_t, t = noisy(SHIPPED["vp"])
    denoiser = VelocityDenoiser(randomize(Perceptron(2, condition_dim=4)).double(), SHIPPED["vp"])
    condition = torch.randn(8, 4, dtype=torch.float64)
    free, given = denoiser(z_t, t).eps, denoiser(z_t, t, None, condition).eps
    assert (free - given).abs().max() > 1e-3
    guided = GuidedDenoiser(denoiser, guidance)(z_t, t, None, condition).eps
    assert torch.allclose(guided, free + guidance * (given - free))


def test_guidance_costs_two_calls():
    denoiser = VelocityDenoiser(Perceptron(2, condition_dim=4), SHIPPED["vp"])
    guided = GuidedDenoiser(denoiser, 2.0).eval()
    guided(torch.randn(2, 3, 2), torch.full((2,), 0.5), None, torch.randn(2, 4))
    assert guided.calls == 2


def test_guidance_around_a_denoiser_in_evaluation_mode_counts_at_once():
    """A wrapper made for sampling takes the mode of what it wraps."""
    denoiser = VelocityDenoiser(Perceptron(2, condition_dim=4), SHIPPED["vp"]).eval()
    guided = GuidedDenoiser(denoiser, 2.0)
    assert not guided.training
    guided(torch.randn(2, 3, 2), torch.full((2,), 0.5), None, torch.randn(2, 4))
    assert guided.calls == 2


def test_denoisers_without_self_conditioning_ignore_an_earlier_prediction(parameterisation):
    z_t, t = noisy(SHIPPED["vp"])
    denoiser = parameterisation(random_network(), SHIPPED["vp"]).double()
    assert not denoiser.self_condition
    assert torch.equal(denoiser(z_t, t, previous=torch.randn_like(z_t)).eps, denoiser(z_t, t).eps)


def test_optimal_error_is_the_sigmoid_that_importance_sampling_assumes(process):
    """E||eps - eps_hat||^2 / D = sigmoid(lambda + ln s^2) for N(0, s^2 I), by the linear coefficients."""
    t = torch.linspace(max(process.t_min, 1e-3), 1, 30, dtype=torch.float64)
    slope = VelocityDenoiser(ZeroNetwork(), process)(torch.ones(30, 1, dtype=torch.float64), t).eps[:, 0]
    alpha, sigma, s = process.alpha(t), process.sigma(t), process.latent_std
    error = (1 - slope * sigma) ** 2 + (slope * alpha * s) ** 2
    assert torch.allclose(error, torch.sigmoid(process.log_snr(t) + 2 * math.log(s)))
