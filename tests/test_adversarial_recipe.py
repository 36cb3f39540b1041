"""Recipes with a generator train through the trainer, resume exactly, and notice a lost game."""

from __future__ import annotations

import itertools
import os
import signal
from pathlib import Path

import pytest
import torch
from toy import Toy

import latentgen
from latentgen import (
    DDGAN,
    MLP,
    Autoencoder,
    DiagonalGaussian,
    GridAugmentation,
    IdentityAutoencoder,
    JointDDGAN,
    LatentSpec,
    NormalLikelihood,
    StandardizedAutoencoder,
)
from latentgen.checkpoint import latest_checkpoint, load_checkpoint
from latentgen.collapse import TrainingDiverged
from latentgen.trainer import Trainer, step_seed
from latentgen.training_options import TrainingOptions

SMALL = {"width": 16, "depth": 1, "heads": 2, "discriminator_depth": 1}


pytestmark = pytest.mark.usefixtures("fresh_accelerator")


class Coded(Autoencoder):
    """A small autoencoder along the channels of any layout, with a mask where there is one."""

    def __init__(self, spec: LatentSpec) -> None:
        super().__init__()
        self.axis = 1 if spec.layout == "grid" else -1
        self.encoder, self.decoder = MLP(spec.channels, 8, 2 * spec.channels), MLP(spec.channels, 8, spec.channels)

    def encode(self, batch: latentgen.Batch) -> DiagonalGaussian:
        mean, log_std = self.encoder(batch["x"].movedim(self.axis, -1)).movedim(-1, self.axis).chunk(2, self.axis)
        return DiagonalGaussian(mean, log_std.clamp(-5, 2).exp(), batch.get("mask"))

    def decode(self, z: torch.Tensor, mask: torch.Tensor | None = None) -> NormalLikelihood:
        return NormalLikelihood(self.decoder(z.movedim(self.axis, -1)).movedim(-1, self.axis), 0.5, mask=mask)


class Items(latentgen.Modality):
    """Random data of any layout, coded by the identity or by an autoencoder that learns."""

    def __init__(self, spec: LatentSpec, learned: bool = False) -> None:
        self.spec, self.learned = spec, learned

    @property
    def latents(self) -> LatentSpec:
        return self.spec

    def autoencoder(self) -> Autoencoder:
        return Coded(self.spec) if self.learned else IdentityAutoencoder()

    def dataset(self, split: str) -> list[latentgen.Batch]:
        generator = torch.Generator().manual_seed(0)
        items = [{"x": torch.randn(self.spec.shape, generator=generator)} for _ in range(32)]
        if self.spec.masked:
            for number, item in enumerate(items):
                item["mask"] = torch.arange(self.spec.shape[0]) < 1 + number % self.spec.shape[0]
        return items

    def sample_mask(self, u: torch.Tensor) -> torch.Tensor | None:
        if not self.spec.masked:
            return None
        return torch.arange(self.spec.shape[0]) < 1 + (u[:, None] * self.spec.shape[0]).long()


def joint() -> JointDDGAN:
    return JointDDGAN(latentgen.LSGM(width=16, depth=1, heads=2), DDGAN(2, **SMALL, regression=1.0), begins=0.0)


def discriminator_of(trainer: Trainer) -> torch.nn.Module:
    return next(part.discriminator for part in trainer._objectives if isinstance(part, latentgen.Discriminate))


def fit(recipe, run: Path, steps: int = 6, modality=None, hooks=(), seed: int = 0, **options) -> Trainer:
    torch.manual_seed(seed)
    prepared = recipe.prepare(modality if modality is not None else Toy())
    settings = {"batch_size": 8, "checkpoint_every": 2, "log_every": 2, **options}
    options = TrainingOptions(steps=steps, **settings)
    trainer = Trainer(prepared.model, prepared.objectives, run, options, hooks, quiet=True)
    trainer.fit()
    return trainer


def matching_of(run: Path) -> dict[str, torch.Tensor]:
    generator = latentgen.load(run).prior.gan.generator
    return generator.matching.state_dict()


