"""Architectures build the networks that recipes leave open, for every latent that they can take."""

from __future__ import annotations

import pytest
import torch
from test_adversarial_recipe import Items

import latentgen
from latentgen import (
    DDGAN,
    LSGM,
    LatentSpec,
    Transformer,
    TransformerArchitecture,
    UNet,
    UNetArchitecture,
    VectorArchitecture,
    VectorNetwork,
)
from latentgen.parameterisation import make_denoiser

GRID = LatentSpec((2, 8, 6), "grid")
SMALL_UNET = UNetArchitecture(8, (1, 2), 1, (4,), heads=2)


@pytest.mark.parametrize(
    ("architecture", "latents", "kind"),
    [
        (TransformerArchitecture(16, 1, 2), LatentSpec((4, 2), "set", masked=True), Transformer),
        (TransformerArchitecture(16, 1, 2, patch=2), GRID, Transformer),
        (SMALL_UNET, GRID, UNet),
        (VectorArchitecture(16, 1), LatentSpec((3,)), VectorNetwork),
    ],
    ids=["set", "patches", "unet", "vector"],
)
def test_networks_take_all_that_priors_give(architecture, latents, kind) -> None:
    torch.manual_seed(0)
    network = architecture.network(latents, condition_dim=3, self_condition=True, style_dim=5)
    assert isinstance(network, kind)
    assert (network.style_dim, network.self_condition, network.condition_dim) == (5, True, 3)
    z = torch.randn(2, *latents.shape)
    mask = torch.ones(2, latents.shape[0], dtype=torch.bool) if latents.masked else None
    out = network(z, torch.zeros(2), mask, torch.randn(2, 3), torch.randn_like(z), torch.randn(2, 5))
    assert out.shape == z.shape


def test_a_patch_is_passed_on() -> None:
    assert TransformerArchitecture(16, 1, 2, patch=2).network(GRID).token_size == 2 * 2 * 2


def test_a_unet_refuses_what_is_no_grid() -> None:
    with pytest.raises(ValueError, match="takes a grid"):
        SMALL_UNET.network(LatentSpec((3,)))


@pytest.mark.parametrize("parameterisation", ["velocity", "mixed", "noise"])
def test_denoisers_hold_the_network_that_was_asked_for(parameterisation) -> None:
    denoiser = make_denoiser(GRID, latentgen.VPSDE(), parameterisation, network=SMALL_UNET)
    assert isinstance(denoiser.network, UNet)


def test_recipes_pass_the_architecture_on(tmp_path) -> None:
    modality = Items(LatentSpec((2, 4, 4), "grid"), learned=True)
    prepared = LSGM(network=SMALL_UNET).prepare(modality)
    assert isinstance(prepared.model.prior.denoiser.network, UNet)
    prepared = DDGAN(2, network=SMALL_UNET, width=16, minibatch_std=4).prepare(modality)
    assert isinstance(prepared.model.prior.generator.network, UNet)
    discriminator = next(o.discriminator for o in prepared.objectives if isinstance(o, latentgen.Discriminate))
    assert discriminator.group == 4
    joint = latentgen.JointDDGAN(LSGM(network=SMALL_UNET), DDGAN(2, network=SMALL_UNET, width=16), begins=0.0)
    prepared = joint.prepare(modality)
    options = latentgen.TrainingOptions(steps=2, batch_size=4)
    model = latentgen.Trainer(prepared.model, prepared.objectives, tmp_path, options, quiet=True).fit()
    assert torch.equal(model.sample(3, "gan")["x"], model.sample(3, "gan")["x"])
    assert model.sample(3, "dpm", steps=2)["x"].isfinite().all()


def test_minibatch_statistics_are_for_grids() -> None:
    from latentgen.adversarial_recipe import make_discriminator

    with pytest.raises(ValueError, match="only grids have it"):
        make_discriminator(LatentSpec((3,)), minibatch_std=4)
