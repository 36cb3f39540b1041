"""Which names of files, lists and data sets are those of the parts train, valid and test."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from .files import SUFFIXES, kind

SPLITS = {
    "train": ("train", "training"),
    "valid": ("valid", "validation", "val", "dev", "development"),
    "test": ("test", "testing"),
}
"""Names of parts, by split."""
MARKS = r"(?=[-_.0-9])(?:[-_.]*(?:[0-9]|of|part|shard))+"
"""What numbers the files of a part: train-00000-of-00002, test_2016."""
ONE, NUMBERED, OTHER = range(3)
"""Just a part's name; the name and such marks; the name and anything else behind a mark."""


def closest(names: Mapping[str, str], split: str) -> tuple[int, list[str]]:
    """Those of a split that are closest to its name, and how close.

    Args:
        names: what each may be called by, such as the stem of a file.
        split: one of the ``SPLITS``.
    """
    ranks = {name: _rank(called, split) for name, called in names.items()}
    best = min((rank for rank in ranks.values() if rank is not None), default=OTHER)
    return best, [name for name, rank in ranks.items() if rank == best]


def _rank(called: str, split: str) -> int | None:
    name = f"(?:{'|'.join(SPLITS[split])})"
    patterns = (name, name + MARKS, name + r"[-_.0-9].*")
    found = (rank for rank, pattern in enumerate(patterns) if re.fullmatch(pattern, called.lower(), re.DOTALL))
    return next(found, None)


def only(names: Sequence[str], split: str, source: str) -> str:
    """The one of several parts in memory or in a data set.

    Raises:
        ValueError: if it is not clear.
    """
    _, found = closest({name: name for name in names}, split)
    if len(found) > 1:
        raise ValueError(f"{source} has the parts {', '.join(found)} for {split}; give lists, one for each part.")
    return found[0]


def has(names: Sequence[str], split: str) -> bool:
    """Whether one of them is of this split."""
    return any(_rank(name, split) is not None for name in names)


def files_of(files: Sequence[Path], split: str) -> list[Path]:
    """The files of a part that are read: the one of just its name, or else all with numbers, or else all others.

    Raises:
        ValueError: if one may be a copy of another.
    """
    stems = {path.name: stem(path) for path in files if kind(path) in SUFFIXES}
    rank, chosen = closest(stems, split)
    first: dict[str, str] = {}
    for name in chosen:
        other = first.setdefault(split if rank == ONE else stems[name], name)
        if other != name:
            raise ValueError(f"data has both {other!r} and {name!r}, as if one were a copy; move one of them away.")
    left = [name for name, called in stems.items() if _rank(called, split) is not None and name not in chosen]
    if left:
        warnings.warn(f"{', '.join(chosen)} alone is read for {split}, and not {', '.join(left)}.", stacklevel=2)
    if rank == OTHER and len(chosen) > 1:
        warnings.warn(f"{', '.join(chosen)} are read one after another for {split}.", stacklevel=2)
    return [path for path in files if path.name in chosen]


def has_files(files: Sequence[Path], split: str) -> bool:
    """Whether a file that can be read is of this split.

    Raises:
        ValueError: if only one of another format is.
    """
    if has([stem(path) for path in files if kind(path) in SUFFIXES], split):
        return True
    unread = next((path for path in files if _rank(stem(path), split) in (ONE, NUMBERED)), None)
    if unread is not None:
        known = ", ".join(SUFFIXES)
        raise ValueError(f"data has {unread.name!r} as a part; give one of {known}, also .gz, or move it away.")
    return False


def stem(path: Path) -> str:
    """Its name in small letters without suffixes of formats and compression."""
    name = path.name.lower().removesuffix(".gz")
    name = name.removesuffix(kind(path))
    return Path(name).stem if name.endswith(SUFFIXES) else name