def test_a_trained_chain_is_matched_on_the_averaged_weights(tmp_path) -> None:
    """Its last state before the samples has the variance of noised data, which a share of .4 of the noise lacks."""
    recipe = JointDDGAN(latentgen.LSGM(width=16, depth=1, heads=2), DDGAN(3, **SMALL), begins=0.0)
    model = fit(recipe, tmp_path, modality=Toy(1500), batch_size=256).model
    generator = model.prior.gan.generator
    assert not torch.equal(matching_of(tmp_path)["scale"], torch.ones(3, 2))
    q = model.encode({"x": torch.stack([item["x"] for item in model.modality.dataset("train")])})
    t = generator.chain.time(torch.tensor([1]))
    alpha, sigma2 = generator.process.alpha(t), generator.process.sigma2(t)
    wanted = alpha**2 * (q.mean.var(0) + (q.std**2).mean(0)) + sigma2
    errors, noise = [], torch.randn(4000, 2)
    for _ in range(2):
        seen: list[torch.Tensor] = []
        with torch.no_grad():
            latentgen.GANSampler()(generator, noise, observe=lambda t, found, seen=seen: seen.append(found.z_t))
        errors.append(float((seen[-1].var(0) / wanted - 1).abs().max()))
        generator.matching.reset()
    assert errors[0] < 0.15 < errors[1], errors
    before, _ = load_checkpoint(latest_checkpoint(tmp_path))
    assert torch.equal(before["model"]["prior.gan.generator.matching.scale"], torch.ones(3, 2))


def test_fitting_a_finished_run_measures_the_same_again(tmp_path) -> None:
    fit(joint(), tmp_path)
    first = matching_of(tmp_path)
    fit(joint(), tmp_path)
    second = matching_of(tmp_path)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_chain_can_be_left_as_it_was_learned(tmp_path) -> None:
    recipe = JointDDGAN(latentgen.LSGM(width=16, depth=1, heads=2), DDGAN(2, **SMALL, matching=0), begins=0.0)
    fit(recipe, tmp_path)
    assert torch.equal(matching_of(tmp_path)["scale"], torch.ones(2, 2))
    with pytest.raises(ValueError, match="matching is -1"):
        DDGAN(2, **SMALL, matching=-1).prepare(Toy())


@pytest.mark.parametrize("toy", [Toy(1), Toy(64, poison=3)], ids=["one example", "one that is not a number"])
def test_matching_survives_odd_data(tmp_path, toy) -> None:
    fit(joint(), tmp_path, modality=toy)
    assert all(value.isfinite().all() for value in matching_of(tmp_path).values())


