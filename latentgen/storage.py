"""Files that are either complete or absent.

Every write here goes to a temporary name in the same folder, is flushed to the disk and then
renamed, so a reader meets the old content or the new content and never half of it. Weights are
safetensors; nothing in this module unpickles.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, load_file, save_file
from torch import Tensor

__all__ = [
    "check_json",
    "discard",
    "export_safetensors",
    "parse_tensors",
    "read_safetensors",
    "replace_file",
    "sync_folder",
    "write_synced",
    "write_tensors",
]

_CONFIG_KEY = "latentgen"
_PICKLE_STARTS = (b"\x80", b"PK\x03\x04")
_NOT_SUPPORTED = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EBADF)


def sync_folder(path: Path) -> None:
    """Flush a folder's list of names to the disk, where the system can do that.

    Raises:
        OSError: If the disk reports an error.
    """
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
    finally:
        os.close(descriptor)


def write_synced(path: Path, data: bytes) -> None:
    """Write one file and flush it to the disk (not atomic by itself).

    Raises:
        OSError: If the file cannot be written.
    """
    with open(path, "wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())


def replace_file(path: Path, data: bytes) -> None:
    """Put `data` at `path` atomically: readers see the old content or the new.

    Raises:
        OSError: If the file cannot be written; the old content then stands.
    """
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        write_synced(temporary, data)
        os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write tensors as safetensors and flush them to the disk (not atomic by itself).

    Tensors that share memory (tied weights) are written once each, others without a copy.

    Args:
        path: The file.
        tensors: Dense tensors of any device, shape and dtype, by name.
        metadata: Text for the header.

    Raises:
        TypeError: If an entry is not a dense tensor.
        OSError: If the file cannot be written.
    """
    ready = _independent(tensors)
    open(path, "wb").close()
    mode = path.stat().st_mode  # safetensors makes files private; a run folder follows the umask
    try:
        save_file(ready, path, metadata=metadata)
    except SafetensorError as error:
        number = re.search(r"(?:os error|code:) (\d+)", str(error))
        code = int(number[1]) if number else errno.EIO
        raise OSError(code, os.strerror(code) if number else str(error)) from error
    os.chmod(path, mode)
    with open(path, "rb+") as handle:
        os.fsync(handle.fileno())


def _independent(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the CPU, contiguous, no two of them in the same memory."""
    ready: dict[str, Tensor] = {}
    storages: set[int] = set()
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor) or tensor.layout != torch.strided:
            raise TypeError(
                f"tensors[{name!r}] is {_describe(tensor)}; expected a dense torch.Tensor: "
                "convert it or leave it out"
            )
        host = tensor.detach().cpu().contiguous()
        storage = host.untyped_storage().data_ptr()
        if storage in storages:
            host = host.clone()
        storages.add(storage)
        ready[name] = host
    return ready


def _describe(value: object) -> str:
    """A short name of what was given, for messages."""
    if isinstance(value, Tensor):
        return f"a tensor of layout {value.layout}"
    return f"of type {type(value).__name__}"


def parse_tensors(data: bytes) -> dict[str, Tensor]:
    """The tensors of a safetensors file that was read into memory, on the CPU.

    Raises:
        ValueError: If `data` is not a well-formed safetensors file.
    """
    try:
        return dict(load(data))
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"not a well-formed safetensors file ({error})") from error


def export_safetensors(
    path: Path, tensors: Mapping[str, Tensor], config: Mapping[str, Any]
) -> None:
    """Write weights and the configuration that built them as one file, atomically.

    Args:
        path: The file, usually `model.safetensors`; its folder is made.
        tensors: Weights by name.
        config: JSON values; they travel in the header of the file.

    Raises:
        TypeError: If `config` holds something that is not JSON, or an entry is not a tensor.
        OSError: If the file cannot be written; an earlier file then stands.
    """
    path = Path(path)
    config = dict(config)
    check_json(config, "config")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    metadata = {"format": "pt", _CONFIG_KEY: json.dumps(config)}
    try:
        write_tensors(temporary, tensors, metadata)
        os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights (on the CPU) and configuration of a file made by `export_safetensors`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not safetensors or holds no configuration.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"path is {path}, which is not a file; expected a safetensors file"
        )
    try:
        with safe_open(path, framework="pt") as handle:
            metadata = handle.metadata() or {}
        config = json.loads(metadata[_CONFIG_KEY])
        tensors = load_file(path)
    except KeyError as error:
        raise ValueError(
            f"path is {path}, whose header has no latentgen configuration; "
            "expected a file written by save_pretrained"
        ) from error
    except (SafetensorError, ValueError, RecursionError) as error:
        raise ValueError(_refusal(path, error)) from error
    if not isinstance(config, dict):
        raise ValueError(f"path is {path}, whose configuration is not a mapping; export it again")
    return dict(tensors), config


def _refusal(path: Path, error: Exception) -> str:
    """Why a file is not read, and what to do about it."""
    with open(path, "rb") as handle:
        start = handle.read(9)
    # a safetensors file begins with the length of its header, whose low bytes may be anything, and a brace
    if start.startswith(_PICKLE_STARTS) and start[4:] != b"\0\0\0\0{":
        return (
            f"path is {path}, which looks like a pickle, and pickles can run code, so they are "
            "never loaded; convert it where you trust it, with "
            "safetensors.torch.save_file(torch.load(file, weights_only=True), 'model.safetensors')"
        )
    return f"path is {path}, which is not a readable safetensors file ({error}); fetch it again"


def check_json(value: object, where: str) -> None:
    """Refuse what JSON would change or cannot hold, naming the place.

    Raises:
        TypeError: If a mapping has a key that is not text, or a value is not JSON.
    """
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{where} has the key {key!r}; expected text: use str(key)")
            check_json(item, f"{where}[{key!r}]")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            check_json(item, f"{where}[{index}]")
    elif not (value is None or isinstance(value, str | int | float | bool)):
        raise TypeError(
            f"{where} is {_describe(value)}; expected JSON (text, number, true, false, null, "
            "list, mapping): put tensors into tensors"
        )


def discard(path: Path) -> None:
    """Remove a file, a link (never what it points at) or a whole folder, if it is there.

    Raises:
        OSError: If something cannot be removed.
    """
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    elif path.exists():
        shutil.rmtree(path)
