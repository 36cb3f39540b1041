"""Completions: exact conditionals of a correlated Gaussian, known parts returned, every layout."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from toy import Toy

import latentgen
from latentgen.inpainting import InpaintingDenoiser, Resampled, inpaint_latents, inpainting_sampler, spread_keep
from latentgen.noise import NoiseStream
from latentgen.sampler import Ancestral, ProbabilityFlow
from latentgen.testing import assert_passed, check_sampler
from modalities.graphs import Graphs
from modalities.images import Images

COVARIANCE = torch.tensor(
    [[1.0, 0.8, 0.3, 0.0], [0.8, 1.2, 0.2, -0.3], [0.3, 0.2, 0.7, 0.1], [0.0, -0.3, 0.1, 0.9]], dtype=torch.float64
)
MEAN = torch.tensor([0.5, -0.2, 0.0, 0.3], dtype=torch.float64)


class CorrelatedDenoiser(latentgen.Denoiser):
    """The exact denoiser of items z_0 [B, N, 1] ~ N(m, S): eps_hat = sigma (alpha^2 S + sigma^2 I)^-1 (z - alpha m)."""

    def __init__(self, items: int = 4, process: latentgen.Process | None = None) -> None:
        super().__init__(nn.Identity(), process or latentgen.VPSDE())
        self.mean, self.covariance = MEAN[:items], COVARIANCE[:items, :items]
        self.eval()

    def noise(self, z_t: Tensor, t: Tensor, mask: Tensor | None, condition: Tensor | None, previous=None) -> Tensor:
        alpha, sigma = self.process.alpha(t[0]).double(), self.process.sigma(t[0]).double()
        precision = torch.linalg.inv(alpha**2 * self.covariance + sigma**2 * torch.eye(len(self.mean)))
        centred = z_t[..., 0].double() - alpha * self.mean
        return (sigma * centred @ precision).unsqueeze(-1).to(z_t.dtype)


def prior_of(denoiser: CorrelatedDenoiser) -> latentgen.ScorePrior:
    return latentgen.ScorePrior(latentgen.LatentSpec((len(denoiser.mean), 1), "sequence"), denoiser)


def conditional(known: list[int], values: Tensor) -> tuple[list[int], Tensor, Tensor]:
    """The other items' numbers, mean and covariance given the known ones' values."""
    size = len(values) if known == [0] else 4
    rest = [number for number in range(size) if number not in known]
    gain = COVARIANCE[rest][:, known] @ torch.linalg.inv(COVARIANCE[known][:, known])
    mean = MEAN[rest] + gain @ (values[known] - MEAN[known])
    return rest, mean, COVARIANCE[rest][:, rest] - gain @ COVARIANCE[known][:, rest]


@torch.no_grad()
def complete(known: list[int], values: Tensor, sampler: latentgen.Sampler, process=None, n: int = 2000) -> Tensor:
    """n completions, shape [n, N]."""
    prior = prior_of(CorrelatedDenoiser(len(values), process))
    keep = torch.zeros(n, len(values), dtype=torch.bool)
    keep[:, known] = True
    z_0 = torch.where(keep, values.float(), float("inf")).nan_to_num(posinf=1e6).unsqueeze(-1)
    z = inpaint_latents(prior, z_0, keep, sampler)
    assert torch.equal(z[keep], z_0[keep]), "what is known is returned as it is"
    return z[..., 0].double()


@pytest.mark.parametrize(
    ("process", "known", "values"),
    [
        (latentgen.VPSDE(), [0], [2.0, 0.0]),
        (latentgen.VPSDE(), [1, 3], [0.0, 1.0, 0.0, -1.0]),
        (latentgen.VESDE(1e-4, 100.0), [0], [2.0, 0.0]),
    ],
    ids=["two items", "four items", "VE"],
)
def test_resampling_draws_the_conditional_of_a_gaussian(process, known, values) -> None:
    """Mean and covariance within four standard errors and the bias left at 25 repetitions, 0.03."""
    torch.manual_seed(0)
    values = torch.tensor(values, dtype=torch.float64)
    z = complete(known, values, inpainting_sampler(None, 30, resample=25), process)
    rest, mean, covariance = conditional(known, values)
    error = 4 * covariance.diagonal().sqrt() / len(z) ** 0.5
    assert ((z[:, rest].mean(0) - mean).abs() < error + 0.03).all(), (z[:, rest].mean(0), mean)
    found = z[:, rest].T.cov().reshape(covariance.shape)
    assert ((found - covariance).abs() < 4 * covariance.max() * (2 / len(z)) ** 0.5 + 0.03).all(), (found, covariance)


def test_plain_replacement_is_biased_and_repetitions_undo_it() -> None:
    """The share of the way to the conditional's mean: about 0.6 without, over 0.9 with ten; more steps help little."""
    torch.manual_seed(0)
    values = torch.tensor([2.0, 0.0], dtype=torch.float64)
    _, mean, _ = conditional([0], values)

    def share(steps: int, resample: int) -> float:
        z = complete([0], values, inpainting_sampler(None, steps, resample))
        return float((z[:, 1].mean() - MEAN[1]) / (mean - MEAN[1]))

    plain, finer, repeated = share(25, 1), share(100, 1), share(25, 10)
    assert 0.5 < plain < 0.7 and 0.5 < finer < 0.75, (plain, finer)
    assert 0.92 < repeated < 1.0, repeated


