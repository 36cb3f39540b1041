"""Recipes: what they put together, and that each trains."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from toy import Toy, ToyAutoencoder

import latentgen
from latentgen.parameterisation import make_denoiser
from modalities.graphs import Graphs

PROCESSES = [latentgen.VPSDE(), latentgen.SubVPSDE(), latentgen.GeometricVPSDE(), latentgen.VESDE()]


def fit(recipe: latentgen.Recipe, run: Path, steps: int = 3) -> latentgen.LatentGenerativeModel:
    prepared = recipe.prepare(Toy())
    options = latentgen.TrainingOptions(steps=steps, batch_size=8)
    return latentgen.Trainer(prepared.model, prepared.objectives, run, options, quiet=True).fit()


def test_two_stages(tmp_path: Path) -> None:
    first = fit(latentgen.VAE(), tmp_path / "vae", steps=30)
    second = fit(latentgen.LatentDiffusion(str(tmp_path / "vae"), width=16, depth=1, heads=2), tmp_path / "prior")
    inner = second.autoencoder.autoencoder
    assert all(torch.equal(a, b) for a, b in zip(inner.parameters(), first.autoencoder.parameters(), strict=True))
    q = second.encode({"x": torch.stack([item["x"] for item in Toy().dataset("train")])})
    spread = (q.mean.var(0, unbiased=False) + (q.std**2).mean(0)).sqrt()
    torch.testing.assert_close(spread, torch.ones(2), atol=1e-4, rtol=0)
    loaded = latentgen.load(tmp_path / "prior")
    assert torch.equal(loaded.sample(3, steps=2)["x"], second.sample(3, steps=2)["x"])


def test_disjoint_mode_trains(tmp_path: Path) -> None:
    recipe = latentgen.LSGM(width=16, depth=1, heads=2, prior_times=latentgen.UniformTimes())
    fit(recipe, tmp_path)


@pytest.mark.parametrize("parameterisation", ["velocity", "mixed", "noise"])
@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: type(process).__name__)
def test_every_process_and_parameterisation_trains(tmp_path: Path, parameterisation, process) -> None:
    recipe = latentgen.LSGM(process, width=16, depth=1, heads=2, parameterisation=parameterisation)
    model = fit(recipe, tmp_path)
    assert model.sample(2, steps=2)["x"].isfinite().all()


def test_self_conditioning_uses_the_earlier_prediction(tmp_path: Path) -> None:
    model = fit(latentgen.LSGM(width=16, depth=1, heads=2, self_condition=True), tmp_path)
    denoiser = model.prior.denoiser
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    z, t = torch.randn(4, 2), torch.full((4,), 0.3)
    alone, given = denoiser(z, t).eps, denoiser(z, t, previous=torch.ones(4, 2)).eps
    assert not torch.allclose(alone, given)
    model.sample(2, steps=3)
    assert model.calls == 3


def test_mixing_starts_where_it_is_said_to() -> None:
    for options, expected in (({}, -3.0), ({"initial_logit": -6.0}, -6.0)):
        model = latentgen.LSGM(parameterisation="mixed", width=16, depth=1, heads=2, **options).prepare(Toy()).model
        assert (model.prior.denoiser.logit == expected).all()


def test_the_norm_penalty_is_an_option() -> None:
    (objective,) = latentgen.LSGM(width=16, depth=1, heads=2, spectral=1e-3).prepare(Toy()).objectives
    assert (objective.spectral, objective.gains) == (1e-3, 1e-3)
    network = latentgen.VectorArchitecture(16, 1)
    (objective,) = latentgen.LSGM(network=network, gains=1e-2).prepare(Toy()).objectives
    assert (objective.spectral, objective.gains, objective.norms) == (0.0, 1e-2, None)
    with pytest.raises(ValueError, match=r"spectral is -0\.1"):
        latentgen.LSGM(spectral=-0.1)


def one_channel(used: int = 0) -> ToyAutoencoder:
    """An autoencoder whose other channel is N(0, 1) whatever the data."""
    autoencoder = ToyAutoencoder()
    last = autoencoder.encoder.layers[-1]
    with torch.no_grad():
        last.bias[used::2] = torch.tensor([1.0, -2.0])
        last.weight[1 - used :: 2] = 0.0
        last.bias[1 - used :: 2] = 0.0
    return autoencoder


def test_channels_that_stage_1_does_not_use_are_left_out_and_stay_so(tmp_path: Path) -> None:
    options = {"parameterisation": "mixed", "width": 16, "depth": 1, "heads": 2, "drop_inactive": 0.1}
    recipe = latentgen.LSGM(**options, autoencoder=one_channel())
    model = fit(recipe, tmp_path / "run")
    with pytest.warns(UserWarning, match="resumed with other options"):  # and from one that uses the other
        resumed = fit(latentgen.LSGM(**options, autoencoder=one_channel(1)), tmp_path / "run", steps=5)
    for found in (model, resumed, latentgen.load(tmp_path / "run")):
        assert found.prior.denoiser.active.tolist() == [True, False]
    assert latentgen.LSGM(**options).prepare(Toy()).model.prior.denoiser.active is None


def test_dropping_channels_that_cannot_be_dropped_is_refused() -> None:
    mixed = {"parameterisation": "mixed", "autoencoder": one_channel()}
    with pytest.raises(ValueError, match=r"drop_inactive is 99\.0, and no channel of autoencoder holds more"):
        latentgen.LSGM(**mixed, drop_inactive=99.0).prepare(Toy())
    with pytest.raises(ValueError, match=r"drop_inactive is -1\.0; give nats of at least 0"):
        latentgen.LSGM(**mixed, drop_inactive=-1.0)
    with pytest.raises(ValueError, match="parameterisation 'velocity' and prior None; it needs 'mixed'"):
        latentgen.LSGM(drop_inactive=0.1)


def test_unknown_parameterisation() -> None:
    with pytest.raises(ValueError, match="parameterisation is 'v'; choose velocity, mixed or noise"):
        make_denoiser(latentgen.LatentSpec((2,)), latentgen.VPSDE(), "v")  # type: ignore[arg-type]


def test_lsgm_starts_from_a_trained_autoencoder(tmp_path: Path) -> None:
    """Its weights, with latents standardised from the first step, whatever wrapper they were trained in."""
    first = fit(latentgen.LSGM(width=16, depth=1, heads=2), tmp_path / "first")
    assert isinstance(first.autoencoder, latentgen.StandardizedAutoencoder)
    recipe = latentgen.LSGM(width=16, depth=1, heads=2, autoencoder=str(tmp_path / "first"))
    model = recipe.prepare(Toy()).model
    own, given = model.autoencoder, first.autoencoder.autoencoder
    assert type(own.autoencoder) is type(given)
    for name, value in given.state_dict().items():
        assert torch.equal(own.autoencoder.state_dict()[name], value)
    q = model.encode({"x": torch.stack([item["x"] for item in Toy().dataset("train")])})
    spread = (q.mean.var(0, unbiased=False) + (q.std**2).mean(0)).sqrt()
    torch.testing.assert_close(spread, torch.ones(2), atol=1e-4, rtol=0)


def test_lsgm_goes_on_from_a_latent_diffusion_model(tmp_path: Path) -> None:
    """Before its first step it is that model; after some, encoder, decoder and prior have all moved."""
    fit(latentgen.VAE(), tmp_path / "vae", steps=30)
    small = {"width": 16, "depth": 1, "heads": 2}
    second = fit(latentgen.LatentDiffusion(str(tmp_path / "vae"), **small), tmp_path / "prior")  # type: ignore[arg-type]
    recipe = latentgen.LSGM(autoencoder=str(tmp_path / "prior"), prior=str(tmp_path / "prior"))
    model = recipe.prepare(Toy()).model
    torch.testing.assert_close(model.sample(5, steps=3)["x"], second.sample(5, steps=3)["x"])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    prepared = recipe.prepare(Toy())
    options = latentgen.TrainingOptions(steps=3, batch_size=8)
    moved = latentgen.Trainer(prepared.model, prepared.objectives, tmp_path / "end", options, quiet=True).fit()
    for part in ("autoencoder.autoencoder.", "prior."):
        assert any(not torch.equal(v, before[n]) for n, v in moved.state_dict().items() if n.startswith(part)), part


def test_a_prior_to_start_from_must_fit(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="prior is given without autoencoder"):
        latentgen.LSGM(prior="somewhere")
    first = fit(latentgen.VAE(), tmp_path / "vae")
    with pytest.raises(ValueError, match="a model without a score prior"):
        latentgen.LSGM(autoencoder=first.autoencoder, prior=str(tmp_path / "vae")).prepare(Toy())
    other = latentgen.ScorePrior(
        latentgen.LatentSpec((3,)), make_denoiser(latentgen.LatentSpec((3,)), latentgen.VPSDE(), width=16, depth=1)
    )
    with pytest.raises(ValueError, match="prior is of latents"):
        latentgen.LSGM(autoencoder=first.autoencoder, prior=other).prepare(Toy())


def test_vae_goes_on_from_trained_weights_with_the_modalitys_own_settings(tmp_path: Path) -> None:
    """What the encoder sees in training is the new modality's; the weights are those of the trained model."""
    first = fit(latentgen.LSGM(width=16, depth=1, heads=2), tmp_path / "first")
    model = latentgen.VAE(0.1, str(tmp_path / "first")).prepare(Toy()).model
    inner = first.autoencoder.autoencoder
    assert model.autoencoder is not inner
    for name, value in inner.state_dict().items():
        assert torch.equal(model.autoencoder.state_dict()[name], value)
    graphs = Graphs(train_size=8, test_size=2, width=16)
    start = latentgen.VAE().prepare(graphs).model.autoencoder
    seeing = Graphs(train_size=8, test_size=2, width=16, corruption=0.3)
    again = latentgen.VAE(autoencoder=start).prepare(seeing).model.autoencoder
    assert again.corruption == 0.3 and start.corruption == 0.0
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), start.parameters(), strict=True))
    with pytest.raises(ValueError, match="autoencoder has other weights than the modality's own"):
        latentgen.VAE(autoencoder=start).prepare(Graphs(train_size=8, test_size=2, width=32))
