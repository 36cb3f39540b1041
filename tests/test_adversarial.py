"""The adversarial objectives against plain computations, closed forms, and the rule of which gradient goes where."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus
from toy import Toy

import latentgen
from latentgen import (
    DDGAN,
    VESDE,
    VPSDE,
    Autoencoder,
    Chain,
    DenoisingGANPrior,
    Discriminate,
    Generate,
    LatentSpec,
    NormalLikelihood,
    Schedule,
)
from latentgen.adversarial import latents_of, masked
from latentgen.adversarial_recipe import make_discriminator, make_generator
from latentgen.distributions import DiagonalGaussian
from latentgen.evaluating import evaluating


class Sets(Autoencoder):
    """q(z | x) = N(x, 1) over real items."""

    def encode(self, batch):
        return DiagonalGaussian(batch["x"], torch.ones_like(batch["x"]), batch["mask"])

    def decode(self, z, mask=None):
        raise NotImplementedError


class Linear(nn.Module):
    """D(z_s, z_t) = w . z_s + c: its gradient in z_s is w."""

    def __init__(self, weight: list[float]) -> None:
        super().__init__()
        self.weight, self.shift = nn.Parameter(torch.tensor(weight)), nn.Parameter(torch.zeros(()))

    def forward(self, z_s, z_t, log_snr, mask=None, condition=None):
        return (z_s * self.weight).flatten(1).sum(1) + self.shift


def parts(train_autoencoder: bool = True, steps: int = 2):
    torch.manual_seed(0)
    modality = Toy(dropout=0.0)
    recipe = DDGAN(steps, width=16, depth=1, heads=2, discriminator_depth=1, kl_weight=0.5)
    prepared = recipe.prepare(modality)
    first, second = prepared.objectives
    batch = {"x": torch.randn(16, 2)}
    if not train_autoencoder:
        second = Generate(prepared.model.autoencoder, prepared.model.prior, first.discriminator)
    return prepared.model, first, second, batch


def test_discriminator_loss_is_the_logistic_one() -> None:
    model, objective, _, batch = parts()
    chain = objective._others[1].generator.chain
    torch.manual_seed(3)
    found = objective(batch)
    torch.manual_seed(3)
    with torch.no_grad(), evaluating(model.autoencoder):
        q = model.autoencoder.encode(batch)
        k, z_s, z_t = chain.draw(q.rsample())
        z_0 = model.prior.generator.generate(z_t, chain.time(k), model.prior.generator.draw_noise(z_t))
        fake = chain.posterior(z_t, z_0, k).rsample()
        log_snr = chain.process.log_snr(chain.time(k))
        real_logit, fake_logit = (objective.discriminator(z, z_t, log_snr) for z in (z_s, fake))
    expected = softplus(-real_logit).mean() + softplus(fake_logit).mean()
    assert found["discriminator_loss"] == pytest.approx(expected.item(), rel=1e-5)
    assert found["real_logit"] == pytest.approx(real_logit.mean().item(), rel=1e-4, abs=1e-6)


def test_the_penalty_is_lazy_scaled_and_differentiable() -> None:
    model, _, _, batch = parts()
    linear = Linear([3.0, -4.0])
    objective = Discriminate(model.autoencoder, model.prior, linear, r1=0.2, r1_interval=5)
    for step in range(11):
        objective.step = step
        found = objective(batch)
        extra = found["loss"].item() - found["discriminator_loss"].item()
        if step % 5:
            assert extra == 0
            assert "r1" not in found
        else:
            assert found["r1"].item() == pytest.approx(25.0, rel=1e-6)
            assert extra == pytest.approx(0.5 * 0.2 * 5 * 25.0, rel=1e-5)
    objective.step = 0
    torch.manual_seed(1)
    with_penalty = torch.autograd.grad(objective(batch)["loss"], linear.weight)[0]
    objective.step = 1
    torch.manual_seed(1)
    without = torch.autograd.grad(objective(batch)["loss"], linear.weight)[0]
    assert torch.allclose(with_penalty - without, 0.2 * 5 * linear.weight, atol=1e-4)


def test_each_objective_updates_its_own_and_nothing_else() -> None:
    model, first, second, batch = parts()
    first(batch)["loss"].backward()
    assert all(p.grad is not None for p in first.discriminator.parameters())
    assert all(p.grad is None for p in model.parameters())
    assert {id(p) for p in first.parameters()} == {id(p) for p in first.discriminator.parameters()}
    first.zero_grad()
    second(batch)["loss"].backward()
    assert all(p.grad is None and p.requires_grad for p in first.discriminator.parameters())
    assert all(p.grad is not None for p in model.parameters())
    assert set(second.groups()) == {"autoencoder", "generator"}


def test_a_frozen_autoencoder_gets_nothing() -> None:
    model, first, second, batch = parts(train_autoencoder=False)
    second(batch)["loss"].backward()
    assert all(p.grad is None for p in model.autoencoder.parameters())
    assert all(p.grad is not None for p in model.prior.parameters())
    before = [buffer.clone() for buffer in model.autoencoder.buffers()]
    model.train()
    first(batch), second(batch)
    assert all(torch.equal(a, b) for a, b in zip(before, model.autoencoder.buffers(), strict=True))
    assert model.autoencoder.training


def test_running_statistics_move_with_the_trained_autoencoder_alone() -> None:
    model, first, second, batch = parts()
    model.train()
    start = {name: value.clone() for name, value in model.autoencoder.named_buffers()}
    first(batch)
    assert all(torch.equal(value, start[name]) for name, value in model.autoencoder.named_buffers())
    second(batch)
    assert any(not torch.equal(value, start[name]) for name, value in model.autoencoder.named_buffers())


def test_the_frozen_autoencoder_drops_nothing_out() -> None:
    """Encoded in evaluation mode: with zero posterior noise and T = 1 the real samples are the means, every time."""
    torch.manual_seed(0)
    modality, seen = Toy(dropout=0.5), []

    class Watch(nn.Module):
        def forward(self, z_s, z_t, log_snr, mask=None, condition=None):
            seen.append(z_s[:6].detach())
            return z_s.sum(1)

    model = DDGAN(1, width=16, depth=1).prepare(modality).model.train()
    batch = {"x": torch.randn(6, 2)}
    Discriminate(model.autoencoder, model.prior, Watch(), r1=0.0, posterior_noise=0.0)(batch)
    assert torch.allclose(seen[0], model.encode(batch).mean, atol=1e-6)
    Discriminate(model.autoencoder, model.prior, Watch(), r1=0.0, posterior_noise=1.0)(batch)
    assert not torch.allclose(seen[1], model.encode(batch).mean, atol=1e-2)
    assert model.autoencoder.training


class Bowl(nn.Module):
    """D(z_s, z_t) = a |z_s|^2 / 2 + b |z_t|^2: its gradient in z_s is a z_s, whatever z_t is."""

    def __init__(self, a: float, b: float) -> None:
        super().__init__()
        self.a, self.b, self.real = nn.Parameter(torch.tensor(a)), b, torch.empty(0)

    def forward(self, z_s, z_t, log_snr, mask=None, condition=None):
        self.real = z_s.detach()[: len(z_s) // 2]
        return 0.5 * self.a * z_s.square().flatten(1).sum(1) + self.b * z_t.square().flatten(1).sum(1)


def test_the_penalty_is_that_of_real_samples_alone_and_of_the_earlier_of_the_pair() -> None:
    torch.manual_seed(0)
    spec = LatentSpec((5, 2), "set", masked=True)
    mask = torch.arange(5) < torch.tensor([2, 4, 5])[:, None]
    batch = {"x": 3 * torch.randn(3, 5, 2), "mask": mask}
    prior = DenoisingGANPrior(spec, make_generator(spec, Chain(VPSDE(), 2), 16, 1, 2))
    bowl = Bowl(0.8, 5.0)
    objective = Discriminate(Sets(), prior, bowl, r1=0.1, r1_interval=1)
    found = objective(batch)
    expected = (0.8 * bowl.real).square().sum() / 3
    assert found["r1"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert (bowl.real[~mask] == 0).all()
    penalty = 0.05 * found["r1"]
    assert (found["loss"] - found["discriminator_loss"]).item() == pytest.approx(penalty.item(), rel=1e-4)


def test_the_generators_loss_is_the_non_saturating_one() -> None:
    """Value and gradient of softplus(-D(fake)) against the plain computation with the same noise."""
    model, first, second, batch = parts(train_autoencoder=False)
    generator, chain = model.prior.generator, model.prior.generator.chain
    torch.manual_seed(4)
    found = second(batch)
    gradients = torch.autograd.grad(found["loss"], list(generator.parameters()), allow_unused=True)
    torch.manual_seed(4)
    with torch.no_grad(), evaluating(model.autoencoder):
        k, _, z_t = chain.draw(model.autoencoder.encode(batch).rsample())
    z_0 = generator.generate(z_t, chain.time(k), generator.draw_noise(z_t))
    fake = chain.posterior(z_t, z_0, k).rsample()
    logit = first.discriminator(fake, z_t, chain.process.log_snr(chain.time(k)))
    loss = (1 + (-logit).exp()).log().mean()
    assert found["loss"].item() == pytest.approx(loss.item(), rel=1e-5)
    expected = torch.autograd.grad(loss, list(generator.parameters()), allow_unused=True)
    for one, two in zip(gradients, expected, strict=True):
        assert (one is None) == (two is None)
        assert one is None or torch.allclose(one, two, atol=1e-6)
    assert any(one is not None and one.any() for one in gradients)


def test_conditions_reach_generator_and_discriminator_with_their_own_sample() -> None:
    spec, seen = LatentSpec((2,)), []

    class Watch(nn.Module):
        def forward(self, z_s, z_t, log_snr, mask=None, condition=None):
            seen.append(condition)
            return z_s.sum(1)

    torch.manual_seed(0)
    generator = make_generator(spec, Chain(VPSDE(), 2), 16, 1, condition_dim=3)
    given: list[torch.Tensor] = []
    generator.network.register_forward_pre_hook(lambda module, arguments: given.append(arguments[3]))
    prior = DenoisingGANPrior(spec, generator)
    batch = {"x": torch.randn(4, 2), "condition": torch.randn(4, 3)}
    Discriminate(latentgen.IdentityAutoencoder(), prior, Watch(), r1=0.0)(batch)
    Generate(latentgen.IdentityAutoencoder(), prior, Watch())(batch)
    assert torch.equal(seen[0], torch.cat([batch["condition"]] * 2))
    assert torch.equal(seen[1], batch["condition"])
    assert len(given) == 2
    assert all(torch.equal(condition, batch["condition"]) for condition in given)


class ChainRatio(nn.Module):
    """The optimal discriminator where q(z_0) = N(mean, std^2) and p(z_0) = N(0, 1): ln q(z_s | z_t) / p(z_s | z_t)."""

    def __init__(self, chain: Chain, mean: float, std: float) -> None:
        super().__init__()
        self.chain, self.mean, self.std = chain, mean, std

    def law(self, t, mean, std):
        alpha = self.chain.process.alpha(t)
        return alpha * mean, alpha**2 * std**2 + self.chain.process.sigma2(t)

    def reverse(self, z_s, z_t, s, t, mean, std):
        a = self.chain.process.transition(s, t)[0]
        (mean_s, var_s), (mean_t, var_t) = self.law(s, mean, std), self.law(t, mean, std)
        gain = a * var_s / var_t
        var = var_s - gain * a * var_s
        return -0.5 * (z_s - mean_s - gain * (z_t - mean_t)) ** 2 / var - 0.5 * var.log()

    def forward(self, z_s, z_t, log_snr, mask=None, condition=None):
        times = self.chain.time(torch.arange(self.chain.steps + 1))
        k = (self.chain.process.log_snr(times[1:])[None] - log_snr[:, None]).abs().argmin(1) + 1
        s, t = times[k - 1], times[k]
        q = self.reverse(z_s[:, 0], z_t[:, 0], s, t, self.mean, self.std)
        return q - self.reverse(z_s[:, 0], z_t[:, 0], s, t, 0.0, 1.0)


@pytest.mark.parametrize("process", [VPSDE(), VESDE()], ids=["vp", "ve"])
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_the_discriminators_term_estimates_the_divergence_of_the_chains(process, steps) -> None:
    """T E[D(real)] is KL(q(z_0..T) || p(z_0..T)): for two chains of one forward kernel KL(q(z_0) || p(z_0))."""
    torch.manual_seed(0)
    mean, std, n = 0.6, 0.5, 400_000
    chain = Chain(process, steps)
    z = mean + std * torch.randn(n, 1)
    k, z_s, z_t = chain.draw(z)
    log_snr = chain.process.log_snr(chain.time(k))
    found = steps * ChainRatio(chain, mean, std)(z_s, z_t, log_snr)
    kl = 0.5 * (std**2 + mean**2 - 1) - math.log(std)
    assert abs(found.mean() - kl) < 5 * found.std() / math.sqrt(n) + 1e-3


class LineAutoencoder(Autoencoder):
    """q(z | x) = N(slope x + shift, std^2), so that q(z) = N(shift, slope^2 + std^2) for x ~ N(0, 1); no decoder."""

    def __init__(self, slope: float, shift: float, std: float) -> None:
        super().__init__()
        self.slope, self.shift, self.std = (nn.Parameter(torch.tensor(value)) for value in (slope, shift, std))

    def encode(self, batch):
        mean = self.slope * batch["x"] + self.shift
        return DiagonalGaussian(mean, self.std.expand_as(mean))

    def decode(self, z, mask=None):
        return NormalLikelihood(torch.zeros_like(z), 1.0)


@pytest.mark.parametrize("process", [VPSDE(), VESDE()], ids=["vp", "ve"])
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_the_encoder_gets_the_gradient_of_the_divergence_from_the_prior(process, steps) -> None:
    """With the optimal discriminator: beta d/d(slope, shift, std) [w KL(q(z) || N(0, 1)) - H(q(z | x))], and no more.

    The logit's own dependence on q has no share in it: E_q[d ln q] = 0. The decoder ignores z and the generator's
    loss and regression do not reach the encoder, so that autograd on the closed form gives the whole gradient.
    """
    torch.manual_seed(0)
    slope, shift, std, beta, weight = 0.5, 0.6, 0.4, 0.7, 1.5
    chain, autoencoder = Chain(process, steps), LineAutoencoder(slope, shift, std)
    prior = DenoisingGANPrior(LatentSpec((1,)), make_generator(LatentSpec((1,)), chain, 16, 1))
    ratio = ChainRatio(chain, shift, math.sqrt(slope**2 + std**2))
    objective = Generate(autoencoder, prior, ratio, True, kl_weight=beta, adversarial_weight=weight, regression=0.8)
    parameters = [autoencoder.slope, autoencoder.shift, autoencoder.std]
    estimates = torch.stack(
        [
            torch.stack(torch.autograd.grad(objective({"x": torch.randn(10_000, 1)})["loss"], parameters))
            for _ in range(40)
        ]
    )
    a, b, s = (parameter.detach().double().requires_grad_() for parameter in parameters)
    variance = a**2 + s**2
    divergence = 0.5 * (variance + b**2 - 1 - variance.log())
    exact = torch.stack(torch.autograd.grad(beta * (weight * divergence - s.log()), [a, b, s]))
    error = (estimates.double().mean(0) - exact).abs()
    assert (error < 5 * estimates.double().std(0) / math.sqrt(40) + 1e-3).all()
    assert (error < 0.05).all(), "too few samples to say anything"


def test_the_kl_weight_follows_its_schedule() -> None:
    model, first, _, batch = parts()
    model.eval()
    objective = Generate(model.autoencoder, model.prior, first.discriminator, True, Schedule(0.0, 2.0, portion=0.5))
    for progress, beta in ((0.0, 0.0), (0.25, 1.0), (0.9, 2.0)):
        objective.progress.fill_(progress)
        found = objective(batch)
        bound = (found["reconstruction"] + beta * found["estimated_kl"]) / 2
        assert (found["loss"] - found["generator_loss"]).item() == pytest.approx(bound.item(), rel=1e-5)


def test_the_encoders_loss_is_the_stated_bound() -> None:
    model, first, second, batch = parts(steps=3)
    model.eval()  # running statistics stay
    torch.manual_seed(5)
    found = second(batch)
    kl = 2 * 0.5 * (1 + math.log(2 * math.pi)) - found["entropy"]
    torch.manual_seed(5)
    q = model.autoencoder.encode(batch)
    z = q.rsample()
    chain = model.prior.generator.chain
    k, z_s, z_t = chain.draw(z)
    ratio = 3 * first.discriminator(z_s, z_t, chain.process.log_snr(chain.time(k)))
    assert found["estimated_kl"].item() == pytest.approx((kl + ratio.mean()).item(), rel=1e-4)
    loss = found["generator_loss"] + (found["reconstruction"] + 0.5 * found["estimated_kl"]) / 2
    assert found["loss"].item() == pytest.approx(loss.item(), rel=1e-5)


def test_regression_counts_in_units_of_the_normal_posterior() -> None:
    spec, n = LatentSpec((2,)), 50_000
    torch.manual_seed(0)
    prior = DenoisingGANPrior(spec, make_generator(spec, Chain(VPSDE(), 2), 16, 1))
    autoencoder = latentgen.IdentityAutoencoder(std=1e-4)
    objective = Generate(autoencoder, prior, Linear([0.0, 0.0]), regression=3.0)
    found = objective({"x": torch.randn(n, 2)})
    # an untrained generator draws a second, independent sample of the same posterior: twice its variance
    assert found["regression_error"].item() == pytest.approx(2.0, abs=0.05)
    assert (found["loss"] - found["generator_loss"]).item() == pytest.approx(3 * found["regression_error"].item())


def test_posterior_noise() -> None:
    q = DiagonalGaussian(torch.ones(4, 2), torch.full((4, 2), 0.5))
    assert torch.equal(latents_of(q, 0.0), q.mean)
    torch.manual_seed(0)
    half = latents_of(q, 0.5)
    torch.manual_seed(0)
    assert torch.allclose(half - 1, 0.5 * (q.rsample() - 1))


def test_masked_items_reach_the_discriminator_as_zeros() -> None:
    spec = LatentSpec((5, 2), "set", masked=True)
    seen: list[torch.Tensor] = []

    class Watch(nn.Module):
        def forward(self, z_s, z_t, log_snr, mask=None, condition=None):
            seen.extend([z_s[~mask], z_t[~mask]])
            return z_s.flatten(1).sum(1)

    mask = torch.arange(5) < torch.tensor([2, 4, 5])[:, None]
    batch = {"x": torch.randn(3, 5, 2), "mask": mask}
    prior = DenoisingGANPrior(spec, make_generator(spec, Chain(VPSDE(), 2), 16, 1, 2))
    Discriminate(Sets(), prior, Watch(), r1=0.0)(batch)
    Generate(Sets(), prior, Watch())(batch)
    assert len(seen) == 4
    assert all((value == 0).all() for value in seen)
    assert torch.equal(masked(batch["x"], None), batch["x"])


@pytest.mark.parametrize(
    "spec",
    [LatentSpec((4,)), LatentSpec((6, 3), "set", masked=True), LatentSpec((5, 3), "sequence"), LatentSpec((3, 8, 8),
    "grid")], ids=["vector", "set", "sequence", "grid"],
)
def test_every_layout_has_a_discriminator_whose_penalty_can_be_differentiated(spec) -> None:
    torch.manual_seed(0)
    discriminator = make_discriminator(spec, 16, 1)
    z_s, z_t = (torch.randn(3, *spec.shape, requires_grad=True) for _ in range(2))
    mask = torch.arange(6) < torch.tensor([2, 6, 4])[:, None] if spec.masked else None
    logit = discriminator(z_s, z_t, torch.zeros(3), mask)
    assert logit.shape == (3,)
    (gradient,) = torch.autograd.grad(logit.sum(), z_s, create_graph=True)
    gradient.square().sum().backward()
    used = [parameter for parameter in discriminator.parameters() if parameter.grad is not None]
    assert len(used) > len(list(discriminator.parameters())) / 2
    assert all(parameter.grad.isfinite().all() for parameter in used)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="r1_interval is 0; it must be at least 1 step"):
        Discriminate(None, None, nn.Linear(1, 1), r1_interval=0)  # type: ignore[arg-type]
    model, first, _, _ = parts()
    with pytest.raises(ValueError, match=r"posterior_noise is 0\.5; it must be 1 where the autoencoder is trained"):
        Generate(model.autoencoder, model.prior, first.discriminator, True, posterior_noise=0.5)
