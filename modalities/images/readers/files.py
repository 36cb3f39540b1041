"""Image files in folders and zip archives: classes and parts follow from the names of folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from latentgen.archive import files_below, is_hidden, open_archive, plain_files, read_member, regular
from modalities.images.readers.decoding import Decoding, stacked
from modalities.images.readers.image_set import PARTS, ImageSet, Parts, number_classes, part_of

LIMIT = 2**34
"""Bytes that an archive of images may unpack to."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".pbm", ".tif", ".tiff")


@dataclass(frozen=True)
class ImageFile:
    """One image file.

    Attributes:
        path: its path below the root, such as ``train/cat/1.png``.
        part: the part that the place says it belongs to, "" for none.
        mark: what two copies of one file have in common, or "".
        read: gives its content.
    """

    path: PurePosixPath
    part: str
    mark: str
    read: Callable[[], bytes]

    @property
    def label(self) -> str:
        """The class: the folders above the file, without that of the part."""
        folders = self.path.parts[:-1]
        return "/".join(folders[1:] if _part(self.path) else folders)


def read_image_files(paths: Sequence[Path], decoding: Decoding) -> Parts:
    """The image files of folders, zip archives and folders of zip archives.

    Files are taken in the order of their names. A folder ``train``, ``valid`` or ``test`` at the top, or such a word
    in an archive's name, tells the part; the other folders above a file name its class. A file that two archives
    share counts once.

    Args:
        paths: folders, archives or single image files.
        decoding: how pixels are made.

    Raises:
        ValueError: if there is no image.
    """
    name = ", ".join(path.name for path in paths)
    found: dict[tuple[str, str, str], ImageFile] = {}
    repeated = 0
    for file in (file for path in paths for file in _files(path)):
        key = (file.part, str(file.path), file.mark or f"#{len(found)}")
        repeated += key in found
        found.setdefault(key, file)
    if not found:
        raise ValueError(
            f"source {name} must hold at least one image file ({', '.join(SUFFIXES)}), got none; check the path."
        )
    files = sorted(found.values(), key=lambda file: str(file.path))
    parts = sorted({file.part for file in files})
    notes = (f"{repeated} file(s) that were there twice were left out.",) if repeated else ()
    labels = [file.label for file in files]
    chosen = {part: [file for file in files if file.part == part] for part in parts}
    return {part: partial(_read, chosen[part], labels, decoding, name, notes) for part in parts}


def _read(
    files: Sequence[ImageFile], known: Sequence[str], decoding: Decoding, name: str, notes: tuple[str, ...]
) -> ImageSet:
    paths = [str(file.path) for file in files]
    decoded = (decoding.file(file.read(), path) for file, path in zip(files, paths, strict=True))
    pixels = stacked(decoded, len(files), name, paths)
    labels, classes = number_classes([file.label for file in files], known)
    return ImageSet(pixels, labels, classes, notes)


def _files(path: Path) -> Iterator[ImageFile]:
    if path.is_dir():
        yield from _in_folder(path)
    elif path.suffix.lower() == ".zip":
        yield from _in_archive(path, part_of(path.stem) or "")
    elif is_image(path.name):
        yield ImageFile(PurePosixPath(path.name), "", "", path.read_bytes)


def _in_folder(folder: Path) -> Iterator[ImageFile]:
    for path in files_below(folder, (*SUFFIXES, ".zip")):
        if path.suffix.lower() == ".zip" and path.parent == folder:
            yield from _in_archive(path, part_of(path.stem) or "")
        elif is_image(path.name):
            below = PurePosixPath(path.relative_to(folder).as_posix())
            yield ImageFile(below, _part(below), "", regular(path).read_bytes)


def _in_archive(path: Path, part: str) -> Iterator[ImageFile]:
    archive = open_archive(path, LIMIT)
    members = [info for info in plain_files(archive) if is_image(info.filename)]
    top = _common_top([PurePosixPath(info.filename) for info in members])
    for info in members:
        below = PurePosixPath(*PurePosixPath(info.filename).parts[top:])
        read = partial(read_member, archive, info)
        yield ImageFile(below, part or _part(below), f"{info.CRC}-{info.file_size}", read)


def _common_top(paths: Sequence[PurePosixPath]) -> int:
    """1 where all files lie below one folder that is no part, which then says nothing."""
    tops = {path.parts[0] for path in paths}
    deep = all(len(path.parts) > 2 for path in paths)
    return int(len(tops) == 1 and deep and next(iter(tops)).lower() not in PARTS)


def _part(path: PurePosixPath) -> str:
    return PARTS.get(path.parts[0].lower(), "") if len(path.parts) > 1 else ""


def is_image(name: str) -> bool:
    """Whether a name below the root ends as an image file's; hidden files and the marks of macOS are none."""
    pure = PurePosixPath(name)
    return pure.suffix.lower() in SUFFIXES and not is_hidden(pure)
