"""Checkpoints that are complete or not there.

A checkpoint is a folder `checkpoints/step_00001234` of safetensors files, one `state.json` and one
`manifest.json`. It is written under a temporary name, flushed to the disk and renamed; only then
are older ones removed. A kill at any moment therefore leaves the newest published checkpoint
loadable, and what a crash leaves lying about is cleared by the next save. Nothing is ever
unpickled.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .lock import RunLock, process_alive
from .manifest import (
    ENTRY,
    MANIFEST,
    STATE,
    SUFFIX,
    CheckpointError,
    NewerCheckpointError,
    compare_digest,
    is_damaged,
    json_mapping,
    newest_first,
    open_member,
    read_manifest,
    step_of,
    write_manifest,
)
from .optimizer_state import flatten_optimizer, unflatten_optimizer
from .storage import (
    check_json,
    discard,
    export_safetensors,
    parse_tensors,
    read_safetensors,
    replace_file,
    sync_folder,
    write_synced,
    write_tensors,
)

__all__ = [
    "CheckpointError",
    "RunLock",
    "export_safetensors",
    "flatten_optimizer",
    "latest_checkpoint",
    "load_checkpoint",
    "load_latest",
    "read_safetensors",
    "save_checkpoint",
    "unflatten_optimizer",
]

_LEFTOVER = re.compile(r"\.(?:tmp-\d+|trash-\d+|old-\d+|LATEST\.tmp)-(\d+)")
_FINITE = ("model", "ema")


def save_checkpoint(
    folder: Path,
    step: int,
    tensors: Mapping[str, Mapping[str, Tensor]],
    state: Mapping[str, Any],
    keep: int = 3,
    keep_steps: Iterable[int] = (),
) -> Path:
    """Publish one checkpoint in `folder/checkpoints` and prune older ones.

    Call it on one process of a distributed run only.

    Args:
        folder: The run folder.
        step: Number of optimizer steps done; it names the checkpoint. A checkpoint of the same
            step is replaced.
        tensors: Groups of tensors such as `model`, `ema`, `optimizer`, each one file. Tensors may
            be of any device, shape and dtype.
        state: Counters and other JSON values.
        keep: How many of the newest checkpoints stay.
        keep_steps: Steps that are never pruned.

    Returns:
        The folder of the published checkpoint.

    Raises:
        ValueError: If an argument is out of range, or a weight in a group whose name starts with
            `model` or `ema` is not finite.
        TypeError: If `state` is not JSON or a tensor is not dense.
        OSError: If writing fails (disk full, no permission); earlier checkpoints are untouched.
    """
    state = dict(state)
    _check_request(step, tensors, keep)
    check_json(state, "state")
    root = Path(folder) / "checkpoints"
    temporary = root / f".tmp-{step}-{os.getpid()}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        _restore_replaced(root)
        discard(temporary)  # containers restart with the same process number
        temporary.mkdir()
        _write_contents(temporary, step, tensors, state)
        published = _publish(temporary, root / f"step_{step:08d}")
    except OSError as error:
        raise OSError(
            error.errno or errno.EIO,
            f"checkpoint of step {step} was not written to {root} ({error.strerror or error}); "
            "earlier checkpoints are untouched: make room or fix the folder, then resume",
        ) from error
    finally:
        with suppress(OSError):
            discard(temporary)
    _prune(root, step, keep, {step, *keep_steps})
    return published


def _check_request(step: int, tensors: Mapping[str, Mapping[str, Tensor]], keep: int) -> None:
    """Refuse a request that would give a checkpoint nobody can use."""
    if not 0 <= step < 10**18:
        raise ValueError(
            f"step is {step}; expected an integer >= 0: pass the number of steps done"
        )
    if keep < 1:
        raise ValueError(
            f"keep is {keep}; expected at least 1: the newest checkpoint always stays"
        )
    for name in tensors:
        if not ENTRY.fullmatch(name + SUFFIX):
            raise ValueError(
                f"tensors has the name {name!r}; expected letters, digits, '.', '_' and '-': "
                "rename it"
            )
    if len({name.casefold() for name in tensors}) < len(tensors):
        raise ValueError(
            f"tensors has names that differ by case only ({sorted(tensors)}); rename one of them"
        )
    for group in (name for name in tensors if name.startswith(_FINITE)):
        for name, tensor in tensors[group].items():
            if not torch.isfinite(tensor).all():
                raise ValueError(
                    f"tensors[{group!r}][{name!r}] holds NaN or infinity; expected finite "
                    "weights: no checkpoint was written, go back to the last one at a lower rate"
                )


def _write_contents(
    folder: Path, step: int, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]
) -> None:
    """Write all files of a checkpoint into a folder, the manifest last."""
    for name, group in tensors.items():
        write_tensors(folder / f"{name}{SUFFIX}", group)
    write_synced(folder / STATE, json.dumps(state).encode())
    write_synced(folder / MANIFEST, write_manifest(folder, step))
    sync_folder(folder)


def _restore_replaced(root: Path) -> None:
    """Give back its name to a checkpoint that stepped aside when its replacement was killed."""
    for path in newest_first(root):
        final = root / f"step_{step_of(path):08d}"
        if path != final and not os.path.lexists(final):
            os.replace(path, final)


def _publish(temporary: Path, final: Path) -> Path:
    """Give a finished folder its name; one of that name steps aside, and back if that fails."""
    aside = final.with_name(f".old-{final.name.removeprefix('step_')}-{os.getpid()}")
    replaces = os.path.lexists(final)
    if replaces:
        discard(aside)
        os.replace(final, aside)
    try:
        os.replace(temporary, final)
    except OSError:
        if replaces:
            os.replace(aside, final)
        raise
    sync_folder(final.parent)
    replace_file(final.parent / "LATEST", f"{final.name}\n".encode())
    return final


def _prune(root: Path, step: int, keep: int, protected: set[int]) -> None:
    """Remove all but the newest sound checkpoints, and what dead processes left behind.

    What cannot be judged stays.
    """
    found = newest_first(root)
    published = [path for path in found if not path.name.startswith(".")]
    damaged = {path: step_of(path) != step and is_damaged(path) for path in published}
    sound = [path for path in published if damaged[path] is False]
    unknown = [path for path in published if damaged[path] is None]
    stay = published if len(sound) < keep else [*sound[:keep], *unknown]
    for path in found:
        if path not in stay and (path not in published or step_of(path) not in protected):
            _remove(path)
    for path in list(root.iterdir()):
        leftover = _LEFTOVER.fullmatch(path.name)
        if leftover and (int(leftover[1]) == os.getpid() or not process_alive(int(leftover[1]))):
            _remove(path)


def _remove(path: Path) -> None:
    """Remove a checkpoint: first its name, so that a kill half-way leaves no half checkpoint."""
    try:
        if step_of(path) >= 0:
            trash = path.with_name(f".trash-{step_of(path)}-{os.getpid()}")
            discard(trash)
            os.replace(path, trash)
            path = trash
        discard(path)
    except OSError as error:
        warnings.warn(f"could not remove {path}: {error}", stacklevel=2)


def latest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint of a run that was published last and is whole; None if there is none.

    The order of publication counts, so after going back to an earlier step the new branch wins.
    `checkpoints/LATEST` is for people and tools; it is not trusted here.

    Args:
        folder: The run folder.

    Warns:
        UserWarning: For each checkpoint that is skipped, with its name and what is wrong with it.
    """
    for path in newest_first(Path(folder) / "checkpoints"):
        try:
            for name, (size, digest) in read_manifest(path).files.items():
                with open_member(path, name, size) as handle:
                    found = hashlib.file_digest(handle, "sha256").hexdigest()
                compare_digest(name, found, digest)
            return path
        except (CheckpointError, OSError) as error:
            warnings.warn(f"checkpoint {path.name} is skipped: {error}", stacklevel=2)
    return None


