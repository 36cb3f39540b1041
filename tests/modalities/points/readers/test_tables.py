"""Arrays, voxels and text against what was written; lies and damage named."""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from payload import Payload

from modalities.points.readers.shape import shape_of
from modalities.points.readers.tables import read_las, read_npy, read_npz, read_text
from modalities.points.readers.voxels import surface_voxels

POINTS = np.arange(24, dtype=np.float32).reshape(2, 4, 3)


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array)
    return file.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def test_one_cloud_and_many() -> None:
    assert torch.equal(read_npy("a", npy(POINTS[0]))[0].values, torch.tensor(POINTS[0]))
    assert torch.equal(read_npy("a", npy(POINTS))[1].values, torch.tensor(POINTS[1]))
    wide = np.concatenate([POINTS, POINTS], axis=2)
    assert read_npy("a", npy(wide))[0].values.shape == (4, 3)
    assert read_npy("a", npy(wide), ["columns"])[0].values.shape == (4, 6)


def test_clouds_of_several_sizes_with_names_and_parts() -> None:
    data = npz(points_cm=np.arange(18).reshape(6, 3) * 100, offsets=np.array([0, 2, 6]), label=np.array([1, 0]),
               label_names=np.array(["oak", "elm"]), is_test=np.array([False, True]))
    first, second = read_npz("trees", data)
    assert first.values.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert (len(second.values), first.kind, second.kind, first.part, second.part) == (4, "elm", "oak", "train", "test")


def test_parts_by_the_names_of_arrays() -> None:
    data = npz(x_train=POINTS, y_train=np.array([3, 5]), x_test=POINTS[:1], y_test=np.array([5]))
    found = read_npz("a", data)
    assert [(shape.part, shape.kind) for shape in found] == [("train", "0003"), ("train", "0005"), ("test", "0005")]


def test_the_surface_of_a_solid_cube() -> None:
    grid = np.zeros((8, 8, 8), bool)
    grid[1:6, 1:6, 1:6] = True
    cells = surface_voxels(grid)
    assert len(cells) == 5**3 - 3**3
    assert cells.min() == pytest.approx(1.5 / 8 - 0.5)
    assert cells.max() == pytest.approx(5.5 / 8 - 0.5)
    full = surface_voxels(np.ones((4, 4, 4), bool))
    assert len(full) == 4**3 - 2**3


def test_voxels_packed_and_plain() -> None:
    grids = np.random.default_rng(0).random((3, 8, 8, 16)) < 0.2
    packed = read_npz("v", npz(voxels_packed=np.packbits(grids, axis=-1), is_test=np.array([0, 1, 0])))
    plain = read_npz("v", npz(voxels=grids))
    assert all(torch.equal(a.values, b.values) for a, b in zip(packed, plain, strict=True))
    assert [shape.part for shape in packed] == ["train", "test", "train"]
    assert float(packed[0].values[:, 2].abs().max()) < 0.5 >= float(packed[0].values[:, 0].abs().max()) * 2


def test_text() -> None:
    found = read_text("a.xyz", b"# x y z\n1 2 3\n4,5,6\n")[0]
    assert found.values.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_places_on_a_map_keep_their_shape() -> None:
    """UTM coordinates of 1e6 metres and details of a millimetre: float32 has steps of 6 cm there."""
    details = np.random.default_rng(0).random((50, 3))
    found = shape_of(details + np.array([5e5, 5.2e6, 100]), "a").values.double().numpy()
    away = details - (details.min(axis=0) + details.max(axis=0)) / 2
    np.testing.assert_allclose(found, away, atol=1e-6)
    near = shape_of(details + 10, "a").values
    np.testing.assert_allclose(near.numpy(), details + 10, atol=1e-6)


def test_objects_are_never_unpickled(monkeypatch, tmp_path: Path) -> None:
    payload = np.array([Payload(tmp_path / "opened")], dtype=object)
    with pytest.raises(ValueError, match="promises objects"):
        read_npy("evil", npy(payload))
    with pytest.raises(ValueError, match="promises objects"):
        read_npz("evil", npz(points=payload))
    assert not (tmp_path / "opened").exists()
    np.load(io.BytesIO(npy(payload)), allow_pickle=True)
    assert (tmp_path / "opened").exists(), "the payload is harmless, and the test proves nothing"

    def refuse(*_: object) -> None:
        raise AssertionError("unpickled")

    monkeypatch.setattr("pickle.load", refuse)
    data = npy(np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="evil is no array of numbers \\(it promises objects"):
        read_npy("evil", data)
    with pytest.raises(ValueError, match="promises objects"):
        read_npz("evil", npz(points=np.array([{"a": 1}], dtype=object)))


