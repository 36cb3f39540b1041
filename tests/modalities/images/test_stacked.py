"""Stacked MNIST, on the embedded digits."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from latentgen.testing import check_modality
from modalities.images import StackedDigits
from modalities.images.classifier import Classifier, save_classifier
from modalities.images.readers import read_images

SMALL = {"data": "digits", "pad": 1, "triples": 2000, "test_triples": 200}


class Oracle(Classifier):
    """Reads the digit from the corner, where the tests write it."""

    def predict(self, x: torch.Tensor, batch: int = 1024) -> torch.Tensor:
        return x[:, 0, 0, 0].long()


def test_contract() -> None:
    failed = [result for result in check_modality(StackedDigits(**SMALL)) if not result.passed]
    assert not failed, failed


def test_triples_are_digits_of_their_part_on_three_channels() -> None:
    stacked = StackedDigits(**SMALL)
    data, digits = stacked.dataset("test"), read_images("digits", "test", pad=1)
    batch = data.__getitems__([5, 7])["x"]
    assert batch.shape == (2, 3, 10, 10) and batch.dtype == torch.uint8
    for channel in range(3):
        assert torch.equal(batch[1, channel], digits.pixels[data.chosen[7, channel], 0])
    assert torch.equal(data[7]["x"], batch[1])
    assert (len(stacked.dataset("train")), len(data)) == (2000, 200)
    assert stacked.latents.shape == (8, 5, 5) and stacked.shape == (3, 10, 10)


def test_triples_are_uniform_and_follow_from_the_seed() -> None:
    a, b, c = (StackedDigits(**SMALL, seed=seed).dataset("train").chosen for seed in (0, 0, 1))
    assert torch.equal(a, b) and not torch.equal(a, c)
    counts = torch.bincount(a.flatten(), minlength=1438).double()
    assert float(((counts - 6000 / 1438) ** 2 / (6000 / 1438)).sum()) < 1438 + 6 * math.sqrt(2 * 1438)
    correlation = torch.corrcoef(a.double().T)
    assert float((correlation - torch.eye(3)).abs().max()) < 4.5 / math.sqrt(2000)


def test_modes_are_read_in_the_order_of_channels() -> None:
    stacked = StackedDigits(**SMALL)
    stacked.classifier = Oracle(1, 10)
    x = torch.zeros(3, 3, 10, 10, dtype=torch.uint8)
    x[:, :, 0, 0] = torch.tensor([[1, 2, 3], [0, 0, 7], [9, 9, 9]])
    assert stacked.modes(x).tolist() == [123, 7, 999]


def test_figures_count_modes(tmp_path: Path) -> None:
    save_classifier(Classifier(1, 10), tmp_path / "c.safetensors")
    stacked = StackedDigits(**SMALL, classifier=tmp_path / "c.safetensors")
    stacked.classifier = Oracle(1, 10)
    train = stacked.dataset("train").__getitems__(range(100))
    x = train["x"].clone()
    x[:, 0, 0, 0], x[:, 1, 0, 0], x[:, 2, 0, 0] = 4, 5, torch.arange(100).to(torch.uint8) % 10
    figures = stacked.evaluate({"x": x}, train, train)
    assert figures["modes"] == 10 and figures["mode_kl"] == pytest.approx(math.log(100))
    assert figures.keys() == stacked.better().keys()
    assert stacked.feature_map()(train).shape == (100, 3 * 64)
    assert stacked.axes()["coverage"] == "mode_kl"


def test_without_a_classifier_there_are_no_modes() -> None:
    stacked = StackedDigits(**SMALL)
    train = stacked.dataset("train").__getitems__(range(50))
    assert "modes" not in stacked.evaluate(train, train, train)
    with pytest.raises(ValueError, match="classifier is None"):
        stacked.modes(train["x"])