@pytest.mark.parametrize(("examples", "wanted", "chains"), [(600, 300, 300), (100, 300, 300), (600, 200, 0)])
def test_as_many_chains_as_are_asked_for(examples, wanted, chains) -> None:
    """Of more examples some are left out, of fewer each has several draws, and too few chains are none."""
    torch.manual_seed(0)
    prepared = DDGAN(2, **SMALL, matching=wanted).prepare(Items(LatentSpec((2,))))
    prior, seen = prepared.model.prior, []
    prior.match = seen.extend
    data, read = torch.randn(examples, 2), []
    prepared.objectives[-1].finish({"x": (read.append(part), part)[1]} for part in data.split(64))
    assert len(read) == -(-min(chains, examples) // 64), "no more is read than is needed"
    z_0 = torch.cat([block.z_0 for block in seen]) if seen else torch.empty(0, 2)
    assert len(z_0) == chains
    if chains:
        assert torch.allclose(z_0[:64], data[:64], atol=0.01), "a draw of each in the order of the data"


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_a_chain_is_matched_to_what_its_generator_learns(noise) -> None:
    """Draws with a share of the posterior's noise, with masks and conditions, on an autoencoder that is frozen."""
    torch.manual_seed(0)
    spec = LatentSpec((5, 2), "set", masked=True)
    modality = Items(spec, learned=True)
    frozen = StandardizedAutoencoder(modality.autoencoder(), 2)
    prepared = DDGAN(2, autoencoder=frozen, **SMALL, posterior_noise=noise).prepare(modality)
    prior, seen = prepared.model.prior, []
    prior.match = seen.extend
    batch = modality.collate(modality.dataset("train")) | {"condition": torch.arange(32.0)[:, None]}
    prepared.objectives[-1].finish([batch])
    means = prepared.model.encode(batch).mean
    (block,) = seen
    draws = len(block.z_0) // 32
    assert draws == 2048 // 32
    assert torch.equal(block.condition, batch["condition"].repeat(draws, 1))
    assert torch.equal(block.mask, batch["mask"].repeat(draws, 1))
    off = (block.z_0 - means.repeat(draws, 1, 1))[block.mask].abs()
    assert (off < 1e-5).all() if noise == 0 else off.mean() > 0.05
    assert noise == 0 or not torch.allclose(block.z_0[:32], block.z_0[32:64])


def test_what_is_matched_are_the_averaged_weights(tmp_path) -> None:
    trainer = fit(joint(), tmp_path, modality=Toy(1500), batch_size=256)
    generator = trainer.model.prior.gan.generator
    assert torch.equal(generator.gate, trainer.ema.state_dict()["prior.gan.generator.gate"])
    stored = {name: value.clone() for name, value in generator.matching.state_dict().items()}
    torch.manual_seed(step_seed(trainer.options.seed, trainer.step, 0))
    trainer._objectives[-1].finish(trainer._examples())
    assert all(torch.equal(stored[name], value) for name, value in generator.matching.state_dict().items())
    last, _ = load_checkpoint(latest_checkpoint(tmp_path))
    with torch.no_grad():
        generator.gate.copy_(last["model"]["prior.gan.generator.gate"] * 0.2)
    trainer._objectives[-1].finish(trainer._examples())
    assert not torch.allclose(stored["scale"], generator.matching.scale, atol=1e-3)


def test_an_error_in_finishing_leaves_an_export(tmp_path, monkeypatch) -> None:
    def broken(*_args) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(latentgen.Generate, "finish", broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        fit(joint(), tmp_path)
    assert torch.equal(matching_of(tmp_path)["scale"], torch.ones(2, 2))


def test_a_signal_while_finishing_ends_the_run_after_its_export(tmp_path, monkeypatch) -> None:
    finish = latentgen.Generate.finish

    def interrupted(objective, examples) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        finish(objective, examples)

    monkeypatch.setattr(latentgen.Generate, "finish", interrupted)
    with pytest.raises(SystemExit) as stopped:
        fit(joint(), tmp_path)
    assert stopped.value.code == 128 + signal.SIGTERM
    assert not torch.equal(matching_of(tmp_path)["scale"], torch.ones(2, 2))


def late() -> JointDDGAN:
    return JointDDGAN(latentgen.LSGM(width=16, depth=1, heads=2), DDGAN(2, **SMALL), begins=0.5)


def test_the_game_begins_late_with_rates_of_its_own(tmp_path) -> None:
    seen = []

    def note(trainer: Trainer) -> None:
        players = [trainer.model.prior.gan.generator, discriminator_of(trainer)]
        weights = torch.cat([p.detach().flatten() for part in players for p in part.parameters()])
        seen.append((weights.clone(), [o.param_groups[0]["lr"] for o in trainer.optimizers[2]]))

    fit(late(), tmp_path, steps=8, hooks=[note], warmup=0.5)
    changed = [not torch.equal(before, after) for (before, _), (after, _) in itertools.pairwise(seen)]
    assert changed == [False, False, False, True, True, True, True]
    peak = TrainingOptions().generator_lr
    assert [rates for _, rates in seen[4:6]] == [[pytest.approx(peak / 2)], [pytest.approx(peak)]]


def test_a_generator_corrects_a_score_prior_on_a_frozen_autoencoder(tmp_path) -> None:
    first = fit(latentgen.VAE(), tmp_path / "vae").model.autoencoder
    recipe = JointDDGAN(
        latentgen.LatentDiffusion(first, width=16, depth=1, heads=2), DDGAN(2, **SMALL, regression=1.0), begins=0.5
    )
    prepared = recipe.prepare(Toy())
    before = {name: value.clone() for name, value in prepared.model.state_dict().items()}
    Trainer(
        prepared.model, prepared.objectives, tmp_path / "joint",
        TrainingOptions(steps=8, batch_size=8, checkpoint_every=0), quiet=True,
    ).fit()
    moved = {name for name, value in prepared.model.state_dict().items() if not torch.equal(before[name], value)}
    assert not any(name.startswith("autoencoder.") for name in moved)
    assert any(name.startswith("prior.score.") for name in moved)
    assert any(name.startswith("prior.gan.generator.network") for name in moved)
    assert prepared.model.sample(3, "gan", seed=0)["x"].isfinite().all()
    assert prepared.model.calls == 2
    assert prepared.model.sample(3, "dpm", steps=3, seed=0)["x"].isfinite().all()


def test_the_discriminator_has_an_average_in_the_checkpoint(tmp_path) -> None:
    weights = []

    def note(trainer: Trainer) -> None:
        weights.append(torch.cat([p.detach().flatten() for p in discriminator_of(trainer).parameters()]).clone())

    trainer = fit(joint(), tmp_path, steps=4, hooks=[note], ema=0.05, checkpoint_every=4)
    names = [name for name, _ in discriminator_of(trainer).named_parameters()]
    tensors, _ = load_checkpoint(latest_checkpoint(tmp_path))
    kept = tensors["ema-players"]
    average = torch.cat([kept[f"0.{name}"].flatten() for name in names])
    expected = weights[0]  # d_n = min(0.05, (1 + n) / (10 + n)) is 0.05 at every step
    for value in weights[1:]:
        expected = 0.05 * expected + 0.95 * value
    assert torch.allclose(average, expected, atol=1e-2 * float((weights[-1] - weights[0]).abs().max()))
    assert not torch.equal(average, weights[-1])


@pytest.mark.parametrize("begins", [-0.1, 1.0])
def test_a_game_that_never_begins_is_refused(begins) -> None:
    with pytest.raises(ValueError, match="share of training at which the game begins"):
        JointDDGAN(begins=begins)


@pytest.mark.parametrize("recipe", [lambda: DDGAN(2, **SMALL), joint, late], ids=["alone", "joint", "late"])
def test_interrupted_is_uninterrupted(recipe, tmp_path) -> None:
    fit(recipe(), tmp_path / "whole")

    class Stop(Exception):
        pass

    def stop(trainer: Trainer) -> None:
        if trainer.step == 5:
            raise Stop

    with pytest.raises(Stop):
        fit(recipe(), tmp_path / "cut", hooks=[stop])
    trainer = fit(recipe(), tmp_path / "cut", seed=5)
    assert trainer.resumed_from == 4
    (whole, _), (cut, _) = (load_checkpoint(latest_checkpoint(tmp_path / name)) for name in ("whole", "cut"))
    assert whole.keys() == cut.keys()
    assert any(name.startswith("objective-") for name in whole), "the discriminator is not in the checkpoint"
    moments = [
        value.numel()
        for part, tensors in whole.items()
        for name, value in tensors.items()
        if part.startswith("optimizer-") and name.endswith(("exp_avg", "momentum_buffer"))
    ]
    trained = [*trainer.model.parameters(), *discriminator_of(trainer).parameters()]
    assert sum(moments) == sum(parameter.numel() for parameter in trained), "a trained weight has no moments there"
    for part, tensors in whole.items():
        for name, value in tensors.items():
            assert torch.equal(value, cut[part][name]), (part, name)


@pytest.mark.parametrize(
    "spec",
    [
        LatentSpec((3,)),
        LatentSpec((4, 2), "set", masked=True),
        LatentSpec((4, 2), "sequence"),
        LatentSpec((2, 4, 4), "grid"),
    ],
    ids=["vector", "set", "sequence", "grid"],
)
def test_every_layout_trains_and_samples(spec, tmp_path) -> None:
    recipe = JointDDGAN(latentgen.LSGM(width=16, depth=1, heads=2, momentum=0), DDGAN(2, **SMALL))
    start = {name: value.clone() for name, value in recipe.prepare(Items(spec)).model.state_dict().items()}
    trainer = fit(recipe, tmp_path, 3, Items(spec))
    assert trainer.skipped == 0
    moved = [name for name, value in trainer.model.state_dict().items() if not torch.equal(value, start[name])]
    assert any("gan.generator" in name for name in moved)
    assert trainer.model.sample(3, "gan")["x"].isfinite().all()


@pytest.mark.parametrize("together", [False, True], ids=["alone", "joint"])
@pytest.mark.parametrize(
    "spec",
    [
        LatentSpec((3,)),
        LatentSpec((4, 2), "set", masked=True),
        LatentSpec((2, 4, 4), "grid"),
        LatentSpec((2, 6), "grid"),
    ],
    ids=["vector", "set", "grid", "line"],
)
def test_an_autoencoder_of_every_layout_is_trained_end_to_end(spec, together, tmp_path) -> None:
    gan = DDGAN(2, **SMALL, regression=0.5)
    recipe = JointDDGAN(latentgen.LSGM(width=16, depth=1, heads=2), gan, begins=0.0) if together else gan
    before = start(recipe, Items(spec, learned=True))
    trainer = fit(recipe, tmp_path, 5, Items(spec, learned=True), ema=0.0)
    assert trainer.skipped == 0
    model = trainer.model
    assert isinstance(model.autoencoder, StandardizedAutoencoder)
    still = [name for name, value in model.state_dict().items() if torch.equal(value, before[name])]
    # the networks' outputs start at zero, and so do the gradients of what lies before them: not for five steps
    assert [name for name in still if name.startswith(("autoencoder.autoencoder.", "autoencoder.std"))] == []
    assert [name for name in still if "generator" in name] == []
    assert trainer._last_losses["reconstruction"].isfinite()
    assert ("estimated_kl" in trainer._last_losses) is not together
    assert model.sample(3, "gan")["x"].isfinite().all()
    assert all(parameter.requires_grad for parameter in discriminator_of(trainer).parameters())


def start(recipe, modality: latentgen.Modality) -> dict[str, torch.Tensor]:
    """The weights that :func:`fit` begins with."""
    torch.manual_seed(0)
    return {name: value.clone() for name, value in recipe.prepare(modality).model.state_dict().items()}


@pytest.mark.parametrize("recipe", [lambda: DDGAN(2, **SMALL, r1=0.1, r1_interval=2), joint], ids=["alone", "joint"])
@pytest.mark.parametrize("options", [{"accumulation": 3}, {"precision": "bf16"}], ids=["accumulated", "bf16"])
def test_accumulation_and_mixed_precision(recipe, options, tmp_path) -> None:
    trainer = fit(recipe(), tmp_path, 4, **options)
    assert trainer.skipped == 0
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in trainer.model.parameters())
    assert all(p.isfinite().all() for p in discriminator_of(trainer).parameters())


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (LatentSpec((3, 4, 6), "grid"), "grids are 4 x 6; quarter turns need square ones, pass turn=False"),
        (LatentSpec((3, 4, 4, 4), "grid"), r"augmentation takes grids \(C, H, W\), leave it out"),
        (LatentSpec((5,)), r"samples have the shape \(5,\); augmentation takes grids \(C, H, W\), leave it out"),
    ],
    ids=str,
)
def test_an_augmentation_that_does_not_fit_is_refused_before_the_first_step(spec, said) -> None:
    recipe = DDGAN(1, **SMALL, augmentation=GridAugmentation())
    modality = Toy()
    modality.latents, modality.autoencoder = spec, IdentityAutoencoder
    with pytest.raises(ValueError, match=said):
        recipe.prepare(modality)
    if len(spec.shape) == 3:
        DDGAN(1, **SMALL, augmentation=GridAugmentation(turn=False)).prepare(modality)


