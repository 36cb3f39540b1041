"""Posteriors computed once: training is the same as with an encoder in every step; refused where it would not be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from test_adversarial_recipe import Coded, Items
from toy import Toy, ToyAutoencoder

import latentgen
from latentgen import DDGAN, LSGM, JointDDGAN, LatentDiffusion, LatentSpec, Trainer, TrainingOptions
from latentgen.encoded import EncodedData, posterior

SPECS = {
    "vector": LatentSpec((6,)),
    "masked set": LatentSpec((5, 4), "set", masked=True),
    "grid": LatentSpec((2, 4, 4), "grid"),
}
NUMBERS = [3, 0, 7]

pytestmark = pytest.mark.usefixtures("fresh_accelerator")


class Counted(Coded):
    """Counts the examples that it encodes."""

    encoded = 0

    def encode(self, batch: latentgen.Batch) -> latentgen.DiagonalGaussian:
        type(self).encoded += len(batch["x"])
        return super().encode(batch)


class Labelled(Items):
    """With a condition, sets as long as the largest of a batch, or data that are new at each look."""

    condition_dim = 2

    def __init__(self, spec: LatentSpec, moving: bool = False) -> None:
        super().__init__(spec, learned=True)
        self.moving = moving

    def collate(self, items: Any) -> latentgen.Batch:
        batch = super().collate(items)
        if "mask" not in batch:
            return batch
        most = int(batch["mask"].sum(dim=1).max())
        return {**batch, "x": batch["x"][:, :most], "mask": batch["mask"][:, :most]}

    def dataset(self, split: str) -> Any:
        items = super().dataset(split)
        for number, item in enumerate(items):
            item["condition"] = torch.tensor([float(number), 1.0])
        return Moving(items) if self.moving else items


class Moving:
    """Adds new noise whenever an item is asked for."""

    def __init__(self, items: list[latentgen.Batch]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> latentgen.Batch:
        return {**self.items[index], "x": self.items[index]["x"] + torch.randn(self.items[index]["x"].shape)}


def coded(spec: LatentSpec, kind: type[Coded] = Coded) -> Coded:
    torch.manual_seed(5)
    return kind(spec)


def train(recipe: latentgen.Recipe, modality: Items, run: Path, steps: int = 6, **options: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    prepared = recipe.prepare(modality)
    chosen = TrainingOptions(steps=steps, batch_size=8, lr=1e-2, log_every=1, **options)
    return dict(Trainer(prepared.model, prepared.objectives, run, chosen, quiet=True).fit().state_dict())


@pytest.mark.parametrize("name", list(SPECS))
@pytest.mark.parametrize("game", [False, True])
def test_training_is_the_same_with_and_without(tmp_path: Path, name: str, game: bool) -> None:
    spec = SPECS[name]
    diffusion = LatentDiffusion(coded(spec), width=16, depth=1, heads=2)
    small = DDGAN(2, width=16, depth=1, heads=2, discriminator_depth=1)
    recipe = JointDDGAN(diffusion, small, begins=0.5) if game else diffusion
    plain, cached = (train(recipe, Labelled(spec), tmp_path / str(c), cache_posteriors=c) for c in (False, True))
    assert plain.keys() == cached.keys()
    for key, value in plain.items():
        torch.testing.assert_close(cached[key], value, atol=1e-5, rtol=1e-4)
    start = dict(recipe.prepare(Labelled(spec)).model.state_dict())
    assert any((start[key] - value).abs().amax() > 1e-3 for key, value in plain.items() if value.is_floating_point())


def test_every_example_is_encoded_once(tmp_path: Path) -> None:
    spec = SPECS["vector"]
    modality, recipe = Items(spec, learned=True), LatentDiffusion(coded(spec, Counted), width=16, depth=1, heads=2)
    for cached, expected in ((True, 32), (False, 6 * 8)):
        torch.manual_seed(0)
        prepared = recipe.prepare(modality)
        Counted.encoded = 0
        options = TrainingOptions(steps=6, batch_size=8, cache_posteriors=cached)
        Trainer(prepared.model, prepared.objectives, tmp_path / str(cached), options, quiet=True).fit()
        assert Counted.encoded == expected


@pytest.mark.parametrize("name", list(SPECS))
def test_batches_hold_what_the_encoder_gives(name: str) -> None:
    modality, autoencoder = Labelled(SPECS[name]), coded(SPECS[name])
    data = modality.dataset("train")
    batch = EncodedData(modality, data, autoencoder, batch_size=5).__getitems__(NUMBERS)
    given = modality.collate([data[number] for number in NUMBERS])
    q, expected = posterior(autoencoder, batch), autoencoder.encode(given)
    if expected.mask is not None:
        assert torch.equal(q.mask, expected.mask)
    torch.testing.assert_close(q.mean, expected.mean)
    torch.testing.assert_close(q.std, expected.std)
    assert torch.equal(batch["condition"], given["condition"])


def test_sets_of_batches_of_different_lengths_are_put_together() -> None:
    spec = SPECS["masked set"]
    modality, autoencoder = Labelled(spec), coded(spec)
    data = modality.dataset("train")
    encoded = EncodedData(modality, data, autoencoder, batch_size=3)  # 3, then 5, then 4 items, ...
    for number in range(len(data)):
        q, alone = posterior(autoencoder, encoded[number]), autoencoder.encode(modality.collate([data[number]]))
        assert q.mean.shape == alone.mean.shape
        torch.testing.assert_close(q.mean, alone.mean)
        torch.testing.assert_close(q.std, alone.std)
    assert encoded.tensors["posterior_std"].amin() > 0


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    spec = SPECS["masked set"]
    recipe = LatentDiffusion(coded(spec), width=16, depth=1, heads=2)

    class Stop(Exception):
        pass

    def stop(trainer: Trainer) -> None:
        if trainer.step == 5:
            raise Stop

    whole = train(recipe, Labelled(spec), tmp_path / "whole", cache_posteriors=True, checkpoint_every=2)
    torch.manual_seed(0)
    prepared = recipe.prepare(Labelled(spec))
    options = TrainingOptions(
        steps=6, batch_size=8, lr=1e-2, log_every=1, cache_posteriors=True, checkpoint_every=2
    )
    with pytest.raises(Stop):
        Trainer(prepared.model, prepared.objectives, tmp_path / "cut", options, [stop], quiet=True).fit()
    again = train(recipe, Labelled(spec), tmp_path / "cut", cache_posteriors=True, checkpoint_every=2)
    for key, value in whole.items():
        assert torch.equal(again[key], value), key


def test_an_autoencoder_that_is_trained_has_no_fixed_posteriors(tmp_path: Path) -> None:
    prepared = LSGM(width=16, depth=1, heads=2).prepare(Items(SPECS["vector"], learned=True))
    options = TrainingOptions(steps=2, cache_posteriors=True)
    with pytest.raises(ValueError, match="cache_posteriors is True, but encoder and decoder are trained"):
        Trainer(prepared.model, prepared.objectives, tmp_path, options, quiet=True)


def test_the_encoder_is_in_evaluation_mode_meanwhile() -> None:
    """Dropout would make an example's posterior a matter of luck."""
    modality, autoencoder = Toy(size=40), ToyAutoencoder(dropout=0.5).train()
    first, second = (EncodedData(modality, modality.dataset("train"), autoencoder).tensors for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert autoencoder.training


def test_no_data_have_no_posteriors() -> None:
    with pytest.raises(ValueError, match="the training data are empty"):
        EncodedData(Labelled(SPECS["vector"]), [], coded(SPECS["vector"]))


def test_data_that_change_have_no_fixed_posteriors(tmp_path: Path) -> None:
    spec = SPECS["vector"]
    modality = Labelled(spec, moving=True)
    prepared = LatentDiffusion(coded(spec), width=16, depth=1, heads=2).prepare(modality)
    options = TrainingOptions(steps=2, cache_posteriors=True)
    with pytest.raises(ValueError, match="the training data gave two different 'x' for the same examples"):
        Trainer(prepared.model, prepared.objectives, tmp_path, options, quiet=True).fit()