def test_a_repeated_sampler_is_a_sampler() -> None:
    assert_passed(check_sampler(Resampled(Ancestral(100, "large"), 2), samples=512))


def test_only_steps_without_a_memory_are_repeated() -> None:
    for name in ("dpm", "ode"):
        with pytest.raises(ValueError, match=r"resample is 10 for the sampler \w+, whose steps cannot be repeated"):
            inpainting_sampler(name, 5, 10)
    with pytest.raises(ValueError, match="resample is 0; each step is made at least once"):
        inpainting_sampler(None, 5, 0)
    assert isinstance(inpainting_sampler("ode", 5, 1), ProbabilityFlow)


@pytest.mark.parametrize("sampler", ["ode", "dpm", "heun", "ddim", "euler", "pc", "ancestral"])
def test_every_sampler_returns_what_is_known(sampler: str) -> None:
    values = torch.tensor([2.0, 0.0], dtype=torch.float64)
    z = complete([0], values, inpainting_sampler(sampler, 6, 1), n=5)
    assert z.isfinite().all() and z[:, 1].abs().max() < 5


def test_a_prediction_knows_the_known_part_and_counts_the_calls_inside() -> None:
    denoiser = CorrelatedDenoiser()
    z_0, keep = torch.randn(3, 4, 1), torch.tensor([True, False, True, False]).reshape(1, 4, 1)
    guided = latentgen.GuidedDenoiser(denoiser, 2.0)
    wrapped = InpaintingDenoiser(guided, z_0, keep)
    z_t, t = torch.randn(3, 4, 1), torch.full((3,), 0.4)
    prediction = wrapped(z_t, t)
    assert wrapped.calls == 2
    assert torch.allclose(torch.where(keep, prediction.mean, z_0), z_0, atol=1e-5)
    assert torch.equal(torch.where(keep, z_t, prediction.z_t), z_t)
    again = wrapped(z_t, t)
    assert not torch.equal(again.z_t, prediction.z_t), "the noise is fresh at every call"
    fixed = InpaintingDenoiser(denoiser, z_0, keep, fresh=False)
    assert torch.equal(fixed(z_t, t).eps, fixed(z_t, t).eps)
    assert torch.equal(fixed.noise(z_t, t, None, None), fixed(z_t, t).eps)


def test_keep_takes_the_axes_of_every_layout() -> None:
    spec, ones = latentgen.LatentSpec, torch.ones
    assert spread_keep(ones(2, 5).bool(), spec((5, 3), "set"), ones(2, 5, 3)).shape == (2, 5, 1)
    assert spread_keep(ones(2, 4).bool(), spec((5, 3), "sequence"), ones(2, 4, 3)).shape == (2, 4, 1), "trimmed items"
    assert spread_keep(ones(2, 4, 6).bool(), spec((3, 4, 6), "grid"), ones(2, 3, 4, 6)).shape == (2, 1, 4, 6)
    assert spread_keep(ones(2, 7).bool(), spec((7,)), ones(2, 7)).shape == (2, 7)
    with pytest.raises(ValueError, match=r"keep has shape \(2, 6, 4\) .*'grid'; give booleans of shape \(2, 4, 6\)"):
        spread_keep(ones(2, 6, 4).bool(), spec((3, 4, 6), "grid"), ones(2, 3, 4, 6))
    with pytest.raises(ValueError, match=r"dtype torch.float32 .* give booleans"):
        spread_keep(ones(2, 7), spec((7,)), ones(2, 7))


