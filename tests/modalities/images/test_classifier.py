"""The classifier whose hidden layer is the feature map."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from modalities.images.classifier import (
    Classifier,
    ClassifierFeatures,
    load_classifier,
    save_classifier,
    train_classifier,
)
from modalities.images.readers import ImageSet, read_images


def test_it_learns_the_embedded_digits_and_says_how_well() -> None:
    train, test = read_images("digits"), read_images("digits", "test")
    model = train_classifier(train, test, steps=200)
    assert model.accuracy > 0.9
    right = (model(test.pixels).argmax(1) == test.labels).double().mean()
    assert model.accuracy == pytest.approx(float(right))
    assert f"{100 * model.accuracy:.2f} % accurate" in model.label


def small(seed: int = 0) -> Classifier:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (40, 1, 6, 9), dtype=torch.uint8, generator=generator)
    images = ImageSet(pixels, (pixels[:, 0, 0, 0] > 127).long())
    return train_classifier(images, images, seed=seed, steps=4)


def test_training_is_a_function_of_its_seed() -> None:
    state = torch.random.get_rng_state()
    a, b, c = small(), small(), small(1)
    assert torch.equal(torch.random.get_rng_state(), state), "the caller's random numbers are left alone"
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
    assert not torch.equal(a.out.weight, c.out.weight)


def test_it_comes_back_from_its_file(tmp_path: Path) -> None:
    model, x = small(), torch.randint(256, (3, 1, 6, 9), dtype=torch.uint8)
    save_classifier(model, tmp_path / "a" / "c.safetensors")
    loaded = load_classifier(tmp_path / "a" / "c.safetensors")
    assert torch.equal(loaded(x), model(x)) and loaded.accuracy == model.accuracy
    assert not loaded.training


def test_features_are_the_hidden_layer_in_parts() -> None:
    model, x = small(), torch.randint(256, (7, 1, 6, 9), dtype=torch.uint8)
    features = ClassifierFeatures(model, batch=3)({"x": x})
    assert features.shape == (7, 64)
    assert torch.allclose(features, model.features(x), atol=1e-6)
    assert torch.allclose(model.out(features), model(x), atol=1e-5)
    triple = x.repeat(1, 3, 1, 1)
    assert torch.allclose(ClassifierFeatures(model)({"x": triple}), features.repeat(1, 3), atol=1e-6)


def test_refusals(tmp_path: Path) -> None:
    unlabelled = ImageSet(torch.zeros(4, 1, 8, 8, dtype=torch.uint8))
    with pytest.raises(ValueError, match="has no labels"):
        train_classifier(unlabelled, unlabelled)
    with pytest.raises(ValueError, match="which is no file; train a classifier"):
        load_classifier(tmp_path / "nowhere.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(ValueError, match=r"features is bad\.safetensors, which holds no classifier"):
        load_classifier(tmp_path / "bad.safetensors")
