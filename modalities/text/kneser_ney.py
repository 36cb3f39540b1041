"""An n-gram model with interpolated modified Kneser-Ney smoothing, over words or any other symbols."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence

Symbol = Hashable
Table = dict[tuple[Symbol, ...], Counter[Symbol]]


class _Mark:
    """A symbol that equals itself alone, so that no text contains it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


START, END, UNKNOWN = _Mark("START"), _Mark("END"), _Mark("UNKNOWN")
"""Before the first symbol; after the last one; every symbol that training has not."""


class KneserNey:
    r"""Interpolated Kneser-Ney with modified discounts (Chen and Goodman 1999, Section 3.4).

    p(w | h) = max(c(h w) - D(c(h w)), 0) / sum_v c(h v) + gamma(h) p(w | h'), with h' = h less its first symbol and
    gamma(h) = sum_v D(c(h v)) / sum_v c(h v); a context that training has not is shortened. c counts occurrences at
    the highest order and for n-grams that begin with START, and different symbols before the n-gram elsewhere; below
    the first order lies the uniform distribution over the vocabulary. The discounts of each order are D(1), D(2) and
    D(3 and more) = k - (k + 1) Y n_(k+1) / n_k with Y = n_1 / (n_1 + 2 n_2) for the numbers n_k of n-grams that are
    counted k times; where one of them is 0 or the rule gives none in [0, k], all three are Y.

    A sentence is one START, its symbols and END: p sums to 1 over the vocabulary, which holds the symbols of training,
    END and UNKNOWN, for every context.

    Args:
        sentences: symbols of each training sentence.
        order: longest n-grams, at least 1.
        discount: one D in (0, 1) for all; estimated unless given.

    Attributes:
        vocabulary: all that can follow.

    Raises:
        ValueError: if order or discount is out of range, or there is no sentence.
    """

    def __init__(self, sentences: Iterable[Sequence[Symbol]], order: int = 3, discount: float | None = None) -> None:
        if order < 1:
            raise ValueError(f"order is {order}; the shortest n-grams have 1 symbol.")
        if discount is not None and not 0 < discount < 1:
            raise ValueError(f"discount is {discount}; give a number between 0 and 1, or None to estimate it.")
        padded = [(START, *sentence, END) for sentence in sentences]
        if not padded:
            raise ValueError("sentences is empty; an n-gram model is trained on at least one.")
        self.order = order
        self.vocabulary = {symbol for sentence in padded for symbol in sentence[1:]} | {UNKNOWN}
        counts = _counts(padded, order)
        self.tables = [_by_context(grams) for grams in counts]
        fixed = None if discount is None else (discount,) * 3
        self.discounts = [fixed or modified_discounts(grams.values()) for grams in counts]
        pairs = zip(self.tables, self.discounts, strict=True)
        self.masses = [{h: _masses(found, d) for h, found in table.items()} for table, d in pairs]

    def probability(self, symbol: Symbol, context: Sequence[Symbol] = (START,)) -> float:
        """p(symbol | context).

        Args:
            symbol: one of the vocabulary; any other one stands for UNKNOWN.
            context: what comes before, START first at a sentence's beginning; only its end is read.
        """
        known = symbol if symbol in self.vocabulary else UNKNOWN
        return self._probability(known, tuple(context[max(0, len(context) - self.order + 1) :]))

    def _probability(self, symbol: Symbol, context: tuple[Symbol, ...]) -> float:
        lower = self._probability(symbol, context[1:]) if context else 1 / len(self.vocabulary)
        found = self.tables[len(context)].get(context)
        if found is None:
            return lower
        total, left = self.masses[len(context)][context]
        kept = max(found[symbol] - (0.0, *self.discounts[len(context)])[min(found[symbol], 3)], 0.0)
        return (kept + left * lower) / total

    def nats(self, sentence: Sequence[Symbol]) -> float:
        """-ln p(sentence, END), nats."""
        padded = (START, *sentence, END)
        places = range(1, len(padded))
        return -sum(math.log(self.probability(padded[k], padded[max(0, k - self.order + 1) : k])) for k in places)


def _counts(padded: Sequence[tuple[Symbol, ...]], order: int) -> list[Counter[tuple[Symbol, ...]]]:
    """c of the n-grams for n = 1 ... order (START alone is no n-gram, as it never follows)."""
    counts: list[Counter[tuple[Symbol, ...]]] = [Counter() for _ in range(order)]
    for sentence in padded:
        for k in range(len(sentence) - order + 1):
            counts[-1][sentence[k : k + order]] += 1
        for n in range(2, min(order, len(sentence) + 1)):
            counts[n - 1][sentence[:n]] += 1
    if order == 1:
        del counts[0][(START,)]
    for n in range(order - 1, 0, -1):
        counts[n - 1].update(gram[1:] for gram in counts[n])  # each different longer one counts once
    return counts


def _by_context(grams: Counter[tuple[Symbol, ...]]) -> Table:
    table: Table = defaultdict(Counter)
    for gram, count in grams.items():
        table[gram[:-1]][gram[-1]] = count
    return dict(table)


def _masses(found: Counter[Symbol], discounts: tuple[float, ...]) -> tuple[int, float]:
    """Of one context: all counts, and the sum of all discounts."""
    return found.total(), sum(discounts[min(count, 3) - 1] for count in found.values())


def modified_discounts(counts: Iterable[int]) -> tuple[float, float, float]:
    """D(1), D(2), D(3 and more) of one order's counts (Chen and Goodman 1999, equation 26)."""
    n = Counter(min(count, 5) for count in counts)
    if not n[1] or not n[2]:
        return (0.5,) * 3
    y = n[1] / (n[1] + 2 * n[2])
    if n[3] and n[4]:
        found = tuple(k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3))
        if all(0 <= d <= k for k, d in zip((1, 2, 3), found, strict=True)):
            return found[0], found[1], found[2]
    return (y,) * 3