def test_options_reach_the_objectives() -> None:
    weights = {"kl_weight": 0.2, "adversarial_weight": 0.4, "regression": 2.0}
    recipe = DDGAN(3, spacing="time", r1=0.3, r1_interval=7, noise_dim=5, **weights, **SMALL)
    first, second = recipe.prepare(Toy()).objectives
    assert (first.r1, first.r1_interval, first.posterior_noise) == (0.3, 7, 1.0)
    assert (second.kl_weight, second.adversarial_weight, second.regression) == (0.2, 0.4, 2.0)
    assert second.train_autoencoder
    assert second.prior.generator.noise_dim == 5
    assert second.prior.generator.chain.times == latentgen.Chain(latentgen.VPSDE(), 3).times
    gan = DDGAN(2, posterior_noise=0.3, r1=0.7, **SMALL)
    together = JointDDGAN(latentgen.LSGM(width=16, depth=1, heads=2), gan, refine=False, gate=0.4).prepare(Toy())
    joint_elbo, discriminate, generate = together.objectives
    assert (discriminate.r1, discriminate.posterior_noise, generate.posterior_noise) == (0.7, 0.3, 0.3)
    assert not generate.train_autoencoder
    assert discriminate._others[0] is generate._others[0] is joint_elbo.autoencoder is together.model.autoencoder
    assert generate._others[1] is discriminate.discriminator
    assert generate.prior is together.model.prior.gan
    assert joint_elbo.prior is together.model.prior.score
    # the gate is that of a generator which refines, but for pure noise; alone it starts as the normal posterior
    assert (generate.prior.generator.gate == 1).all()
    refined = JointDDGAN(latentgen.LSGM(width=16, depth=1, heads=2), gan, refine=True, gate=0.4).prepare(Toy())
    assert torch.allclose(refined.model.prior.gan.generator.gate, torch.tensor([0.4, 1.0]))


