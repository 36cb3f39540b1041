"""Data sets of the Hugging Face library ``datasets``, which is imported only when one is read."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from latentgen.archive import files_below, regular
from modalities.images.readers.arrays import Array, to_labels
from modalities.images.readers.decoding import Decoding, stacked
from modalities.images.readers.image_set import PARTS, ImageSet, Parts, Pixels

PREFIX = "hf:"
NO_LABEL = -1
"""What tables give for a class that is kept back, as those of many test parts."""
MARKS = ("dataset_dict.json", "dataset_info.json", "state.json")


def is_saved_dataset(path: Path) -> bool:
    """Whether a folder was written by ``save_to_disk``."""
    return path.is_dir() and any((path / mark).is_file() for mark in MARKS)


def read_hugging_face(source: str, decoding: Decoding) -> Parts:
    """A data set by its name on the hub, or by a local path (written by ``save_to_disk``, or of Parquet files).

    The column of the type ``Image`` gives the pixels; the first of the type ``ClassLabel``, or a column "label", gives
    the classes; a part whose labels are all -1 has none. Scripts of data sets are not run. Images that a table names
    and does not hold are not opened, but for those that the library itself has put into its cache for a data set that
    was given by name.

    Args:
        source: the name (``ylecun/mnist``, or ``name:config``) or the path.
        decoding: how pixels are made.

    Raises:
        ImportError: if ``datasets`` is missing.
        ValueError: if it cannot be loaded, or has no column of images.
    """
    library = _library()
    path = Path(source)
    for file in _local(path):
        regular(file)
    cache: tuple[Path, ...] = ()
    try:
        if is_saved_dataset(path):
            found = library.load_from_disk(str(path))
        elif path.suffix == ".parquet" or (path.is_dir() and list(path.glob("*.parquet"))):
            found = library.load_dataset("parquet", **_parquet(path))
        else:
            name, _, config = source.partition(":")
            found = library.load_dataset(name, config or None)
            cache = _cache(library) if not path.exists() else ()
    except Exception as error:
        raise ValueError(
            f"data is {PREFIX + source!r}, which cannot be loaded ({type(error).__name__}: {error}); check the name, "
            "or give a local path."
        ) from error
    tables = dict(found) if isinstance(found, dict) else {"": found}
    named = {PARTS.get(key, key): table for key, table in tables.items() if key in PARTS or key == ""}
    if not named:
        raise ValueError(f"data {source} has the parts {', '.join(tables)}; one must be called train or test.")
    return {part: partial(_read, table, decoding, source, cache) for part, table in named.items()}


def _local(path: Path) -> list[Path]:
    """The files that a local path names, of either kind."""
    if is_saved_dataset(path):
        return files_below(path, (".arrow", ".json"))
    return sorted(path.glob("*.parquet")) if path.is_dir() else [path] if path.exists() else []


def _parquet(path: Path) -> dict[str, Any]:
    by_part: dict[str, list[str]] = {}
    for file in _local(path):
        by_part.setdefault(PARTS.get(file.stem.split("-")[0].lower(), "train"), []).append(str(file))
    return {"data_files": by_part}


def _cache(library: Any) -> tuple[Path, ...]:
    """Where the library keeps what it has loaded from the hub."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return tuple(Path(place).resolve() for place in (library.config.HF_DATASETS_CACHE, HF_HUB_CACHE))


def _read(table: Any, decoding: Decoding, name: str, cache: tuple[Path, ...] = ()) -> ImageSet:
    library = _library()
    columns = [key for key, kind in table.features.items() if isinstance(kind, library.Image)]
    if not columns:
        raise ValueError(
            f"data {name} must have a column of the type Image, got {', '.join(map(str, table.features))}; cast one "
            "with datasets.Image()."
        )
    content = table.with_format(None).select_columns(columns[:1]).cast_column(columns[0], library.Image(decode=False))
    pixels = stacked(_decoded(content, columns[0], decoding, name, cache), len(table), name)
    kinds = table.features
    labels = [key for key, kind in kinds.items() if isinstance(kind, library.ClassLabel)]
    labels += [key for key in ("label", "labels") if key in kinds and key not in labels]
    if not labels:
        return ImageSet(pixels)
    kind = kinds[labels[0]]
    classes = tuple(kind.names) if isinstance(kind, library.ClassLabel) else ()
    numbers = _numbers(table, labels[0], library, name)
    if len(numbers) and bool((numbers == NO_LABEL).all()):
        return ImageSet(pixels)
    return ImageSet(pixels, to_labels(numbers, len(table), name), classes)


def _numbers(table: Any, column: str, library: Any, name: str) -> Array:
    """A column of whole numbers; one of another type is not even read, since it may name files."""
    kind = table.features[column]
    whole = isinstance(kind, library.Value) and kind.dtype.startswith(("int", "uint", "bool"))
    if not whole and not isinstance(kind, library.ClassLabel):
        raise ValueError(
            f"data {name}: the column {column} must hold class numbers, got the type {kind}; cast it with "
            "datasets.ClassLabel()."
        )
    numbers = table.with_format(None)[column][:]
    if None in numbers:
        raise ValueError(f"data {name}: the column {column} must give each image a class, got None; filter such rows.")
    return np.asarray(numbers)


def _decoded(
    table: Any, column: str, decoding: Decoding, name: str, cache: tuple[Path, ...]
) -> Iterator[Pixels]:
    """Images by the bytes that the table holds, or in the files that it names within a cache.

    Other paths and addresses in it are a stranger's choice, and not opened.
    """
    for number, row in enumerate(table):
        cell = row[column]
        if cell is None:
            raise ValueError(f"column {column} has an empty image; filter such rows out.")
        data = cell["bytes"] if cell["bytes"] is not None else _cached(cell["path"], cache)
        if data is None:
            raise ValueError(
                f"data {name}: the column {column} must hold the images' bytes, got none in row {number}, which names "
                "a file or address instead; embed the images with save_to_disk, or give their folder."
            )
        yield decoding.file(data, f"{name}, row {number}")


def _cached(named: str | None, cache: tuple[Path, ...]) -> bytes | None:
    """The content of a file within one of the places, wherever links lead; None for all else."""
    path = Path(named or "").resolve()
    if not named or not any(path.is_relative_to(place) for place in cache) or not path.is_file():
        return None
    return path.read_bytes()


def _library() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise ImportError('data of Hugging Face need datasets; pip install "latentgen[images]".') from error
    return datasets
