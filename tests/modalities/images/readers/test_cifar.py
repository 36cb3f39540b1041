"""CIFAR's binary batches, written byte by byte."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from payload import Payload

from modalities.images.readers import read_images


def record(*labels: int, red: int, green: int, blue: int) -> bytes:
    first_row = bytes(range(32))
    return bytes(labels) + first_row + bytes([red]) * 992 + bytes([green]) * 1024 + bytes([blue]) * 1024


def test_ten_classes(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for number in range(1, 6):
        (folder / f"data_batch_{number}.bin").write_bytes(record(number, red=100, green=number, blue=7) * 2)
    (folder / "test_batch.bin").write_bytes(record(9, red=1, green=2, blue=3))
    for path in (tmp_path, folder):
        train, test = read_images(path), read_images(path, "test")
        assert train.pixels.shape == (10, 3, 32, 32) and test.pixels.shape == (1, 3, 32, 32)
        assert train.labels is not None and train.labels.tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
        assert train.pixels[0, 0, 0].tolist() == list(range(32)), "the first row is the first 32 bytes"
        assert (train.pixels[0, 0, 1:] == 100).all()
        assert torch.equal(train.pixels[:, 1, 5, 5], train.labels.to(torch.uint8))
        assert (train.pixels[:, 2] == 7).all()


def test_a_hundred_classes_have_two_label_bytes(tmp_path: Path) -> None:
    for name in ("train.bin", "test.bin"):
        (tmp_path / name).write_bytes(record(3, 77, red=1, green=2, blue=9))
    train = read_images(tmp_path)
    assert train.labels is not None and train.labels.tolist() == [77]
    assert (train.pixels[0, 2] == 9).all()


def test_broken_batches_and_pickles_are_refused(tmp_path: Path) -> None:
    (tmp_path / "test_batch.bin").write_bytes(record(1, red=1, green=1, blue=1)[:-1])
    with pytest.raises(ValueError, match=r"source test_batch.bin must hold whole images of 3073 bytes, got 3,072"):
        read_images(tmp_path, "test")
    batches = tmp_path / "pickled" / "cifar-10-batches-py"
    batches.mkdir(parents=True)
    for name in ("data_batch_1", "test_batch", "batches.meta"):
        (batches / name).write_bytes(pickle.dumps(Payload(tmp_path / "it ran")))
    for source in (tmp_path / "pickled", batches):
        with pytest.raises(ValueError, match="pickled form of CIFAR"):
            read_images(source)
    assert not (tmp_path / "it ran").exists()
