"""Data sets of the Hugging Face library ``datasets``, which is imported only when one is read."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modalities.images.readers.decoding import Decoding, stacked
from modalities.images.readers.image_set import PARTS, ImageSet, Parts, Pixels

PREFIX = "hf:"
MARKS = ("dataset_dict.json", "dataset_info.json", "state.json")


def is_saved_dataset(path: Path) -> bool:
    """Whether a folder was written by ``save_to_disk``."""
    return path.is_dir() and any((path / mark).is_file() for mark in MARKS)


def read_hugging_face(source: str, decoding: Decoding) -> Parts:
    """A data set by its name on the hub, or by a local path (written by ``save_to_disk``, or of Parquet files).

    The column of the type ``Image`` gives the pixels; the first of the type ``ClassLabel``, or a column "label", gives
    the classes. Scripts of data sets are not run.

    Args:
        source: the name (``ylecun/mnist``, or ``name:config``) or the path.
        decoding: how pixels are made.

    Raises:
        ImportError: if ``datasets`` is missing.
        ValueError: if it cannot be loaded, or has no column of images.
    """
    library = _library()
    path = Path(source)
    try:
        if is_saved_dataset(path):
            found = library.load_from_disk(str(path))
        elif path.suffix == ".parquet" or (path.is_dir() and list(path.glob("*.parquet"))):
            found = library.load_dataset("parquet", **_parquet(path))
        else:
            name, _, config = source.partition(":")
            found = library.load_dataset(name, config or None)
    except Exception as error:
        raise ValueError(
            f"data is {PREFIX + source!r}, which cannot be loaded ({type(error).__name__}: {error}); check the name, "
            "or give a local path."
        ) from error
    tables = dict(found) if isinstance(found, dict) else {"": found}
    named = {PARTS.get(key, key): table for key, table in tables.items() if key in PARTS or key == ""}
    if not named:
        raise ValueError(f"data {source} has the parts {', '.join(tables)}; one must be called train or test.")
    return {part: partial(_read, table, decoding, source) for part, table in named.items()}


def _parquet(path: Path) -> dict[str, Any]:
    files = [path] if path.is_file() else sorted(path.glob("*.parquet"))
    by_part: dict[str, list[str]] = {}
    for file in files:
        by_part.setdefault(PARTS.get(file.stem.split("-")[0].lower(), "train"), []).append(str(file))
    return {"data_files": by_part}


def _read(table: Any, decoding: Decoding, name: str) -> ImageSet:
    library = _library()
    columns = [key for key, kind in table.features.items() if isinstance(kind, library.Image)]
    if not columns:
        raise ValueError(
            f"data {name} must have a column of the type Image, got {', '.join(map(str, table.features))}; cast one "
            "with datasets.Image()."
        )
    kinds = table.features
    labels = [key for key, kind in kinds.items() if isinstance(kind, library.ClassLabel)]
    labels += [key for key in ("label", "labels") if key in kinds and key not in labels]
    pixels = stacked(_decoded(table.select_columns(columns[:1]), columns[0], decoding), len(table), name)
    if not labels:
        return ImageSet(pixels)
    classes = tuple(kinds[labels[0]].names) if isinstance(kinds[labels[0]], library.ClassLabel) else ()
    return ImageSet(pixels, torch.from_numpy(np.asarray(table[labels[0]][:], dtype=np.int64)), classes)


def _decoded(table: Any, column: str, decoding: Decoding) -> Iterator[Pixels]:
    for row in table:
        if row[column] is None:
            raise ValueError(f"column {column} has an empty image; filter such rows out.")
        yield decoding.image(row[column])


def _library() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise ImportError('data of Hugging Face need datasets; pip install "latentgen[images]".') from error
    return datasets
