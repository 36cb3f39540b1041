"""One backward pass gives each side exactly its own gradient, and the logged figures are what they are called."""

import math

import pytest
import torch
from problems import PROCESSES, WEIGHTINGS, ItemAutoencoder, Perceptron, ZeroNetwork, randomize
from torch import nn

from latentgen.autoencoder import Autoencoder, IdentityAutoencoder
from latentgen.denoiser import Denoiser, MixedDenoiser, NoiseDenoiser, VelocityDenoiser
from latentgen.distributions import DiagonalGaussian, NormalLikelihood
from latentgen.latents import LatentSpec
from latentgen.nn import Transformer, VectorNetwork
from latentgen.objective import ELBO, JointELBO, Schedule, ScoreMatching, latent_statistics
from latentgen.prior import NormalPrior, ScorePrior
from latentgen.process import VPSDE, Process
from latentgen.tensors import Batch, event_sum, over
from latentgen.times import ImportanceTimes, LogSNRTimes, TimeSampler, UniformTimes
from latentgen.weighting import (
    LikelihoodWeighting,
    ReweightedWeighting,
    UnweightedWeighting,
    VelocityWeighting,
    Weighting,
)

VECTOR = LatentSpec((3,))
SETS = LatentSpec((4, 2), "set", masked=True)
LAWS = ["vp", "geometric", "sub-vp", "ve", "cosine", "linear"]
DENOISERS = {
    "mixed": MixedDenoiser,
    "velocity": lambda network, process, latents: VelocityDenoiser(network, process),
    "noise": lambda network, process, latents: NoiseDenoiser(network, process),
}


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def vector_batch() -> Batch:
    return {"x": torch.randn(6, 5), "condition": torch.randn(6, 2)}


def set_batch() -> Batch:
    mask = torch.tensor([[True] * 4, [True, True, True, False], [True, False, False, False]])
    return {"x": torch.randn(3, 4, 5), "mask": mask}


def joint(
    process: Process,
    weighting: Weighting,
    denoiser: str,
    latents: LatentSpec = VECTOR,
    times: TimeSampler | None = None,
    prior_times: TimeSampler | None = None,
    network: nn.Module | None = None,
    beta: float | Schedule = 0.7,
) -> JointELBO:
    condition_dim = 2 if latents is VECTOR else 0
    network = randomize(network or Perceptron(latents.channels, condition_dim), 0.4)
    prior = ScorePrior(latents, DENOISERS[denoiser](network, process, latents))
    autoencoder = ItemAutoencoder(5, latents.channels)
    return JointELBO(autoencoder, prior, weighting, times, beta, prior_times)


def one_backward(
    objective: JointELBO, batch: Batch, seed: int = 1
) -> tuple[list[torch.Tensor], list[torch.Tensor], dict]:
    objective.zero_grad()
    torch.manual_seed(seed)
    losses = objective(batch)
    losses["loss"].backward()
    sides = [
        [torch.zeros_like(p) if p.grad is None else p.grad for p in module.parameters()]
        for module in (objective.autoencoder, objective.prior)
    ]
    return sides[0], sides[1], losses


def prior_error(prior: ScorePrior, z: torch.Tensor, t: torch.Tensor, eps: torch.Tensor, mask, condition):
    process = prior.process
    z_t = over(process.alpha(t), z) * z + over(process.sigma(t), z) * eps
    return event_sum((prior.predict(z_t, t, mask, condition) - eps) ** 2, mask)


