"""NumPy files and arrays in memory."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from payload import Payload

from modalities.images.readers import read_images

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (10, 5, 7, 3), dtype=np.uint8)


def both(source: object) -> torch.Tensor:
    """All images of a source in their order, from its two parts."""
    train, test = (read_images(source, split) for split in ("train", "test"))
    assert len(test) == 2
    return torch.cat([train.pixels, test.pixels])


def same_images(found: torch.Tensor, expected: np.ndarray) -> bool:
    """Equal but for the order."""
    rows = [sorted(map(tuple, part.reshape(len(part), -1).tolist())) for part in (found, torch.from_numpy(expected))]
    return found.shape == expected.shape and rows[0] == rows[1]


@pytest.mark.parametrize(
    "array",
    [COLOUR, COLOUR.transpose(0, 3, 1, 2), COLOUR.transpose(0, 3, 1, 2) / np.float32(255), COLOUR.astype(np.int64)],
    ids=["channels last", "channels first", "floats", "whole numbers"],
)
def test_every_layout_of_colour(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", array)
    for source in (tmp_path / "a.npy", array, torch.from_numpy(np.ascontiguousarray(array))):
        assert same_images(both(source), COLOUR.transpose(0, 3, 1, 2))


def test_grey_and_black_and_white() -> None:
    assert same_images(both(COLOUR[..., 0]), COLOUR[:, None, :, :, 0])
    assert same_images(both(COLOUR[..., 0] > 99), (COLOUR[:, None, :, :, 0] > 99).astype(np.uint8) * 255)


@pytest.mark.parametrize("names", [("x_{}", "y_{}"), ("{}_images", "{}_labels")])
def test_npz_with_parts(tmp_path: Path, names: tuple[str, str]) -> None:
    content = {}
    for part, count in (("train", 10), ("test", 3), ("val", 2)):
        content[names[0].format(part)] = COLOUR[:count]
        content[names[1].format(part)] = np.arange(count)[:, None]
    np.savez_compressed(tmp_path / "a.npz", **content)
    for split, count in (("train", 10), ("test", 3), ("valid", 2)):
        found = read_images(tmp_path / "a.npz", split)
        assert torch.equal(found.pixels, torch.from_numpy(COLOUR[:count].transpose(0, 3, 1, 2)))
        assert found.labels is not None and found.labels.tolist() == list(range(count))


def test_npz_without_parts_is_divided_with_its_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=COLOUR[..., 0], labels=COLOUR[:, 0, 0, 0])
    for split in ("train", "test"):
        found = read_images(tmp_path / "a.npz", split)
        assert found.labels is not None
        assert torch.equal(found.labels, found.pixels[:, 0, 0, 0].long())


def test_pairs_and_mappings_in_memory() -> None:
    found = read_images({"train": (COLOUR, np.arange(10)), "test": COLOUR[:1]})
    assert found.labels is not None and found.labels.tolist() == list(range(10))
    assert read_images({"train": COLOUR, "test": COLOUR[:1]}, "test").labels is None


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 5)), r"got \[4, 5\]"),
        (np.zeros((4, 5, 6, 2)), r"got \[4, 5, 6, 2\]"),
        (np.zeros((0, 5, 6)), r"got \[0, 1, 5, 6\]"),
        (np.full((4, 5, 6), -1.0), "from -1 to -1; rescale"),
        (np.full((4, 5, 6), 300), "from 300 to 300; rescale"),
        (np.full((4, 5, 6), np.nan), "rescale"),
        ((np.zeros((4, 5, 6)), np.zeros(3, dtype=int)), "labels must be 4 class numbers"),
        ((np.zeros((4, 5, 6)), np.zeros(4)), "labels must be 4 class numbers"),
        (np.full((4, 5, 6), "a"), "images must be numbers or truth values, got <U1; convert them"),
        (np.zeros((4, 5, 6), [("a", "u1"), ("b", "u1")]), "images must be numbers or truth values"),
        (np.zeros((4, 5, 6), complex), "images must be numbers or truth values, got complex128"),
        ({"train": np.zeros((4, 5, 6)), "other": 1}, r"data has the parts \['train', 'other'\]"),
    ],
)
def test_arrays_that_are_no_images(array: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_images(array)


def test_what_is_no_array_is_refused() -> None:
    with pytest.raises(TypeError, match="got a int"):
        read_images(3)


def header(shape: str, kind: str = "|u1") -> bytes:
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    text += " " * (53 - len(text) % 64 + (64 if len(text) % 64 > 53 else 0)) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "EOF"),
        (b"garbage" * 9, "magic string"),
        (header("(2, 2, 2)") + b"1234567", "promises 8 bytes"),
        (header("(200000, 2000, 2000)") + b"1", "promises 800,000,000,000 bytes"),
        (header("(2, 2, 2)", "|O") + bytes(200), "promises objects"),
        (b"\x93NUMPY\x01\x00\x12\x00{'descr': '<f4', (", ""),
        (header("-" * 4000 + "2"), ""),
        (header("(True, 2, 2)") + bytes(4), ""),
        (header(f"({10**200}, {10**200})") + bytes(4), r"promises 2\^64 or more bytes and has 4"),
        (header(f"({2**62 - 1}, 4, 1)") + bytes(4), "promises 18,446,744,073,709,551,612 bytes"),
        (header("(-2, -2, 1)") + bytes(4), ""),
    ],
)
def test_damaged_and_hostile_files(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("x.npy", content)
    for name in ("a.npy", "b.npz"):
        with pytest.raises(ValueError, match=f"must be an array of numbers.*{message}"):
            read_images(tmp_path / name)


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    mark = tmp_path / "it ran"
    payload = np.array([Payload(mark)], dtype=object)
    np.save(tmp_path / "a.npy", payload)
    np.savez(tmp_path / "b.npz", images=payload)
    for name in ("a.npy", "b.npz"):
        with pytest.raises(ValueError, match="promises objects"):
            read_images(tmp_path / name)
    assert not mark.exists()
    np.load(tmp_path / "a.npy", allow_pickle=True)
    assert mark.exists(), "the payload is harmless, and the test proves nothing"


def test_an_npz_without_images_lists_what_it_has(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", weights=COLOUR)
    with pytest.raises(ValueError, match=r"must hold an array named images, x or data .* got weights"):
        read_images(tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(b"PK no zip")
    with pytest.raises(ValueError, match="must be a zip archive"):
        read_images(tmp_path / "b.npz")
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((3, 2, 2), np.uint8))
    (tmp_path / "c.pt").write_bytes(buffer.getvalue())
    with pytest.raises(ValueError, match=r"\.pt files are not read, since unpickling"):
        read_images(tmp_path / "c.pt")


@pytest.mark.parametrize(
    "label", [np.array([2**63 + 5, 0, 0, 0], np.uint64), [0, 0, -1, 0], [0, 10**7, 0, 0], [0, 10**12, 0, 0]], ids=str
)
def test_labels_are_no_more_than_images_may_need(label: object) -> None:
    with pytest.raises(ValueError, match="labels must be class numbers from 0 to 65,535, got"):
        read_images((np.zeros((4, 5, 6)), np.asarray(label)))


def test_as_many_classes_as_images_are_fine() -> None:
    count = 2**16 + 4
    pixels = np.zeros((count, 1, 1), np.uint8)
    found = read_images({"train": (pixels, np.arange(count)), "test": pixels})
    assert found.labels is not None and int(found.labels.max()) == count - 1
