"""Files of a folder or of a zip archive by their base names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from latentgen.archive import open_archive, open_member, plain_files

Opener = Callable[[], BinaryIO]

TOTAL_LIMIT = 2**30
LARGE = 2**20
"""Bytes of text that may pack well; a line takes far longer to read than to unpack."""


@contextmanager
def open_files(path: Path) -> Iterator[Mapping[str, Opener]]:
    """The files of a folder or zip archive by base name, each with a function that opens it.

    Args:
        path: The folder or archive.

    Raises:
        ValueError: If the archive is damaged or a member is hostile.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file())
        yield {file.name: partial(_open, file) for file in files}
        return
    with open_archive(path, TOTAL_LIMIT, large=LARGE) as archive:
        yield {
            PurePosixPath(info.filename).name: partial(open_member, archive, info)
            for info in plain_files(archive)
        }


def _open(file: Path) -> BinaryIO:
    return file.open("rb")
