"""Sources of every kind: classes, parts, mixtures, memory; hostile archives and empty folders."""

from __future__ import annotations

import io
import os
import zipfile

import numpy as np
import pytest
import torch
import trimesh

from modalities.points.clouds import Clouds
from modalities.points.readers import read_shapes
from modalities.points.surfaces import Surfaces


def box(size: float) -> bytes:
    return trimesh.creation.box((size, 1, 1)).export(file_type="off").encode()


@pytest.fixture
def modelnet(tmp_path):
    """Class folders with parts inside, and a file that is no shape."""
    for kind, sizes in (("chair", (1, 2, 3)), ("desk", (4, 5))):
        for part in ("train", "test"):
            (tmp_path / kind / part).mkdir(parents=True)
            for size in sizes:
                (tmp_path / kind / part / f"{kind}_{size}.off").write_bytes(box(size + (part == "test") / 2))
    (tmp_path / "README.md").write_text("no shape")
    return tmp_path


def test_classes_and_parts_by_folders(modelnet) -> None:
    train, test, valid = (read_shapes(modelnet, split) for split in ("train", "test", "valid"))
    assert train.names == ("chair", "desk")
    assert train.labels.tolist() == [0, 0, 0, 1, 1]
    assert isinstance(train.shapes, Surfaces)
    widths = test.shapes.bounds().high[:, 0] * 2
    assert widths.tolist() == [1.5, 2.5, 3.5, 4.5, 5.5]
    assert torch.equal(valid.shapes.corners, test.shapes.corners)


def test_an_archive_reads_as_its_folder(modelnet, tmp_path_factory) -> None:
    path = tmp_path_factory.mktemp("packed") / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(modelnet.rglob("*.*")):
            archive.write(file, file.relative_to(modelnet))
    assert torch.equal(read_shapes(path, "train").shapes.corners, read_shapes(modelnet, "train").shapes.corners)
    assert read_shapes(path, "test").labels.tolist() == [0, 0, 0, 1, 1]


def test_a_fifth_is_held_out(tmp_path) -> None:
    for number in range(10):
        (tmp_path / f"{number}.off").write_bytes(box(number + 1))
    bounds = {split: read_shapes(tmp_path, split).shapes.bounds() for split in ("train", "test")}
    widths = {split: (found.high[:, 0] * 2).tolist() for split, found in bounds.items()}
    assert widths["test"] == [5, 10]
    assert sorted(widths["train"] + widths["test"]) == list(range(1, 11))


def test_labels_mean_the_same_in_every_part(tmp_path) -> None:
    """A class without a test shape moves no number."""
    for kind, part, count in (("a", "train", 3), ("b", "train", 2), ("b", "test", 2), ("c", "test", 2)):
        (tmp_path / part / kind).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (tmp_path / part / kind / f"{number}.off").write_bytes(box(1))
    assert read_shapes(tmp_path, "train").labels.tolist() == [0, 0, 0, 1, 1]
    assert read_shapes(tmp_path, "test").labels.tolist() == [1, 1, 2, 2]


def test_folders_of_single_shapes_are_no_classes(tmp_path) -> None:
    for name in "abcdef":
        (tmp_path / name).mkdir()
        (tmp_path / name / "mesh.off").write_bytes(box(1))
    assert read_shapes(tmp_path, "train").labels is None


def test_meshes_and_points_together_become_points(tmp_path) -> None:
    (tmp_path / "m").mkdir()
    for number in range(2):
        (tmp_path / "m" / f"{number}.off").write_bytes(box(1))
    np.save(tmp_path / "clouds.npy", np.random.default_rng(0).random((3, 7, 3)))
    found = read_shapes(tmp_path, "train", pool=50)
    assert isinstance(found.shapes, Clouds)
    assert found.shapes.sizes.tolist() == [7, 7, 7, 50]
    assert read_shapes(tmp_path, "test", pool=50).shapes.sizes.tolist() == [50]
    assert found.names == ("clouds", "m")
    assert read_shapes(tmp_path, "train").shapes.sizes.max() == 15_000


