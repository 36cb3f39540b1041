"""Names of the files of many examples, one file each."""

from __future__ import annotations

import re
from pathlib import Path

STEM = "sample"


def numbered_files(folder: Path, count: int, suffix: str) -> list[Path]:
    """``sample_00000`` and so on in a folder, which is made; those of an earlier, longer export are removed.

    Args:
        folder: of the files.
        count: how many.
        suffix: of every name, such as ``.png``.

    Returns:
        The files' paths, none of which need exist.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{STEM}_{number:05d}{suffix}" for number in range(count)]
    own, kept = re.compile(rf"{STEM}_\d{{5,}}{re.escape(suffix)}"), {path.name for path in paths}
    for path in folder.iterdir():
        if own.fullmatch(path.name) and path.name not in kept:
            path.unlink()
    return paths
