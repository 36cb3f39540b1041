"""NumPy files, and arrays and tensors in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from latentgen.archive import open_archive, open_member
from modalities.images.readers.decoding import CHANNELS, Decoding
from modalities.images.readers.files import LIMIT
from modalities.images.readers.image_set import CLASSES_LIMIT, PARTS, ImageSet, Parts, Pixels, refuse_bytes

Array: TypeAlias = npt.NDArray[Any]
IMAGE_NAMES, LABEL_NAMES = ("images", "x", "data", "image"), ("labels", "y", "label", "targets")


def read_npy(path: Path, decoding: Decoding) -> Parts:
    """An .npy file of images [N, H, W], [N, H, W, C] or [N, C, H, W], without labels.

    Raises:
        ValueError: if it is damaged, or holds objects.
    """

    def read() -> ImageSet:
        with path.open("rb") as file:
            array = _checked(file, path.stat().st_size, path.name, lambda: np.load(path))
        return ImageSet(decoding.array(to_pixels(array, path.name), path.name))

    return {"": read}


def read_npz(path: Path, decoding: Decoding) -> Parts:
    """An .npz file: arrays called images, x or data, and labels, y or targets; with the name of a part before or after
    (``x_train``, ``test_images``) for each part.

    Raises:
        ValueError: if it is damaged, or has no such array.
    """
    archive = open_archive(path, LIMIT)
    with archive:
        names = [info.filename.removesuffix(".npy") for info in archive.infolist()]
    images, labels = _by_part(names, IMAGE_NAMES), _by_part(names, LABEL_NAMES)
    if not images:
        raise ValueError(
            f"source {path.name} must hold an array named images, x or data (or x_train, test_images and the like), "
            f"got {', '.join(names) or 'none'}; rename it."
        )

    def read(part: str) -> ImageSet:
        found = None if part not in labels else _from_npz(path, labels[part])
        array = _from_npz(path, images[part])
        return ImageSet(decoding.array(to_pixels(array, path.name), path.name), to_labels(found, len(array), path.name))

    return {part: partial(read, part) for part in images}


def read_memory(given: Any, decoding: Decoding) -> Parts:
    """An array or tensor of images, a pair (images, labels), or a mapping from parts to one of these.

    Raises:
        TypeError: if it is something else.
    """
    if isinstance(given, Mapping):
        unknown = [key for key in given if key not in PARTS]
        if unknown or not given:
            raise ValueError(f"data has the parts {list(given)}; name them train, valid and test.")
        return {PARTS[key]: partial(_one, value, decoding) for key, value in given.items()}
    return {"": partial(_one, given, decoding)}


def _one(given: Any, decoding: Decoding) -> ImageSet:
    images, labels = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
    pixels = to_pixels(_numpy(images), "data")
    return ImageSet(
        decoding.array(pixels, "data"), to_labels(None if labels is None else _numpy(labels), len(pixels), "data")
    )


def _numpy(value: Any) -> Array:
    if isinstance(value, Tensor):
        return value.detach().cpu().numpy()
    if isinstance(value, np.ndarray | list):
        return np.asarray(value)
    raise TypeError(f"data must be a path, an array, a tensor or (images, labels), got a {type(value).__name__}.")


def to_pixels(array: Array, name: str) -> Pixels:
    """Images as uint8 [N, C, H, W]: bytes as they are, truth values as 0 and 255, numbers in [0, 1] times 255.

    Raises:
        ValueError: if the shape or the range is another.
    """
    if array.dtype.kind not in "biuf":
        raise ValueError(f"source {name}: images must be numbers or truth values, got {array.dtype}; convert them.")
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[1] not in CHANNELS and array.shape[3] in CHANNELS:
        array = array.transpose(0, 3, 1, 2)
    if array.ndim != 4 or array.shape[1] not in CHANNELS or not array.size:
        raise ValueError(
            f"source {name}: images must be an array [N, H, W], [N, H, W, C] or [N, C, H, W] with C = 1 or 3, got "
            f"{list(array.shape)}; reshape it."
        )
    if array.dtype == np.uint8:
        return array
    refuse_bytes(len(array), array.shape[1:], name)
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * 255
    low, high = float(array.min()), float(array.max())
    if array.dtype.kind == "f" and low >= 0 and high <= 1:
        return np.round(array * 255).astype(np.uint8)
    if array.dtype.kind in "iu" and low >= 0 and high <= 255:
        return array.astype(np.uint8)
    raise ValueError(
        f"source {name}: images must be bytes 0 to 255 or numbers in [0, 1], got {array.dtype} from {low:g} to "
        f"{high:g}; rescale them."
    )


def to_labels(array: Array | None, count: int, name: str) -> Tensor | None:
    """Class numbers as int64 [N], not absurdly large ones.

    Raises:
        ValueError: if there is not one an image, or one is negative or beyond ``CLASSES_LIMIT`` and the images' number.
    """
    if array is None:
        return None
    flat = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if flat.shape != (count,) or flat.dtype.kind not in "iub":
        raise ValueError(
            f"source {name}: labels must be {count} class numbers from 0 on, one an image, got {array.dtype} of shape "
            f"{list(array.shape)}; correct them."
        )
    low, high, most = int(flat.min(initial=0)), int(flat.max(initial=0)), max(count, CLASSES_LIMIT)
    if low < 0 or high >= most:
        raise ValueError(
            f"source {name}: labels must be class numbers from 0 to {most - 1:,}, got {low if low < 0 else high}; "
            "number the classes from 0 on."
        )
    return torch.from_numpy(flat.astype(np.int64))


def _by_part(names: list[str], wanted: tuple[str, ...]) -> dict[str, str]:
    """The array of each part, "" for one that names no part."""
    found: dict[str, str] = {}
    for name in names:
        words = name.lower().split("_")
        parts = [PARTS[word] for word in words if word in PARTS]
        if [word for word in words if word not in PARTS] in [[word] for word in wanted] and len(parts) <= 1:
            found.setdefault(parts[0] if parts else "", name)
    return found


def _from_npz(path: Path, name: str) -> Array:
    def load() -> Array:
        with np.load(path) as arrays:
            return np.asarray(arrays[name])

    with open_archive(path, LIMIT) as archive:
        member = archive.getinfo(name if name in archive.namelist() else f"{name}.npy")
        with open_member(archive, member) as file:
            return _checked(file, member.file_size, f"{path.name}/{name}", load)


def _checked(file: IO[bytes], size: int, name: str, load: Callable[[], Array]) -> Array:
    """Load an array whose header promises no more than the file holds, and no objects."""
    try:
        version = np.lib.format.read_magic(file)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = reader(file)
        promised, left = math.prod(shape) * dtype.itemsize, size - file.tell()
        if dtype.hasobject or promised > left:
            size_named = f"{promised:,}" if promised < 2**64 else "2^64 or more"
            what = "objects" if dtype.hasobject else f"{size_named} bytes and has {left:,}"
            raise ValueError(f"the array promises {what}")
        refuse_bytes(1, (promised,), name)
        return load()
    except Exception as error:  # NumPy answers damaged headers with errors of any kind
        raise ValueError(f"source {name} must be an array of numbers, got '{error}'; write it again.") from None