def load_latest(
    folder: Path,
) -> tuple[Path, dict[str, dict[str, Tensor]], dict[str, Any]] | None:
    """What the run goes on from: the checkpoint published last of those that are whole, loaded.

    A run whose checkpoints are all damaged is not a new run: to train it from its first step would
    replace what may be mended.

    Args:
        folder: The run folder.

    Returns:
        Its path, its tensors by group and its state; None if the run has no checkpoint.

    Raises:
        CheckpointError: If there are checkpoints and none can be loaded, or one that may be the
            newest is of a later version of latentgen.
        OSError: If the disk refuses to give one.

    Warns:
        UserWarning: For each checkpoint that is skipped, with its name and what is wrong with it.
    """
    root = Path(folder) / "checkpoints"
    found, reason = newest_first(root), ""
    for path in found:
        try:
            return path, *_load(path)
        except NewerCheckpointError:
            raise
        except CheckpointError as error:
            reason = reason or f"{path.name}: {error}"
            warnings.warn(f"checkpoint {path.name} is skipped: {error}", stacklevel=2)
    if not found:
        return None
    raise CheckpointError(
        f"none of the {len(found)} checkpoints in {root} can be loaded ({reason}); restore one of "
        "them, or move that folder away to begin the run anew"
    )


def load_checkpoint(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Tensors by group, on the CPU, and the state of one checkpoint: all of it or an error.

    Raises:
        CheckpointError: If anything is missing, damaged, edited, or not what a checkpoint may
            hold.
    """
    path = Path(path)
    try:
        return _load(path)
    except (CheckpointError, OSError) as error:
        raise CheckpointError(
            f"checkpoint {path} cannot be loaded: {error}; use another one or restore the file"
        ) from error


def _load(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Tensors and state of a checkpoint; the bytes that are hashed are those that are read."""
    tensors: dict[str, dict[str, Tensor]] = {}
    state: dict[str, Any] = {}
    for name, (size, digest) in read_manifest(path).files.items():
        with open_member(path, name, size) as handle:
            data = handle.read()
        compare_digest(name, hashlib.sha256(data).hexdigest(), digest)
        if name == STATE:
            state = json_mapping(name, data)
        else:
            tensors[name.removesuffix(SUFFIX)] = _tensors(name, data)
    return tensors, state


def _tensors(name: str, data: bytes) -> dict[str, Tensor]:
    try:
        return parse_tensors(data)
    except ValueError as error:
        raise CheckpointError(f"{name} is {error}") from error
