"""The idx files of MNIST and its relatives, plain or gzipped."""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from functools import partial
from pathlib import Path
from typing import IO, cast

import numpy as np
import torch

from latentgen.archive import LARGE_MEMBER, RATIO_LIMIT
from modalities.images.readers.decoding import Decoding
from modalities.images.readers.image_set import BYTES_LIMIT, ImageSet, Parts, Pixels, part_of

NAME = re.compile(r"(?P<start>.*)images(?P<end>[-._]idx)(?P<axes>\d)(?P<rest>[-._]ubyte(\.gz)?)", re.IGNORECASE)
UNSIGNED_BYTE = 0x08


def idx_images(path: Path) -> list[Path]:
    """The idx files of images that a path names: itself, or those of a folder."""
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.is_file() and NAME.fullmatch(file.name))
    return [path] if NAME.fullmatch(path.name) else []


def read_idx(files: list[Path], decoding: Decoding, name: str) -> Parts:
    """Images and, where the files are there, labels of idx files.

    The format: two zero bytes, the type (8: unsigned byte), the number of axes, each axis's size as a big-endian 32-bit
    number, then the entries in row-major order. Labels lie beside the images, in a file of the same name with "labels"
    in the place of "images". A plain file is preferred to its gzipped copy.

    Args:
        files: idx files of images.
        decoding: how pixels are made.
        name: what errors call the source.

    Raises:
        ValueError: if two files claim one part.
    """
    chosen: dict[str, Path] = {}
    for file in sorted(files, key=lambda file: file.suffix == ".gz"):
        part = part_of(file.name) or ""
        other = chosen.setdefault(part, file)
        if other.name not in (file.name, file.name.removesuffix(".gz")):
            raise ValueError(
                f"source {name} has two idx files for the part {part or 'without a name'!r}, {other.name} and "
                f"{file.name}; name one file."
            )
    return {part: partial(_read, file, decoding) for part, file in chosen.items()}


def _read(file: Path, decoding: Decoding) -> ImageSet:
    pixels = read_array(file, 3)
    labels = _labels(file)
    if labels is not None and len(labels) != len(pixels):
        raise ValueError(
            f"source {file.name} has {len(pixels)} images and its labels' file {len(labels)} labels; get both again."
        )
    found = None if labels is None else torch.from_numpy(labels.astype(np.int64))
    return ImageSet(decoding.array(pixels[:, None], file.name), found)


def _labels(file: Path) -> Pixels | None:
    match = NAME.fullmatch(file.name)
    assert match is not None
    stem = match["start"] + ("labels" if "images" in file.name else "LABELS") + match["end"]
    names = {f"{stem}1{rest}" for rest in (match["rest"], match["rest"].removesuffix(".gz"), match["rest"] + ".gz")}
    found = [path for path in (file.with_name(name) for name in sorted(names)) if path.is_file()]
    return read_array(found[0], 1) if found else None


def read_array(path: Path, axes: int) -> Pixels:
    """The unsigned bytes of an idx file.

    Args:
        path: the file, gzipped if it ends in ``.gz``.
        axes: the number of axes it must have.

    Raises:
        ValueError: if it is no such file, or is shorter or longer than it says.
    """
    try:
        with _opened(path) as file:
            shape = _header(file.read(4), file, path, axes)
            count, most = math.prod(shape), _most(path)
            if count > most:
                raise ValueError(
                    f"source {path.name} promises {count:,} bytes, more than the {most:,} that a file of its size may "
                    "hold; get it again."
                )
            content = file.read(count + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"source {path.name} must be a whole gzip file, got '{error}'; get it again.") from None
    if len(content) != count:
        more = "more" if len(content) > count else f"{len(content):,}"
        raise ValueError(f"source {path.name} must hold {count:,} bytes for {list(shape)}, got {more}; get it again.")
    return np.frombuffer(bytearray(content), np.uint8).reshape(shape)


def _opened(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")


def _most(path: Path) -> int:
    """Bytes that a file of this size may hold."""
    size = path.stat().st_size
    return min(BYTES_LIMIT, max(LARGE_MEMBER, RATIO_LIMIT * size) if path.suffix.lower() == ".gz" else size)


def _header(magic: bytes, file: IO[bytes], path: Path, axes: int) -> tuple[int, ...]:
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] != UNSIGNED_BYTE or magic[3] != axes:
        raise ValueError(
            f"source {path.name} must be an idx file of unsigned bytes with {axes} axes (it starts with the bytes "
            f"0 0 8 {axes}), got {list(magic)}; get it again."
        )
    sizes = file.read(4 * axes)
    if len(sizes) < 4 * axes:
        raise ValueError(f"source {path.name} ends within its header; get it again.")
    return tuple(struct.unpack(f">{axes}I", sizes))
