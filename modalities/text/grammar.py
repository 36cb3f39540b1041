"""Sentences of a small grammar about restaurants: a corpus without a file, whose validity can be decided exactly.

    sentence  ->  subject verb-phrase "."
    subject   ->  ("a" | "the" | number) [quality] noun ["in the" place]      number and noun agree; "an" before a vowel
    verb-phrase -> "serves"/"serve" [quality-of-food] food ["and" [quality-of-food] food] ["for" price]
                |  "is"/"are" (rating | "rated" stars) ["and" rating]
                |  "opens"/"open" at hour ["and" "closes"/"close" at hour]    the second hour is later than the first
                |  "has"/"have" ("a" | "an") feature ["but" "no" feature]     two different features

Words in brackets are left out at even odds. A sentence is accepted if, and only if, the grammar can draw it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

SINGULAR = ("cafe", "bar", "pub", "bistro", "restaurant", "diner", "inn", "eatery")
PLURAL = {"cafe": "cafes", "bar": "bars", "pub": "pubs", "bistro": "bistros", "restaurant": "restaurants",
          "diner": "diners", "inn": "inns", "eatery": "eateries"}
QUALITIES = ("small", "old", "quiet", "elegant", "busy", "modern", "cosy", "unusual")
NUMBERS = ("two", "three", "four", "several")
PLACES = ("city centre", "old town", "harbour", "station", "park", "riverside")
FOODS = ("pasta", "sushi", "curry", "soup", "salad", "pizza", "fish", "noodles", "bread", "coffee")
FOOD_QUALITIES = ("fresh", "spicy", "cheap", "excellent", "warm", "plain")
PRICES = ("less than ten pounds", "about twenty pounds", "more than thirty pounds")
RATINGS = ("popular", "expensive", "family friendly", "hard to find", "loved by tourists", "often empty")
STARS = ("one star", "two stars", "three stars", "four stars", "five stars")
HOURS = ("six", "seven", "eight", "nine", "ten", "eleven")
FEATURES = ("garden", "terrace", "bar", "open kitchen", "large window", "old piano")
VERBS = {"serves": "serve", "is": "are", "opens": "open", "closes": "close", "has": "have"}


def article(word: str) -> str:
    """"a", or "an" before a vowel."""
    return "an" if word[0] in "aeiou" else "a"


def sentences(count: int, seed: int) -> list[str]:
    """Draw sentences; a function of its arguments.

    Args:
        count: number of sentences.
        seed: of the draws.
    """
    draw = random.Random(seed)
    return [_sentence(draw) for _ in range(count)]


def _sentence(draw: random.Random) -> str:
    subject, plural = _subject(draw)
    return f"{subject} {_phrase(draw, plural)} ."


def _maybe(draw: random.Random) -> bool:
    return draw.random() < 0.5


def _subject(draw: random.Random) -> tuple[str, bool]:
    noun, quality = draw.choice(SINGULAR), draw.choice(QUALITIES) if _maybe(draw) else ""
    kind = draw.randrange(3)
    plural = kind == 2
    words = [quality, PLURAL[noun] if plural else noun]
    head = " ".join(word for word in words if word)
    first = (article(head), "the", draw.choice(NUMBERS))[kind]
    place = f" in the {draw.choice(PLACES)}" if _maybe(draw) else ""
    return f"{first} {head}{place}", plural


def _verb(singular: str, plural: bool) -> str:
    return VERBS[singular] if plural else singular


def _phrase(draw: random.Random, plural: bool) -> str:
    kind = draw.randrange(4)
    if kind == 0:
        dishes = [_dish(draw) for _ in range(2 if _maybe(draw) else 1)]
        price = f" for {draw.choice(PRICES)}" if _maybe(draw) else ""
        return f"{_verb('serves', plural)} {' and '.join(dishes)}{price}"
    if kind == 1:
        first = draw.choice(RATINGS) if _maybe(draw) else f"rated {draw.choice(STARS)}"
        more = f" and {draw.choice(RATINGS)}" if _maybe(draw) else ""
        return f"{_verb('is', plural)} {first}{more}"
    if kind == 2:
        early = draw.randrange(len(HOURS) - 1)
        late = draw.randrange(early + 1, len(HOURS))
        close = f" and {_verb('closes', plural)} at {HOURS[late]}" if _maybe(draw) else ""
        return f"{_verb('opens', plural)} at {HOURS[early]}{close}"
    one, two = draw.sample(FEATURES, 2)
    without = f" but no {two}" if _maybe(draw) else ""
    return f"{_verb('has', plural)} {article(one)} {one}{without}"


def _dish(draw: random.Random) -> str:
    quality = f"{draw.choice(FOOD_QUALITIES)} " if _maybe(draw) else ""
    return quality + draw.choice(FOODS)


def _any(words: tuple[str, ...]) -> str:
    return "(?:" + "|".join(re.escape(word) for word in words) + ")"


_SUBJECT = re.compile(
    rf"(?P<first>a|an|the|{'|'.join(NUMBERS)}) (?P<head>(?:{_any(QUALITIES)} )?(?P<noun>"
    rf"{_any(tuple(PLURAL.values()))}|{_any(SINGULAR)}))(?: in the {_any(PLACES)})? (?=\w)"
)
_DISH = rf"(?:{_any(FOOD_QUALITIES)} )?{_any(FOODS)}"
_PHRASES = (
    re.compile(rf"(?P<verb>serves|serve) {_DISH}(?: and {_DISH})?(?: for {_any(PRICES)})? \."),
    re.compile(rf"(?P<verb>is|are) (?:{_any(RATINGS)}|rated {_any(STARS)})(?: and {_any(RATINGS)})? \."),
    re.compile(
        rf"(?P<verb>opens|open) at (?P<early>{_any(HOURS)})"
        rf"(?: and (?P<second>closes|close) at (?P<late>{_any(HOURS)}))? \."
    ),
    re.compile(
        rf"(?P<verb>has|have) (?P<article>an?) (?P<one>{_any(FEATURES)})(?: but no (?P<two>{_any(FEATURES)}))? \."
    ),
)


def accepts(sentence: str) -> bool:
    """Whether the grammar can draw this sentence, exactly as it is spelt."""
    subject = _SUBJECT.match(sentence)
    if subject is None:
        return False
    plural = subject["noun"] in PLURAL.values()
    if (subject["first"] in NUMBERS) != plural:
        return False
    if subject["first"] in ("a", "an") and subject["first"] != article(subject["head"]):
        return False
    rest = sentence[subject.end() :]
    return any(_agrees(found, plural) for found in (pattern.fullmatch(rest) for pattern in _PHRASES) if found)


def _agrees(found: re.Match[str], plural: bool) -> bool:
    groups = found.groupdict()
    if (groups["verb"] in VERBS.values()) != plural:
        return False
    if groups.get("second") and (groups["second"] in VERBS.values()) != plural:
        return False
    if groups.get("early"):
        early = HOURS.index(groups["early"])
        return early < len(HOURS) - 1 and (not groups["late"] or HOURS.index(groups["late"]) > early)
    if groups.get("one"):
        return groups["article"] == article(groups["one"]) and groups["one"] != groups["two"]
    return True


def language() -> Iterator[str]:
    """Every sentence of the grammar, each once."""
    for subject, plural in _subjects():
        for phrase in _phrases(plural):
            yield f"{subject} {phrase} ."


def language_size() -> int:
    """Number of different sentences."""
    counts = {plural: sum(1 for _ in _phrases(plural)) for plural in (False, True)}
    return sum(counts[plural] for _, plural in _subjects())


def _subjects() -> Iterator[tuple[str, bool]]:
    for noun in SINGULAR:
        for quality in ("", *QUALITIES):
            for plural in (False, True):
                head = f"{quality} {PLURAL[noun] if plural else noun}".strip()
                for first in NUMBERS if plural else (article(head), "the"):
                    for place in ("", *(f" in the {place}" for place in PLACES)):
                        yield f"{first} {head}{place}", plural


def _phrases(plural: bool) -> Iterator[str]:
    dishes = [f"{quality} {food}".strip() for quality in ("", *FOOD_QUALITIES) for food in FOODS]
    for dish in [*dishes, *(f"{a} and {b}" for a in dishes for b in dishes)]:
        for price in ("", *(f" for {price}" for price in PRICES)):
            yield f"{_verb('serves', plural)} {dish}{price}"
    for first in (*RATINGS, *(f"rated {stars}" for stars in STARS)):
        for more in ("", *(f" and {rating}" for rating in RATINGS)):
            yield f"{_verb('is', plural)} {first}{more}"
    for early in range(len(HOURS) - 1):
        yield f"{_verb('opens', plural)} at {HOURS[early]}"
        for late in range(early + 1, len(HOURS)):
            yield f"{_verb('opens', plural)} at {HOURS[early]} and {_verb('closes', plural)} at {HOURS[late]}"
    for one in FEATURES:
        for two in ("", *(f" but no {two}" for two in FEATURES if two != one)):
            yield f"{_verb('has', plural)} {article(one)} {one}{two}"