def test_arrays_in_memory() -> None:
    x = np.random.default_rng(0).random((10, 6, 3))
    assert len(read_shapes(x, "train")) == 8
    labelled = read_shapes((torch.tensor(x), [0, 1] * 5), "test")
    assert labelled.labels.tolist() == [0, 1]
    parts = read_shapes({"train": x, "test": [x[0][:4], x[1][:2]]}, "test")
    assert parts.shapes.sizes.tolist() == [4, 2]
    meshes = read_shapes({"train": [trimesh.creation.box()], "test": [trimesh.creation.icosphere()]}, "train")
    assert float(meshes.shapes.areas[0]) == pytest.approx(6)


@pytest.mark.parametrize(
    ("member", "content", "message"),
    [
        ("../evil.off", box(1), "leaves the archive"),
        ("/evil.off", box(1), "leaves the archive"),
        ("a/bomb.off", b"0" * 2**25, "a decompression bomb"),
        ("a/empty.off", b"", "a/empty.off"),
        ("a/notes.txt", b"", "has no file of"),
    ],
)
def test_hostile_archives(tmp_path, member, content, message) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)
    with pytest.raises(ValueError, match=message):
        read_shapes(path, "train")


def test_a_damaged_member_is_named(tmp_path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/chair.off", box(1))
    data = bytearray(file.getvalue())
    data[60] ^= 255
    path = tmp_path / "all.zip"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"all.zip/a/chair.off: the member must be readable"):
        read_shapes(path, "train")


def test_what_is_not_there(tmp_path) -> None:
    for source, split, features, message in (
        ("nothing", "train", (), "does not exist"),
        (tmp_path, "train", (), "has no file of"),
        (3, "train", (), "data is a int"),
        ({"all": []}, "train", (), "name them train, valid and test"),
        (np.zeros((3, 4, 3)), "all", (), "choose train, valid or test"),
        (np.zeros((3, 4, 3)), "test", (), "has no shape"),
        (np.zeros((3, 4, 3)), "train", ("smell",), "choose of normals, colours, columns"),
        ([np.zeros((4, 3)), np.zeros((4, 6))], "train", (), "read them with equal features"),
    ):
        with pytest.raises(ValueError, match=message):
            read_shapes(source, split, features)


def test_linked_folders_are_read_and_hidden_ones_are_not(tmp_path) -> None:
    for name in ("a/chair/1", "a/chair/2", "b/3", "b/4", "a/.Trash-1000/files/5", "a/__MACOSX/6"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.off").write_bytes(box(1))
    (tmp_path / "a" / "desk").symlink_to(tmp_path / "b")
    found = read_shapes(tmp_path / "a", "train")
    assert found.names == ("chair", "desk") and found.labels.tolist() == [0, 0, 1, 1]
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a")
    with pytest.raises(ValueError, match="to a folder that it lies in"):
        read_shapes(tmp_path / "a", "train")


def test_hidden_members_of_an_archive_are_no_shapes(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name in ("1.off", "2.off", "__MACOSX/._1.off", ".Trash/3.off"):
            archive.writestr(name, box(1) if name[0].isdigit() else b"no mesh")
    assert len(read_shapes(tmp_path / "all.zip", "train")) == 2


def test_pipes_devices_and_absurd_paths_are_the_usual_errors(tmp_path) -> None:
    os.mkfifo(tmp_path / "a.npy")
    (tmp_path / "b.off").symlink_to("/dev/zero")
    for path in (tmp_path / "a.npy", tmp_path / "b.off", tmp_path):
        with pytest.raises(ValueError, match="must be a regular file or a folder, got a pipe, socket or device"):
            read_shapes(path, "train")
    with pytest.raises(ValueError, match=r"^data is 'xxx.*\.\.\..*must be readable, got the error 'File name"):
        read_shapes("x" * 5000, "train")
