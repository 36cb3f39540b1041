"""What a checkpoint folder claims to hold, and whether it does.

A manifest lists the files of a checkpoint with size and SHA-256 and carries a digest of itself. It
finds accidents: truncation, bit rot, missing or edited files. It is no signature: what makes a
stranger's checkpoint safe to read is that tensors and JSON are data, that names stay inside the
folder and that no link is followed.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "CheckpointError",
    "Manifest",
    "NewerCheckpointError",
    "compare_digest",
    "is_damaged",
    "json_mapping",
    "newest_first",
    "open_member",
    "read_manifest",
    "step_of",
    "write_manifest",
]

FORMAT = 1
MANIFEST, STATE, SUFFIX = "manifest.json", "state.json", ".safetensors"
ENTRY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LIMIT = 4 * 2**20  # bytes of a manifest: thousands of files fit, a bomb does not
_PUBLISHED = re.compile(r"step_(\d{8,18})|\.old-(\d{8,18})-\d+")


class CheckpointError(ValueError):
    """A checkpoint that is incomplete, damaged, edited or of an unknown format."""


class NewerCheckpointError(CheckpointError):
    """A checkpoint that a later version of latentgen wrote: nothing is known to be wrong with it."""


@dataclass(frozen=True)
class Manifest:
    """The claims of one checkpoint.

    Args:
        step: Number of optimizer steps done.
        serial: Place in the order of publication within a run folder, from 1.
        files: Size in bytes and SHA-256 (hexadecimal) by file name.
    """

    step: int
    serial: int
    files: dict[str, tuple[int, str]]


def write_manifest(folder: Path, step: int) -> bytes:
    """The manifest of the files in a folder; its serial follows those beside the folder."""
    files = {
        path.name: {"size": path.stat().st_size, "sha256": _sha256(path)}
        for path in sorted(folder.iterdir())
    }
    serial = 0
    for path in newest_first(folder.parent):
        with suppress(CheckpointError, OSError):
            serial = max(serial, read_manifest(path).serial)
    body = {"format": FORMAT, "step": step, "serial": serial + 1, "files": files}
    return json.dumps({**body, "digest": _digest(body)}, indent=1).encode()


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a checkpoint folder, after every check that needs no other file.

    Raises:
        CheckpointError: If the folder or its manifest is not what a checkpoint has.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise CheckpointError(f"{folder.name} is a link or not a folder")
    with open_member(folder, MANIFEST) as handle:
        data = handle.read(_LIMIT + 1)
    if len(data) > _LIMIT:
        raise CheckpointError(f"{MANIFEST} is larger than {_LIMIT} bytes")
    content = json_mapping(MANIFEST, data)
    version = content.get("format")
    if type(version) is int and version > FORMAT:
        raise NewerCheckpointError(
            f"{MANIFEST} has format {version}, this version reads {FORMAT}: upgrade latentgen"
        )
    digest = content.pop("digest", None)
    if version != FORMAT or digest != _digest(content):
        raise CheckpointError(f"{MANIFEST} was edited or damaged")
    return _checked(content, folder)


def _checked(content: dict[str, Any], folder: Path) -> Manifest:
    """A manifest whose names stay in the folder and whose values have the right types."""
    step, serial, listed = (content.get(key) for key in ("step", "serial", "files"))
    if type(step) is not int or type(serial) is not int or not isinstance(listed, dict):
        raise CheckpointError(f"{MANIFEST} lacks step, serial or files")
    if step_of(folder) not in (-1, step):
        raise CheckpointError(f"{MANIFEST} is of step {step}")
    files: dict[str, tuple[int, str]] = {}
    for name, entry in listed.items():
        if name != STATE and not (name.endswith(SUFFIX) and ENTRY.fullmatch(name)):
            raise CheckpointError(f"{MANIFEST} names {name!r}, which no checkpoint holds")
        size = entry.get("size") if isinstance(entry, dict) else None
        digest = entry.get("sha256") if isinstance(entry, dict) else None
        if type(size) is not int or not isinstance(digest, str):
            raise CheckpointError(f"{MANIFEST} lacks size or SHA-256 of {name}")
        files[name] = (size, digest)
    if STATE not in files:
        raise CheckpointError(f"{MANIFEST} lacks {STATE}")
    return Manifest(step, serial, files)


def open_member(folder: Path, name: str, size: int | None = None) -> io.BufferedReader:
    """Open one regular file of a checkpoint for reading; links are not followed.

    Args:
        folder: The checkpoint.
        name: A file name that passed the checks of `read_manifest`.
        size: Expected size in bytes, None for any.

    Raises:
        CheckpointError: If it is missing, not a regular file, or of another size.
        OSError: If the disk refuses.
    """
    path = folder / name
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise CheckpointError(f"{name} is a link or not a file")
        if size is not None and found.st_size != size:
            raise CheckpointError(f"{name} has {found.st_size} bytes, the manifest says {size}")
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        return os.fdopen(os.open(path, flags), "rb")
    except FileNotFoundError as error:
        raise CheckpointError(f"{name} is missing") from error


def compare_digest(name: str, found: str, expected: str) -> None:
    """Refuse a file whose SHA-256 is not the one in the manifest.

    Raises:
        CheckpointError: If they differ.
    """
    if found != expected:
        raise CheckpointError(
            f"{name} has changed: its SHA-256 is {found[:12]}..., "
            f"the manifest says {expected[:12]}..."
        )


def json_mapping(name: str, data: bytes) -> dict[str, Any]:
    """A JSON mapping from bytes.

    Raises:
        CheckpointError: If the bytes are anything else.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{name} is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{name} is a {type(value).__name__}, not a mapping")
    return value


def is_damaged(folder: Path) -> bool | None:
    """Whether a checkpoint lacks something by names and sizes; None if that cannot be told.

    Weights are not read. A disk that refuses and a later format say nothing of the checkpoint.
    """
    try:
        for name, (size, _) in read_manifest(folder).files.items():
            open_member(folder, name, size).close()
    except (NewerCheckpointError, OSError):
        return None
    except CheckpointError:
        return True
    return False


def newest_first(root: Path) -> list[Path]:
    """All that may be a checkpoint, the one published last first, unreadable ones before it."""

    def rank(path: Path) -> tuple[float, int]:
        try:
            return read_manifest(path).serial, step_of(path)
        except (CheckpointError, OSError):
            return float("inf"), step_of(path)

    if not root.is_dir():
        return []
    return sorted((p for p in root.iterdir() if step_of(p) >= 0), key=rank, reverse=True)


def step_of(path: Path) -> int:
    """The step in the name of a published checkpoint; -1 if the name is not of that form."""
    found = _PUBLISHED.fullmatch(path.name)
    return int(found[1] or found[2]) if found else -1


def _digest(body: Mapping[str, Any]) -> str:
    """SHA-256 of a manifest without its own digest."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
