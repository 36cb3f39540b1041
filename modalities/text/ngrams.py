"""Figures of word n-grams: diversity, repetition, and what was copied from training."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from typing import TypeVar

WORD = re.compile(r"\w+(?:'\w+)?|[^\w\s]")
"""A word with its apostrophes, or a single sign."""


Symbol = TypeVar("Symbol", bound=Hashable)


def words(sentence: str) -> list[str]:
    """Lower-case words and signs."""
    return WORD.findall(sentence.lower())


def grams(tokens: Sequence[Symbol], n: int) -> Iterator[tuple[Symbol, ...]]:
    """All n-grams of a sentence."""
    return zip(*(tokens[k:] for k in range(n)), strict=False)


def distinct(sentences: Sequence[str], n: int) -> float:
    """Share of n-grams that are different, over all sentences together; 0 without n-grams."""
    found = [gram for sentence in sentences for gram in grams(words(sentence), n)]
    return len(set(found)) / len(found) if found else 0.0


def diversity(sentences: Sequence[str]) -> float:
    """prod over n = 2, 3, 4 of :func:`distinct`; falls with the number of sentences, so compare equal numbers."""
    return math.prod(distinct(sentences, n) for n in (2, 3, 4))


def memorised(generated: Sequence[str], train: Sequence[str], n: int = 4) -> float:
    """Share of generated n-grams that occur in training; 0 without n-grams."""
    known = {gram for sentence in train for gram in grams(words(sentence), n)}
    found = [gram for sentence in generated for gram in grams(words(sentence), n)]
    return sum(gram in known for gram in found) / len(found) if found else 0.0


def bleu(candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]], most: int = 4) -> float:
    r"""Corpus BLEU (Papineni et al. 2002): BP exp(mean_n ln p_n) with clipped precisions p_n and the brevity penalty.

    Args:
        candidates: words of each candidate.
        references: for each candidate, words of one or more references.
        most: longest n-grams.

    Returns:
        In [0, 1]; 0 where some p_n is 0.

    Raises:
        ValueError: if the numbers of both differ, or there are none.
    """
    if len(candidates) != len(references) or not candidates:
        raise ValueError(f"candidates has {len(candidates)}, references {len(references)}; give as many, at least one.")
    right, total = [0] * most, [0] * most
    length = closest = 0
    for candidate, known in zip(candidates, references, strict=True):
        length += len(candidate)
        closest += min((abs(len(r) - len(candidate)), len(r)) for r in known)[1]
        for n in range(1, most + 1):
            counts = Counter(grams(candidate, n))
            limit: Counter[tuple[str, ...]] = Counter()
            for reference in known:
                limit |= Counter(grams(reference, n))
            right[n - 1] += sum((counts & limit).values())
            total[n - 1] += sum(counts.values())
    if min(right) == 0:
        return 0.0
    log_p = sum(math.log(r / t) for r, t in zip(right, total, strict=True)) / most
    return math.exp(min(0.0, 1 - closest / length) + log_p)


def sentence_bleu(candidate: Sequence[Hashable], reference: Sequence[Hashable], most: int = 4) -> float:
    """BLEU of one sentence, with 1 added to numbers of n-grams for n > 1 (Lin and Och 2004, "BLEU+1").

    Returns:
        In [0, 1]; 1 for equal sentences, 0 without a common symbol.
    """
    if not candidate or not reference:
        return float(len(candidate) == len(reference))
    log_p = 0.0
    for n in range(1, most + 1):
        counts, limit = Counter(grams(candidate, n)), Counter(grams(reference, n))
        right, more = (counts & limit).total(), int(n > 1)
        if right + more == 0:
            return 0.0
        log_p += math.log((right + more) / (counts.total() + more)) / most
    return math.exp(min(0.0, 1 - len(reference) / len(candidate)) + log_p)


def overlap(candidate: Sequence[Hashable], reference: Sequence[Hashable]) -> float:
    """F1 of two bags of symbols: 2 |a and b| / (|a| + |b|); 1 for two empty ones."""
    total = len(candidate) + len(reference)
    return 2 * (Counter(candidate) & Counter(reference)).total() / total if total else 1.0


def self_bleu(sentences: Sequence[str], limit: int = 200) -> float:
    """Mean BLEU of each sentence against all others; high where sentences repeat one another, 0 for fewer than two."""
    tokens = [words(sentence) for sentence in sentences[:limit]]
    if len(tokens) < 2:
        return 0.0
    scores = [bleu([own], [tokens[:k] + tokens[k + 1 :]]) for k, own in enumerate(tokens)]
    return sum(scores) / len(scores)
