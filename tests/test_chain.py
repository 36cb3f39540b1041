"""The chain of a denoising diffusion GAN against the published schedule and exact Gaussian algebra."""

from __future__ import annotations

import math

import pytest
import torch

from latentgen import VESDE, VPSDE, Chain
from latentgen.chain import StartedProcess
from latentgen.testing import check_process

BETA = {
    1: [1.0],
    2: [0.9213, 0.9995],
    4: [0.4783, 0.8492, 0.9564, 0.9874],
    8: [0.156, 0.382, 0.547, 0.668, 0.756, 0.821, 0.869, 0.904],
}
VARIANCE = {1: [0.0], 2: [0.0, 0.9209], 4: [0.0, 0.4408, 0.8842, 0.9841],
            8: [0.0, 0.125, 0.342, 0.553, 0.710, 0.808, 0.866, 0.904]}
C_CLEAN = {1: [1.0], 2: [1.0, 0.2804], 4: [1.0, 0.6658, 0.2692, 0.0578],
           8: [1.0, 0.733, 0.517, 0.352, 0.216, 0.114, 0.051, 0.019]}
C_NOISY = {1: [0.0], 2: [0.0, 0.0216], 4: [0.0, 0.2016, 0.1930, 0.1119],
           8: [0.0, 0.257, 0.422, 0.478, 0.464, 0.416, 0.361, 0.310]}
ALPHA_BAR = {1: [4.319e-5], 2: [0.0787, 4.319e-5], 4: [0.5217, 4.319e-5], 8: [0.844, 4.319e-5]}
PROCESSES = [VPSDE(), VESDE()]


def times(chain: Chain) -> torch.Tensor:
    return torch.tensor(chain.times, dtype=torch.float64)


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_published_schedule(steps: int) -> None:
    chain = Chain(VPSDE(), steps)
    t, digits = times(chain), 1e-4 if steps < 8 else 6e-4
    a, v = chain.process.transition(t[:-1], t[1:])
    assert torch.allclose(v, torch.tensor(BETA[steps], dtype=torch.float64), atol=digits)
    assert torch.allclose(1 - a**2, v)
    left = chain.process.alpha(t[1:]) ** 2
    ends = torch.tensor(ALPHA_BAR[steps], dtype=torch.float64)[[0, -1]]
    assert torch.allclose(left[[0, -1]], ends, rtol=1e-3)
    if steps == 4:
        golden = torch.tensor([0.521745, 0.0786760, 0.00342888, 4.31905e-5], dtype=torch.float64)
        assert torch.allclose(chain.process.alpha(t[1:]) ** 2, golden, rtol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_published_posterior(steps: int) -> None:
    chain = Chain(VPSDE(), steps)
    k = torch.arange(1, steps + 1)
    one, none = torch.ones(steps, 1), torch.zeros(steps, 1)
    clean, noisy = chain.posterior(none, one, k), chain.posterior(one, none, k)
    digits = 1e-4 if steps < 8 else 6e-4
    assert torch.allclose(clean.mean[:, 0], torch.tensor(C_CLEAN[steps]), atol=digits)
    assert torch.allclose(noisy.mean[:, 0], torch.tensor(C_NOISY[steps]), atol=digits)
    assert torch.allclose(clean.std[:, 0] ** 2, torch.tensor(VARIANCE[steps]), atol=digits)
    assert clean.mean[0, 0] == 1
    assert clean.std[0, 0] == 0


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 8])
def test_posterior_is_that_of_the_published_recursion(steps: int) -> None:
    """The discrete chain of Ho et al. 2020 from the betas alone, whose first alpha-bar is that of the first step."""
    chain, process = Chain(VPSDE(), steps), VPSDE()
    t = 1e-3 + (1 - 1e-3) * torch.arange(steps + 1, dtype=torch.float64) / steps
    curve = (-(0.1 * t + 0.5 * 19.9 * t**2)).exp()
    beta = 1 - curve[1:] / curve[:-1]
    bar = (1 - beta).cumprod(0)
    before = torch.cat([torch.ones(1, dtype=torch.float64), bar[:-1]])
    clean, noisy = before.sqrt() * beta / (1 - bar), (1 - beta).sqrt() * (1 - before) / (1 - bar)
    variance = beta * (1 - before) / (1 - bar)
    assert torch.allclose(process.alpha(t[1:]) ** 2, curve[1:], rtol=1e-12)
    z_k, z_0 = torch.randn(steps, 5), torch.randn(steps, 5)
    found = chain.posterior(z_k, z_0, torch.arange(1, steps + 1))
    assert torch.allclose(found.mean.double(), clean[:, None] * z_0 + noisy[:, None] * z_k, atol=1e-5)
    assert torch.allclose(found.std.double() ** 2, variance[:, None].expand(-1, 5), atol=1e-5)


