"""Images in memory, and their division into parts."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Pixels = npt.NDArray[np.uint8]
BYTES_LIMIT = 2**34
"""Bytes of one part; beyond it the process would be killed without a message."""
CLASSES_LIMIT = 2**16
"""Classes that a source may have, unless it has more images: each takes a place of every one-hot condition."""
TEST_SHARE = 0.2
PARTS = {
    "train": "train", "training": "train", "test": "test", "testing": "test", "t10k": "test",
    "valid": "valid", "val": "valid", "validation": "valid",
}
"""Every spelling of a part's name."""


@dataclass(frozen=True)
class ImageSet:
    """Images of one size.

    Attributes:
        pixels: uint8, shape [N, C, H, W], C = 1 (grey) or 3 (red, green, blue).
        labels: class numbers, int64, shape [N], or None.
        classes: the classes' names in order; () where the source does not name them.
        notes: what was done to the source, in sentences.
    """

    pixels: Tensor
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pixels)

    def select(self, numbers: Sequence[int] | Tensor | slice) -> ImageSet:
        """Some of the images."""
        chosen = numbers if isinstance(numbers, slice) else torch.as_tensor(numbers, dtype=torch.long)
        labels = None if self.labels is None else self.labels[chosen]
        return replace(self, pixels=self.pixels[chosen], labels=labels)


Parts = Mapping[str, Callable[[], ImageSet]]
"""How to read each part: "train", "valid", "test", or "" for images that the source does not divide."""


def part_of(name: str) -> str | None:
    """The part that a file or folder name says it belongs to: ``train_0.zip`` to "train"; None for other names."""
    words = name.lower().replace(".", "_").replace("-", "_").split("_")
    named = [PARTS[word] for word in words if word in PARTS]
    return named[0] if named else None


def choose(parts: Parts, split: str, name: str) -> ImageSet:
    """Read one part; where the source has no test part, a fifth of the others becomes it.

    Which fifth follows from the images' numbers alone, by a hash, so that it is the same everywhere and for ever.

    Args:
        parts: how to read each.
        split: "train", "valid" or "test".
        name: what errors call the source.

    Raises:
        ValueError: if there is no such part.
    """
    wanted = PARTS.get(split)
    if wanted is None:
        raise ValueError(f"split is {split!r}; choose train, valid or test.")
    if wanted in parts and (wanted == "test" or "test" in parts):
        return parts[wanted]()
    whole = "" if "" in parts else "train"
    if wanted == "valid" or whole not in parts or "test" in parts:
        known = ", ".join(sorted(parts)) if parts.keys() != {""} else "train, test"
        raise ValueError(f"source {name}: there is no part {split!r}, only {known}; choose one of them.")
    return divide(parts[whole](), wanted)


def divide(images: ImageSet, part: str) -> ImageSet:
    """The part "train" or "test" of images that come without parts."""
    count = len(images)
    held_out = round(TEST_SHARE * count)
    if not 0 < held_out < count:
        raise ValueError(f"source has {count} image(s), which cannot be divided into train and test; give at least 3.")
    order = sorted(range(count), key=_digest)
    chosen = sorted(order[:held_out] if part == "test" else order[held_out:])
    note = f"{held_out} of {count} images became the test set."
    return replace(images.select(chosen), notes=(*images.notes, note))


def _digest(number: int) -> bytes:
    return hashlib.blake2b(number.to_bytes(8, "big"), digest_size=16).digest()


def refuse_bytes(count: int, shape: Sequence[int], name: str) -> None:
    """Refuse a part that would not fit into memory.

    Raises:
        ValueError: if it does not.
    """
    size = count * math.prod(int(edge) for edge in shape)
    if size > BYTES_LIMIT:
        raise ValueError(
            f"source {name}: {count} images of {list(shape)} take {size:,} bytes, more than {BYTES_LIMIT:,}; give a "
            "smaller size, or fewer images."
        )


def number_classes(names: Sequence[str], known: Sequence[str]) -> tuple[Tensor | None, tuple[str, ...]]:
    """Labels of class names; None where all are of one class."""
    classes = tuple(sorted(set(known)))
    if len(classes) < 2:
        return None, ()
    numbers = {name: number for number, name in enumerate(classes)}
    return torch.tensor([numbers[name] for name in names], dtype=torch.long), classes