def two_backwards(
    objective: JointELBO, batch: Batch, beta: float, seed: int = 1
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """The reference: the encoder's loss differentiated for the autoencoder, the prior's loss for the prior."""
    torch.manual_seed(seed)
    prior, process = objective.prior, objective.prior.process
    q = objective.autoencoder.encode(batch)
    z = q.rsample()
    condition = batch.get("condition")
    reconstruction = -objective.autoencoder.decode(z, q.mask).log_prob(batch)
    t, density = objective.times(len(z), process)
    error = prior_error(prior, z, t, torch.randn_like(z), q.mask, condition)
    cross_entropy = prior.bound(z, t, density, q.mask, error)
    encoder_loss = (reconstruction + beta * (cross_entropy - q.entropy())).mean() / prior.latents.dims
    if objective.prior_times is None:
        prior_loss = objective.weighting(process, t) / density * error
    else:
        t_p, density_p = objective.prior_times(len(z), process)
        error_p = prior_error(prior, z.detach(), t_p, torch.randn_like(z), q.mask, condition)
        prior_loss = objective.weighting(process, t_p) / density_p * error_p
    first, second = list(objective.autoencoder.parameters()), list(prior.parameters())
    return (
        list(torch.autograd.grad(encoder_loss, first, retain_graph=True, allow_unused=True, materialize_grads=True)),
        list(
            torch.autograd.grad(
                prior_loss.mean() / prior.latents.dims, second, allow_unused=True, materialize_grads=True
            )
        ),
    )


def assert_equal_gradients(objective: JointELBO, batch: Batch, beta: float = 0.7, seed: int = 1) -> None:
    encoder, prior, _ = one_backward(objective, batch, seed)
    reference = two_backwards(objective, batch, beta, seed)
    for side, expected in ((encoder, reference[0]), (prior, reference[1])):
        assert max(g.abs().max() for g in expected) > 1e-6
        assert max((g - e).abs().max() for g, e in zip(side, expected, strict=True)) < 1e-10


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("weighting", WEIGHTINGS, ids=lambda w: type(w).__name__)
def test_one_backward_equals_two(double, law, weighting):
    """Every weighting x process x denoiser, on vectors with a condition."""
    for denoiser in DENOISERS:
        assert_equal_gradients(joint(PROCESSES[law], weighting, denoiser), vector_batch())


@pytest.mark.parametrize("law", LAWS)
def test_one_backward_equals_two_on_masked_sets_with_attention(double, law):
    """The diffusion transformer with random weights, so that items of one sample mix."""
    for weighting in (UnweightedWeighting(), ReweightedWeighting()):
        network = Transformer(SETS, width=8, depth=2, heads=2)
        assert_equal_gradients(joint(PROCESSES[law], weighting, "mixed", SETS, network=network), set_batch())


@pytest.mark.parametrize("seed", range(4))
def test_one_backward_equals_two_with_self_conditioning(double, seed):
    """The first prediction takes no gradient; about every other batch has one."""
    network = Transformer(SETS, width=8, depth=1, heads=2, self_condition=True)
    objective = joint(VPSDE(), UnweightedWeighting(), "velocity", SETS, network=network)
    assert_equal_gradients(objective, set_batch(), seed=seed)


def test_every_parameter_has_a_gradient_in_every_step_with_self_conditioning(double):
    """Distributed training waits for each of them, and processes draw for themselves whether to predict first."""
    network = Transformer(SETS, width=8, depth=1, heads=2, self_condition=True)
    objective, batch = joint(VPSDE(), UnweightedWeighting(), "velocity", SETS, network=network), set_batch()
    for seed in range(8):
        objective.zero_grad()
        torch.manual_seed(seed)
        objective(batch)["loss"].backward()
        assert [name for name, p in objective.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("times", [UniformTimes(), UniformTimes(False), ImportanceTimes(UnweightedWeighting())])
def test_one_backward_equals_two_for_every_proposal(double, times):
    assert_equal_gradients(joint(VPSDE(), UnweightedWeighting(), "mixed", times=times), vector_batch())


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("weighting", WEIGHTINGS, ids=lambda w: type(w).__name__)
def test_disjoint_mode_equals_its_own_two_backwards(double, law, weighting):
    for denoiser in DENOISERS:
        objective = joint(PROCESSES[law], weighting, denoiser, prior_times=UniformTimes())
        assert_equal_gradients(objective, vector_batch())


def test_disjoint_mode_on_masked_sets(double):
    network = Transformer(SETS, width=8, depth=1, heads=2)
    objective = joint(VPSDE(), UnweightedWeighting(), "mixed", SETS, prior_times=UniformTimes(), network=network)
    assert_equal_gradients(objective, set_batch())
    assert all(parameter.requires_grad for parameter in objective.prior.parameters())


@pytest.mark.parametrize("beta", [0.0, 1e-3, 1.0, 3.0])
def test_kl_weight_scales_the_encoders_side_alone(double, beta):
    objective = joint(VPSDE(), UnweightedWeighting(), "mixed", beta=beta)
    batch = vector_batch()
    assert_equal_gradients(objective, batch, beta)
    _, prior, _ = one_backward(objective, batch)
    objective.kl_weight = 10.0
    _, other, _ = one_backward(objective, batch)
    assert all(torch.equal(a, b) for a, b in zip(prior, other, strict=True))


@pytest.mark.parametrize(("progress", "beta"), [(0.0, 0.1), (0.15, 0.55), (0.3, 1.0), (0.9, 1.0)])
def test_scheduled_kl_weight(double, progress, beta):
    objective = joint(VPSDE(), UnweightedWeighting(), "mixed", beta=Schedule(0.1, 1.0, portion=0.3))
    objective.progress.fill_(progress)
    assert_equal_gradients(objective, vector_batch(), beta)


def test_likelihood_weighting_needs_no_scaling(double):
    """With w_p = w_q and beta = 1 the plain gradient of the one loss is both gradients."""
    objective = joint(VPSDE(), LikelihoodWeighting(), "mixed", beta=1.0)
    batch = vector_batch()
    encoder, prior, _ = one_backward(objective, batch)
    torch.manual_seed(1)
    q = objective.autoencoder.encode(batch)
    z = q.rsample()
    t, density = objective.times(len(z), VPSDE())
    error = prior_error(objective.prior, z, t, torch.randn_like(z), None, batch["condition"])
    loss = objective.prior.bound(z, t, density, None, error) - q.entropy()
    loss = (loss - objective.autoencoder.decode(z).log_prob(batch)).mean() / 3
    plain = torch.autograd.grad(loss, list(objective.parameters()))
    assert max((a - b).abs().max() for a, b in zip([*encoder, *prior], plain, strict=True)) < 1e-10


def test_encoders_gradient_passes_through_the_score_network(double):
    """Without the path through z_t the encoder's gradient is another one."""
    objective, batch = joint(VPSDE(), UnweightedWeighting(), "noise"), vector_batch()
    with_path, _, _ = one_backward(objective, batch)
    forward = objective.prior.denoiser.noise
    objective.prior.denoiser.noise = lambda z, *rest: forward(z.detach(), *rest)
    without, _, _ = one_backward(objective, batch)
    assert max((a - b).abs().max() for a, b in zip(with_path, without, strict=True)) > 1e-3


def test_loss_and_figures_of_the_joint_objective(double):
    objective, batch = joint(VPSDE(), UnweightedWeighting(), "mixed"), vector_batch()
    _, _, losses = one_backward(objective, batch)
    torch.manual_seed(1)
    q = objective.autoencoder.encode(batch)
    z = q.rsample()
    t, density = objective.times(6, VPSDE())
    error = prior_error(objective.prior, z, t, torch.randn_like(z), None, batch["condition"])
    cross_entropy = objective.prior.bound(z, t, density, None, error)
    reconstruction, fixed = -objective.autoencoder.decode(z).log_prob(batch), objective.prior.fixed_terms(z, None)
    expected = {
        "reconstruction": reconstruction.mean(),
        "cross_entropy": cross_entropy.mean(),
        "entropy": q.entropy().mean(),
        "nelbo": (reconstruction + cross_entropy - q.entropy()).mean(),
        "prior_error": (error / density).mean() / 3,
        "loss": (reconstruction + 0.7 * (fixed - q.entropy()) + error / density).mean() / 3,
    }
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(value.item(), rel=1e-10), name
        assert losses[name].requires_grad == (name == "loss")


@pytest.mark.parametrize("prior_times", [None, UniformTimes()])
def test_norm_penalty_moves_the_prior_alone_by_its_gradient(double, prior_times):
    """spectral sum sigma_max(W) + gains sum max |gamma| in nats an example, beside a loss that stays what it was."""
    network, batch = VectorNetwork(VECTOR, 8, 1, 2), vector_batch()
    plain = joint(VPSDE(), UnweightedWeighting(), "mixed", prior_times=prior_times, network=network)
    given = (plain.autoencoder, plain.prior, plain.weighting, plain.times, 0.7, prior_times)
    penalised = JointELBO(*given, spectral=0.3, gains=0.2)
    penalised.norms.iterations = 2000
    encoder_0, prior_0, losses_0 = one_backward(plain, batch)
    encoder_0, prior_0 = [g.clone() for g in encoder_0], [g.clone() for g in prior_0]
    encoder_1, prior_1, losses_1 = one_backward(penalised, batch)
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    norms = [layer for layer in network.modules() if isinstance(layer, nn.LayerNorm)]
    penalty = 0.3 * sum(torch.linalg.svdvals(layer.weight)[0] for layer in layers)
    penalty = penalty + 0.2 * sum(norm.weight.abs().max() for norm in norms)
    assert losses_1["norm_penalty"].item() == pytest.approx(penalty.item(), rel=1e-6)
    assert "norm_penalty" not in losses_0
    assert losses_1["nelbo"] == losses_0["nelbo"]
    assert losses_1["loss"].item() == pytest.approx((losses_0["loss"] + penalty / 3).item(), rel=1e-6)
    assert all(torch.equal(a, b) for a, b in zip(encoder_0, encoder_1, strict=True))
    moved = torch.autograd.grad(penalty / 3, list(plain.prior.parameters()), allow_unused=True)
    for before, after, change in zip(prior_0, prior_1, moved, strict=True):
        assert torch.allclose(after - before, torch.zeros_like(after) if change is None else change, atol=1e-6)


def test_norm_penalties_that_cannot_be_are_refused():
    objective = joint(VPSDE(), UnweightedWeighting(), "mixed")
    given = (objective.autoencoder, objective.prior)
    assert objective.norms is None
    for options, said in (
        ({"spectral": -1.0}, "spectral is -1.0; give a weight of at least 0"),
        ({"gains": math.inf}, "gains is inf; give a weight of at least 0"),
        ({"gains": 0.1}, "gains is 0.1 for a prior whose norms have none"),
    ):
        with pytest.raises(ValueError, match=said):
            JointELBO(*given, **options)


def test_masked_items_change_nothing_in_the_joint_objective(double):
    """Their data, their posteriors and their noise: only the figures of real items count."""
    network = Transformer(SETS, width=8, depth=1, heads=2)
    objective, batch = joint(VPSDE(), UnweightedWeighting(), "mixed", SETS, network=network), set_batch()
    other = {**batch, "x": torch.where(batch["mask"][..., None], batch["x"], 7 * torch.ones(3, 4, 5))}
    first, second = one_backward(objective, batch), one_backward(objective, other)
    for a, b in zip([*first[0], *first[1]], [*second[0], *second[1]], strict=True):
        assert torch.allclose(a, b, atol=1e-12)
    for name, value in first[2].items():
        assert second[2][name].item() == pytest.approx(value.item(), rel=1e-10), name


def test_groups_name_what_each_objective_trains():
    objective = joint(VPSDE(), UnweightedWeighting(), "mixed")
    assert objective.groups() == {"autoencoder": objective.autoencoder, "prior": objective.prior}
    assert list(ScoreMatching(ItemAutoencoder(5, 3), objective.prior).groups()) == ["prior"]
    assert list(ELBO(ItemAutoencoder(5, 3), NormalPrior(VECTOR)).groups()) == ["autoencoder"]


# ---- frozen autoencoder ----


def matching(denoiser: Denoiser, latents: LatentSpec, weighting: Weighting | None = None, std: float = 1e-3):
    return ScoreMatching(IdentityAutoencoder(std=std), ScorePrior(latents, denoiser), weighting)


def test_score_matching_leaves_the_autoencoder_alone():
    autoencoder = ItemAutoencoder(5, 3)
    prior = ScorePrior(VECTOR, VelocityDenoiser(randomize(Perceptron(3)), VPSDE()))
    objective = ScoreMatching(autoencoder, prior)
    objective({"x": torch.randn(8, 5)})["loss"].backward()
    assert all(p.grad is None and not p.requires_grad for p in autoencoder.parameters())
    assert max(p.grad.abs().max() for p in prior.parameters()) > 0


def test_a_frozen_autoencoder_stays_frozen_in_training_mode():
    """A trainer puts the objective into training mode: running statistics and dropout of the encoder must not move."""

    class Normed(Autoencoder):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5))

        def encode(self, batch: Batch) -> DiagonalGaussian:
            mean = self.encoder(batch["x"])
            return DiagonalGaussian(mean, torch.full_like(mean, 1e-3))

        def decode(self, z, mask=None):
            return NormalLikelihood(z, 1.0)

    autoencoder = Normed()
    objective = ScoreMatching(autoencoder, ScorePrior(VECTOR, VelocityDenoiser(ZeroNetwork(), VPSDE()))).train()
    before = {name: value.clone() for name, value in autoencoder.state_dict().items()}
    objective({"x": 5 + torch.randn(8, 3)})
    assert not autoencoder.training
    assert all(torch.equal(value, before[name]) for name, value in autoencoder.state_dict().items())


