"""Examples as training reads them: by number, stacked by collate, the same on every call, all finite."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..modality import Modality
from ..tensors import Batch
from .portable import same_tensor
from .result import require

LOOKED_AT = 64
SPLITS = ("train", "test")
LIMIT = 10_000
SECONDS = 10.0
BLOCK = 32
KINDS = (torch.float32, torch.int64, torch.bool, torch.uint8, torch.int32)
AS_ROWS = (
    "return examples by number, such as [dict(zip(data, row)) for row in zip(*data.values())] of a dictionary of "
    "tensors (docs/extend.md, Data that you have)"
)
STACKED = "the default collate stacks dictionaries of tensors of equal shapes"


@dataclass
class Scan:
    """What is in the examples of a split, from the first on.

    Attributes:
        count: number of examples looked at.
        total: number of examples.
        sizes: real items of each example with a mask, shape [count] or [0].
        late: first example whose real items do not come first, or None.
        widest: items of the largest mask.
        absent: number of examples whose condition is a row of NaN.
    """

    count: int
    total: int
    sizes: Tensor
    late: int | None
    widest: int
    absent: int

    def __str__(self) -> str:
        """How many were looked at."""
        return f"all {self.total:,}" if self.count == self.total else f"{self.count:,} of {self.total:,}"


@dataclass
class Examples:
    """A modality and its examples."""

    modality: Modality
    count: int

    @cached_property
    def looked_at(self) -> Batch:
        """The first training examples as one batch."""
        return first_examples(self.modality, "train", LOOKED_AT)

    @cached_property
    def few(self) -> Batch:
        """A few of them; with masks, the smaller ones of different sizes, so that some is padded."""
        batch = self.looked_at
        rows = torch.arange(len(next(iter(batch.values()))))
        if "mask" in batch and batch["mask"].dim() == 2:
            sizes = batch["mask"].sum(dim=1)
            rows = sizes.argsort(stable=True)
            smaller = int((sizes < sizes.max()).sum())
            rows = rows[:smaller] if smaller > 1 else rows
        chosen = rows[torch.linspace(0, len(rows) - 1, min(self.count, len(rows))).long()]
        return {key: value[chosen] for key, value in batch.items()}

    @cached_property
    def scans(self) -> dict[str, Scan]:
        """All examples of each split, the first ``LIMIT`` of them and as many as ``SECONDS`` allow."""
        return {split: _scan(self.modality, split) for split in SPLITS}


def first_examples(modality: Modality, split: str, count: int) -> Batch:
    """The first examples of a split as one batch."""
    return next(_read(modality, split, count, count))


def _read(modality: Modality, split: str, size: int, limit: int) -> Iterator[Batch]:
    """Batches in order, as training reads them; what the default collate cannot stack is named."""
    dataset, default = modality.dataset(split), type(modality).collate is Modality.collate
    whole, total = getattr(dataset, "__getitems__", None), min(limit, len(dataset))
    for first in range(0, total, size):
        numbers = list(range(first, min(first + size, total)))
        items: Sequence[Any] | Batch = whole(numbers) if whole else [dataset[number] for number in numbers]
        if not isinstance(items, dict):
            if default:
                _require_stackable(items, split, first)
            items = modality.collate(items)
        yield items


def _require_stackable(items: Sequence[Any], split: str, first: int) -> None:
    """Dictionaries of equally shaped tensors."""
    for number, item in enumerate(items, first):
        name = f'dataset("{split}")[{number}]'
        require(
            isinstance(item, Mapping),
            f"{name} is a {type(item).__name__}, and {STACKED}",
            'override collate, or let dataset give examples such as {"x": tensor}',
        )
        require(
            item.keys() == items[0].keys(),
            f"{name} has the keys {list(item)}, and example {first} has {list(items[0])}",
            "give every example the same keys, or override collate",
        )
        for key, value in item.items():
            require(
                isinstance(value, Tensor),
                f"{name}[{key!r}] is a {type(value).__name__}, and {STACKED}",
                f"give {key!r} as torch.as_tensor(value, dtype=...), float32 for numbers, or override collate",
            )
            require(
                value.shape == items[0][key].shape,
                f"{name}[{key!r}] has shape {list(value.shape)}, and that of example {first} "
                f"{list(items[0][key].shape)}; {STACKED}",
                'override collate: pad to the longest example and add "mask" [B, N], True where an item is real',
            )


def data(modality: Modality) -> str:
    """Both splits have examples by number."""
    sizes = {}
    for split in SPLITS:
        dataset: Any = modality.dataset(split)
        name, kind = f'dataset("{split}")', type(dataset).__name__
        columns = hasattr(dataset, "iloc") or (isinstance(dataset, Mapping) and 0 not in dataset)
        require(not columns, f"{name} is a {kind}, whose entries are columns and not examples", AS_ROWS)
        require(
            hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__"),
            f"{name} is a {kind}, which has no length or no examples by number",
            "return an object with __len__ and __getitem__, such as a list, or a map-style data set without its loader",
        )
        sizes[split] = len(dataset)
        require(sizes[split] > 0, f"{name} is empty", f"return at least one example from {name}")
        if type(modality).collate is Modality.collate:
            first_examples(modality, split, 1)
    return ", ".join(f"{size} {split}" for split, size in sizes.items())


def repeat(given: Examples) -> None:
    """Against a second call, and against a second object, as in another process."""
    modality = given.modality
    arguments = getattr(modality, "_init_args", {})
    for who, other in (("call", modality), ("process", type(modality)(**arguments))):
        for split in SPLITS:
            first = first_examples(modality, split, LOOKED_AT)
            second = first_examples(other, split, LOOKED_AT)
            require(
                len(modality.dataset(split)) == len(other.dataset(split))
                and first.keys() == second.keys()
                and all(same_tensor(first[key], second[key]) for key in first),
                f'dataset("{split}") gives other data on another {who}',
                "make the data a function of the constructor's arguments: seed a generator of "
                "their own, sort file names, and leave random changes to encode",
            )


def batch(given: Examples) -> str:
    """A dictionary of tensors with examples along the first axis, all of them finite."""
    first = given.looked_at
    require(
        isinstance(first, dict) and first and all(isinstance(v, Tensor) for v in first.values()),
        f"collate returns a {type(first).__name__} that is not a dictionary of tensors",
        "return a dictionary of tensors from collate",
    )
    count = min(LOOKED_AT, len(given.modality.dataset("train")))
    for key, value in first.items():
        require(
            value.dim() > 0 and len(value) == count,
            f"batch[{key!r}] has shape {list(value.shape)} for {count} examples",
            "stack examples along a new first axis in collate",
        )
        require(
            value.dtype in KINDS,
            f"batch[{key!r}] is {value.dtype}",
            f"convert {key!r} to float32 (numbers), int64 (kinds) or bool (flags)",
        )
    shapes = ", ".join(f"{key} {list(value.shape[1:])}" for key, value in first.items())
    return f"{shapes}; finite in " + " and ".join(f"{scan} {split}" for split, scan in given.scans.items())


def _scan(modality: Modality, split: str) -> Scan:
    begin, scan = time.perf_counter(), Scan(0, len(modality.dataset(split)), torch.empty(0), None, 0, 0)
    sizes = [scan.sizes]
    for read in _read(modality, split, BLOCK, LIMIT):
        for key, value in read.items():
            _require_finite(key, value, split, scan.count)
        if "condition" in read and read["condition"].is_floating_point():
            scan.absent += int(_rows(read["condition"]).isnan().all(dim=1).sum())
        mask = read.get("mask")
        if mask is not None and mask.dtype == torch.bool and mask.dim() == 2:
            sizes.append(mask.sum(dim=1))
            late = (mask[:, 1:] & ~mask[:, :-1]).any(dim=1)
            if scan.late is None and bool(late.any()):
                scan.late = scan.count + int(late.nonzero()[0])
            scan.widest = max(scan.widest, mask.shape[1])
        scan.count += len(next(iter(read.values())))
        if time.perf_counter() - begin > SECONDS:
            break
    scan.sizes = torch.cat(sizes)
    return scan


def _rows(value: Tensor) -> Tensor:
    return value.flatten(1) if value.dim() > 1 else value.unsqueeze(1)


def _require_finite(key: str, value: Tensor, split: str, first: int) -> None:
    """No NaN and no infinity, but for whole rows of NaN in a condition, which say that there is none."""
    if not value.is_floating_point() or bool(value.isfinite().all()):
        return
    rows = _rows(value)
    broken = ~rows.isfinite().all(dim=1)
    fix = "clean the data in dataset() or collate"
    if key == "condition":
        broken &= ~rows.isnan().all(dim=1)
        fix = 'let a row of the condition be finite, or NaN throughout, which says "no condition"'
    if bool(broken.any()):
        number = first + int(broken.nonzero()[0])
        require(False, f'batch[{key!r}] has NaN or infinity in example {number} of dataset("{split}")', fix)
