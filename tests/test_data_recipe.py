"""Diffusion in data space: DDPM's loss, its betas, and the baselines' samplers on one model."""

from __future__ import annotations

import pytest
import torch
from test_adversarial_recipe import Items

import latentgen
from latentgen import (
    DDIM,
    VESDE,
    VPSDE,
    Ancestral,
    DataDiffusion,
    LatentSpec,
    PredictorCorrector,
    ProbabilityFlow,
    SubVPSDE,
    UNetArchitecture,
)
from modalities.images import Images

GRID = LatentSpec((1, 4, 4), "grid")
SMALL = UNetArchitecture(8, (1,), 1, (), heads=1)


def digits() -> Images:
    return Images("digits", layout="pixels")


def test_thousand_steps_have_the_betas_of_ddpm() -> None:
    """1 - (alpha_t / alpha_s)^2 over a thousandth of time runs from 1e-4 to 0.02 (Ho et al. 2020)."""
    process = VPSDE()
    edges = torch.linspace(0, 1, 1001, dtype=torch.float64)
    ratio = process.alpha(edges[1:]) / process.alpha(edges[:-1])
    betas = 1 - ratio**2
    expected = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    assert torch.allclose(betas, expected, rtol=2e-2, atol=1.2e-5)


def test_the_loss_of_a_network_that_says_nothing_is_one_a_dimension() -> None:
    """eps_hat = 0: E ||eps||^2 = d, at uniform t, with unit weight."""
    torch.manual_seed(0)
    prepared = DataDiffusion(network=SMALL).prepare(digits())
    batch = digits().dataset("train").__getitems__(list(range(1024)))
    (objective,) = prepared.objectives
    losses = [objective(batch)["loss"].item() for _ in range(4)]
    assert sum(losses) / 4 == pytest.approx(1.0, abs=0.02)


def test_data_are_standardised_unless_told_not_to() -> None:
    images = digits()
    batch = images.dataset("train").__getitems__(list(range(1438)))
    q = DataDiffusion(network=SMALL).prepare(images).model.encode(batch)
    assert abs(float(q.mean.mean())) < 1e-4
    assert float(q.mean.var() + q.std.square().mean()) == pytest.approx(1, abs=1e-3)
    raw = DataDiffusion(network=SMALL, standardize=False).prepare(images).model.encode(batch)
    assert float(raw.mean.max()) == 1.0
    assert float(raw.mean.min()) == -1.0


@pytest.mark.parametrize("process", [VPSDE(), SubVPSDE(), VESDE()], ids=["vp", "sub-vp", "ve"])
def test_one_model_is_sampled_by_every_baseline(process, tmp_path) -> None:
    torch.manual_seed(0)
    prepared = DataDiffusion(process, network=SMALL).prepare(digits())
    options = latentgen.TrainingOptions(steps=2, batch_size=8)
    model = latentgen.Trainer(prepared.model, prepared.objectives, tmp_path, options, quiet=True).fit()
    samplers = {
        4: Ancestral(4, "small", spacing="time"),
        5: Ancestral(5, "large", spacing="time"),
        6: DDIM(6, spacing="time"),
        7: PredictorCorrector(4, spacing="time"),
    }
    for calls, sampler in samplers.items():
        x = model.sample(2, sampler)["x"]
        assert (x.dtype, x.shape, model.calls) == (torch.uint8, (2, 1, 8, 8), calls)
    assert model.sample(2, ProbabilityFlow(1e-2))["x"].shape == (2, 1, 8, 8)
    again = latentgen.load(tmp_path)
    assert torch.equal(again.sample(2, samplers[6])["x"], model.sample(2, samplers[6])["x"])


def test_an_autoencoder_is_refused() -> None:
    with pytest.raises(ValueError, match=r'takes the IdentityAutoencoder\(\), which images have with layout="pixels"'):
        DataDiffusion().prepare(Images("digits"))


def test_class_conditions_reach_the_network() -> None:
    images = Images("digits", layout="pixels", condition="label")
    model = DataDiffusion(network=SMALL).prepare(images).model
    assert model.prior.denoiser.network.condition_dim == 10
    assert model.prior.condition_dropout == pytest.approx(0.1)


def test_items_without_an_autoencoder_are_any_data() -> None:
    items = Items(LatentSpec((4, 2), "set"))
    model = DataDiffusion(parameterisation="velocity", standardize=False).prepare(items).model
    assert model.sample(3, "ddim", steps=3)["x"].shape == (3, 4, 2)