def archive(*members: tuple[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members:
            made.writestr(name, data)
    return file.getvalue()


def claimed(shape: str) -> bytes:
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


CHECKERED = np.array([0xAA], np.uint8)
"""Every other cell of eight, all of them on the surface."""


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"voxels_packed": np.resize(CHECKERED, (1, 508, 512, 64))}, "grids of 133,169,152 cells; give at most"),
        ({"voxels_packed": np.resize(CHECKERED, (16, 128, 128, 63))}, "more than 268,435,456 bytes in a file"),
        ({"voxels_packed": np.resize(CHECKERED, (2**20, 2, 2, 3))}, "1,048,576 shapes, more than the 16,384"),
        ({"points": np.zeros((2**20, 1, 3), np.uint8)}, "1,048,576 shapes, more than the 16,384"),
        ({"points": np.zeros((9, 3)), "offsets": np.zeros(2**20, np.int64)}, "1,048,576 shapes, more than the 16,384"),
        ({"voxels": np.zeros((15, 1000, 1000), bool), "other": np.zeros(2**23, bool)}, "a decompression bomb"),
    ],
)
def test_small_files_do_not_become_many_points(arrays: dict[str, np.ndarray], message: str) -> None:
    data = npz(**arrays)
    assert len(data) < 10**5
    with pytest.raises(ValueError, match=message):
        read_npz("bomb", data)


@pytest.mark.parametrize(
    ("read", "data", "message"),
    [
        (read_npy, b"\x93NUMPY", "no array of numbers"),
        (read_npy, npy(POINTS)[:-4], "promises 96 bytes and has 92"),
        (read_npy, npy(POINTS).replace(b"(2, 4, 3)", b"(2, 9**9,3)"), "no array of numbers"),
        (read_npy, npy(np.zeros((5, 2))), "give points"),
        (read_npy, npy(np.zeros((0, 3))), "has no point"),
        (read_npy, npy(np.full((2, 3), np.nan)), "NaN or infinite"),
        (read_npy, npy(np.array([["a", "b", "c"]])), "has <U1 of shape"),
        (read_npy, npy(np.zeros((2, 3), [("a", "f4")])), "has .* of shape"),
        (read_npy, npy(POINTS).replace(b"'fortran", b"(ortran "), "no array of numbers"),
        (read_npy, npy(POINTS).replace(b"(2, 4, 3)", b"(True,3 )"), "no array of numbers"),
        (read_npy, claimed("-" * 4000 + "2"), "no array of numbers"),
        (read_npy, claimed(f"({10**200}, {10**200})"), r"promises 2\^64 or more bytes and has 0"),
        (read_npy, claimed(f"({2**62 - 1}, 4)"), "promises 18,446,744,073,709,551,612 bytes and has 0"),
        (read_npz, npz(points_cm=np.array([["a", "b", "c"]])), "has <U1 of shape"),
        (read_npz, npz(points=POINTS[0], offsets=np.array([0.0, 4.0])), "offsets of float64"),
        (read_npz, npz(voxels_packed=np.array(3, np.uint8)), r"uint8 of shape \[\]; give voxels"),
        (read_npz, npz(voxels=np.array([[["a"]]])), "give voxels"),
        (read_npy, npy(np.array([[1e300, 0, 0], [0, 0, 0]])), "beyond the range"),
        (read_npz, b"PK\x03\x04 no", "must be a zip archive"),
        (read_npz, npz(other=POINTS), "has the arrays other"),
        (read_npz, npz(points=POINTS, label=np.array([1])), "2 shapes and 1 labels"),
        (read_npz, npz(points=POINTS, label=np.array([0, 7]), label_names=np.array(["a"])), "labels up to 7"),
        (read_npz, npz(points=POINTS[0], offsets=np.array([0, 9])), "do not part 4 points"),
        (read_npz, npz(points=POINTS[0], offsets=np.array([0, 2, 2, 4])), "has no point"),
        (read_npz, npz(voxels=np.zeros((1, 4, 4, 4), bool)), "has no point"),
        (read_npz, archive(("../points.npy", npy(POINTS))), "leaves the archive"),
        (read_npz, archive(("points.npy", b"\0" * 2**25)), "a decompression bomb"),
        (read_text, b"1 2\n3 4 5\n", "no table of numbers"),
        (read_text, b"\xff\xfe", "no table of numbers"),
        (read_text, b"# nothing\n", "has no point"),
    ],
)
def test_damage_is_named(read, data, message) -> None:
    with pytest.raises(ValueError, match=message) as found:
        read("shapes", data)
    assert str(found.value).removeprefix("source ").startswith("shapes")


def test_lidar_needs_its_package(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "laspy", None)
    with pytest.raises(ImportError, match="pip install laspy"):
        read_las("a.las", b"LASF")