@pytest.mark.parametrize("process", PROCESSES, ids=["vp", "ve"])
@pytest.mark.parametrize("spacing", ["time", "log_snr"])
@pytest.mark.parametrize("first", [0.0, 1e-3, 0.03])
def test_the_first_step_back_ends_exactly_at_z_0(process, spacing, first) -> None:
    chain = Chain(process, 3, first, spacing)
    z_k, z_0 = 5 * torch.randn(50, 4), torch.randn(50, 4)
    assert torch.equal(chain.posterior(z_k, z_0, torch.ones(50, dtype=torch.long)).rsample(), z_0)
    second = chain.posterior(z_k, z_0, torch.full((50,), 2))
    assert (second.std > 0).all()


@pytest.mark.parametrize("process", PROCESSES, ids=["vp", "ve"])
def test_started_process_is_a_process(process) -> None:
    failed = [result for result in check_process(StartedProcess(process, 1e-3)) if not result.passed]
    assert not failed, failed
    first = torch.tensor([1e-3])
    assert StartedProcess(process, 1e-3).sigma2(first) == 0
    assert StartedProcess(process, 1e-3).alpha(first) == 1


@pytest.mark.parametrize("process", PROCESSES, ids=["vp", "ve"])
@pytest.mark.parametrize("spacing", ["time", "log_snr"])
def test_pairs_have_the_moments_of_the_process(process, spacing) -> None:
    torch.manual_seed(0)
    chain, n, z_0 = Chain(process, 4, spacing=spacing), 200_000, 1.7
    k, z_s, z_t = chain.draw(torch.full((n, 1), z_0))
    assert torch.bincount(k, minlength=5)[1:].float().std() / n < 0.01
    for number in range(1, 5):
        here = k == number
        s, t = (chain.time(torch.tensor([number - j])) for j in (1, 0))
        a, _ = chain.process.transition(s, t)
        low, high = chain.process.sigma2(s), chain.process.sigma2(t)
        tolerance = 5 / math.sqrt(int(here.sum()))
        assert abs(z_s[here].mean() - chain.process.alpha(s) * z_0) <= tolerance * low.sqrt() + 1e-6
        assert abs(z_s[here].var() - low) <= 2 * tolerance * low + 1e-9
        assert abs(z_t[here].mean() - chain.process.alpha(t) * z_0) <= tolerance * high.sqrt()
        assert abs(z_t[here].var() - high) <= 2 * tolerance * high
        covariance = ((z_s - z_s[here].mean()) * (z_t - z_t[here].mean()))[here].mean()
        assert abs(covariance - a * low) <= 2 * tolerance * (low * high).sqrt() + 1e-6


def test_gradients_flow_from_pairs_to_the_data() -> None:
    """d z_s / d z_0 = alpha_s and d z_t / d z_0 = alpha_t: what the encoder's adversarial signal passes through."""
    torch.manual_seed(0)
    chain, z_0 = Chain(VPSDE(), 4), torch.randn(500, 1, requires_grad=True)
    k, z_s, z_t = chain.draw(z_0)
    for number, z in ((k - 1, z_s), (k, z_t)):
        (gradient,) = torch.autograd.grad(z.sum(), z_0, retain_graph=True)
        assert torch.allclose(gradient[:, 0], chain.process.alpha(chain.time(number)), atol=1e-6)


