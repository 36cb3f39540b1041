"""The image modality as a whole."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import latentgen
from latentgen.class_names import pack_names
from latentgen.cli import main
from latentgen.evaluation import evaluate
from latentgen.metrics import NetworkFeatures
from latentgen.storage import export_safetensors, read_safetensors
from latentgen.table import format_table
from latentgen.testing import check_modality
from modalities.images import Images, PixelAutoencoder
from modalities.images.classifier import Classifier, save_classifier, train_classifier

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"layout": "vector", "condition": "label", "likelihood": "laplace"},
        {"likelihood": "bernoulli", "binarize": "dynamic", "size": (8, 6)},
        {"layout": "pixels"},
        {"likelihood": "normal", "channels": 3, "size": 11, "width": 8},
    ],
    ids=str,
)
def test_contract(options: dict[str, Any]) -> None:
    failed = [result for result in check_modality(Images(limit=200, **options)) if not result.passed]
    assert not failed, failed


@pytest.mark.parametrize(
    ("shape", "grid"), [((8, 8), (4, 4)), ((28, 28), (7, 7)), ((32, 32), (8, 8)), ((105, 30), (27, 8))]
)
def test_grids_are_halved_to_a_side_of_at_most_eight(shape: tuple[int, int], grid: tuple[int, int]) -> None:
    images = Images(RNG.integers(0, 255, (5, *shape), dtype=np.uint8))
    assert images.latents == latentgen.LatentSpec((8, *grid), "grid")
    assert Images(images.data, halvings=0).latents.shape == (8, *shape)


def test_the_options_of_reading_reach_the_data() -> None:
    images = Images(size=6, pad=(1, 2), invert=True, limit=50)
    batch = images.dataset("train").__getitems__([0, 1])
    assert batch["x"].shape == (2, 1, 8, 10) and len(images.dataset("train")) == 50
    assert batch["x"][:, :, 0].unique().tolist() == [0], "what is put on is zero, inverted or not"


def test_test_images_are_binarised_once() -> None:
    images = Images(likelihood="bernoulli", binarize="dynamic")
    assert len(images.dataset("test")) == 359 and len(images.dataset("train")) == 64 * 1438
    assert images.dataset("test").__getitems__(range(359))["x"].unique().tolist() == [0, 255]


def test_models_go_where_their_data_are_not(tmp_path: Path) -> None:
    pixels, labels = RNG.integers(0, 255, (20, 9, 6, 3), dtype=np.uint8), np.arange(20) % 4
    images = Images((pixels, labels), condition="label", width=8)
    prepared = latentgen.LSGM(width=16, depth=1, heads=2).prepare(images)
    prepared.model.save_pretrained(tmp_path)
    loaded = latentgen.load(tmp_path)
    given = torch.eye(4)[:3]
    a, b = (model.sample(3, steps=2, seed=4, condition=given) for model in (prepared.model, loaded))
    assert torch.equal(a["x"], b["x"]) and a["x"].shape == (3, 3, 9, 6)
    with pytest.raises(ValueError, match="a model loaded from a file has no data"):
        loaded.modality.dataset("train")


def test_figures_on_a_classifier_of_the_data(tmp_path: Path) -> None:
    plain = Images()
    save_classifier(train_classifier(plain.images("train"), plain.images("test"), steps=60), tmp_path / "c.safetensors")
    images = Images(features=tmp_path / "c.safetensors")
    test = images.dataset("test").__getitems__(range(359))
    train = images.dataset("train").__getitems__(range(359))
    noise = {"x": torch.randint(256, test["x"].shape, dtype=torch.uint8)}
    good, bad = images.evaluate(train, test, train), images.evaluate(noise, test, train)
    assert good.keys() == images.better().keys() == bad.keys()
    assert good["frechet"] < 0.2 * bad["frechet"] and good["precision"] > bad["precision"] + 0.3
    assert images.feature_map().name.startswith("classifier trained on the data")
    assert images.feature_map().hash != Images().feature_map().hash
    assert Images().evaluate(train, test, train)["coverage"] > 0.8
    save_classifier(Classifier(3, 10), tmp_path / "colour.safetensors")
    with pytest.raises(ValueError, match="a classifier of 3 channels, and the images have 1"):
        Images(features=tmp_path / "colour.safetensors").feature_map()
    with pytest.raises(ValueError, match="a classifier of 3 channels, and the images have 1"):
        Images().features_from(tmp_path / "colour.safetensors")


def test_every_table_names_the_feature_map() -> None:
    images = Images(limit=30, width=8)
    model = latentgen.LSGM(width=16, depth=1, heads=2).prepare(images).model
    measure = partial(evaluate, model, samples=8, calls=[2], reference=20, nelbo=False)
    assert "\nfigures on features: pixels averaged to 8 x 8.\n" in format_table(measure()) + "\n"
    label = "classifier trained on the data, 98.61 % accurate"
    images.use_features(NetworkFeatures(lambda batch: batch["x"].flatten(1).float(), label))
    assert f"\nfigures on features: {label}.\n" in format_table(measure()) + "\n"


def test_bits_per_dimension_are_those_of_a_likelihood() -> None:
    """A Bernoulli likelihood of grey values is none of bytes; of black and white images it is one."""
    grey = Images(likelihood="bernoulli", limit=30, width=8)
    model = latentgen.LSGM(width=16, depth=1, heads=2).prepare(grey).model
    result = evaluate(model, samples=8, calls=[2], reference=20)
    assert grey.dimensions is None
    assert all(found["bits_per_dim"] is None for found in result["likelihood"].values())
    assert not any("bits" in note for note in result["notes"])
    assert sum("no NELBO is one of bytes" in note for note in result["notes"]) == 1
    black_and_white = 255 * torch.randint(0, 2, (20, 1, 8, 8), dtype=torch.uint8)
    for proper in (
        Images(likelihood="bernoulli", binarize="dynamic"), Images(), Images(black_and_white, likelihood="bernoulli"),
        Images(likelihood="bernoulli", layout="pixels"),
    ):
        assert proper.dimensions == 64
        assert not any("bytes" in note for note in proper.notes())


def test_models_in_pixel_space_train(tmp_path: Path) -> None:
    images = Images(layout="pixels", limit=40)
    prepared = latentgen.DDGAN(2, width=16, depth=1, discriminator_depth=1).prepare(images)
    assert isinstance(prepared.model.autoencoder, PixelAutoencoder)
    options = latentgen.TrainingOptions(steps=2, batch_size=4)
    model = latentgen.Trainer(prepared.model, prepared.objectives, tmp_path, options, quiet=True).fit()
    assert model.sample(2)["x"].shape == (2, 1, 8, 8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "limit is 0; give a whole number of at least 1"),
        ({"limit": -3}, "limit is -3; give a whole number of at least 1"),
        ({"latent": 0, "layout": "vector"}, "latent is 0; give a whole number of at least 1"),
        ({"width": 0}, "width is 0; give a whole number of at least 1"),
        ({"width": 8.5}, "width is 8.5; give a whole number of at least 1"),
        ({"components": 0}, "components is 0; give a whole number of at least 1"),
        ({"depth": -1}, "depth is -1; give a whole number of at least 0"),
        ({"halvings": -1}, "halvings is -1; give a whole number of at least 0"),
        ({"spectral": -0.1}, "spectral is -0.1; give a weight of at least 0"),
        ({"groups": 3}, "groups is 3; give the number at each scale, from the smallest up"),
        ({"likelihood": "poisson"}, "likelihood is 'poisson'; choose bernoulli, logistic_mixture, normal, laplace"),
        ({"layout": "set"}, "layout is 'set'; choose grid, vector, pixels"),
        ({"binarize": "dynamic"}, "likelihood is 'logistic_mixture' for binarised images; choose bernoulli"),
        ({"halvings": -1}, "halvings is -1"),
        ({"condition": "class"}, "condition is 'class'; choose label, None"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Images(**options)


def test_whole_numbers_of_numpy_are_taken() -> None:
    images = Images(limit=np.int64(20), width=np.int32(8))
    assert len(images.dataset("train")) == 20
    assert images.autoencoder().decode(torch.zeros(1, *images.latents.shape)) is not None


def test_conditions_need_classes() -> None:
    with pytest.raises(ValueError, match="for images without classes; leave it out"):
        _ = Images(RNG.integers(0, 255, (9, 8, 8), dtype=np.uint8), condition="label").condition_dim


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": None, "classes": None}, "must hold classes and shape, got nothing"),
        ({"more": 1}, "got classes, more, shape"),
        ({"shape": [1, 8]}, r"shape must be 3 whole number\(s\), got torch.int64 \[2\]"),
        ({"shape": [1.0, 8.0, 8.0]}, "got torch.float32"),
        ({"shape": [2, 8, 8]}, r"shape must be 1 or 3 channels, .* got \[2, 8, 8\]"),
        ({"shape": [1, 0, 8]}, r"got \[1, 0, 8\]"),
        ({"shape": [1, 10**6, 10**6]}, r"at most 67,108,864 pixels, got \[1, 1000000, 1000000\]"),
        ({"classes": 3}, r"classes must be 1 whole number\(s\), got torch.int64 \[\]"),
        ({"classes": [-1]}, "classes must be a number from 0 to 16,777,216, got -1"),
        ({"classes": [10**12]}, "got 1000000000000"),
    ],
)
def test_a_state_that_no_model_gave_is_refused(changes: dict[str, object], message: str) -> None:
    given = {"shape": [1, 8, 8], "classes": [10], **changes}
    images = Images(data=None)
    with pytest.raises(ValueError, match=f"^state of Images.*{message}"):
        images.load_state({name: torch.as_tensor(value) for name, value in given.items() if value is not None})
    images.load_state({"shape": torch.tensor([1, 8, 8]), "classes": torch.tensor([10])})
    assert images.shape == (1, 8, 8)


def test_a_model_file_without_its_state_reads_no_data(tmp_path: Path) -> None:
    """The path in it is its writer's choice."""
    np.save(tmp_path / "secret.npy", RNG.integers(0, 255, (5, 8, 8), dtype=np.uint8))
    model = latentgen.DataDiffusion().prepare(Images(str(tmp_path / "secret.npy"), layout="pixels")).model
    model.save_pretrained(tmp_path)
    tensors, config = read_safetensors(tmp_path / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("modality.")}
    export_safetensors(tmp_path / "model.safetensors", kept, config)
    with pytest.raises(ValueError, match="state of Images must hold classes and shape, got nothing"):
        latentgen.load(tmp_path)


