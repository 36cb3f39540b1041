"""Zip archives of strangers: what is refused, before anything is read, and in which words."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from latentgen.archive import files_below, open_archive, open_member, plain_files, read_member, regular


def packed(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def test_members_are_read_and_folders_passed_over(tmp_path: Path) -> None:
    with open_archive(packed(tmp_path / "a.zip", ("folder/", b""), ("folder/x.txt", b"hello"))) as archive:
        (member,) = plain_files(archive)
        assert read_member(archive, member) == b"hello"
        with open_member(archive, member) as file:
            assert file.read() == b"hello"


def test_an_open_file_is_an_archive_too(tmp_path: Path) -> None:
    content = io.BytesIO(packed(tmp_path / "a.zip", ("x", b"1")).read_bytes())
    assert [info.filename for info in plain_files(open_archive(content))] == ["x"]
    with pytest.raises(ValueError, match=r"^source mine must be a zip archive"):
        open_archive(io.BytesIO(b"no archive"), name="mine")


def link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    ("member", "fault"),
    [
        (("../x", b"1"), "its path leaves the archive"),
        (("/etc/x", b"1"), "its path leaves the archive"),
        (("a/../../x", b"1"), "its path leaves the archive"),
        (("C:x", b"1"), "its path leaves the archive"),
        ((link(), b"/etc/passwd"), "a link or device"),
        (("x", bytes(2**25)), "a decompression bomb"),
    ],
)
def test_hostile_members_are_refused(tmp_path: Path, member: tuple[str | zipfile.ZipInfo, bytes], fault: str) -> None:
    with pytest.raises(ValueError, match=rf"^source a\.zip: .*\({fault}\); do not trust this archive\.$"):
        open_archive(packed(tmp_path / "a.zip", ("fine", b"1"), member))


def test_methods_that_need_other_programs_and_passwords_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("x", b"1")
    with pytest.raises(ValueError, match="packed by an unusual method"):
        open_archive(path)
    content = bytearray(packed(path, ("x", b"1")).read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="encrypted"):
        open_archive(path)


def test_the_whole_has_a_limit(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.zip", ("x", bytes(600)), ("y", bytes(600)))
    open_archive(path, limit=1200).close()
    with pytest.raises(ValueError, match="at most 1,199 bytes, got 1,200; unpack it yourself if you trust it"):
        open_archive(path, limit=1199)


def test_damage_is_named(tmp_path: Path) -> None:
    content = bytearray(packed(tmp_path / "a.zip", ("x", b"some words that are packed")).read_bytes())
    content[36] ^= 255
    (tmp_path / "a.zip").write_bytes(content)
    with open_archive(tmp_path / "a.zip") as archive, pytest.raises(ValueError, match=r"^source a\.zip/x: the member"):
        read_member(archive, plain_files(archive)[0])


def test_many_members_make_a_bomb_too(tmp_path: Path) -> None:
    """Each is just below the size from which packing counts."""
    member = bytes(2**24 - 2**10)
    path = packed(tmp_path / "a.zip", ("x", member))
    open_archive(path).close()
    packed(path, ("x", member), ("y", member))
    with pytest.raises(ValueError, match=r"at most 100 times as many, got 33,552,384 \(a decompression bomb\)"):
        open_archive(path)
    with pytest.raises(ValueError, match="a decompression bomb"):
        open_archive(io.BytesIO(path.read_bytes()))
    packed(path, ("x", bytes(2**20)))
    with pytest.raises(ValueError, match="a decompression bomb"):
        open_archive(path, large=2**20 - 1)


def test_pipes_devices_and_what_is_not_there_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.zip")
    (tmp_path / "zero.zip").symlink_to("/dev/zero")
    for name in ("pipe.zip", "zero.zip"):
        with pytest.raises(ValueError, match=rf"^source '.*{name}' must be a regular file or a folder"):
            open_archive(tmp_path / name)
    for path in (tmp_path / "missing", Path("x" * 5000), Path("a\0b")):
        with pytest.raises(ValueError, match=r"^source must be an existing file or folder, got .{0,300}$"):
            regular(path)
    assert regular(tmp_path) == tmp_path


def test_a_linked_folder_is_followed_and_hidden_files_are_not_there(tmp_path: Path) -> None:
    hidden = ("root/.Trash-1000/files/3", "root/cat/.ipynb_checkpoints/4", "root/__MACOSX/5")
    for name in ("root/cat/1", "other/2", *hidden):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "root" / "dog").symlink_to(tmp_path / "other")
    found = [path.relative_to(tmp_path / "root").as_posix() for path in files_below(tmp_path / "root")]
    assert found == ["cat/1", "dog/2"]


def test_what_no_reader_would_take_does_not_stop_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("root/a/1.png", "root/lost+found/2.png", "root/.store/3.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name, target in (("notes.txt", "missing"), ("all", "root/a"), ("b", "root/.store"), ("run", "run")):
        (tmp_path / "root" / name).symlink_to(tmp_path / target)
    os.mkfifo(tmp_path / "root" / "socket")
    listing = Path.iterdir

    def closed(path: Path) -> Iterator[Path]:
        if path.name == "lost+found":
            raise PermissionError(13, "Permission denied")
        return listing(path)

    monkeypatch.setattr(Path, "iterdir", closed)
    found = [path.relative_to(tmp_path / "root").as_posix() for path in files_below(tmp_path / "root", (".png",))]
    assert found == ["a/1.png", "b/3.png"]
    (tmp_path / "root" / "gone.PNG").symlink_to(tmp_path / "missing")
    with pytest.raises(ValueError, match=r"must be an existing file or folder, got .*gone\.PNG"):
        files_below(tmp_path / "root", (".png",))


@pytest.mark.parametrize(
    ("link", "target", "message"),
    [
        ("root/cat/up", "root", "to a folder that it lies in"),
        ("root/cat/same", "root/cat", "to a folder that it lies in"),
        ("root/up", ".", "to a folder that it lies in"),
        ("other/back", "root", "within a linked folder"),
        ("root/gone", "missing", "must be an existing file or folder"),
    ],
)
def test_links_without_an_end_are_refused(tmp_path: Path, link: str, target: str, message: str) -> None:
    for name in ("root/cat", "other"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "root" / "dog").symlink_to(tmp_path / "other")
    (tmp_path / link).symlink_to(tmp_path / target)
    with pytest.raises(ValueError, match=message):
        files_below(tmp_path / "root")
