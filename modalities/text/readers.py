"""Readers of sentences: files, folders by their files' names, Hugging Face data sets, lists."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from .files import CONTENT, SUFFIXES, Label, checked, kind, read_file, without_columns
from .parts import SPLITS, files_of, has, has_files, only

HOLD_OUT = 5
"""Where a source has no test part, every fifth sentence becomes it."""
Parts = dict[str, Callable[[], list[str]]]
"""What reads each part: nothing is read, or found to be unclear, before it is asked for."""


def read_sentences(source: Any, split: str, column: str | None = None) -> list[str]:
    """The sentences of a part of a source; runs of white space become one space, and empty lines are dropped.

    Args:
        source: a file (a line a sentence, CSV, JSON lines; also gzipped), a folder whose files are called train, valid
            (val, dev) or test (``modalities.text.parts``; numbered files of a part are read one after another),
            ``hf:NAME``, a folder of ``save_to_disk`` or such a data set itself, strings, or a mapping from such names
            of parts to strings or files. Strings are a list, an array, or anything else that gives them one by one.
        split: "train", "valid" or "test".
        column: of a table; the first of a few usual names, or the only column, unless given.

    Raises:
        ValueError: if the source, its part or its column is not there or not clear, or a file cannot be read
            (``modalities.text.files``).
    """
    return [sentence for sentence, _ in read_labelled(source, split, column)]


def read_labelled(
    source: Any, split: str, column: str | None = None, label: str | None = None
) -> list[tuple[str, str]]:
    """The sentences of :func:`read_sentences`, each with its class, "" where it has none.

    Args:
        source: as there; classes are those of tables.
        split: as there.
        column: as there.
        label: column of the classes; None gives none.

    Raises:
        ValueError: as there, or if there is no such column of classes.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; choose train, valid or test.")
    found = _part(_parts(source, column), split)
    classes = [""] * len(found) if label is None else _part(_parts(source, Label(label)), split)
    pairs = zip(found, classes, strict=True)
    cleaned = [(" ".join(sentence.split()), " ".join(name.split())) for sentence, name in pairs]
    kept = [pair for pair in cleaned if pair[0]]
    if not kept:
        raise ValueError(f"the part {split} of {_shown(source)} has no sentence; give other data.")
    return kept


def _shown(source: Any) -> str:
    if not isinstance(source, str | Path):
        return f"the given {type(source).__name__}"
    text = repr(str(source))
    return text if len(text) <= 200 else f"{text[:200]}..."


def kept(source: Any) -> Any:
    """The source, with lists for what can be read only once, such as generators."""
    if isinstance(source, Mapping):
        return {name: kept(part) for name, part in source.items()} if any(_once(source)) else source
    return list(source) if isinstance(source, Iterator) else source


def _once(source: Mapping[Any, Any]) -> Iterator[bool]:
    return (isinstance(part, Iterator) for part in source.values())


def _part(parts: Parts, split: str) -> list[str]:
    """One part; where there is no test part it is held out of the training sentences, and "valid" is the test part."""
    if "train" not in parts:
        raise ValueError(f"the parts are {', '.join(parts)}, and train is not among them; name one so.")
    if "test" in parts:
        return parts.get(split, parts["test"])()
    if split == "valid" and "valid" in parts:
        return parts["valid"]()
    return _held(parts["train"](), split != "train")


def _held(sentences: list[str], test: bool) -> list[str]:
    return [sentence for number, sentence in enumerate(sentences) if (number % HOLD_OUT == HOLD_OUT - 1) == test]


def _parts(source: Any, column: str | None) -> Parts:
    if type(source).__module__.startswith("datasets."):
        return _sets(source, column, "data")
    if isinstance(source, Mapping):
        return _mapped({str(name): part for name, part in source.items()}, column)
    if isinstance(source, str) and source.startswith("hf:"):
        return _hub(source.removeprefix("hf:"), column)
    if isinstance(source, str | Path):
        path = _existing(source, "data", "a file, a folder or hf:NAME")
        return _folder(path, column) if path.is_dir() else {"train": lambda: read_file(path, column)}
    without_columns(column, "a list of strings")
    return {"train": lambda: _strings(source, "data", "a path, hf:NAME, or strings")}


