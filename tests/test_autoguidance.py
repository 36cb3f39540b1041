"""Autoguidance: its equation, its distribution in closed form, the weak network without blocks, and its refusals."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import latentgen
from latentgen.autoguidance import AutoguidedDenoiser, autoguided, without_blocks
from latentgen.denoiser import NoiseDenoiser, VelocityDenoiser
from latentgen.nn.transformer import Transformer
from latentgen.nn.vector import VectorNetwork
from latentgen.sampler import ProbabilityFlow
from modalities.graphs import Graphs
from modalities.mixtures import GaussianGrid

SET = latentgen.LatentSpec((5, 3), "set", masked=True)


def random_network(latents: latentgen.LatentSpec = SET, depth: int = 3, seed: int = 0, **options: int) -> nn.Module:
    torch.manual_seed(seed)
    kind = VectorNetwork if latents.layout == "vector" else Transformer
    network = kind(latents, width=16, depth=depth, **options)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    return network.eval()


def noisy(latents: latentgen.LatentSpec = SET) -> tuple[Tensor, Tensor, Tensor | None]:
    torch.manual_seed(3)
    z, t = torch.randn(4, *latents.shape), torch.rand(4) * 0.8 + 0.1
    mask = torch.arange(latents.shape[0]) < torch.tensor([[2], [3], [4], [5]]) if latents.masked else None
    return z, t, mask


@pytest.mark.parametrize("guidance", [0.0, 1.0, 2.5])
def test_it_extrapolates_from_the_weak_denoiser(guidance: float) -> None:
    process = latentgen.VPSDE()
    good, weak = (VelocityDenoiser(random_network(seed=seed), process).eval() for seed in (0, 1))
    z, t, mask = noisy()
    e_good, e_weak = good(z, t, mask).eps, weak(z, t, mask).eps
    assert (e_good - e_weak).abs().max() > 0.1
    guided = AutoguidedDenoiser(good, guidance, weak=weak)(z, t, mask).eps
    torch.testing.assert_close(guided, (1 - guidance) * e_weak + guidance * e_good, atol=1e-5, rtol=1e-5)


class NormalScore(nn.Module):
    """The optimal noise prediction for z_0 ~ N(0, s^2 I), as an output of a plain network."""

    self_condition = False

    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std

    def forward(self, z: Tensor, log_snr: Tensor, *absent: None) -> Tensor:
        # z = z_t / sqrt(alpha^2 + sigma^2); with alpha = 1, sigma^2 = e^-lambda
        sigma2 = (-log_snr).exp()[:, None]
        z_t = z * (1 + sigma2).sqrt()
        return sigma2.sqrt() * z_t / (self.std**2 + sigma2)


@pytest.mark.parametrize("guidance", [1.0, 1.5, 3.0])
def test_normal_latents_guided_by_wider_ones_end_at_the_standard_deviation_of_the_closed_form(guidance: float) -> None:
    """d ln z / d ln sigma^2 = sigma^2 / 2 (w / (s^2 + sigma^2) + (1 - w) / (S^2 + sigma^2)) under a VE process."""
    process = latentgen.VESDE(sigma2_min=1e-4, sigma2_max=400.0)
    narrow, wide = 0.7, 1.3
    good, weak = (NoiseDenoiser(NormalScore(std), process).eval() for std in (narrow, wide))
    guided = AutoguidedDenoiser(good, guidance, weak=weak)
    z_1 = torch.tensor([[1.0, -2.0]])
    z_0 = ProbabilityFlow(tolerance=1e-7)(guided, z_1)
    ends = [process.sigma2(t) for t in process.ends(z_1)]

    def shrink(std: float) -> Tensor:
        return ((std**2 + ends[0]) / (std**2 + ends[1])).sqrt()

    # the sampler ends with E[z_0 | z_tmin]
    last = 1 - ends[0] * (guidance / (narrow**2 + ends[0]) + (1 - guidance) / (wide**2 + ends[0]))
    expected = z_1 * shrink(narrow) ** guidance * shrink(wide) ** (1 - guidance) * last
    torch.testing.assert_close(z_0, expected, rtol=2e-4, atol=0)


@pytest.mark.parametrize("latents", [SET, latentgen.LatentSpec((4,), "vector")], ids=["transformer", "vector"])
def test_the_weak_network_lacks_the_blocks_and_shares_the_rest(latents: latentgen.LatentSpec) -> None:
    denoiser = VelocityDenoiser(random_network(latents), latentgen.VPSDE()).eval()
    weak = without_blocks(denoiser, (1,))
    z, t, mask = noisy(latents)
    built = VelocityDenoiser(random_network(latents, depth=2), latentgen.VPSDE()).eval()
    state = dict(denoiser.state_dict())
    blocks = "network.body.blocks." if latents.layout == "vector" else "network.blocks."
    kept = {
        name.replace(f"{blocks}2.", f"{blocks}1."): value
        for name, value in state.items() if not name.startswith(f"{blocks}1.")
    }
    built.load_state_dict(kept)
    torch.testing.assert_close(weak(z, t, mask).eps, built(z, t, mask).eps)
    assert (weak(z, t, mask).eps - denoiser(z, t, mask).eps).abs().max() > 1e-2
    assert {id(p) for p in weak.parameters()} < {id(p) for p in denoiser.parameters()}
    assert denoiser.state_dict().keys() == state.keys()
    denoiser.double()
    assert weak(z.double(), t.double(), mask).eps.dtype == torch.float64  # shared weights move together


class Counting(nn.Module):
    """Counts the evaluations of a network inside."""

    self_condition = False

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.evaluations = inner, 0

    def forward(self, *arguments: Tensor | None) -> Tensor:
        self.evaluations += 1
        result: Tensor = self.inner(*arguments)
        return result


def test_every_evaluation_is_counted_with_guidance_by_a_condition_too() -> None:
    networks = [Counting(random_network(condition_dim=2, seed=seed)) for seed in (0, 1)]
    good, weak = (VelocityDenoiser(network, latentgen.VPSDE()).eval() for network in networks)
    both = latentgen.GuidedDenoiser(AutoguidedDenoiser(good, 2.0, weak=weak), 3.0)
    z, t, mask = noisy()
    both(z, t, mask, torch.randn(4, 2))
    assert both.calls == sum(network.evaluations for network in networks) == 4


def test_a_weak_denoiser_with_self_conditioning_gets_zeros_where_there_is_no_prediction_yet() -> None:
    """With w = 0 the prediction is the weak denoiser's own."""
    process = latentgen.VPSDE()
    good = VelocityDenoiser(random_network(), process).eval()
    weak = VelocityDenoiser(random_network(seed=1, self_condition=True), process).eval()
    z, t, mask = noisy()
    guided = AutoguidedDenoiser(good, 0.0, weak=weak)
    torch.testing.assert_close(guided(z, t, mask).eps, weak(z, t, mask).eps)


