"""The order of training data, as a pure function of seed, step and rank, so that a resumed run sees the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler

from .modality import Dataset, Modality
from .signals import leave_to_the_parent
from .tensors import Batch


class BatchStream(Sampler[list[int]]):
    """Endless batches of example numbers: epoch after epoch of seeded permutations, with no partial batch.

    Sample k of the stream is entry k mod n of the permutation of epoch k // n. Batch number b of a process with rank r
    among W takes the samples from (b W + r) batch_size on.

    Args:
        size: number of examples n.
        batch_size: examples a process takes at a time.
        seed: of the permutations.
        rank: number of this process.
        world: number of processes.
        first: number of the first batch, after a resume.
    """

    def __init__(self, size: int, batch_size: int, seed: int, rank: int = 0, world: int = 1, first: int = 0) -> None:
        if size < 1:
            raise ValueError("the training data are empty; give at least one example.")
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.rank, self.world, self.first = rank, world, first
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.long)

    def _entry(self, sample: int) -> int:
        epoch, position = divmod(sample, self.size)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch) % 2**63)
            self._epoch, self._order = epoch, torch.randperm(self.size, generator=generator)
        return int(self._order[position])

    def __iter__(self) -> Iterator[list[int]]:
        batch = self.first
        while True:
            start = (batch * self.world + self.rank) * self.batch_size
            yield [self._entry(sample) for sample in range(start, start + self.batch_size)]
            batch += 1


class _Collate:
    """The modality's collate, for datasets that give items; whole batches pass through."""

    def __init__(self, modality: Modality) -> None:
        self.modality = modality

    def __call__(self, fetched: Any) -> Batch:
        return fetched if isinstance(fetched, dict) else self.modality.collate(fetched)


def stream_loader(modality: Modality, dataset: Dataset, stream: BatchStream, workers: int = 0) -> DataLoader[Batch]:
    """Batches in the stream's order. A dataset with ``__getitems__(numbers) -> Batch`` gives them whole."""
    return _loader(modality, dataset, stream, stream.seed, workers)


def shuffled(
    modality: Modality, dataset: Dataset, batch_size: int, seed: int, workers: int = 0
) -> DataLoader[Batch]:
    """The examples once, in an order of the seed, in batches of which the last may be smaller."""
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(seed % 2**63)).tolist()
    parts = [order[first : first + batch_size] for first in range(0, len(order), batch_size)]
    return _loader(modality, dataset, parts, seed % 2**63, workers)


def _loader(
    modality: Modality, dataset: Dataset, numbers: Iterable[list[int]], seed: int, workers: int
) -> DataLoader[Batch]:
    return DataLoader(
        dataset,  # type: ignore[arg-type]
        batch_sampler=numbers,
        collate_fn=_Collate(modality),
        num_workers=workers,
        generator=torch.Generator().manual_seed(seed),
        persistent_workers=workers > 0,
        worker_init_fn=leave_to_the_parent,
    )


def batches(
    modality: Modality, dataset: Dataset, batch_size: int = 128, limit: int | None = None
) -> Iterator[Batch]:
    """The examples in order, in batches, each once; the first ``limit`` of them."""
    collate, total = _Collate(modality), len(dataset) if limit is None else min(limit, len(dataset))
    for start in range(0, total, batch_size):
        numbers = list(range(start, min(start + batch_size, total)))
        whole = getattr(dataset, "__getitems__", None)
        items: Sequence[Any] | Batch = whole(numbers) if whole else [dataset[number] for number in numbers]
        yield collate(items)
