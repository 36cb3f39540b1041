"""idx files, written byte by byte as their description says."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest
import torch

from modalities.images.readers import read_images


def idx(*sizes: int, entries: bytes, kind: int = 8) -> bytes:
    return bytes([0, 0, kind, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes) + entries


def write_mnist(folder: Path, end: str = "-idx{}-ubyte", packed: bool = False) -> None:
    for part, start in (("train", 0), ("t10k", 100)):
        images = idx(2, 3, 4, entries=bytes(range(start, start + 24)))
        labels = idx(2, entries=bytes([7, start % 11]))
        for what, axes, content in (("images", 3, images), ("labels", 1, labels)):
            name = f"{part}-{what}{end.format(axes)}"
            if packed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)


@pytest.mark.parametrize(("end", "packed"), [("-idx{}-ubyte", True), ("-idx{}-ubyte", False), (".idx{}-ubyte", False)])
def test_a_folder_in_row_major_order(tmp_path: Path, end: str, packed: bool) -> None:
    write_mnist(tmp_path, end, packed)
    train, test = (read_images(tmp_path, split) for split in ("train", "test"))
    assert train.pixels.dtype == torch.uint8 and train.pixels.shape == (2, 1, 3, 4)
    assert train.pixels.flatten().tolist() == list(range(24))
    assert test.pixels.flatten().tolist() == list(range(100, 124))
    assert train.labels is not None and train.labels.tolist() == [7, 0]
    assert test.labels is not None and test.labels.tolist() == [7, 1]


def test_other_names_of_the_parts(tmp_path: Path) -> None:
    for part in ("train", "test"):
        (tmp_path / f"omniglot8-28x28-{part}-images-idx3-ubyte").write_bytes(idx(1, 2, 2, entries=b"\1\2\3\4"))
    assert len(read_images(tmp_path, "test")) == 1
    assert read_images(tmp_path, "train").labels is None


def test_one_file_alone_is_divided(tmp_path: Path) -> None:
    path = tmp_path / "images-idx3-ubyte"
    path.write_bytes(idx(10, 1, 1, entries=bytes(range(10))))
    parts = [read_images(path, split).pixels.flatten().tolist() for split in ("train", "test")]
    assert sorted(parts[0] + parts[1]) == list(range(10)) and len(parts[1]) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"must be an idx file of unsigned bytes with 3 axes .* got \[\]"),
        (idx(2, 2, 2, entries=bytes(8), kind=13), r"got \[0, 0, 13, 3\]"),
        (idx(2, 2, entries=bytes(4)), r"got \[0, 0, 8, 2\]"),
        (idx(2, 2, 2, entries=bytes(7)), r"must hold 8 bytes for \[2, 2, 2\], got 7"),
        (idx(2, 2, 2, entries=bytes(9)), r"must hold 8 bytes for \[2, 2, 2\], got more"),
        (idx(2, 2, 2, entries=b"")[:9], "ends within its header"),
        (idx(2**31, 2**31, 2**31, entries=b""), "promises"),
        (idx(0, 2, 2, entries=b""), "no image"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content)
    (tmp_path / "test-images-idx3-ubyte").write_bytes(idx(1, 2, 2, entries=bytes(4)))
    with pytest.raises(ValueError, match=message):
        read_images(tmp_path)


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(idx(9, 9, 9, entries=bytes(range(243)) * 3))[:-40]])
def test_damaged_gzip_files_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"source train-images-idx3-ubyte\.gz must be a whole gzip file"):
        read_images(tmp_path)


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """The header promises 4 bytes and 256 MiB follow: no more than 5 are read."""
    bomb = gzip.compress(idx(1, 2, 2, entries=b"") + bytes(2**28), compresslevel=1)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(bomb)
    with pytest.raises(ValueError, match="got more"):
        read_images(tmp_path)


def test_labels_must_fit_the_images(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(3, entries=bytes(3)))
    with pytest.raises(ValueError, match="has 2 images and its labels' file 3 labels"):
        read_images(tmp_path)


def test_two_files_for_one_part_are_refused(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    (tmp_path / "other-train-images-idx3-ubyte").write_bytes(idx(1, 2, 2, entries=bytes(4)))
    with pytest.raises(ValueError, match="two idx files for the part 'train'"):
        read_images(tmp_path)


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"])
def test_no_more_is_allocated_than_a_file_may_hold(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = idx(2**30, 4, 3, entries=b"")
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    (tmp_path / "test-images-idx3-ubyte").write_bytes(idx(1, 2, 2, entries=bytes(4)))
    with pytest.raises(ValueError, match=r"promises 12,884,901,888 bytes, more than the (16|16,777,216) that a file"):
        read_images(tmp_path)
