"""Readers of sentences: text files, tables, folders by their files' names, Hugging Face data sets, lists."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SPLITS = {"train": ("train",), "valid": ("valid", "val", "dev"), "test": ("test",)}
"""Beginnings of file names and names of parts, by split."""
SUFFIXES = (".txt", ".csv", ".jsonl", ".json")
TABLE = (".csv", ".jsonl", ".json")
HOLD_OUT = 5
"""Where a source has no test part, every fifth sentence becomes it."""
CONTENT = ("text", "sentence", "caption", "ref", "reference", "review", "content")
"""Columns that are taken without being named."""


def read_sentences(source: Any, split: str, column: str | None = None) -> list[str]:
    """The sentences of a part of a source; runs of white space become one space, and empty lines are dropped.

    Args:
        source: a file (a line a sentence, CSV, JSON lines; also gzipped), a folder whose files' names begin with
            train, valid (val, dev) or test, ``hf:NAME`` or a folder of ``save_to_disk``, a list of strings, or a
            mapping from parts to lists.
        split: "train", "valid" or "test".
        column: of a table; the first of a few usual names, or the only column, unless given.

    Raises:
        ValueError: if the source, its part or its column is not there, or a file is no UTF-8.
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
    return repr(source) if isinstance(source, str | Path) else f"the given {type(source).__name__}"


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
        return {str(name): [str(sentence) for sentence in part] for name, part in source.items()}
    if isinstance(source, str) and source.startswith("hf:"):
        return _hub(source.removeprefix("hf:"), column)
    if isinstance(source, str | Path):
        path = Path(source)
        if not path.exists():
            raise ValueError(f"data is {str(source)!r}, which does not exist; give a file, a folder or hf:NAME.")
        if path.is_dir():
            return _folder(path, column)
        return {"train": _file(path, column)}
    if isinstance(source, Sequence):
        return {"train": [str(sentence) for sentence in source]}
    raise ValueError(f"data is a {type(source).__name__}; give a path, hf:NAME, or lists of strings.")


def _folder(folder: Path, column: str | None) -> dict[str, list[str]]:
    if (folder / "dataset_info.json").exists() or (folder / "dataset_dict.json").exists():
        return _hub(str(folder), column, disk=True)
    parts: dict[str, list[str]] = {}
    files = sorted(path for path in folder.iterdir() if _kind(path) in SUFFIXES)
    for split, names in SPLITS.items():
        chosen = next((path for path in files if path.name.lower().startswith(names)), None)
        if chosen is not None:
            parts[split] = _file(chosen, column)
    if not parts:
        raise ValueError(f"data is {str(folder)!r}, which has no file called train, valid or test; name one so.")
    return parts


def _kind(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).suffix.lower()


def _file(path: Path, column: str | None) -> list[str]:
    raw = path.read_bytes()
    try:
        raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
    except (OSError, EOFError) as error:
        raise ValueError(f"{path.name} is no whole gzip file ({error}); get it again.") from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ValueError(f"{path.name} is no UTF-8 in line {line}; convert it.") from error
    kind = _kind(path)
    if kind == ".csv":
        rows = list(csv.DictReader(io.StringIO(text)))
        return _column(rows, column, path.name)
    if kind in (".jsonl", ".json"):
        return _column(_json_rows(text, path.name), column, path.name)
    return text.splitlines()


def _json_rows(text: str, name: str) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{name} has no JSON in line {number} ({error.msg}); give an object a line.") from error
        if not isinstance(row, dict):
            raise ValueError(f"{name} has a {type(row).__name__} in line {number}; give an object a line.")
        rows.append(row)
    return rows


def _column(rows: Sequence[Mapping[str, Any]], column: str | None, name: str) -> list[str]:
    if not rows:
        return []
    known = [str(key) for key in rows[0]]
    chosen = column or next((key for key in CONTENT if key in known), known[0] if len(known) == 1 else None)
    if chosen not in known:
        raise ValueError(f"column is {column!r}, and {name} has {', '.join(known)}; name one of them.")
    return [str(row.get(chosen) or "") for row in rows]


def _hub(name: str, column: str | None, disk: bool = False) -> dict[str, list[str]]:
    try:
        import datasets
    except ImportError as error:
        raise ImportError('the package datasets is missing: pip install "latentgen[text]".') from error
    found = datasets.load_from_disk(name) if disk else datasets.load_dataset(name)
    sets = found if isinstance(found, datasets.DatasetDict) else {"train": found}
    parts: dict[str, list[str]] = {}
    for split, names in SPLITS.items():
        chosen = next((part for part in sets if str(part).lower().startswith(names)), None)
        if chosen is not None:
            columns = sets[chosen].column_names
            picked = column or next((key for key in CONTENT if key in columns), columns[0])
            if picked not in columns:
                raise ValueError(f"column is {column!r}, and {name} has {', '.join(columns)}; name one of them.")
            parts[split] = [str(sentence) for sentence in sets[chosen][picked]]
    return parts
