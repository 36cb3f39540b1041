"""The order of data is a function of seed, step and rank: epochs are permutations, a resumed run sees the tail."""

from collections import Counter
from itertools import islice

import pytest
import torch
from toy import Toy

from latentgen.modality import Modality
from latentgen.stream import BatchStream, batches, shuffled, stream_loader


def take(stream: BatchStream, count: int) -> list[list[int]]:
    return list(islice(iter(stream), count))


def flat(lists: list[list[int]]) -> list[int]:
    return [number for numbers in lists for number in numbers]


@pytest.mark.parametrize(("size", "batch_size"), [(12, 4), (10, 3), (7, 7), (5, 8), (1, 3)])
def test_every_epoch_is_a_permutation(size, batch_size):
    """Also where batches do not divide epochs: sample k is entry k mod n of epoch k // n."""
    epochs = 6
    numbers = flat(take(BatchStream(size, batch_size, seed=0), epochs * size // batch_size + 1))
    for epoch in range(epochs):
        assert sorted(numbers[epoch * size : (epoch + 1) * size]) == list(range(size))


def test_batches_are_always_full():
    assert {len(numbers) for numbers in take(BatchStream(10, 4, seed=0), 30)} == {4}


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = set()
    for seed in range(5):
        numbers = flat(take(BatchStream(20, 20, seed), 4))
        orders |= {tuple(numbers[epoch * 20 : (epoch + 1) * 20]) for epoch in range(4)}
    assert len(orders) == 20


def test_the_order_is_deterministic_and_can_be_iterated_again():
    stream = BatchStream(10, 3, seed=4)
    first = take(stream, 20)
    assert take(stream, 20) == first
    assert take(BatchStream(10, 3, seed=4), 20) == first


def test_the_order_leaves_the_global_generator_alone():
    torch.manual_seed(3)
    take(BatchStream(10, 3, seed=4), 5)
    after = torch.rand(2)
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(2))


@pytest.mark.parametrize("first", [0, 1, 5, 13, 100])
@pytest.mark.parametrize("world", [1, 3])
def test_resuming_sees_the_tail(first, world):
    for rank in range(world):
        whole = take(BatchStream(10, 3, 7, rank, world), first + 8)
        assert take(BatchStream(10, 3, 7, rank, world, first=first), 8) == whole[first:]


@pytest.mark.parametrize(("world", "batch_size"), [(2, 3), (3, 4), (4, 1)])
def test_ranks_partition_the_stream(world, batch_size):
    """Together, in order, they see what one process sees with world times the batch."""
    parts = [take(BatchStream(11, batch_size, 5, rank, world), 20) for rank in range(world)]
    together = [flat([parts[rank][step] for rank in range(world)]) for step in range(20)]
    assert together == take(BatchStream(11, batch_size * world, 5), 20)


def test_every_example_is_seen_equally_often():
    counts = Counter(flat(take(BatchStream(9, 4, seed=1), 9 * 10)))
    assert counts == dict.fromkeys(range(9), 40)


def test_accumulated_batches_follow_each_other():
    """Two small batches a step are the same samples as one large batch a step."""
    small, large = take(BatchStream(10, 3, 2), 12), take(BatchStream(10, 6, 2), 6)
    assert flat(small) == flat(large)


def test_an_empty_data_set_is_refused():
    with pytest.raises(ValueError, match="training data are empty; give at least one example"):
        BatchStream(0, 4, seed=0)


class Numbers(Modality):
    """Example i is the number i."""

    latents = None

    def dataset(self, split):
        return [{"x": torch.tensor([float(i)])} for i in range(10)]

    def autoencoder(self):
        raise NotImplementedError


class Whole:
    """A data set that gives whole batches."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        raise AssertionError("asked for a single example")

    def __getitems__(self, numbers):
        return {"x": torch.tensor(numbers, dtype=torch.float32).unsqueeze(1)}


@pytest.mark.parametrize("kind", ["items", "whole"])
def test_the_loader_follows_the_stream(kind):
    modality = Numbers()
    dataset = modality.dataset("train") if kind == "items" else Whole()
    loader = stream_loader(modality, dataset, BatchStream(10, 4, seed=3, first=2))
    expected = take(BatchStream(10, 4, seed=3, first=2), 5)
    assert [batch["x"].squeeze(1).long().tolist() for batch in islice(iter(loader), 5)] == expected


@pytest.mark.parametrize("kind", ["items", "whole"])
@pytest.mark.parametrize(("limit", "expected"), [(None, 10), (7, 7), (100, 10)])
def test_batches_give_every_example_once_in_order(kind, limit, expected):
    modality = Numbers()
    dataset = modality.dataset("train") if kind == "items" else Whole()
    parts = list(batches(modality, dataset, batch_size=4, limit=limit))
    assert torch.cat([part["x"] for part in parts]).squeeze(1).tolist() == list(range(expected))
    assert all(len(part["x"]) <= 4 for part in parts)


@pytest.mark.parametrize("workers", [0, 1])
def test_shuffled_examples_come_once_in_an_order_of_the_seed(workers: int) -> None:
    toy = Toy(10)
    data = [{"x": torch.tensor([float(number)])} for number in range(10)]
    orders = []
    for seed in (0, 0, 1):
        found = [batch["x"].flatten() for batch in shuffled(toy, data, 4, seed, workers)]
        assert [len(part) for part in found] == [4, 4, 2]
        orders.append(torch.cat(found).tolist())
    assert sorted(orders[0]) == list(range(10))
    assert orders[0] == orders[1] != orders[2]