def test_untrained_losses_of_standardised_latents():
    """What is true of an untrained (zero) network with uniform times, for latents of mean 0 and variance v.

    Noise parameterisation: 1 - t_min for every v, since the error is the noise itself. Velocity parameterisation with
    unit weights: the integral of 1 - sigma^2, .266, at v = 1. Velocity parameterisation with its own weights:
    1 - t_min at v = 1 and only there: this is the loss that shows latents which are not standardised.
    """
    torch.manual_seed(0)
    process, n = VPSDE(), 40_000

    def loss(denoiser: Denoiser, variance: float, weighting: Weighting | None = None) -> float:
        x = math.sqrt(variance) * torch.randn(n, 3)
        with torch.no_grad():
            return matching(denoiser, VECTOR, weighting)({"x": x})["prior_error"].item()

    # standard errors: the error per sample has a spread below 2 in units of its mean, 5 * 2 / sqrt(n) = .05
    noise, velocity = NoiseDenoiser(ZeroNetwork(), process), VelocityDenoiser(ZeroNetwork(), process)
    assert loss(noise, 1.0) == pytest.approx(0.99, rel=0.05)
    assert loss(noise, 25.0) == pytest.approx(0.99, rel=0.05)
    assert loss(velocity, 1.0) == pytest.approx(0.2660037, rel=0.05)
    assert loss(velocity, 1.0, VelocityWeighting()) == pytest.approx(0.99, rel=0.05)
    # alpha^2 + sigma^2 v integrates to .266 + .724 v
    assert loss(velocity, 4.0, VelocityWeighting()) == pytest.approx(0.266 + 0.724 * 4, rel=0.05)
    assert loss(velocity, 0.01, VelocityWeighting()) == pytest.approx(0.266 + 0.00724, rel=0.05)