def test_the_modes_of_what_is_given_stay() -> None:
    model, weak = model_of().train(), model_of()
    model.autoencoder.eval()
    before = [part.training for one in (model, weak) for part in one.modules()]
    autoguided(model, 2.0, without=(0,))
    autoguided(model, 2.0, weak=weak)
    assert [part.training for one in (model, weak) for part in one.modules()] == before


def test_masked_items_do_not_matter_and_two_calls_are_counted() -> None:
    denoiser = VelocityDenoiser(random_network(), latentgen.VPSDE()).eval()
    guided = AutoguidedDenoiser(denoiser, 2.0, without=(0,))
    assert not guided.training
    z, t, mask = noisy()
    assert mask is not None
    moved = z.masked_fill(~mask[..., None], 9.0)
    torch.testing.assert_close(guided(z, t, mask).eps[mask], guided(moved, t, mask).eps[mask])
    assert guided.calls == 4


def model_of(steps: int = 30, recipe: latentgen.Recipe | None = None) -> latentgen.LatentGenerativeModel:
    torch.manual_seed(0)
    prepared = (recipe or latentgen.LSGM(width=16, depth=2, momentum=0)).prepare(GaussianGrid())
    for parameter in prepared.model.prior.parameters():
        nn.init.normal_(parameter, std=0.2)
    return prepared.model.eval()


