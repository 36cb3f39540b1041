"""Metrics on a few numbers, by hand: kernels and bandwidths, closed and open balls, features of several processes."""

from __future__ import annotations

import math
import threading

import pytest
import torch
from torch import Tensor

from latentgen.metrics import density_coverage, gather_features, mmd, precision_recall


def column(*numbers: float) -> Tensor:
    return torch.tensor(numbers).unsqueeze(1)


def test_mmd_of_two_and_two_numbers_with_and_without_the_diagonal() -> None:
    """Kernel e^(-d^2) for h = 1 / sqrt(2): within x e^-1, within y e^-4, across 1, e^-4, e^-1 and e^-1."""
    x, y, h, e = column(0, 1), column(0, 2), math.sqrt(0.5), math.exp
    across = (1 + e(-4) + 2 * e(-1)) / 4
    assert mmd(x, y, h, unbiased=True) == pytest.approx(e(-1) + e(-4) - 2 * across)
    assert mmd(x, y, h, unbiased=True) < 0
    assert mmd(x, y, h) == pytest.approx((1 + e(-1)) / 2 + (1 + e(-4)) / 2 - 2 * across)


def test_mmd_weighs_unequal_numbers_of_samples_by_their_own_pairs() -> None:
    """h = 1, kernel e^(-d^2 / 2): three pairs in x at 1, 2 and 1, one in y at 3, six across."""
    x, y = column(0, 1, 2), column(-1, 2)
    one, two, three = (math.exp(-(d**2) / 2) for d in (1, 2, 3))
    across = (one + two + three + two + one + 1) / 6
    assert mmd(x, y, 1.0, unbiased=True) == pytest.approx((2 * one + two) / 3 + three - 2 * across)
    assert mmd(x, y, 1.0) == pytest.approx((3 + 4 * one + 2 * two) / 9 + (1 + three) / 2 - 2 * across)


def test_the_default_bandwidth_is_the_median_distance_between_different_real_samples() -> None:
    """0, 1, 3 lie 1, 2 and 3 apart: h = 2; with the zeros of the diagonal it would be 1."""
    x, y = column(0, 1, 3), column(0, 5)
    kernel = {d: math.exp(-(d**2) / 8) for d in range(6)}
    across = sum(kernel[d] for d in (0, 5, 1, 4, 3, 2)) / 6
    inside = (3 + 2 * (kernel[1] + kernel[2] + kernel[3])) / 9
    assert mmd(x, y) == pytest.approx(inside + (1 + kernel[5]) / 2 - 2 * across)
    assert mmd(x, y) == pytest.approx(mmd(x, y, 2.0), rel=1e-12)
    assert mmd(y, x) == pytest.approx(mmd(y, x, 5.0), rel=1e-12), "of the real samples, not of the generated ones"
    assert mmd(column(4, 4), column(4, 4)) == 0, "all alike: no median, and no division by it"


def test_precision_and_recall_count_repeated_samples_as_hits() -> None:
    """The nearest other sample of a pair of twins is at distance 0: a ball of that radius still holds its centre."""
    real, generated = column(0, 0, 10, 10), column(0, 0, 0, 5, 5)
    assert precision_recall(real, generated, k=1) == {"precision": 3 / 5, "recall": 2 / 4}
    assert precision_recall(real, real, k=1) == {"precision": 1, "recall": 1}


def test_precision_and_recall_count_samples_on_the_surface_of_a_ball() -> None:
    """Real balls 0 +- 2 and 2 +- 2, generated ones 4 +- 3 and 7 +- 3: 4 is on the rim of a ball, 2 inside, 0 out."""
    assert precision_recall(column(0, 2), column(4, 7), k=1) == {"precision": 0.5, "recall": 0.5}
    assert precision_recall(column(1, 1.5), column(4, 7), k=1) == {"precision": 0, "recall": 1}


def test_density_and_coverage_leave_out_the_surface() -> None:
    """Open balls, as published: 4 on the rim of 2 +- 2 is outside, 3 inside of it alone."""
    assert density_coverage(column(0, 2), column(4, 9), k=1) == {"density": 0, "coverage": 0}
    assert density_coverage(column(0, 2), column(3, 4), k=1) == {"density": 0.5, "coverage": 0.5}


class Rank:
    """An accelerator's gather among threads: every rank calls it and gets all parts in order, of one shape."""

    def __init__(self, parts: list[Tensor | None], rank: int, meeting: threading.Barrier) -> None:
        self.parts, self.rank, self.meeting = parts, rank, meeting
        self.num_processes = len(parts)

    def gather(self, part: Tensor) -> Tensor:
        self.parts[self.rank] = part
        self.meeting.wait()
        parts = list(self.parts)
        self.meeting.wait()
        assert len({value.shape for value in parts}) == 1, "a gather of unequal shapes hangs"
        return torch.cat(parts)


@pytest.mark.parametrize("counts", [(3, 5), (5, 3), (4, 4), (0, 2), (2, 7, 1)])
def test_features_of_all_ranks_come_without_the_padding_of_their_exchange(counts: tuple[int, ...]) -> None:
    """Each rank's rows tell whose they are; a row of zeros would be a sample that no rank has."""
    own = [10.0 * (rank + 1) + torch.rand(count, 3) for rank, count in enumerate(counts)]
    meeting = threading.Barrier(len(counts), timeout=10)
    shared: list[Tensor | None] = [None] * len(counts)
    found: dict[int, Tensor] = {}

    def run(rank: int) -> None:
        found[rank] = gather_features(own[rank], Rank(shared, rank, meeting))

    threads = [threading.Thread(target=run, args=(rank,), daemon=True) for rank in range(len(counts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(found) == list(range(len(counts)))
    for features in found.values():
        assert torch.equal(features, torch.cat(own))
