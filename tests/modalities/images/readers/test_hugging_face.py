"""Data sets of the library ``datasets``, made and written by itself."""

from __future__ import annotations

import http.server
import json
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modalities.images import Images
from modalities.images.readers import read_images

datasets = pytest.importorskip("datasets")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


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


def parquet(path: Path, cells: list[dict], labels: list | None = None, kind: object = None) -> Path:
    """A file as a stranger may write it."""
    columns = {"picture": pa.array(cells, type=pa.struct([("bytes", pa.binary()), ("path", pa.string())]))}
    features = {"picture": datasets.Image()}
    if labels is not None:
        columns["label"], features["label"] = pa.array(labels), kind
    info = json.dumps({"info": {"features": datasets.Features(features).to_dict()}})
    pq.write_table(pa.table(columns).replace_schema_metadata({"huggingface": info}), path)
    return path


@pytest.fixture
def picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "secret.png"
    Image.fromarray(np.full((2, 2), 77, np.uint8)).save(path)
    return path


def test_images_that_a_table_only_names_are_not_opened(tmp_path: Path, picture: Path) -> None:
    asked: list[str] = []

    class Asked(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

    with http.server.HTTPServer(("127.0.0.1", 0), Asked) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for path in (str(picture), f"http://127.0.0.1:{server.server_port}/x.png"):
            source = parquet(tmp_path / "a.parquet", [{"bytes": None, "path": path}] * 5)
            with pytest.raises(ValueError, match="the column picture must hold the images' bytes, got none in row 0"):
                read_images(source)
        server.shutdown()
    assert not asked
    whole = [{"bytes": picture.read_bytes(), "path": "/etc/passwd"}] * 5
    assert read_images(parquet(tmp_path / "b.parquet", whole)).pixels.unique().tolist() == [77]


def test_images_of_a_data_set_by_name_may_lie_in_the_cache_of_the_library(
    tmp_path: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, elsewhere = tmp_path / "cache", tmp_path / "elsewhere.png"
    cache.mkdir()
    elsewhere.write_bytes(picture.read_bytes())
    (cache / "x.png").write_bytes(picture.read_bytes())
    (cache / "link.png").symlink_to(elsewhere)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)

    def named(path: Path) -> None:
        rows = datasets.Dataset.from_dict({"picture": [{"bytes": None, "path": str(path)}] * 5})
        table = rows.cast_column("picture", datasets.Image())
        monkeypatch.setattr(datasets, "load_dataset", lambda *given, **options: datasets.DatasetDict(train=table))

    named(cache / "x.png")
    assert read_images("hf:somebody/pictures").pixels.unique().tolist() == [77]
    for path in (elsewhere, cache / "link.png", cache / ".." / "elsewhere.png", cache / "nothing.png"):
        named(path)
        with pytest.raises(ValueError, match="got none in row 0, which names a file"):
            read_images("hf:somebody/pictures")


def test_bytes_of_a_table_are_decoded_as_files_are(tmp_path: Path, picture: Path) -> None:
    source = parquet(tmp_path / "a.parquet", [{"bytes": b"%!PS-Adobe-3.0 EPSF-3.0", "path": None}] * 5)
    with pytest.raises(ValueError, match=r"a\.parquet, row 0: the image file must be readable"):
        read_images(source)


@pytest.mark.parametrize(
    ("labels", "kind", "message"),
    [
        ([0, 1, -1, 0, 1], datasets.Value("int64"), "labels must be class numbers from 0 to 65,535, got -1"),
        ([0, 1, -1, 0, 1], datasets.ClassLabel(names=["a", "b"]), "got -1"),
        ([0, 1, None, 0, 1], datasets.Value("int64"), "the column label must give each image a class, got None"),
        (list("abcab"), datasets.Value("string"), r"must hold class numbers, got the type Value\('string'\)"),
        ([0, 10**12, 0, 0, 0], datasets.Value("int64"), "got 1000000000000; number the classes from 0 on"),
    ],
)
def test_labels_that_are_no_class_numbers(
    tmp_path: Path, picture: Path, labels: list, kind: object, message: str
) -> None:
    cells = [{"bytes": picture.read_bytes(), "path": None}] * 5
    with pytest.raises(ValueError, match=message):
        read_images(parquet(tmp_path / "a.parquet", cells, labels, kind))


def test_a_label_that_names_files_is_not_read(tmp_path: Path, picture: Path) -> None:
    one = Image.open(picture)
    features = datasets.Features({"picture": datasets.Image(), "label": datasets.Image()})
    table = datasets.Dataset.from_dict({"picture": [one] * 5, "label": [one] * 5}, features=features)
    table.save_to_disk(tmp_path / "a")
    with pytest.raises(ValueError, match="the column label must hold class numbers, got the type Image"):
        read_images(tmp_path / "a")


def test_a_pipe_is_no_table(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.parquet")
    for source in (tmp_path / "a.parquet", f"hf:{tmp_path / 'a.parquet'}", tmp_path):
        with pytest.raises(ValueError, match="must be a regular file"):
            read_images(source)


def test_labels_that_are_kept_back_are_none(tmp_path: Path) -> None:
    hidden = table(3).remove_columns("kind").add_column("kind", [-1] * 3).cast_column("kind", datasets.ClassLabel(2))
    datasets.DatasetDict({"train": table(6), "test": hidden}).save_to_disk(tmp_path / "a")
    found = read_images(tmp_path / "a", "test")
    assert len(found) == 3 and found.labels is None and found.classes == ()
    with pytest.raises(ValueError, match="classes is 2, and the images have no labels; give 0"):
        Images(tmp_path / "a", condition="label").dataset("test")