def test_a_model_is_sampled_by_every_sampler_with_twice_the_calls() -> None:
    model = model_of()
    guided = autoguided(model, 2.0, without=(0,))
    for sampler in model.prior.samplers:
        steps = None if sampler == "ode" else 4
        plain, led = (one.sample(6, sampler, steps=steps, seed=5)["x"] for one in (model, guided))
        assert not torch.allclose(plain, led), sampler
        assert guided.calls == 2 * model.calls or sampler == "ode"
    same = autoguided(model, 1.0, without=(0,)).sample(6, steps=4, seed=5)["x"]
    torch.testing.assert_close(same, model.sample(6, steps=4, seed=5)["x"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("refine", [True, False])
def test_a_generator_starts_from_the_guided_mean_where_it_starts_from_a_mean(refine: bool) -> None:
    gan = latentgen.DDGAN(2, width=16, depth=1, discriminator_depth=1)
    recipe = latentgen.JointDDGAN(latentgen.LSGM(width=16, depth=2, momentum=0), gan, refine=refine)
    model = model_of(recipe=recipe)
    before = model.sample(5, "gan", seed=1)["x"]
    guided = autoguided(model, 2.0, without=(1,))
    after = guided.sample(5, "gan", seed=1)["x"]
    assert guided.calls == 2 and torch.allclose(before, after) != refine
    torch.testing.assert_close(model.sample(5, "gan", seed=1)["x"], before, msg="the model itself has changed")
    assert not torch.allclose(guided.sample(5, "dpm", steps=3)["x"], model.sample(5, "dpm", steps=3)["x"])
    generator, twin = model.prior.gan.generator, guided.prior.gan.generator
    assert twin.matching is not generator.matching
    assert torch.equal(twin.matching.scale, generator.matching.scale)
    assert all(a is b for a, b in zip(generator.parameters(), twin.parameters(), strict=True))


def test_a_weaker_model_guides_and_a_guided_model_is_stored_and_loaded(tmp_path: Path) -> None:
    model, weak = model_of(), model_of()
    for parameter in weak.prior.parameters():
        parameter.data.mul_(0.5)
    model.save_pretrained(tmp_path / "plain")

    def size(name: str) -> int:
        return (tmp_path / name / "model.safetensors").stat().st_size

    for number, guided in enumerate((autoguided(model, 3.0, weak=weak), autoguided(model, 3.0, without=range(1)))):
        guided.save_pretrained(tmp_path / str(number))
        again = latentgen.load(tmp_path / str(number))
        assert size(str(number)) < (2.1 - number) * size("plain"), "a weight is stored twice"
        drawn = guided.sample(4, steps=3)["x"]
        torch.testing.assert_close(again.sample(4, steps=3)["x"], drawn)
        assert not torch.allclose(model.sample(4, steps=3)["x"], drawn)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "neither is given"),
        ({"without": (2,)}, r"without is \[2\]; name some of the 2 blocks, 0 to 1, once and not all"),
        ({"without": (0, 1)}, "not all"),
        ({"without": (-1,)}, r"without is \[-1\]"),
        ({"without": (0, 0)}, "once and not all"),
    ],
)
def test_blocks_that_are_not_there_are_refused(arguments: dict[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        autoguided(model_of(), 2.0, **arguments)


def test_what_cannot_guide_is_refused() -> None:
    model = model_of()
    with pytest.raises(ValueError, match="both is given"):
        autoguided(model, 2.0, without=(0,), weak=model)
    plain = latentgen.VAE().prepare(GaussianGrid()).model
    with pytest.raises(ValueError, match="model has a NormalPrior; autoguidance needs a score prior"):
        autoguided(plain, 2.0, without=(0,))
    with pytest.raises(ValueError, match="weak has a NormalPrior"):
        autoguided(model, 2.0, weak=plain)
    other = model_of(recipe=latentgen.LSGM(latentgen.VESDE(), width=16, depth=2, momentum=0))
    with pytest.raises(ValueError, match="autoguidance needs the same process"):
        autoguided(model, 2.0, weak=other)
    wider = copy.deepcopy(model)
    wider.prior.latents = latentgen.LatentSpec((3,), "vector")
    with pytest.raises(ValueError, match="weak has latents"):
        autoguided(model, 2.0, weak=wider)
    with pytest.raises(ValueError, match="a Linear has no list of blocks"):
        without_blocks(NoiseDenoiser(nn.Linear(2, 2), latentgen.VPSDE()), (0,))
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"guidance is {value}; give a finite weight"):
            autoguided(model, value, without=(0,))
    with pytest.raises(ValueError, match="denoiser is a AutoguidedDenoiser already"):
        autoguided(autoguided(model, 2.0, without=(0,)), 2.0, without=(1,))
    plain_network, conditional = random_network(), random_network(condition_dim=2)
    good, weak = (VelocityDenoiser(network, latentgen.VPSDE()) for network in (plain_network, conditional))
    with pytest.raises(ValueError, match="weak takes conditions of size 2, the model of 0"):
        AutoguidedDenoiser(good, 2.0, weak=weak)


def test_a_weak_model_on_another_autoencoder_is_refused() -> None:
    torch.manual_seed(0)
    graphs = Graphs(train_size=6, test_size=2, width=16)
    a, b = (latentgen.LSGM(width=16, depth=2, heads=2).prepare(graphs).model for _ in range(2))
    with pytest.raises(ValueError, match="weak has another autoencoder"):
        autoguided(a, 2.0, weak=b)
    b.autoencoder.load_state_dict(a.autoencoder.state_dict())
    autoguided(a, 2.0, weak=b)
