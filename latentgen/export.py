"""Where examples are written: names of many files, one each, and never the place of the data."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
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


def away_from_data(path: Path, data: object) -> Path:
    """The path of an export, unless the data of the model lie there.

    Args:
        path: a file, or a folder of files, that will be written.
        data: as the modality was given it: a path, paths by parts, or anything else, which lies nowhere.

    Raises:
        ValueError: if the path is the data, holds them, or lies right in their folder.
    """
    place = path.resolve()
    for part in data.values() if isinstance(data, Mapping) else [data]:
        if isinstance(part, str | Path) and os.path.exists(part):
            own = Path(part).resolve()
            if own in (place, place.parent) or place in own.parents:
                raise ValueError(
                    f"folder is {str(path.parent)!r}, and the model's data, {str(part)!r}, could be lost to "
                    f"{path.name} in it; give another folder."
                )
    return path
