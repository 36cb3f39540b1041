"""The charts show every row where its figures say."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from comparisons import row, table

from latentgen.plots import COLORS, to_png, to_svg
from latentgen.trilemma import position, scores
from latentgen.trilemma_charts import NO_CALLS, calls_chart, triangle_chart


@pytest.fixture
def result() -> dict:
    rows = [
        row("real data", q=1.0, c=0.01),
        row("a", 0.02, 10, q=0.5, c=0.2) | {"spread": {"q": 0.1}},
        row("b", 0.001, 0, q=0.7, c=2.0) | {"sampler": "prior"},
        row("broken", 0.002, 1) | {"sampler": "gan"},
    ]
    return table(*rows, q="higher", c="lower")


def test_panels_hold_both_axes_against_both_costs(result) -> None:
    panels = calls_chart(result).axes
    assert [axes.get_title(loc="left") for axes in panels] == [
        "quality: q (higher is better)"] * 2 + ["coverage: c (lower is better)"] * 2
    shown = [{c.get_label(): c.lines[0].get_xydata().tolist() for c in axes.containers} for axes in panels]
    assert shown[0] == {"a: dpm": [[10, 0.5]], "b: prior": [[NO_CALLS, 0.7]], "broken: gan": []}
    assert shown[1]["a: dpm"] == [[20, 0.5]]  # milliseconds
    assert shown[2]["b: prior"] == [[NO_CALLS, 2.0]]
    assert all(axes.get_xscale() == "log" for axes in panels)
    assert [axes.get_yscale() for axes in panels] == ["linear", "linear", "log", "log"]
    bar = panels[0].containers[0].lines[2][0].get_segments()[0]
    np.testing.assert_allclose(bar, [[10, 0.4], [10, 0.6]])
    assert [tick.get_text() for tick in panels[2].get_xticklabels()] == ["0", "1", "10"]
    assert [line.get_ydata()[0] for line in panels[0].lines if line.get_label() == "real data"] == [1.0]


def test_points_of_the_triangle(result) -> None:
    axes = triangle_chart(result).axes[0]
    found = scores(result)
    for points, name in zip(axes.collections, ("a", "b", "broken"), strict=True):
        assert tuple(points.get_offsets()[0]) == pytest.approx(position(found[name]))
    sizes = [points.get_sizes()[0] for points in axes.collections]
    totals = [sum(found[name].values()) for name in ("a", "b", "broken")]
    assert np.argsort(sizes).tolist() == np.argsort(totals).tolist()
    texts = {text.get_text() for text in axes.texts}
    assert {"high-quality samples", "mode coverage", "fast sampling", "10", "0", "1"} == texts


def test_equal_labels_at_one_place_are_drawn_once() -> None:
    rows = [row("real data", q=1.0, c=1.0), row("a", 0.1, 4, q=0.5, c=0.5), row("b", 0.1, 4, q=0.51, c=0.5)]
    rows.append(row("c", 0.001, 9, q=0.1, c=0.1))
    texts = [text.get_text() for text in triangle_chart(table(*rows, q="higher", c="higher")).axes[0].texts]
    assert texts.count("4") == 1
    assert texts.count("9") == 1


def test_many_lines_stay_apart() -> None:
    rows = [row("real data", q=1.0, c=1.0)]
    rows += [row(f"run {k}", 0.01 * (k + 1), k + 1, q=0.1 * k, c=math.inf) for k in range(12)]
    figure = calls_chart(table(*rows, q="higher", c="lower"))
    drawn = [c.lines[0] for c in figure.axes[0].containers]
    looks = [(line.get_color(), line.get_linestyle()) for line in drawn]
    assert len(set(looks)) == 2 * len(COLORS) == 12
    ticks = figure.axes[0].get_xticks()
    assert all(b / a > 1.1 for a, b in pairwise(ticks))
    assert to_png(figure).startswith(b"\x89PNG")
    assert "http" not in to_svg(figure)
