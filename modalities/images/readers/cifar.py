"""The binary batches of CIFAR-10 and CIFAR-100."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from modalities.images.readers.decoding import Decoding
from modalities.images.readers.image_set import ImageSet, Parts, Pixels, refuse_bytes

EDGE, CHANNELS = 32, 3
IMAGE_BYTES = CHANNELS * EDGE * EDGE
CIFAR10 = {"train": [f"data_batch_{number}.bin" for number in range(1, 6)], "test": ["test_batch.bin"]}
CIFAR100 = {"train": ["train.bin"], "test": ["test.bin"]}
INNER = ("cifar-10-batches-bin", "cifar-100-binary")
"""Folders of the published archives."""
PICKLED = ("cifar-10-batches-py", "cifar-100-python")


def cifar_files(folder: Path) -> tuple[dict[str, list[Path]], int] | None:
    """The binary files of a folder by part, and the number of label bytes of an image; None if there are none.

    Raises:
        ValueError: if the folder holds the pickled form of the data set.
    """
    if not folder.is_dir():
        return None
    places = [folder, *(folder / inner for inner in INNER)]
    for place in places:
        for layout, label_bytes in ((CIFAR10, 1), (CIFAR100, 2)):
            found = {part: [place / name for name in names] for part, names in layout.items()}
            there = {part: [file for file in files if file.is_file()] for part, files in found.items()}
            if any(there.values()):
                return {part: files for part, files in there.items() if files}, label_bytes
    if folder.name in PICKLED or any((folder / inner).is_dir() for inner in PICKLED):
        raise ValueError(
            f"source {folder.name} is the pickled form of CIFAR, which is not read since unpickling runs the code in "
            "it; get the binary version (cifar-10-batches-bin)."
        )
    return None


def read_cifar(files: dict[str, list[Path]], label_bytes: int, decoding: Decoding, name: str) -> Parts:
    """Binary batches: for each image its label (CIFAR-100: the coarse, then the fine one), then 1,024 red, 1,024 green
    and 1,024 blue bytes, row by row.

    Args:
        files: batches by part.
        label_bytes: 1 for CIFAR-10, 2 for CIFAR-100; the last one is the label.
        decoding: how pixels are made.
        name: what errors call the source.
    """
    return {part: partial(_read, paths, label_bytes, decoding, name) for part, paths in files.items()}


def _read(paths: Sequence[Path], label_bytes: int, decoding: Decoding, name: str) -> ImageSet:
    records = np.concatenate([_records(path, label_bytes) for path in paths])
    pixels = records[:, label_bytes:].reshape(-1, CHANNELS, EDGE, EDGE)
    labels = torch.from_numpy(records[:, label_bytes - 1].astype(np.int64))
    return ImageSet(decoding.array(pixels, name), labels)


def _records(path: Path, label_bytes: int) -> Pixels:
    record = label_bytes + IMAGE_BYTES
    size = path.stat().st_size
    if size == 0 or size % record:
        raise ValueError(
            f"source {path.name} must hold whole images of {record} bytes, got {size:,} bytes; get it again."
        )
    refuse_bytes(size // record, (record,), path.name)
    return np.fromfile(path, np.uint8).reshape(-1, record)