def test_score_matching_bound_is_the_normal_cross_entropy_for_an_untrained_velocity_network():
    torch.manual_seed(0)
    n = 40_000
    objective = matching(VelocityDenoiser(ZeroNetwork(), VPSDE()), VECTOR)
    objective.times = LogSNRTimes()
    losses = objective({"x": torch.randn(n, 3)})
    expected = 3 * (1.4189385 + 0.0009975)
    # the bound of one sample has a spread of about Z sqrt(2 D) = 8 nats
    assert losses["cross_entropy"].item() == pytest.approx(expected, abs=5 * 8 / math.sqrt(n))


def test_score_matching_minimises_at_the_exact_denoiser():
    """Gradient of a one-parameter family eps_hat = k sigma z_t at the optimum k = 1 is zero, for every weighting."""
    torch.manual_seed(0)

    class Scaled(Denoiser):
        def __init__(self) -> None:
            super().__init__(nn.Identity(), VPSDE())
            self.k = nn.Parameter(torch.ones(()))

        def noise(self, z_t, t, mask, condition):
            return self.k * self.normal_noise(z_t, t)

    for weighting in WEIGHTINGS:
        objective = matching(Scaled(), VECTOR, weighting)
        objective.times = ImportanceTimes(weighting)
        x = torch.randn(20_000, 3)
        gradients = []
        for part in x.chunk(20):
            objective.zero_grad()
            objective({"x": part})["loss"].backward()
            gradients.append(objective.prior.denoiser.k.grad.clone())
        values = torch.stack(gradients)
        assert values.mean().abs() < 5 * values.std() / math.sqrt(20) + 1e-4


