"""Folders and zip archives that nobody vouches for: no pipe or device is opened, nothing is unpacked to disk, and all
members of an archive are checked before one is read."""

from __future__ import annotations

import contextlib
import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path, PurePath
from typing import BinaryIO, cast

TOTAL_LIMIT = 2**33
"""Bytes that an archive may unpack to, unless its reader says otherwise."""
LARGE_MEMBER = 2**24
RATIO_LIMIT = 100
"""What unpacks to more than ``LARGE_MEMBER`` bytes and packs better than this, a member or the whole archive, is taken
for a decompression bomb."""
SHOWN_LENGTH = 100
DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, ValueError, NotImplementedError, RuntimeError, EOFError,
    OverflowError, OSError,
)
"""What Python's ``zipfile`` raises on a damaged archive."""


def open_archive(
    source: Path | BinaryIO, limit: int = TOTAL_LIMIT, name: str = "", large: int = LARGE_MEMBER
) -> zipfile.ZipFile:
    """A zip archive, such as an .npz file, whose members are plain files of honest size below its root.

    Args:
        source: a path or an open file.
        limit: bytes that all members together may have.
        name: what errors call it; the file's name unless given.
        large: bytes that all members together may have however well they pack.

    Raises:
        ValueError: if it is damaged or hostile.
    """
    name = name or (source.name if isinstance(source, Path) else "the archive")
    if isinstance(source, Path):
        regular(source)
    try:
        archive = zipfile.ZipFile(source)
        packed = _size(source)
    except DAMAGE as error:
        raise ValueError(
            f"source {name} must be a zip archive, got a file that is none ({error}); download or pack it again."
        ) from None
    fault = next(((info, found) for info in archive.infolist() if (found := _fault(info))), None)
    total = sum(info.file_size for info in plain_files(archive))
    bomb = total > large and total > RATIO_LIMIT * packed
    if fault is None and total <= limit and not bomb:
        return archive
    archive.close()
    if fault is not None:
        raise ValueError(
            f"source {name}: members of the archive must be plain files below its root, got "
            f"{fault[0].orig_filename!r} ({fault[1]}); do not trust this archive."
        )
    if total <= limit:
        raise ValueError(
            f"source {name}: the archive of {packed:,} bytes must unpack to at most {RATIO_LIMIT} times as many, got "
            f"{total:,} (a decompression bomb); do not trust this archive."
        )
    raise ValueError(
        f"source {name}: the archive must unpack to at most {limit:,} bytes, got {total:,}; unpack it yourself if you "
        "trust it, and give the folder."
    )


def regular(path: Path) -> Path:
    """The path, which names a folder or a regular file and no pipe or device, whose reading may never end.

    Raises:
        ValueError: if it names something else, or nothing.
    """
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ValueError(
            f"source must be an existing file or folder, got {shortened(path)} ({reason}); check the path."
        ) from None
    if kind not in (stat.S_IFREG, stat.S_IFDIR):
        raise ValueError(
            f"source {shortened(path)} must be a regular file or a folder, got a pipe, socket or device; copy what it "
            "holds into a file."
        )
    return path


def shortened(path: object) -> str:
    """A path for a message, in quotes, its middle left out where it is very long."""
    text = str(path)
    half = SHOWN_LENGTH // 2
    return repr(text if len(text) <= SHOWN_LENGTH else f"{text[:half]}...{text[-half:]}")


def is_hidden(name: PurePath) -> bool:
    """Whether a file below a root is hidden, lies in a hidden folder, or is one of the marks that macOS packs."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.parts)


def files_below(folder: Path, suffixes: Collection[str] | None = None) -> list[Path]:
    """All that lies in a folder and its folders, and is neither a folder nor hidden, by name.

    A link to a folder outside is followed, so that a class may be one; within such a folder no other is. One to a
    folder that lies below the root is passed over, since that is read in its own place, and so are folders that must
    not be read.

    Args:
        folder: the root.
        suffixes: in lower case, of the files that are wanted; None for all.

    Raises:
        ValueError: if a link to a wanted file leads nowhere, or one to a folder leads back to a folder that it lies in
            or lies in a linked folder itself.
    """
    return sorted(_below(folder, folder.resolve(), suffixes, linked=False))


def _below(folder: Path, root: Path, suffixes: Collection[str] | None, linked: bool) -> list[Path]:
    found: list[Path] = []
    for path in folder.iterdir():
        if is_hidden(PurePath(path.name)):
            continue
        if not _is_folder(path):
            if suffixes is None or path.suffix.lower() in suffixes:
                found.append(regular(path) if path.is_symlink() else path)
            continue
        if path.is_symlink():
            target = path.resolve()
            if linked or target == folder.resolve() or target in folder.resolve().parents:
                raise ValueError(
                    f"source {shortened(path)} must be a folder or a link to one outside of it, got a link "
                    f"{'within a linked folder' if linked else 'to a folder that it lies in'}; put the folder itself "
                    "in its place, or remove it."
                )
            if target.is_relative_to(root) and not is_hidden(target.relative_to(root)):
                continue
        with contextlib.suppress(PermissionError):
            found += _below(path, root, suffixes, linked or path.is_symlink())
    return found


def _is_folder(path: Path) -> bool:
    """Whether it is a folder, which nothing behind a closed door is."""
    try:
        return path.is_dir()
    except PermissionError:
        return False


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


def _size(source: Path | BinaryIO) -> int:
    """Bytes of the archive itself; what its members claim to take may overlap."""
    return source.stat().st_size if isinstance(source, Path) else source.seek(0, io.SEEK_END)


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
