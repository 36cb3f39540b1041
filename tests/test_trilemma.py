"""Scores run from the worst row to real data, and corners of the triangle are corners."""

from __future__ import annotations

import math

import pytest
from comparisons import row, table

from latentgen.trilemma import CORNERS, Scale, caption, lines, position, sampled, scales, scores


@pytest.fixture
def result() -> dict:
    return table(
        row("real data", q=10.0, c=0.01),
        row("no prior", q=2.0, c=1.0),
        row("a", 1.0, 100, q=4.0, c=0.1),
        row("b", 0.01, 1, q=12.0, c=0.001),
        row("c", 0.1, 10, q=2.0, c=math.inf),
        q="higher", c="lower",
    )


def test_scores_by_hand(result) -> None:
    found = scores(result)
    # linear from 2 to 10; logarithmic from 1 down to 0.01; logarithmic from 1 s down to 0.01 s
    assert found["a"] == pytest.approx({"quality": 0.25, "coverage": 0.5, "speed": 0.0})
    assert found["b"] == pytest.approx({"quality": 1.0, "coverage": 1.0, "speed": 1.0})  # never beyond real data
    assert found["c"] == pytest.approx({"quality": 0.0, "coverage": 0.0, "speed": 0.5})
    assert set(found) == {"a", "b", "c"} == {row["name"] for row in sampled(result)}


def test_the_caption_states_the_ends_of_every_scale(result) -> None:
    text = caption(result)
    assert "quality: q, linear from 2 (worst row) to 10 (real data)" in text
    assert "coverage: c, logarithmic from 1 (worst row) to 0.01 (real data)" in text
    assert "speed: seconds a sample, logarithmic from 1 (worst row) to 0.01 (fastest row)" in text


def test_distances_that_touch_zero_are_scored_linearly() -> None:
    found = scales(table(row("real data", q=1.0, c=-0.1), row("a", 1.0, 1, q=1.0, c=0.9), q="higher", c="lower"))
    assert found["coverage"] == Scale("c", 0.9, -0.1, False, "real data")
    assert found["coverage"](0.4) == pytest.approx(0.5)


def test_without_real_data_the_best_row_is_the_end() -> None:
    rows = [row("real data"), row("a", 1.0, 1, q=0.2), row("b", 1.0, 2, q=0.7), row("c", 1.0, 3)]
    found = scores(table(*rows, q="higher"))
    assert [found[name]["quality"] for name in "abc"] == [0.0, 1.0, 0.0]
    assert scales(table(*rows, q="higher"))["quality"].name_of_best == "best row"
    assert found["a"]["coverage"] == 0.0  # nobody has it
    assert found["a"]["speed"] == 1.0  # all are equally fast


def test_corners_are_corners() -> None:
    for axis, corner in CORNERS.items():
        assert position({name: float(name == axis) for name in CORNERS}) == pytest.approx(corner)
        others = [CORNERS[name] for name in CORNERS if name != axis]
        middle = tuple(sum(other[k] for other in others) / 2 for k in (0, 1))
        assert position({name: 0.7 * (name != axis) for name in CORNERS}) == pytest.approx(middle)
    centre = tuple(sum(corner[k] for corner in CORNERS.values()) / 3 for k in (0, 1))
    assert position(dict.fromkeys(CORNERS, 0.4)) == pytest.approx(centre)
    assert position(dict.fromkeys(CORNERS, 0.0)) == pytest.approx(centre)
    sides = [math.dist(a, b) for a in CORNERS.values() for b in CORNERS.values() if a != b]
    assert sides == pytest.approx([1.0] * 6)


def test_lines_rise_in_calls(result) -> None:
    result["rows"][3] |= {"run": "a"}
    assert {name: [row["calls"] for row in rows] for name, rows in lines(result).items()} == {
        "a: dpm": [1, 100], "c: dpm": [10],
    }