# ---- plain VAE ----


def test_elbo_is_reconstruction_plus_kl(double):
    autoencoder, x = ItemAutoencoder(5, 3), torch.randn(6, 5)
    objective = ELBO(autoencoder, NormalPrior(VECTOR), kl_weight=0.3)
    torch.manual_seed(1)
    losses = objective({"x": x})
    torch.manual_seed(1)
    q = autoencoder.encode({"x": x})
    reconstruction, kl = -autoencoder.decode(q.rsample()).log_prob({"x": x}), q.kl_to_normal()
    assert losses["loss"].item() == pytest.approx((reconstruction + 0.3 * kl).mean().item() / 3)
    assert losses["nelbo"].item() == pytest.approx((reconstruction + kl).mean().item())
    assert losses["cross_entropy"].item() == pytest.approx((kl + q.entropy()).mean().item())


# ---- schedules and statistics ----


@pytest.mark.parametrize(("portion", "expected"), [(0.5, [0.0, 1.0, 2.0, 2.0]), (1.0, [0.0, 0.5, 1.0, 2.0])])
def test_schedules_run_linearly_and_then_stay(portion, expected):
    schedule = Schedule(0.0, 2.0, portion)
    assert [schedule(torch.tensor(p)).item() for p in (0.0, 0.25, 0.5, 1.0)] == pytest.approx(expected)


