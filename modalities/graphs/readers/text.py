"""Text files, read line by line with bounded memory."""

from __future__ import annotations

import zipfile
import zlib
from array import array
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from modalities.graphs.simple import IntArray

LINE_LIMIT = 2**26


def numbered_lines(stream: BinaryIO, name: str) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, stripped, with their numbers from 1.

    Args:
        stream: An open binary file.
        name: Name of the file, for messages.

    Raises:
        ValueError: If a line is not UTF-8, is too long, or cannot be read.
    """
    number = 0
    while True:
        number += 1
        try:
            raw = stream.readline(LINE_LIMIT + 1)
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            raise ValueError(
                f"source {name}, line {number}: the file must be UTF-8 text, got the byte "
                f"0x{error.object[error.start]:02x}; save it as UTF-8."
            ) from None
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise ValueError(
                f"source {name}, line {number}: the file must be readable, got the error "
                f"'{error}'; replace the damaged file."
            ) from None
        if not raw:
            return
        if len(raw) > LINE_LIMIT:
            raise ValueError(
                f"source {name}, line {number}: a line must have at most {LINE_LIMIT:,} bytes, "
                "got a longer one; put one record on each line."
            )
        if line:
            yield number, line


def integer_table(stream: BinaryIO, name: str, columns: int) -> IntArray:
    """A table of integers separated by commas, [rows, columns].

    Args:
        stream: An open binary file.
        name: Name of the file, for messages.
        columns: Number of integers on each line.

    Raises:
        ValueError: If a line holds anything else.
    """
    values = array("q")
    for number, line in numbered_lines(stream, name):
        cells = line.split(",")
        try:
            values.extend([int(cell) for cell in cells])
        except (ValueError, OverflowError):
            cells = []
        if len(cells) != columns:
            given = line if len(line) <= 40 else line[:40] + "..."
            raise ValueError(
                f"source {name}, line {number}: expected {columns} "
                f"{'integer' if columns == 1 else 'integers separated by commas'}, "
                f"got '{given}'; correct that line."
            )
    return np.frombuffer(values, dtype=np.int64).reshape(-1, columns)
