"""Files of a folder or of a zip archive that nobody vouches for; nothing is unpacked to disk."""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

TOTAL_LIMIT = 2**33
LARGE_MEMBER = 2**24
RATIO_LIMIT = 100
DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, ValueError, NotImplementedError, RuntimeError, EOFError,
    OverflowError, OSError,
)
File = tuple[str, Callable[[], bytes]]
"""Name below the folder or root of the archive, with forward slashes, and a function that reads the file."""


def files_of(path: Path) -> Iterator[File]:
    """The files of a folder and its folders, or of a zip archive, by name; or the one file itself.

    Raises:
        ValueError: if an archive is damaged, or a member of it is hostile; nothing is read before all were checked.
    """
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts):
                yield file.relative_to(path).as_posix(), file.read_bytes
    elif path.suffix.lower() == ".zip":
        with open_archive(path, path.name) as archive:
            for member in sorted(archive.infolist(), key=lambda info: info.filename):
                if not member.is_dir():
                    yield member.filename, partial(_read, archive, member, path.name)
    else:
        yield path.name, path.read_bytes


def open_archive(source: object, name: str) -> zipfile.ZipFile:
    """A zip archive, such as an .npz file, whose members are plain files of honest size below its root.

    Args:
        source: a path or open file.
        name: what errors call it.

    Raises:
        ValueError: if it is damaged or hostile.
    """
    try:
        archive = zipfile.ZipFile(source)  # type: ignore[call-overload]
    except DAMAGE as error:
        raise ValueError(f"{name} is no whole zip archive ({error}); get it again.") from None
    members = archive.infolist()
    total = sum(info.file_size for info in members)
    fault = next((f"{info.orig_filename!r} is {found}" for info in members if (found := _fault(info))), "")
    if total > TOTAL_LIMIT and not fault:
        fault = f"its members unpack to {total:,} bytes, more than {TOTAL_LIMIT:,}"
    if fault:
        archive.close()
        raise ValueError(f"{name} is an archive to distrust: {fault}; unpack it yourself if you know better.")
    assert isinstance(archive, zipfile.ZipFile)
    return archive


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> bytes:
    try:
        with archive.open(member) as file:
            return file.read(member.file_size)
    except DAMAGE as error:
        raise ValueError(f"{name}/{member.filename} cannot be read ({error}); get the archive again.") from None


def _fault(info: zipfile.ZipInfo) -> str:
    """What is wrong with a member, or nothing."""
    name = info.orig_filename
    parts = name.replace("\\", "/").split("/")
    if "\0" in name or "\\" in name or ":" in name or parts[0] == "" or ".." in parts:
        return "a path that leaves the archive"
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a link or device"
    if info.flag_bits & 1:
        return "encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "packed by an unusual method"
    if info.file_size > LARGE_MEMBER and info.file_size > RATIO_LIMIT * info.compress_size:
        return "a decompression bomb"
    return ""