@pytest.mark.parametrize("process", PROCESSES, ids=["vp", "ve"])
@pytest.mark.parametrize("spacing", ["time", "log_snr"])
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_true_posteriors_carry_noise_to_gaussian_data(process, spacing, steps) -> None:
    """With z_0 drawn from the exact q(z_0 | z_k) of N(mean, std^2) data, the chain ends at that data's law."""
    torch.manual_seed(0)
    chain, n, mean, std = Chain(process, steps, spacing=spacing), 100_000, 0.8, 0.3
    last = torch.tensor([steps])
    alpha, sigma2 = chain.process.alpha(chain.time(last)), chain.process.sigma2(chain.time(last))
    z = alpha * mean + (alpha**2 * std**2 + sigma2).sqrt() * torch.randn(n, 1)
    for number in range(steps, 0, -1):
        k = torch.full((n,), number)
        t = chain.time(k[:1])
        alpha, sigma2 = chain.process.alpha(t), chain.process.sigma2(t)
        gain = alpha * std**2 / (alpha**2 * std**2 + sigma2)
        posterior_std = (std**2 * sigma2 / (alpha**2 * std**2 + sigma2)).sqrt()
        z_0 = mean + gain * (z - alpha * mean) + posterior_std * torch.randn(n, 1)
        z = chain.posterior(z, z_0, k).rsample()
    assert abs(z.mean() - mean) < 5 * std / math.sqrt(n)
    assert abs(z.std() - std) < 5 * std / math.sqrt(2 * n)


def test_levels_are_where_they_are_asked_for() -> None:
    chain = Chain(VPSDE(), 4, spacing="log_snr", levels=(3.0, -1.0))
    log_snr = VPSDE().log_snr(times(chain)[1:-1])
    assert torch.allclose(log_snr, torch.tensor([3.0, 1.0, -1.0], dtype=torch.float64), atol=1e-5)
    middle = Chain(VPSDE(), 2, spacing="log_snr", levels=(3.0, -1.0))
    assert VPSDE().log_snr(times(middle)[1:2]).item() == pytest.approx(1.0, abs=1e-5)
    assert Chain(VPSDE(), 1, spacing="log_snr").times == [1e-3, 1.0]
    wide = Chain(VESDE(latent_std=3.0), 2, spacing="log_snr", levels=(2.0, 2.0))
    expected = 2.0 - 2 * math.log(3.0)
    assert VESDE(latent_std=3.0).log_snr(times(wide)[1:2]).item() == pytest.approx(expected, abs=1e-4)


def test_times_can_be_given() -> None:
    chain = Chain(VPSDE(), 3, times=[0.1, 0.4, 1.0])
    assert chain.times == [1e-3, 0.1, 0.4, 1.0]
    assert torch.allclose(chain.time(torch.tensor([3, 0, 1])), torch.tensor([1.0, 1e-3, 0.1]))


def test_refusals() -> None:
    with pytest.raises(ValueError, match="steps is 0; a chain has at least 1"):
        Chain(VPSDE(), 0)
    with pytest.raises(ValueError, match="spacing is 'even'; choose time or log_snr"):
        Chain(VPSDE(), 4, spacing="even")  # type: ignore[arg-type]
    for times in ([0.5, 0.9], [0.5, 0.4], [1.0], [1e-4, 1.0], [0.2, 0.5, 1.0]):
        with pytest.raises(ValueError, match=r"times is \[.*\]; give 2 times that rise from above 0.001 to 1"):
            Chain(VPSDE(), 2, times=times)
    with pytest.raises(ValueError, match=r"first is 1\.0; clean data stand at a time in"):
        StartedProcess(VPSDE(), 1.0)
