"""Data sets of the library ``datasets``, made and written by itself."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modalities.images.readers import read_images

datasets = pytest.importorskip("datasets")


def table(count: int, shift: int = 0, labels: bool = True):
    images = [Image.fromarray(np.full((3, 4, 3), k + shift, np.uint8)) for k in range(count)]
    columns = {"name": [str(k) for k in range(count)], "picture": images}
    features = {"name": datasets.Value("string"), "picture": datasets.Image()}
    if labels:
        columns["kind"] = [k % 2 for k in range(count)]
        features["kind"] = datasets.ClassLabel(names=["cat", "dog"])
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def test_a_saved_data_set_with_parts(tmp_path: Path) -> None:
    tables = {"train": table(6), "validation": table(2, 50), "test": table(3, 100)}
    datasets.DatasetDict(tables).save_to_disk(tmp_path / "a")
    for source in (tmp_path / "a", f"hf:{tmp_path / 'a'}"):
        train = read_images(source)
        assert train.pixels.shape == (6, 3, 3, 4) and train.pixels[:, 1, 1, 1].tolist() == list(range(6))
        assert train.labels is not None and train.labels.tolist() == [0, 1] * 3 and train.classes == ("cat", "dog")
        assert read_images(source, "test").pixels[:, 0, 0, 0].tolist() == [100, 101, 102]
        assert len(read_images(source, "valid")) == 2


def test_a_saved_table_without_parts_and_labels(tmp_path: Path) -> None:
    table(10, labels=False).save_to_disk(tmp_path / "a")
    found = read_images(tmp_path / "a", "test", channels=1, size=2)
    assert found.pixels.shape == (2, 1, 2, 2) and found.labels is None


def test_parquet_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "a"
    folder.mkdir()
    table(5).to_parquet(folder / "train-00000-of-00001.parquet")
    table(2, 9).to_parquet(folder / "test-00000-of-00001.parquet")
    assert len(read_images(folder)) == 5
    assert read_images(folder, "test").pixels[:, 0, 0, 0].tolist() == [9, 10]


def test_a_table_without_images_is_refused(tmp_path: Path) -> None:
    datasets.DatasetDict({"train": table(4).remove_columns("picture")}).save_to_disk(tmp_path / "a")
    with pytest.raises(ValueError, match="must have a column of the type Image, got name, kind"):
        read_images(tmp_path / "a")


def test_a_name_that_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args, **given):
        raise ConnectionError("no network")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(ValueError, match=r"data is 'hf:ylecun/mnist', which cannot be loaded \(ConnectionError"):
        read_images("hf:ylecun/mnist")


def test_the_library_is_needed_only_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert len(read_images("digits")) == 1438
    with pytest.raises(ImportError, match=r"latentgen\[images\]"):
        read_images("hf:ylecun/mnist")