def test_a_frozen_autoencoder_stays_and_a_trained_one_moves(tmp_path) -> None:
    inner = Toy().autoencoder()
    before = [parameter.clone() for parameter in inner.parameters()]
    trainer = fit(DDGAN(2, autoencoder=inner, **SMALL), tmp_path / "frozen", 3)
    assert "reconstruction" not in trainer._last_losses
    assert set(trainer._objectives[1].groups()) == {"generator"}
    assert all(torch.equal(a, b) for a, b in zip(before, inner.parameters(), strict=True))
    trainer = fit(DDGAN(2, **SMALL), tmp_path / "trained", 3)
    assert "reconstruction" in trainer._last_losses
    assert "estimated_kl" in trainer._last_losses


def test_a_saturated_discriminator_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path, monkeypatch) -> None:
    forward = latentgen.Discriminate.forward

    def lost(self, batch):
        found = forward(self, batch)
        return {**found, "discriminator_loss": found["discriminator_loss"] * (0.0 if self.step >= 8 else 1.0)}

    monkeypatch.setattr(latentgen.Discriminate, "forward", lost)
    with (
        pytest.warns(UserWarning, match="the discriminator is saturated"),
        pytest.raises(TrainingDiverged, match=r"saturated for 3 log rows at step 14.*last good checkpoint is .*8"),
    ):
        fit(DDGAN(2, **SMALL), tmp_path, 40, saturation_limit=3, keep=1)
    _, state = load_checkpoint(latest_checkpoint(tmp_path))
    assert state["step"] == 8


def test_nan_is_named(tmp_path) -> None:
    with pytest.raises(TrainingDiverged, match="gradients were not finite"):
        fit(DDGAN(2, **SMALL), tmp_path, 40, Toy(poison=3), skip_limit=2, batch_size=64)
