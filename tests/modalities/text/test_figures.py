"""Figures of text against hand-made cases and independent integration."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from modalities.text.divergence import frontier_area, mauve
from modalities.text.evaluator import TrigramEvaluator
from modalities.text.features import NGramFeatures
from modalities.text.figures import BETTER, reconstruction_figures, text_figures
from modalities.text.grammar import sentences
from modalities.text.ngrams import bleu, distinct, diversity, memorised, self_bleu, words


def test_words() -> None:
    assert words("It's 5 o'clock, sir.") == ["it's", "5", "o'clock", ",", "sir", "."]


def test_counts_by_hand() -> None:
    assert distinct(["a b a b"], 1) == 0.5
    assert distinct(["a b a b"], 2) == pytest.approx(2 / 3)
    assert distinct(["a"], 2) == 0
    assert diversity(["a b c d e"]) == 1
    assert memorised(["a b c d e"], ["x a b c d y"]) == 0.5
    assert memorised(["a b c d e"], []) == 0


def test_bleu_by_hand() -> None:
    """Papineni et al. 2002, section 2.1: "the the the ..." has a clipped unigram precision of 2 / 7."""
    candidate, reference = ["the"] * 7, ["the", "cat", "is", "on", "the", "mat"]
    assert bleu([candidate], [[reference]], most=1) == pytest.approx(2 / 7)
    same = ["a", "b", "c", "d", "e"]
    assert bleu([same], [[same]]) == pytest.approx(1)
    short = same[:4]
    assert bleu([short], [[same]]) == pytest.approx(math.exp(1 - 5 / 4))
    assert bleu([["x"]], [[same]]) == 0
    two = bleu([same, ["a", "b", "c", "d", "x"]], [[same], [same]])
    p = [9 / 10, 7 / 8, 5 / 6, 3 / 4]
    assert two == pytest.approx(math.exp(sum(map(math.log, p)) / 4))
    with pytest.raises(ValueError, match="give as many"):
        bleu([same], [])


def test_self_bleu_sees_repetition() -> None:
    assert self_bleu(["a b c d e"] * 3) == pytest.approx(1)
    assert self_bleu(["a b c d e", "f g h i j"]) == 0


@pytest.mark.parametrize("made", [["a b c d e"], [""], ["", ""]])
def test_a_single_or_an_empty_sentence_has_figures(made) -> None:
    figures = text_figures(made, ["a b c d e"] * 30, ["a b c d e"], TrigramEvaluator(["a b c d e"]))
    assert figures["self_bleu"] == 0
    assert all(map(math.isfinite, figures.values()))


def test_reconstructions_beside_their_originals() -> None:
    real = ["the cat is on the mat", "a dog"]
    assert reconstruction_figures(real, real) == {"exact": 1, "bleu": pytest.approx(1)}
    found = reconstruction_figures(["the cat is on the hat", "a dog"], real)
    # of 1- to 4-grams 7 of 8, 5 of 6, 3 of 4 and 2 of 3 are right, and the lengths are equal
    assert found == {"exact": 0.5, "bleu": pytest.approx((7 / 8 * 5 / 6 * 3 / 4 * 2 / 3) ** 0.25)}
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        reconstruction_figures(real, real[:1])


def test_the_area_of_equal_and_of_disjoint_histograms() -> None:
    p = torch.tensor([0.2, 0.3, 0.5])
    assert frontier_area(p, p) == pytest.approx(1)
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    # KL(Q || R) = -ln(1 - l), KL(P || R) = -ln l: the curve is x = (1 - l)^c, y = l^c
    exact = quad(lambda share: share**5 * 5 * (1 - share) ** 4, 0, 1)[0]
    assert frontier_area(a, b, points=4000) == pytest.approx(exact, abs=1e-4)


def test_the_area_against_independent_integration() -> None:
    p, q, c = np.array([0.7, 0.2, 0.1]), np.array([0.3, 0.3, 0.4]), 5.0

    def point(share: float) -> tuple[float, float]:
        r = share * p + (1 - share) * q
        return math.exp(-c * np.sum(q * np.log(q / r))), math.exp(-c * np.sum(p * np.log(p / r)))

    shares = np.linspace(0, 1, 20001)
    x, y = np.array([point(share) for share in shares]).T
    area = -np.trapezoid(y, x) + 0.0
    x0, _ = point(0)  # R = Q: (1, y0); R = P: (x1, 1)
    x1, _ = point(1)
    found = frontier_area(torch.tensor(p), torch.tensor(q), points=20000)
    outside = x1 * 1.0  # from (0, 1) to (x1, 1)
    assert found == pytest.approx(area + outside, abs=2e-3)
    assert x0 == pytest.approx(1)
    one, other = torch.tensor(p), torch.tensor(q)
    assert frontier_area(one, other) == pytest.approx(frontier_area(other, one))


def test_mixtures_are_ordered() -> None:
    p, q = torch.tensor([0.9, 0.1]), torch.tensor([0.1, 0.9])
    areas = [frontier_area(p, (1 - share) * p + share * q) for share in (0.0, 0.2, 0.5, 1.0)]
    assert areas == sorted(areas, reverse=True)


def test_mauve_tells_real_from_shuffled() -> None:
    features = NGramFeatures()
    real, other = sentences(300, 0), sentences(300, 1)
    shuffled = [" ".join(sorted(sentence.split())) for sentence in other]
    same = mauve(features.vectors(real), features.vectors(other))
    worse = mauve(features.vectors(real), features.vectors(shuffled))
    assert same > 0.8
    assert worse < 0.5 * same
    with pytest.raises(ValueError, match="as many of both"):
        mauve(torch.zeros(30, 2), torch.zeros(20, 2))


def test_all_figures_of_copies_and_of_new_sentences() -> None:
    train, test, new = sentences(200, 0), sentences(100, 1), sentences(100, 2)
    figures = text_figures(train[:100], test, train, TrigramEvaluator(train))
    assert set(figures) == set(BETTER)
    assert (figures["novel"], figures["memorised"]) == (0, 1)
    assert text_figures(new, test, train)["novel"] > 0.9
    assert text_figures(["the cafe ."] * 100, test, train)["unique"] == 0.01
