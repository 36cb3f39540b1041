"""Zip archives that nobody vouches for: nothing is unpacked to disk, and all members are checked before one is read."""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO, cast

TOTAL_LIMIT = 2**33
"""Bytes that an archive may unpack to, unless its reader says otherwise."""
LARGE_MEMBER = 2**24
RATIO_LIMIT = 100
"""A member beyond ``LARGE_MEMBER`` bytes that packs better than this is taken for a decompression bomb."""
DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, ValueError, NotImplementedError, RuntimeError, EOFError,
    OverflowError, OSError,
)
"""What Python's ``zipfile`` raises on a damaged archive."""


def open_archive(source: Path | BinaryIO, limit: int = TOTAL_LIMIT, name: str = "") -> zipfile.ZipFile:
    """A zip archive, such as an .npz file, whose members are plain files of honest size below its root.

    Args:
        source: a path or an open file.
        limit: bytes that all members together may have.
        name: what errors call it; the file's name unless given.

    Raises:
        ValueError: if it is damaged or hostile.
    """
    name = name or (source.name if isinstance(source, Path) else "the archive")
    try:
        archive = zipfile.ZipFile(source)
    except DAMAGE as error:
        raise ValueError(
            f"source {name} must be a zip archive, got a file that is none ({error}); download or pack it again."
        ) from None
    fault = next(((info, found) for info in archive.infolist() if (found := _fault(info))), None)
    total = sum(info.file_size for info in plain_files(archive))
    if fault is None and total <= limit:
        return archive
    archive.close()
    if fault is not None:
        raise ValueError(
            f"source {name}: members of the archive must be plain files below its root, got "
            f"{fault[0].orig_filename!r} ({fault[1]}); do not trust this archive."
        )
    raise ValueError(
        f"source {name}: the archive must unpack to at most {limit:,} bytes, got {total:,}; unpack it yourself if you "
        "trust it, and give the folder."
    )


def plain_files(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Its members that are no folders."""
    return [info for info in archive.infolist() if not info.is_dir()]


def open_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> BinaryIO:
    """A member, unpacked while it is read.

    Raises:
        ValueError: if it is damaged.
    """
    try:
        return cast("BinaryIO", archive.open(member))
    except DAMAGE as error:
        raise _unreadable(archive, member, error) from None


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The content of a member, never more than it promised.

    Raises:
        ValueError: if it is damaged.
    """
    try:
        with archive.open(member) as file:
            return file.read(member.file_size)
    except DAMAGE as error:
        raise _unreadable(archive, member, error) from None


def _unreadable(archive: zipfile.ZipFile, member: zipfile.ZipInfo, error: Exception) -> ValueError:
    where = f"{Path(archive.filename).name}/" if archive.filename else ""
    return ValueError(
        f"source {where}{member.filename}: the member must be readable, got the error '{error}'; download or pack the "
        "archive again."
    )


def _fault(info: zipfile.ZipInfo) -> str:
    """What is wrong with a member, or nothing."""
    name = info.orig_filename
    parts = name.replace("\\", "/").split("/")
    if "\0" in name or "\\" in name or ":" in name or parts[0] == "" or ".." in parts:
        return "its path leaves the archive"
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a link or device"
    if info.flag_bits & 1:
        return "encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "packed by an unusual method"
    if info.file_size > LARGE_MEMBER and info.file_size > RATIO_LIMIT * info.compress_size:
        return "a decompression bomb"
    return ""