@pytest.mark.parametrize(("progress", "expected"), [(0.0, 1.0), (0.4, 1.0), (0.5, 1.5), (0.6, 2.0), (1.0, 2.0)])
def test_schedules_can_begin_late(progress, expected):
    value = Schedule(1.0, 2.0, portion=0.6, begins=0.4)(torch.tensor(progress, dtype=torch.float64))
    assert value.item() == pytest.approx(expected)
    with pytest.raises(ValueError, match=r"begins is 0\.7 with portion=0\.6"):
        Schedule(1.0, 2.0, portion=0.6, begins=0.7)


def test_schedules_without_a_portion_are_at_their_end():
    assert Schedule(0.0, 2.0, 0.0)(torch.tensor(0.01)).item() == 2.0
    with pytest.raises(ValueError, match=r"portion is 1\.5; it is a share of training between 0 and 1"):
        Schedule(0.0, 1.0, 1.5)


def test_latent_statistics_see_collapse():
    """Two active channels of spread 2, one collapsed onto the prior: means 0, standard deviation 1."""
    torch.manual_seed(0)
    mean, std = 2 * torch.randn(4000, 3), torch.full((4000, 3), 0.1)
    mean[:, 2], std[:, 2] = 0.0, 1.0
    figures = latent_statistics(DiagonalGaussian(mean, std))
    assert figures["active_units"].item() == 2
    assert figures["log_var"].item() == pytest.approx(2 / 3 * math.log(0.01), rel=1e-5)
    assert figures["latent_std"].item() == pytest.approx(math.sqrt((2 * 4.01 + 1) / 3), rel=0.05)


def test_latent_statistics_leave_masked_items_out():
    torch.manual_seed(0)
    mean, std = torch.randn(50, 4, 2), torch.rand(50, 4, 2) + 0.1
    mask = (torch.arange(4) < 3).expand(50, 4)
    masked = latent_statistics(DiagonalGaussian(mean + 1000 * ~mask[..., None], std, mask))
    cut = latent_statistics(DiagonalGaussian(mean[:, :3], std[:, :3]))
    for name, value in cut.items():
        assert masked[name].item() == pytest.approx(value.item(), rel=1e-5)


@pytest.mark.parametrize("shape", [(3, 8, 8), (3, 4, 4, 4), (3, 16)], ids=["plane", "volume", "line"])
def test_latent_statistics_count_channels_of_grids(shape):
    """Channel 0 is used, the others not, whatever the number of spatial axes."""
    torch.manual_seed(0)
    mean = torch.zeros(200, *shape)
    mean[:, 0] = torch.randn(200, *shape[1:])
    objective = ELBO(GridAutoencoder(mean), NormalPrior(LatentSpec(shape, "grid")))
    assert objective({"x": mean})["active_units"].item() == 1


class GridAutoencoder(Autoencoder):
    """Its posterior is given."""

    def __init__(self, mean: torch.Tensor) -> None:
        super().__init__()
        self.mean = mean

    def encode(self, batch: Batch) -> DiagonalGaussian:
        return DiagonalGaussian(self.mean, torch.ones_like(self.mean))

    def decode(self, z: torch.Tensor, mask: torch.Tensor | None = None) -> NormalLikelihood:
        return NormalLikelihood(z, 1.0)
