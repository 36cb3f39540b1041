"""The division into parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from modalities.images.readers import ImageSet, read_images
from modalities.images.readers.image_set import divide, number_classes, part_of, refuse_bytes


def numbered(count: int) -> ImageSet:
    pixels = torch.arange(count).reshape(-1, 1, 1, 1).expand(-1, 1, 1, 1).to(torch.int32)
    return ImageSet(pixels, torch.arange(count))


def test_the_parts_are_a_partition_in_order() -> None:
    train, test = (divide(numbered(1000), part) for part in ("train", "test"))
    assert train.labels is not None and test.labels is not None
    assert len(test) == 200 and sorted(train.labels.tolist() + test.labels.tolist()) == list(range(1000))
    assert train.labels.tolist() == sorted(train.labels.tolist())
    assert torch.equal(train.labels, train.pixels[:, 0, 0, 0].long())


def test_the_rule_is_fixed_and_fair() -> None:
    """The same five of 25 for ever; over a sorted data set the test part is spread like a random one."""
    assert divide(numbered(25), "test").pixels.flatten().tolist() == FIXED
    test = divide(numbered(10_000), "test").labels
    assert test is not None
    counts = torch.bincount(test // 1000, minlength=10).double()
    assert float((counts - 200).abs().max()) < 4 * (1000 * 0.2 * 0.8) ** 0.5


FIXED = [2, 4, 13, 19, 20]


def test_too_few_images_are_refused() -> None:
    with pytest.raises(ValueError, match="2 image"):
        divide(numbered(2), "train")
    assert len(divide(numbered(3), "test")) == 1


@pytest.mark.parametrize(
    ("name", "part"),
    [("train_0", "train"), ("t10k-images-idx3-ubyte.gz", "test"), ("my-val.set", "valid"), ("contest", None),
     ("trains", None)],
)
def test_names_of_parts(name: str, part: str | None) -> None:
    assert part_of(name) == part


def test_classes_are_numbered_in_order() -> None:
    labels, classes = number_classes(["b", "a", "b"], ["b", "a", "c"])
    assert labels is not None and labels.tolist() == [1, 0, 1] and classes == ("a", "b", "c")
    assert number_classes(["a", "a"], ["a"]) == (None, ())


def test_what_does_not_fit_into_memory_is_refused() -> None:
    with pytest.raises(ValueError, match=r"1000000 images of \[3, 1024, 1024\] take 3,145,728,000,000 bytes"):
        refuse_bytes(10**6, (3, 1024, 1024), "a")


def test_the_embedded_digits() -> None:
    train, test = read_images("digits"), read_images("digits", "test")
    assert train.pixels.shape == (1438, 1, 8, 8) and test.pixels.shape == (359, 1, 8, 8)
    values = np.unique(train.pixels.numpy())
    assert np.array_equal(values, np.round(np.arange(17) * 255 / 16))
    assert train.labels is not None and torch.bincount(train.labels).min() > 120
