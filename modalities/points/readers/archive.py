"""Files of a folder or of a zip archive, one after the other; nothing is unpacked to disk."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from latentgen.archive import files_below, is_hidden, open_archive, plain_files, read_member, regular

File = tuple[str, Callable[[], bytes]]
"""Name below the folder or root of the archive, with forward slashes, and a function that reads the file."""


def files_of(path: Path, suffixes: Collection[str] | None = None) -> Iterator[File]:
    """The files of a folder and its folders, or of a zip archive, by name, without hidden ones; or the one file itself.

    Args:
        path: the folder, archive or file.
        suffixes: in lower case, of the files that are wanted of a folder; None for all.

    Raises:
        ValueError: if an archive is damaged, or a member of it is hostile; nothing is read before all were checked.
    """
    if path.is_dir():
        for file in files_below(path, suffixes):
            yield file.relative_to(path).as_posix(), partial(_read, file)
    elif path.suffix.lower() == ".zip":
        with open_archive(path) as archive:
            members = [info for info in plain_files(archive) if not is_hidden(PurePosixPath(info.filename))]
            for member in sorted(members, key=lambda info: info.filename):
                yield member.filename, partial(read_member, archive, member)
    else:
        yield path.name, partial(_read, path)


def _read(file: Path) -> bytes:
    return regular(file).read_bytes()
