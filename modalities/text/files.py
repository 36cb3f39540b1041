"""Files of sentences: a line a sentence, CSV or JSON lines, plain or gzipped; damage is named by file and line."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from latentgen.archive import LARGE_MEMBER, RATIO_LIMIT, TOTAL_LIMIT

SUFFIXES = (".txt", ".csv", ".jsonl", ".json")
CONTENT = ("text", "sentence", "caption", "ref", "reference", "review", "content")
"""Columns that are taken without being named."""
LONGEST = 2**20
"""Characters of a sentence: tokenizers need some hundred bytes of memory for each."""
Row = tuple[int, Mapping[str, Any]]
"""A row of a table with the number of its (last) line."""


class Label(str):
    """The name of a column of classes: it stands for no other, and only tables have it."""


def without_columns(column: str | None, name: str) -> None:
    """Refuse a label of what is no table.

    Raises:
        ValueError: if the column is a :class:`Label`.
    """
    if isinstance(column, Label):
        raise ValueError(f"label is {str(column)!r}, and {name} has no columns; give a table, or leave the label out.")


def read_file(path: Path, column: str | None = None) -> list[str]:
    """The sentences of a regular file, or its classes.

    Args:
        path: a file of one of the ``SUFFIXES``, or of one and ``.gz``.
        column: of a table; the first of a few usual names, or the only column, unless given. A :class:`Label` gives
            the classes.

    Raises:
        ValueError: if it cannot be read, is damaged, or has no such column; a sentence is longer than ``LONGEST``.
    """
    if kind(path) not in SUFFIXES:
        formats = ", ".join(SUFFIXES)
        raise ValueError(f"data is {path.name!r}, whose suffix is of no known format; give one of {formats}, also .gz.")
    text = _text(path)
    if kind(path) == ".txt":
        without_columns(column, path.name)
        return [checked(line, f"{path.name}, line {number}") for number, line in enumerate(_lines(text, path.name), 1)]
    known, rows = _csv_rows(text, path.name) if kind(path) == ".csv" else _json_rows(text, path.name)
    return _column(known, rows, column, path.name)


def kind(path: Path) -> str:
    """Its suffix in small letters, without that of gzip."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def checked(sentence: str, where: str) -> str:
    """The sentence, if it can have tokens.

    Raises:
        ValueError: if it is too long, or has half of a surrogate pair, which is no character.
    """
    if len(sentence) > LONGEST:
        raise ValueError(f"{where} has {len(sentence):,} characters, and at most {LONGEST:,} are read; split it.")
    try:
        sentence.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{where} has half of a surrogate pair, which is no character; write it again.") from error
    return sentence


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            raise ValueError(f"data is {path.name!r}, which is no regular file; give one, or the lists themselves.")
        raw = _unpacked(path) if path.suffix.lower() == ".gz" else path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read ({error.strerror}); allow it, or give another.") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ValueError(f"{path.name} is no UTF-8 in line {line}; convert it.") from error


def _unpacked(path: Path) -> bytes:
    """The content of a gzip file, by the rule of ``latentgen.archive`` for members of archives."""
    limit = min(max(LARGE_MEMBER, RATIO_LIMIT * path.stat().st_size), TOTAL_LIMIT)
    try:
        with gzip.open(path) as file:
            raw = file.read(limit + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path.name} is no whole gzip file ({error}); get it again.") from error
    if len(raw) > limit:
        raise ValueError(
            f"{path.name} has {path.stat().st_size:,} bytes and unpacks to more than {limit:,}, as a decompression "
            "bomb does; unpack it yourself if you trust it."
        )
    return raw


def _lines(text: str, name: str) -> list[str]:
    """Lines end with a line feed: other characters that Python also splits at stand within sentences."""
    if "\n" not in text and "\r" in text.rstrip("\r"):
        raise ValueError(f"{name} ends its lines with carriage returns alone; convert them to line feeds.")
    return [line.removesuffix("\r") for line in text.split("\n")]


def _csv_rows(text: str, name: str) -> tuple[list[str], list[Row]]:
    reader = csv.reader(io.StringIO(text), strict=True)
    before = csv.field_size_limit(LONGEST)
    try:
        filled = [(reader.line_num, cells) for cells in reader if cells]
    except csv.Error as error:
        why = "close its quotes, double those within cells, end lines with line feeds, and split longer cells"
        raise ValueError(f"{name} is no CSV up to line {reader.line_num} ({error}); {why}.") from error
    finally:
        csv.field_size_limit(before)
    known = filled[0][1] if filled else []
    for line, cells in filled:
        if any(cell.strip() for cell in cells[len(known) :]):
            raise ValueError(f"{name} has {len(cells)} cells in line {line} and {len(known)} names; quote commas.")
    return known, [(line, dict(zip(known, cells, strict=False))) for line, cells in filled[1:]]


def _json_rows(text: str, name: str) -> tuple[list[str], list[Row]]:
    lines = enumerate(_lines(text, name), 1)
    rows: list[Row] = [(number, _json_row(line, number, name)) for number, line in lines if line.strip()]
    return [str(key) for key in rows[0][1]] if rows else [], rows


def _json_row(line: str, number: int, name: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise ValueError(f"{name} has no JSON in line {number} ({why}); give an object a line.") from error
    if not isinstance(row, dict):
        raise ValueError(f"{name} has a {type(row).__name__} in line {number}; give an object a line.")
    return row


def _column(known: Sequence[str], rows: Sequence[Row], column: str | None, name: str) -> list[str]:
    if not rows:
        return []
    chosen = column or next((key for key in CONTENT if key in known), known[0] if len(set(known)) == 1 else None)
    asked = "label" if isinstance(column, Label) else "column"
    if chosen is None or chosen not in known:
        given = None if column is None else str(column)
        raise ValueError(f"{asked} is {given!r}, and {name} has {', '.join(known)}; name one of them.")
    if known.count(chosen) > 1:
        raise ValueError(f"{asked} is {str(chosen)!r}, and {name} has {known.count(chosen)} of that name; rename them.")
    return [checked(cell(row.get(chosen)), f"{name}, line {number}") for number, row in rows]


def cell(value: Any) -> str:
    """The text of a cell; "" where it is empty, which 0 is not."""
    return "" if value is None else str(value)
