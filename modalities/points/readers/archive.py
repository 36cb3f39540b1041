"""Files of a folder or of a zip archive, one after the other; nothing is unpacked to disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from latentgen.archive import open_archive, plain_files, read_member

File = tuple[str, Callable[[], bytes]]
"""Name below the folder or root of the archive, with forward slashes, and a function that reads the file."""


def files_of(path: Path) -> Iterator[File]:
    """The files of a folder and its folders, or of a zip archive, by name; or the one file itself.

    Raises:
        ValueError: if an archive is damaged, or a member of it is hostile; nothing is read before all were checked.
    """
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts):
                yield file.relative_to(path).as_posix(), file.read_bytes
    elif path.suffix.lower() == ".zip":
        with open_archive(path) as archive:
            for member in sorted(plain_files(archive), key=lambda info: info.filename):
                yield member.filename, partial(read_member, archive, member)
    else:
        yield path.name, path.read_bytes
