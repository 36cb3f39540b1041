"""Folders and archives of image files."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modalities.images.readers import read_images


def png(value: int, size: tuple[int, int] = (4, 6), colour: bool = False) -> bytes:
    shape = (*size, 3) if colour else size
    buffer = io.BytesIO()
    Image.fromarray(np.full(shape, value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def pack(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def values(found) -> list[int]:
    return found.pixels[:, 0, 0, 0].tolist()


def test_parts_and_classes_are_folders(tmp_path: Path) -> None:
    files = {f"{part}/{name}/{k}.png": png(k + shift) for part, shift in (("train", 0), ("test", 100))
             for name, k in (("cat", 1), ("cat", 2), ("ant", 3))}
    for source in (write(tmp_path / "a", files), pack(tmp_path / "a.zip", files)):
        train, test = read_images(source), read_images(source, "test")
        assert train.classes == ("ant", "cat")
        assert values(train) == [3, 1, 2] and values(test) == [103, 101, 102]
        assert train.labels is not None and train.labels.tolist() == [0, 1, 1]
        assert train.pixels.shape == (3, 1, 4, 6)


def test_a_class_that_one_part_lacks_keeps_its_number(tmp_path: Path) -> None:
    files = {"train/a/1.png": png(1), "train/b/2.png": png(2), "train/c/2.png": png(3), "test/c/3.png": png(4)}
    test = read_images(write(tmp_path, files), "test")
    assert test.labels is not None and test.labels.tolist() == [2]


def test_a_flat_folder_is_divided_and_has_no_classes(tmp_path: Path) -> None:
    folder = write(tmp_path, {f"{k:02d}.png": png(k) for k in range(10)} | {"notes.txt": b"x", "._1.png": b"x"})
    train, test = read_images(folder), read_images(folder, "test")
    assert sorted(values(train) + values(test)) == list(range(10))
    assert train.labels is None and train.classes == () and len(test) == 2
    assert train.notes == ("2 of 10 images became the test set.",)


def test_archives_in_a_folder_name_their_parts(tmp_path: Path) -> None:
    for number in range(2):
        pack(tmp_path / f"train_{number}.zip", {f"dog/{number}.png": png(number), f"cat/{number}.png": png(9)})
    pack(tmp_path / "test_0.zip", {"dog/0.png": png(50)})
    train, test = read_images(tmp_path), read_images(tmp_path, "test")
    assert values(train) == [9, 9, 0, 1] and values(test) == [50]
    assert train.labels is not None and train.labels.tolist() == [0, 0, 1, 1]


def test_omniglot_archives_share_alphabets(tmp_path: Path) -> None:
    """Folders alphabet/character below one folder that names the archive; a file in both archives counts once."""
    shared = {"Greek/character01/a.png": png(1), "Greek/character02/b.png": png(2)}
    own = {"s1": {"Balinese/character01/c.png": png(3)}, "s2": {"Tagalog/character01/c.png": png(4)}}
    paths = [pack(tmp_path / f"{top}.zip", {f"{top}/{name}": content for name, content in (shared | files).items()})
             for top, files in own.items()]
    parts = [read_images(paths, split) for split in ("train", "test")]
    assert sorted(values(parts[0]) + values(parts[1])) == [1, 2, 3, 4]
    assert parts[0].classes == ("Balinese/character01", "Greek/character01", "Greek/character02", "Tagalog/character01")
    assert "2 file(s) that were there twice were left out." in parts[0].notes


def test_mixed_sizes_are_refused_or_resized(tmp_path: Path) -> None:
    folder = write(tmp_path, {"a.png": png(1), "b.png": png(2), "c.png": png(3, (8, 8))})
    with pytest.raises(ValueError, match=r"one size, got 4 x 6 grey and 8 x 8 grey \(.*\.png\); give size"):
        read_images(folder, "train" if len(read_images(folder, "test", size=4)) else "test")
    assert read_images(folder, size=(3, 5)).pixels.shape == (2, 1, 3, 5)


def test_grey_and_colour_are_refused_or_converted(tmp_path: Path) -> None:
    folder = write(tmp_path, {f"{k}.png": png(k, colour=k % 2 == 1) for k in range(8)})
    with pytest.raises(ValueError, match=r"got .* (grey and .* colour|colour and .* grey).*give channels=1 or 3"):
        read_images(folder)
    assert read_images(folder, channels=3).pixels.shape[1] == 3
    assert values(read_images(folder, channels=1)) == values(read_images(folder, channels=3))


@pytest.mark.parametrize("content", [b"", b"no image at all", png(1, (40, 40))[:60]])
def test_damaged_files_are_named(tmp_path: Path, content: bytes) -> None:
    folder = write(tmp_path, {"train/good.png": png(1), "train/bad.png": content, "test/good.png": png(1)})
    with pytest.raises(ValueError, match=r"source train/bad\.png: the image file (is empty|must be readable)"):
        read_images(folder)


def test_nothing_to_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must hold at least one image file"):
        read_images(tmp_path)
    with pytest.raises(ValueError, match=r"2 image.s., which cannot be divided"):
        read_images(write(tmp_path, {"a.png": png(1), "b.png": png(1)}))
    with pytest.raises(ValueError, match="which is no existing file or folder"):
        read_images(tmp_path / "nowhere")
    (tmp_path / "a.doc").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"got a\.doc, convert it"):
        read_images(tmp_path / "a.doc")
    with pytest.raises(ValueError, match=r"there is no part 'valid', only train, test"):
        read_images(write(tmp_path, {f"{k}.png": png(1) for k in range(5)}), "valid")


# ---- hostile archives ----


@pytest.mark.parametrize("name", ["../a.png", "/etc/a.png", "x/../../a.png", "c:/a.png", "x\\a.png"])
def test_paths_that_leave_an_archive(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        member = zipfile.ZipInfo("placeholder")
        member.filename = name
        archive.writestr(member, png(1))
    with pytest.raises(ValueError, match=r"its path leaves the archive.; do not trust"):
        read_images(path)


def test_links_and_bombs_in_an_archive(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("a.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(ValueError, match="a link or device"):
        read_images(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(2**25))
    with pytest.raises(ValueError, match="a decompression bomb"):
        read_images(tmp_path / "b.zip")
    (tmp_path / "c.zip").write_bytes(b"PK\3\4 broken")
    with pytest.raises(ValueError, match=r"source c\.zip must be a zip archive"):
        read_images(tmp_path / "c.zip")


def test_a_damaged_member_is_named(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {f"{k}.png": png(k) for k in range(5)})
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 6] ^= 255
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match="must be readable"):
        for split in ("train", "test"):
            read_images(path, split)


def test_a_linked_class_folder_is_a_class(tmp_path: Path) -> None:
    write(tmp_path, {"a/train/cat/1.png": png(1), "a/test/cat/2.png": png(2), "b/3.png": png(3), "b/4.png": png(4)})
    (tmp_path / "a" / "train" / "dog").symlink_to(tmp_path / "b")
    found = read_images(tmp_path / "a")
    assert values(found) == [1, 3, 4] and found.classes == ("cat", "dog")
    assert found.labels is not None and found.labels.tolist() == [0, 1, 1]
    (tmp_path / "a" / "train" / "ant").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="to a folder that it lies in"):
        read_images(tmp_path / "a")


def test_hidden_folders_are_no_classes(tmp_path: Path) -> None:
    names = (".ipynb_checkpoints/1-checkpoint.png", ".Trash-1000/files/2.png", "__MACOSX/3.png")
    files = {f"{k}.png": png(k) for k in range(5)} | {name: png(99) for name in names}
    for source in (write(tmp_path / "a", files), pack(tmp_path / "a.zip", files)):
        found = read_images(source)
        assert found.labels is None and len(found) == 4 and 99 not in values(found)


@pytest.mark.parametrize("name", ["a.png", "a.npy", "a.npz", "a.zip", "train-images-idx3-ubyte"])
def test_pipes_and_devices_are_not_opened(tmp_path: Path, name: str) -> None:
    """Reading one would never end."""
    os.mkfifo(tmp_path / name)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / name).symlink_to("/dev/zero")
    for path in (tmp_path / name, tmp_path / "b" / name):
        with pytest.raises(ValueError, match="must be a regular file or a folder, got a pipe, socket or device"):
            read_images(path)
    if name == "a.png":
        with pytest.raises(ValueError, match="must be a regular file"):
            read_images(tmp_path / "b")


def test_a_path_of_absurd_length_is_the_usual_error() -> None:
    with pytest.raises(ValueError, match=r"^source must be .*'xxx.*\.\.\..*which is no existing file") as error:
        read_images("x" * 5000)
    assert len(str(error.value)) < 500
