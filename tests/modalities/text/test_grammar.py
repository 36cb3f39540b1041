"""The grammar accepts what it draws, all of that, and nothing else."""

from __future__ import annotations

import itertools
import random

from modalities.text.grammar import accepts, language, language_size, sentences


def test_draws_are_a_function_of_the_seed_and_accepted() -> None:
    drawn = sentences(3000, 4)
    assert drawn == sentences(3000, 4)
    assert drawn != sentences(3000, 5)
    assert all(map(accepts, drawn))
    assert max(len(sentence.split()) for sentence in drawn) <= 24


def test_the_language_is_what_is_accepted() -> None:
    some = list(itertools.islice(language(), 0, None, 997))
    assert len(set(some)) == len(some)
    assert all(map(accepts, some))
    assert language_size() > 1_000_000


def test_small_changes_leave_the_language_or_stay_in_it_as_they_should() -> None:
    """Agreement, articles, order of hours, spelling; a doubled word is never in the language."""
    draw = random.Random(0)
    wrong = [
        "a inn opens at six .", "an cafe opens at six .", "two cafe open at six .", "the cafes open at six .",
        "two cafes opens at six .", "the cafe open at six .", "the cafe opens at eleven .",
        "the cafe opens at nine and closes at six .", "the cafe opens at nine and close at ten .",
        "the cafe has a garden but no garden .", "the cafe has a open kitchen .", "the cafe serves .", "the cafe .",
        "the cafe serves pasta and .", "the cafe serves pasta", "the  cafe serves pasta .", "The cafe serves pasta .",
        "the cafe serves pasta . .", "", ".", "the cafe is rated .", "a old cafe is popular .",
    ]
    assert [sentence for sentence in wrong if accepts(sentence)] == []
    right = [
        "an inn opens at six .", "an old cafe is popular .", "two inns open at six and close at nine .",
        "the cafe has an open kitchen but no garden .", "the quiet bar in the old town is rated one star and popular .",
    ]
    assert all(map(accepts, right))
    for sentence in sentences(200, 1):
        words = sentence.split()
        place = draw.randrange(len(words))
        assert not accepts(" ".join(words[:place] + words[place : place + 1] * 2 + words[place + 1 :]))