class Centred(Images):
    """Has state of its own."""

    def state(self) -> dict[str, torch.Tensor]:
        return {**super().state(), "mean": self.mean}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        super().load_state(state)
        self.mean = state["mean"]


def test_a_subclass_may_have_state_of_its_own() -> None:
    given = {"shape": torch.tensor([1, 8, 8]), "classes": torch.tensor([10])}
    centred = Centred(data=None)
    centred.load_state({**given, "mean": torch.ones(2)})
    assert centred.state().keys() == {*given, "mean"} and centred.mean.tolist() == [1, 1]
    with pytest.raises(ValueError, match=r"^state of Images must hold"):
        centred.load_state({"mean": torch.ones(2)})


def test_names_of_classes_go_with_the_model(tmp_path: Path) -> None:
    for kind in ("cat", "dög\n"):
        (tmp_path / "data" / kind).mkdir(parents=True)
        for number in range(4):
            array = RNG.integers(0, 255, (8, 8), dtype=np.uint8)
            Image.fromarray(array).save(tmp_path / "data" / kind / f"{number}.png")
    images = Images(str(tmp_path / "data"), condition="label", layout="pixels")
    model = latentgen.DataDiffusion().prepare(images).model
    model.save_pretrained(tmp_path / "model")
    shutil.rmtree(tmp_path / "data")
    assert latentgen.load(tmp_path / "model").modality.classes == ("cat", "dög\n")
    words = ["sample", str(tmp_path / "model"), "--n", "2", "--steps", "2", "--out", str(tmp_path / "out")]
    assert main([*words, "--label", "cat"]) == 0
    assert Images(str(tmp_path / "data")).classes == ()


def test_names_that_no_model_gave_are_refused() -> None:
    given = {"shape": torch.tensor([1, 8, 8]), "classes": torch.tensor([2])}
    found = Images(data=None)
    for names, message in (
        (torch.ones(3), r"names must be bytes \[L\], got torch.float32 \[3\]"),
        (torch.tensor([255], dtype=torch.uint8), "names must be UTF-8 text, got the error"),
        (pack_names(["a", "b", "c"]), "names must be those of at most 2 classes, got 3"),
    ):
        with pytest.raises(ValueError, match=f"^state of Images: {message}"):
            found.load_state({**given, "names": names})
    found.load_state(given)
    assert found.classes == ()
    found.load_state({**given, "names": pack_names(["a", ""])})
    assert found.classes == ("a", "")