def shaken(modality: latentgen.Modality, recipe: latentgen.Recipe | None = None) -> latentgen.LatentGenerativeModel:
    """A small model with weights away from their zero starts."""
    torch.manual_seed(0)
    model = (recipe or latentgen.LSGM(width=16, depth=1, heads=2)).prepare(modality).model
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


MODALITIES: dict[str, latentgen.Modality] = {
    "vector": Toy(dropout=0.0),
    "masked set": Graphs(train_size=20, test_size=8),
    "grid": Images(limit=50, width=8),
    "pixels": Images(limit=50, layout="pixels"),
}


@pytest.mark.parametrize("modality", MODALITIES.values(), ids=MODALITIES)
def test_models_of_every_layout_complete_their_data(modality: latentgen.Modality) -> None:
    model = shaken(modality)
    data = modality.dataset("test")
    batch = data.__getitems__(range(4)) if hasattr(data, "__getitems__") else modality.collate(data[:4])
    q = model.encode(batch)
    shape = (4, *q.mean.shape[2:]) if modality.latents.layout == "grid" else q.mean.shape[:2]
    keep = torch.rand(shape) < 0.5
    done = model.inpaint(batch, keep, steps=4, resample=2, seed=1)
    assert model.calls == 3 * 2 + 1
    assert done.keys() >= model.decode(q.mean, q.mask).mode().keys()
    halves = []
    for n in (4, 2):
        mask, noise = None if q.mask is None else q.mask[:n], NoiseStream(1, range(n), modality.latents.shape)
        with torch.no_grad():
            sampler = inpainting_sampler(None, 4, 2)
            halves.append(inpaint_latents(model.prior.eval(), q.mean[:n], keep[:n], sampler, mask, noise)[:2])
    assert torch.allclose(*halves, atol=1e-4), "a sample depends on its number alone"
    if q.mask is None:
        whole = model.inpaint(batch, torch.ones_like(keep), steps=3, resample=1)
        expected = model.decode(q.mean).mode()["x"]
        assert torch.allclose(whole["x"].float(), expected.float(), atol=1e-4), "all known: the reconstruction"
        other = model.inpaint(batch, keep, steps=4, resample=2, seed=2)
        assert not torch.equal(other["x"], done["x"])


def test_masked_items_stay_zero() -> None:
    denoiser = CorrelatedDenoiser()
    mask = torch.arange(4) < torch.tensor([[1], [3]])
    keep = torch.tensor([[True, True, False, False]]).expand(2, 4)
    noise = NoiseStream(0, range(2))
    z = inpaint_latents(prior_of(denoiser), torch.ones(2, 4, 1), keep, Ancestral(3), mask, noise)[..., 0]
    assert not z[~mask].any() and z[mask & keep].tolist() == [1, 1, 1] and z[1, 2] != 0


def test_conditions_and_guidance_reach_the_denoiser() -> None:
    images = Images(limit=100, width=8, condition="label")
    model = shaken(images)
    batch = images.dataset("test").__getitems__(range(3))
    keep = torch.zeros(3, 4, 4, dtype=torch.bool)
    given = {"steps": 3, "resample": 1}
    plain = model.inpaint({"x": batch["x"]}, keep, **given)["x"]
    told = model.inpaint(batch, keep, condition=batch["condition"], **given)["x"]
    assert torch.equal(told, model.inpaint(batch, keep, **given)["x"])
    guided = model.inpaint(batch, keep, condition=batch["condition"], guidance=4.0, **given)["x"]
    assert model.calls == 2 * 3
    assert not torch.equal(plain, told) and not torch.equal(told, guided)


def test_models_without_a_score_prior_say_so() -> None:
    model = shaken(Toy(), latentgen.VAE())
    with pytest.raises(ValueError, match="inpaint needs a score prior; this model's prior is NormalPrior"):
        model.inpaint({"x": torch.randn(2, 2)}, torch.ones(2, 2, dtype=torch.bool))
