"""Examples by number: binarisation that is a function of the number, one-hot conditions."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch

from modalities.images.dataset import PixelData, binarized, splitmix
from modalities.images.readers import ImageSet


def images(count: int = 5) -> ImageSet:
    pixels = torch.arange(count * 6).reshape(count, 1, 2, 3).to(torch.uint8) * 8
    return ImageSet(pixels, torch.arange(count) % 3)


def test_batches_are_items() -> None:
    data = PixelData(images(), classes=3)
    batch = data.__getitems__([3, 0])
    assert torch.equal(batch["x"], images().pixels[[3, 0]]) and batch["x"].dtype == torch.uint8
    assert batch["condition"].tolist() == [[1, 0, 0], [1, 0, 0]]
    assert all(torch.equal(data[3][key], batch[key][0]) for key in batch)
    assert torch.equal(data[-1]["x"], data[4]["x"]) and len(data) == 5
    with pytest.raises(IndexError, match="number is 5 for 5 images"):
        data[5]


def test_binarisation_is_a_function_of_the_number() -> None:
    data = PixelData(images(), binarize=True, redraws=64)
    assert len(data) == 320
    one, other = data.__getitems__([7, 99, 7])["x"], data.__getitems__([99])["x"]
    assert torch.equal(one[0], one[2]) and torch.equal(one[1], other[0])
    draws = data.__getitems__([4 + 5 * k for k in range(64)])["x"]
    assert len({tuple(draw.flatten().tolist()) for draw in draws}) > 8, "other draws of one image differ"
    again = PixelData(images(), binarize=True, redraws=64, seed=1).__getitems__([4 + 5 * k for k in range(64)])["x"]
    assert not torch.equal(draws, again)


def test_pixels_are_white_as_often_as_they_are_bright() -> None:
    x = torch.tensor([0, 1, 64, 128, 200, 254, 255], dtype=torch.uint8).expand(20_000, 7)
    white = (binarized(x, torch.arange(20_000)) == 255).double().mean(0)
    share = x[0].double() / 255
    error = 4.5 * (share * (1 - share) / 20_000).sqrt()
    assert ((white - share).abs() <= error).all()
    assert white[0] == 0 and white[-1] == 1


def test_the_uniform_numbers_are_splitmix64() -> None:
    """The published test vector: seed 1234567 gives 6457827717110365317, 3203168211198807973."""
    with np.errstate(over="ignore"):
        start = np.uint64(1234567)
        gamma = np.uint64(0x9E3779B97F4A7C15)
        found = []
        for k in (1, 2):
            z = start + np.uint64(k) * gamma
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            found.append(int(z ^ (z >> np.uint64(31))))
    assert found == [6457827717110365317, 3203168211198807973]


def test_the_stream_of_a_seed_is_that_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modalities.images.dataset._start", lambda seed: np.uint64(seed))
    uniform = splitmix(np.arange(2, dtype=np.uint64), 1234567)
    expected = [(value >> 40) / 2**24 for value in (6457827717110365317, 3203168211198807973)]
    assert uniform.tolist() == expected


def test_the_numbers_are_uniform_and_uncorrelated() -> None:
    u = splitmix(np.arange(100_000, dtype=np.uint64), 3)
    assert scipy.stats.kstest(u, "uniform").pvalue > 1e-6
    for lag in (1, 6, 784):
        assert abs(np.corrcoef(u[:-lag], u[lag:])[0, 1]) < 4.5 / 100_000**0.5
    assert abs(np.corrcoef(u, splitmix(np.arange(100_000, dtype=np.uint64), 4))[0, 1]) < 4.5 / 100_000**0.5
