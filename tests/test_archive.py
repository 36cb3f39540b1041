"""Zip archives of strangers: what is refused, before anything is read, and in which words."""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path

import pytest

from latentgen.archive import open_archive, open_member, plain_files, read_member


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
