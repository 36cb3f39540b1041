"""Files of a folder or of a zip archive that nobody vouches for."""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

Opener = Callable[[], BinaryIO]

# Text packs to a tenth; a large member far beyond that, or a huge total, is a decompression bomb.
TOTAL_LIMIT = 2**30
LARGE_MEMBER = 2**24
RATIO_LIMIT = 100
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    ValueError,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OverflowError,
)


@contextmanager
def open_files(path: Path) -> Iterator[Mapping[str, Opener]]:
    """The files of a folder or zip archive by base name, each with a function that opens it.

    Nothing is unpacked to disk, and no member is read before all of them have been checked.

    Args:
        path: The folder or archive.

    Raises:
        ValueError: If the archive is damaged or a member is hostile.
    """
    if path.is_dir():
        yield {file.name: partial(_open_plain, file) for file in _files(path)}
        return
    try:
        archive = zipfile.ZipFile(path)
    except DAMAGE as error:
        raise ValueError(
            f"source {path.name} must be a zip archive, got a file that is none ({error}); "
            "download or pack it again."
        ) from None
    with archive:
        members = [info for info in archive.infolist() if not info.is_dir()]
        _check(path.name, members)
        yield {
            PurePosixPath(info.filename).name: partial(_open, archive, info) for info in members
        }


def _open_plain(file: Path) -> BinaryIO:
    """A file of a folder."""
    return file.open("rb")


def _open(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> BinaryIO:
    """A member, unpacked while it is read."""
    try:
        return cast("BinaryIO", archive.open(member))
    except (*DAMAGE, OSError) as error:
        raise ValueError(
            f"source {member.filename}: the member must be readable, got the error '{error}'; "
            "download or pack the archive again."
        ) from None


def _files(folder: Path) -> list[Path]:
    """The plain files of a folder, by name."""
    return sorted(file for file in folder.iterdir() if file.is_file())


def _check(name: str, members: list[zipfile.ZipInfo]) -> None:
    """Refuse hostile members before anything is read."""
    for info in members:
        fault = _fault(info)
        if fault:
            raise ValueError(
                f"source {name}: members of the archive must be plain files below its root, got "
                f"{info.orig_filename!r} ({fault}); do not trust this archive."
            )
    total = sum(info.file_size for info in members)
    if total > TOTAL_LIMIT:
        raise ValueError(
            f"source {name}: the archive must unpack to at most {TOTAL_LIMIT:,} bytes, got "
            f"{total:,}; unpack it yourself if you trust it, and give the folder."
        )


def _fault(info: zipfile.ZipInfo) -> str:
    """What is wrong with a member, or nothing."""
    name = info.orig_filename
    parts = name.replace("\\", "/").split("/")
    if "\0" in name or "\\" in name or ":" in name or parts[0] == "" or ".." in parts:
        return "its path leaves the archive"
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        return "a link or device"
    if info.flag_bits & 1:
        return "encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "packed by an unusual method"
    if info.file_size > LARGE_MEMBER and info.file_size > RATIO_LIMIT * info.compress_size:
        return "a decompression bomb"
    return ""
