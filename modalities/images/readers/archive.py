"""Zip archives that nobody vouches for: nothing is unpacked to disk, and all members are checked before one is read."""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from pathlib import Path

TOTAL_LIMIT = 2**34
LARGE_MEMBER = 2**24
RATIO_LIMIT = 100
DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, ValueError, NotImplementedError, RuntimeError, EOFError,
    OverflowError, OSError,
)


def open_archive(path: Path) -> zipfile.ZipFile:
    """A zip archive whose members are plain files of honest size below its root.

    Raises:
        ValueError: if it is damaged or hostile.
    """
    try:
        archive = zipfile.ZipFile(path)
    except DAMAGE as error:
        raise ValueError(
            f"source {path.name} must be a zip archive, got a file that is none ({error}); download or pack it again."
        ) from None
    members = plain_files(archive)
    fault = next(((info, found) for info in archive.infolist() if (found := _fault(info))), None)
    total = sum(info.file_size for info in members)
    if fault is not None:
        archive.close()
        raise ValueError(
            f"source {path.name}: members of the archive must be plain files below its root, got "
            f"{fault[0].orig_filename!r} ({fault[1]}); do not trust this archive."
        )
    if total > TOTAL_LIMIT:
        archive.close()
        raise ValueError(
            f"source {path.name}: the archive must unpack to at most {TOTAL_LIMIT:,} bytes, got {total:,}; unpack it "
            "yourself if you trust it, and give the folder."
        )
    return archive


def plain_files(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Its members that are no folders."""
    return [info for info in archive.infolist() if not info.is_dir()]


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The content of a member, never more than it promised.

    Raises:
        ValueError: if it is damaged.
    """
    try:
        with archive.open(member) as file:
            return file.read(member.file_size)
    except DAMAGE as error:
        raise ValueError(
            f"source {member.filename}: the member must be readable, got the error '{error}'; download or pack the "
            "archive again."
        ) from None


def _fault(info: zipfile.ZipInfo) -> str:
    """What is wrong with a member, or nothing."""
    name = info.orig_filename
    parts = name.replace("\\", "/").split("/")
    if "\0" in name or "\\" in name or ":" in name or parts[0] == "" or ".." in parts:
        return "its path leaves the archive"
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a link or device"
    if info.flag_bits & 1:
        return "encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "packed by an unusual method"
    if info.file_size > LARGE_MEMBER and info.file_size > RATIO_LIMIT * info.compress_size:
        return "a decompression bomb"
    return ""
