"""Recipes with a generator train through the trainer, resume exactly, and notice a lost game."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from toy import Toy

import latentgen
from latentgen import DDGAN, Autoencoder, IdentityAutoencoder, JointDDGAN, LatentSpec
from latentgen.checkpoint import latest_checkpoint, load_checkpoint
from latentgen.trainer import Trainer, TrainingDiverged, TrainingOptions

SMALL = {"width": 16, "depth": 1, "heads": 2, "discriminator_depth": 1}


class Items(latentgen.Modality):
    """Random data of any layout, coded by the identity."""

    def __init__(self, spec: LatentSpec) -> None:
        self.spec = spec

    @property
    def latents(self) -> LatentSpec:
        return self.spec

    def autoencoder(self) -> Autoencoder:
        return IdentityAutoencoder()

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
    return JointDDGAN(latentgen.LSGM(width=16, depth=1, heads=2), DDGAN(2, **SMALL, regression=1.0))


def fit(recipe, run: Path, steps: int = 6, modality=None, hooks=(), **options) -> Trainer:
    torch.manual_seed(0)
    prepared = recipe.prepare(modality if modality is not None else Toy())
    settings = {"batch_size": 8, "checkpoint_every": 2, "log_every": 2, **options}
    options = TrainingOptions(steps=steps, **settings)
    trainer = Trainer(prepared.model, prepared.objectives, run, options, hooks, quiet=True)
    trainer.fit()
    return trainer


@pytest.mark.parametrize("recipe", [lambda: DDGAN(2, **SMALL), joint], ids=["alone", "joint"])
def test_interrupted_is_uninterrupted(recipe, tmp_path) -> None:
    fit(recipe(), tmp_path / "whole")

    class Stop(Exception):
        pass

    def stop(trainer: Trainer) -> None:
        if trainer.step == 5:
            raise Stop

    with pytest.raises(Stop):
        fit(recipe(), tmp_path / "cut", hooks=[stop])
    fit(recipe(), tmp_path / "cut")
    (whole, _), (cut, _) = (load_checkpoint(latest_checkpoint(tmp_path / name)) for name in ("whole", "cut"))
    assert whole.keys() == cut.keys()
    assert any(name.startswith("objective-") for name in whole), "the discriminator is not in the checkpoint"
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


def test_a_frozen_autoencoder_stays_and_a_trained_one_moves(tmp_path) -> None:
    inner = Toy().autoencoder()
    before = [parameter.clone() for parameter in inner.parameters()]
    fit(DDGAN(2, autoencoder=inner, **SMALL), tmp_path / "frozen", 3)
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
