"""Reading images from whatever the user has."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from latentgen.archive import regular, shortened
from modalities.images.readers.arrays import read_memory, read_npy, read_npz
from modalities.images.readers.cifar import cifar_files, read_cifar
from modalities.images.readers.decoding import PIXELS_LIMIT, Decoding
from modalities.images.readers.digits import read_digits
from modalities.images.readers.files import is_image, read_image_files
from modalities.images.readers.hugging_face import PREFIX, is_saved_dataset, read_hugging_face
from modalities.images.readers.idx import idx_images, read_idx
from modalities.images.readers.image_set import ImageSet, Parts, choose, refuse_bytes

DIGITS = "digits"
PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".joblib")
READABLE = (
    "a folder of images or of idx files, a .zip of images, CIFAR's binary batches, an .npy, .npz or .parquet file, "
    'hf:NAME, "digits", or an array'
)


def read_images(
    source: Any,
    split: str = "train",
    *,
    size: int | Sequence[int] | None = None,
    pad: int | Sequence[int] = 0,
    channels: int | None = None,
    invert: bool = False,
) -> ImageSet:
    """One part of the images of a source.

    A source is "digits" (scikit-learn's, embedded); a folder, or a ``.zip``, of images, with classes by the names of
    their folders; a folder with the idx files of MNIST and its relatives, plain or gzipped; a folder with CIFAR's
    binary batches; an ``.npy`` or ``.npz`` file; ``hf:NAME`` on the Hugging Face hub, or a folder that ``datasets``
    wrote; a list of paths of images' folders and zips; an array or tensor, a pair (images, labels) or a mapping from
    parts to these. Nothing is ever unpickled.

    Parts are those that the source names; without any, a fifth of the images, chosen by a fixed rule, is the test part.

    Args:
        source: what to read.
        split: "train", "valid" or "test".
        size: height and width (or one number for both) to which images are cut at the centre and resized.
        pad: rows and columns of zeros (or one number for both) then put on every side.
        channels: 1 (grey) or 3 (colour) to convert to; None keeps theirs.
        invert: whether dark and bright change places.

    Raises:
        TypeError: if the source is of a kind that cannot be read.
        ValueError: if the source or an argument is malformed; the message says where and why.
    """
    decoding = Decoding(None if size is None else _pair("size", size), channels, invert)
    rows, columns = _pair("pad", pad)
    if min(rows, columns) < 0:
        raise ValueError(f"pad is {pad}; give numbers of at least 0.")
    try:
        parts, name = _parts(source, decoding)
        found = choose(parts, split, name)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ValueError(
            f"source {shortened(source)} must be readable, got the error '{reason}'; check its permissions."
        ) from None
    if not len(found):
        raise ValueError(f"source {name} has no image in the part {split!r}; add some.")
    layers, height, width = found.pixels.shape[1:]
    height, width = height + 2 * rows, width + 2 * columns
    if height * width > PIXELS_LIMIT:
        raise ValueError(
            f"pad is {pad}, which makes images of {height} x {width}; give less, for {PIXELS_LIMIT:,} pixels at most."
        )
    refuse_bytes(len(found), (layers, height, width), name)
    return replace(found, pixels=torch.nn.functional.pad(found.pixels, (columns, columns, rows, rows)))


def _pair(name: str, value: int | Sequence[int]) -> tuple[int, int]:
    numbers = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value, value]
    if len(numbers) != 2 or not all(isinstance(one, int) and not isinstance(one, bool) for one in numbers):
        raise ValueError(f"{name} is {value!r}; give one whole number, or two: rows and columns.")
    return numbers[0], numbers[1]


def _parts(source: Any, decoding: Decoding) -> tuple[Parts, str]:
    """How to read each part, and what errors call the source."""
    if isinstance(source, list | tuple) and source and all(isinstance(one, str | os.PathLike) for one in source):
        paths = [_existing(one) for one in source]
        return read_image_files(paths, decoding), ", ".join(path.name for path in paths)
    if not isinstance(source, str | os.PathLike):
        return read_memory(source, decoding), "data"
    if source == DIGITS:
        return read_digits(decoding), DIGITS
    text = os.fspath(source)
    if text.startswith(PREFIX):
        return read_hugging_face(text.removeprefix(PREFIX), decoding), text
    path = _existing(text)
    return _from_path(path, decoding), path.name


def _existing(source: str | os.PathLike[str]) -> Path:
    path = Path(source)
    try:
        found = path.exists()
    except OSError:  # such as a name that is too long
        found = False
    if not found:
        raise ValueError(
            f"source must be {READABLE}; got {shortened(path)}, which is no existing file or folder; check the path, "
            f"or write {PREFIX}NAME for a name on the hub."
        )
    regular(path)
    if path.suffix.lower() in PICKLES:
        raise ValueError(
            f"source {path.name}: {path.suffix} files are not read, since unpickling runs the code in them; load it in "
            "a script that trusts the file and pass the array."
        )
    return path


def _from_path(path: Path, decoding: Decoding) -> Parts:
    suffix = path.suffix.lower()
    if is_saved_dataset(path) or suffix == ".parquet":
        return read_hugging_face(str(path), decoding)
    if idx := idx_images(path):
        return read_idx(idx, decoding, path.name)
    if found := cifar_files(path):
        return read_cifar(*found, decoding, path.name)
    if suffix == ".npy":
        return read_npy(path, decoding)
    if suffix == ".npz":
        return read_npz(path, decoding)
    if path.is_dir() or suffix == ".zip" or is_image(path.name):
        if path.is_dir() and list(path.glob("*.parquet")):
            return read_hugging_face(str(path), decoding)
        return read_image_files([path], decoding)
    raise ValueError(f"source must be {READABLE}; got {path.name}, convert it to one of them.")
