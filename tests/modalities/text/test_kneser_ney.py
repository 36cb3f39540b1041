"""The n-gram model against counts by hand and against the axioms of probability."""

from __future__ import annotations

import math
import random

import pytest

from modalities.text.grammar import sentences
from modalities.text.kneser_ney import END, START, UNKNOWN, KneserNey, modified_discounts

TOY = [["a", "b"], ["a", "c"], ["a", "b"]]


def test_bigrams_by_hand() -> None:
    """c(a b) = 2, c(a c) = 1; before a, b, c and END stand 1, 1, 1 and 2 different symbols."""
    model, d = KneserNey(TOY, order=2, discount=0.5), 0.5
    assert model.vocabulary == {"a", "b", "c", END, UNKNOWN}
    uniform = d * 4 / 5 / 5  # the four seen symbols give d each, of a total of 5, to the five of the vocabulary
    b, c, end = (1 - d) / 5 + uniform, (1 - d) / 5 + uniform, (2 - d) / 5 + uniform
    assert model.probability("b", [START, "a"]) == pytest.approx((2 - d) / 3 + 2 * d / 3 * b)
    assert model.probability("c", ["a"]) == pytest.approx((1 - d) / 3 + 2 * d / 3 * c)
    assert model.probability(END, ["b"]) == pytest.approx((2 - d) / 2 + d / 2 * end)
    assert model.probability("z", ["z"]) == pytest.approx(uniform)
    assert model.probability("a") == pytest.approx((3 - d) / 3 + d / 3 * b)


def test_trigrams_by_hand() -> None:
    """Of the bigrams (a, b) and (a, c) the continuations count, START alone before each; of (START, a) occurrences."""
    model, d = KneserNey(TOY, order=3, discount=0.4), 0.4
    b = (1 - d) / 5 + d * 4 / 5 / 5
    after_a = (1 - d) / 2 + 2 * d / 2 * b
    assert model.probability("b", [START, "a"]) == pytest.approx((2 - d) / 3 + 2 * d / 3 * after_a)
    assert model.probability("b", ["c", "a"]) == pytest.approx(after_a)
    assert model.probability("a", [START]) == pytest.approx((3 - d) / 3 + d / 3 * b)
    nats = -sum(
        math.log(model.probability(s, h)) for s, h in (("a", [START]), ("b", [START, "a"]), (END, ["a", "b"]))
    )
    assert model.nats(["a", "b"]) == pytest.approx(nats)


def test_discounts_by_the_rule() -> None:
    counts = [1] * 10 + [2] * 4 + [3] * 2 + [4] * 1 + [9] * 3
    y = 10 / 18
    expected = (1 - 2 * y * 4 / 10, 2 - 3 * y * 2 / 4, 3 - 4 * y * 1 / 2)
    assert modified_discounts(counts) == pytest.approx(expected)
    assert modified_discounts([1, 1, 2]) == pytest.approx((0.5,) * 3)  # n_3 is 0: Y = 2 / 4
    assert modified_discounts([1, 1, 1, 2]) == pytest.approx((0.6,) * 3)
    assert modified_discounts([5, 5]) == (0.5,) * 3


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_probabilities_sum_to_one_after_every_context(order) -> None:
    corpus = [sentence.split() for sentence in sentences(150, 0)]
    model = KneserNey(corpus, order)
    source = random.Random(0)
    symbols = [symbol for symbol in model.vocabulary if symbol is not END]
    seen = [sentence[k : k + 2] for sentence in corpus[:10] for k in range(len(sentence) - 1)]
    made = [[source.choice(symbols) for _ in range(2)] for _ in range(20)]
    for context in ([START], [START, "the"], [START, "zzz"], *seen, *made):
        total = sum(model.probability(symbol, context) for symbol in model.vocabulary)
        assert total == pytest.approx(1, abs=1e-9), context
        assert min(model.probability(symbol, context) for symbol in (UNKNOWN, END, "the")) > 0


def test_longer_contexts_say_more_about_held_out_sentences() -> None:
    train, test = ([s.split() for s in sentences(400, seed)] for seed in (0, 1))
    nats = [sum(KneserNey(train, order).nats(sentence) for sentence in test) for order in (1, 2, 3)]
    assert nats == sorted(nats, reverse=True)
    assert nats[1] < 0.7 * nats[0]


@pytest.mark.parametrize(
    ("given", "message"),
    [({"order": 0}, "order is 0"), ({"discount": 1.0}, "between 0 and 1"), ({"sentences": []}, "at least one")],
)
def test_arguments_are_checked(given, message) -> None:
    with pytest.raises(ValueError, match=message):
        KneserNey(**{"sentences": TOY, **given})