def _mapped(parts: Mapping[str, Any], column: str | None) -> Parts:
    def read(split: str) -> list[str]:
        name = only(list(parts), split, "data")
        part, shown = parts[name], f"the part {name}"
        if isinstance(part, str | Path):
            return read_file(_existing(part, shown, "a file, or strings"), column)
        without_columns(column, shown)
        return _strings(part, shown, "the path of a file, or strings")

    found = [split for split in SPLITS if has(list(parts), split)]
    if not found:
        names = ", ".join(parts) or "none"
        raise ValueError(f"the parts of data are {names}; name them train, valid (val, dev) and test.")
    return {split: partial(read, split) for split in found}


def _strings(part: Any, name: str, expected: str) -> list[str]:
    """Strings of any iterable; a table is none, as it would give the names of its columns."""
    if not isinstance(part, Iterable) or isinstance(part, bytes | Mapping) or getattr(part, "ndim", 1) != 1:
        raise ValueError(f"{name} is a {type(part).__name__}; give {expected}.")
    found: list[str] = []
    for number, sentence in enumerate(sorted(part) if isinstance(part, set | frozenset) else part, 1):
        if isinstance(sentence, bytes | Mapping):
            raise ValueError(f"{name}, sentence {number} is a {type(sentence).__name__}; give strings.")
        found.append(checked(str(sentence), f"{name}, sentence {number}"))
    return found


def _existing(source: str | Path, name: str, expected: str) -> Path:
    try:
        if Path(source).exists():
            return Path(source)
    except OSError as error:
        why = f"which cannot be read ({error.strerror}); give {expected}"
        raise ValueError(f"{name} is {_shown(source)}, {why}.") from error
    raise ValueError(f"{name} is {_shown(source)}, which does not exist; give {expected}.")


def _folder(folder: Path, column: str | None) -> Parts:
    if (folder / "dataset_info.json").exists() or (folder / "dataset_dict.json").exists():
        return _hub(str(folder), column, disk=True)
    files = sorted(path for path in folder.iterdir() if not path.is_dir())

    def read(split: str) -> list[str]:
        return [sentence for path in files_of(files, split) for sentence in read_file(path, column)]

    found = [split for split in SPLITS if has_files(files, split)]
    if not found:
        raise ValueError(f"data is {_shown(folder)}, which has no file called train, valid or test; name one so.")
    unread = [path.name for path in files if kind(path) in SUFFIXES and not any(has_files([path], s) for s in SPLITS)]
    if "test" not in found and unread:
        why = "no file is called test, and every fifth sentence of train is held out for it"
        warnings.warn(f"{why}; {', '.join(unread)} are not read.", stacklevel=2)
    return {split: partial(read, split) for split in found}


def _hub(name: str, column: str | None, disk: bool = False) -> Parts:
    try:
        import datasets
    except ImportError as error:
        raise ImportError('the package datasets is missing: pip install "latentgen[text]".') from error
    return _sets(datasets.load_from_disk(name) if disk else datasets.load_dataset(name), column, name)


def _sets(found: Any, column: str | None, name: str) -> Parts:
    """The parts of a ``Dataset``, or of a ``DatasetDict``."""
    sets = {str(part): rows for part, rows in found.items()} if isinstance(found, Mapping) else {"train": found}

    def read(split: str) -> list[str]:
        chosen = only(list(sets), split, repr(name))
        columns = sets[chosen].column_names
        picked = column or next((key for key in CONTENT if key in columns), columns[0])
        if picked not in columns:
            asked = "label" if isinstance(column, Label) else "column"
            raise ValueError(f"{asked} is {str(column)!r}, and {name} has {', '.join(columns)}; name one of them.")
        names = getattr(sets[chosen].features[picked], "names", None)  # classes are stored as numbers of their names
        cells = sets[chosen][picked]
        if names is not None:
            cells = (None if value is None or value < 0 else names[value] for value in cells)  # -1 is no class
        return _strings(("" if value is None else value for value in cells), f"{name}, part {chosen}", "strings")

    return {split: partial(read, split) for split in SPLITS if has(list(sets), split)}
