"""Readers of sentences: files, folders by their files' names, Hugging Face data sets, lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .files import CONTENT, SUFFIXES, checked, kind, read_file

SPLITS = {"train": ("train",), "valid": ("valid", "val", "dev"), "test": ("test",)}
"""Beginnings of file names and names of parts, by split."""
HOLD_OUT = 5
"""Where a source has no test part, every fifth sentence becomes it."""


def read_sentences(source: Any, split: str, column: str | None = None) -> list[str]:
    """The sentences of a part of a source; runs of white space become one space, and empty lines are dropped.

    Args:
        source: a file (a line a sentence, CSV, JSON lines; also gzipped), a folder whose files' names begin with
            train, valid (val, dev) or test (several of a part are read one after another), ``hf:NAME`` or a folder
            of ``save_to_disk``, a list of strings, or a mapping from such names of parts to lists or files.
        split: "train", "valid" or "test".
        column: of a table; the first of a few usual names, or the only column, unless given.

    Raises:
        ValueError: if the source, its part or its column is not there or not clear, or a file cannot be read
            (``modalities.text.files``).
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; choose train, valid or test.")
    parts = _parts(source, column)
    found = _part(parts, split)
    cleaned = [" ".join(sentence.split()) for sentence in found]
    kept = [sentence for sentence in cleaned if sentence]
    if not kept:
        raise ValueError(f"the part {split} of {_shown(source)} has no sentence; give other data.")
    return kept


def _shown(source: Any) -> str:
    if not isinstance(source, str | Path):
        return f"the given {type(source).__name__}"
    text = repr(str(source))
    return text if len(text) <= 200 else f"{text[:200]}..."


def _part(parts: Mapping[str, list[str]], split: str) -> list[str]:
    """One part; where there is no test part it is held out of the training sentences, and "valid" is the test part."""
    if "train" not in parts:
        raise ValueError(f"the parts are {', '.join(parts)}, and train is not among them; name one so.")
    if "test" in parts:
        return parts.get(split, parts["test"])
    if split == "valid" and "valid" in parts:
        return parts["valid"]
    return _held(parts["train"], split != "train")


def _held(sentences: list[str], test: bool) -> list[str]:
    return [sentence for number, sentence in enumerate(sentences) if (number % HOLD_OUT == HOLD_OUT - 1) == test]


def _parts(source: Any, column: str | None) -> dict[str, list[str]]:
    if isinstance(source, Mapping):
        named = _named([str(name) for name in source])
        parts = {str(name): part for name, part in source.items()}
        return {split: _listed(parts[name], column, f"the part {name}") for split, name in named.items()}
    if isinstance(source, str) and source.startswith("hf:"):
        return _hub(source.removeprefix("hf:"), column)
    if isinstance(source, str | Path):
        path = _existing(source)
        return _folder(path, column) if path.is_dir() else {"train": read_file(path, column)}
    return {"train": _listed(source, column, "data")}


def _listed(part: Any, column: str | None, name: str) -> list[str]:
    if isinstance(part, str | Path):
        return read_file(_existing(part), column)
    if not isinstance(part, Sequence) or isinstance(part, bytes):
        raise ValueError(f"{name} is a {type(part).__name__}; give a path, hf:NAME, or lists of strings.")
    return [checked(str(sentence), f"{name}, sentence {number}") for number, sentence in enumerate(part, 1)]


def _named(names: Sequence[str]) -> dict[str, str]:
    """The name of each split's part."""
    found: dict[str, str] = {}
    for name in names:
        split = next((split for split, begins in SPLITS.items() if name.lower().startswith(begins)), None)
        if split is None or split in found:
            why = "which is none of train, valid (val, dev) and test" if split is None else f"beside {found[split]!r}"
            raise ValueError(f"data has the part {name!r}, {why}; give each part once, by such a name.")
        found[split] = name
    return found


def _existing(source: str | Path) -> Path:
    try:
        if Path(source).exists():
            return Path(source)
    except OSError as error:
        raise ValueError(f"data is {_shown(source)}, which cannot be read ({error.strerror}); give another.") from error
    raise ValueError(f"data is {_shown(source)}, which does not exist; give a file, a folder or hf:NAME.")


def _folder(folder: Path, column: str | None) -> dict[str, list[str]]:
    if (folder / "dataset_info.json").exists() or (folder / "dataset_dict.json").exists():
        return _hub(str(folder), column, disk=True)
    parts: dict[str, list[str]] = {}
    files = sorted(path for path in folder.iterdir() if not path.is_dir())
    for split, names in SPLITS.items():
        chosen = _readable([path for path in files if path.name.lower().startswith(names)])
        if chosen:
            parts[split] = [sentence for path in chosen for sentence in read_file(path, column)]
    if not parts:
        raise ValueError(f"data is {_shown(folder)}, which has no file called train, valid or test; name one so.")
    return parts


def _readable(files: Sequence[Path]) -> list[Path]:
    """Those that are read, of the files of a part; a part of none is refused, and so are copies in several formats."""
    found: dict[str, Path] = {}
    for path in files:
        if kind(path) in SUFFIXES:
            bare = path.name.lower().removesuffix(".gz").removesuffix(kind(path))
            if bare in found:
                both = f"both {found[bare].name!r} and {path.name!r}"
                raise ValueError(f"data has {both}, as if one were a copy; move one of them away.")
            found[bare] = path
    if files and not found:
        known = ", ".join(SUFFIXES)
        raise ValueError(f"data has {files[0].name!r} as a part; give one of {known}, also .gz, or move it away.")
    return list(found.values())


def _hub(name: str, column: str | None, disk: bool = False) -> dict[str, list[str]]:
    try:
        import datasets
    except ImportError as error:
        raise ImportError('the package datasets is missing: pip install "latentgen[text]".') from error
    found = datasets.load_from_disk(name) if disk else datasets.load_dataset(name)
    sets = found if isinstance(found, datasets.DatasetDict) else {"train": found}
    parts: dict[str, list[str]] = {}
    for split, names in SPLITS.items():
        chosen = _one([str(part) for part in sets if str(part).lower().startswith(names)], names, name)
        if chosen is not None:
            columns = sets[chosen].column_names
            picked = column or next((key for key in CONTENT if key in columns), columns[0])
            if picked not in columns:
                raise ValueError(f"column is {column!r}, and {name} has {', '.join(columns)}; name one of them.")
            cells = [cell or "" for cell in sets[chosen][picked]]
            parts[split] = _listed(cells, column, f"{name}, part {chosen}")
    return parts


def _one(found: Sequence[str], names: Sequence[str], source: str) -> str | None:
    """The part of a split: the only one, or the one that has just such a name."""
    exact = [part for part in found if part.lower() in (*names, "validation")]
    if len(found) > 1 and len(exact) != 1:
        raise ValueError(f"data is {source!r}, which has the parts {', '.join(found)}; give lists by part.")
    return next(iter(exact or found), None)
