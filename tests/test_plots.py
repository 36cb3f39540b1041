"""Figures need no display, refer to nothing, and show what was given."""

import math
import sys
from xml.etree import ElementTree

import matplotlib as mpl
import pytest

from latentgen.plots import Series, curve_figure, to_png, to_svg, trade_off_figure


def lines(figure) -> dict[str, tuple[list[float], list[float]]]:
    """The named curves of a figure."""
    drawn = figure.axes[0].get_lines()
    return {
        line.get_label(): (list(line.get_xdata()), list(line.get_ydata()))
        for line in drawn
        if not line.get_label().startswith("_")
    }


def test_short_curves_are_drawn_as_they_are() -> None:
    x, y = [1, 2, 3, 4], [4.0, 1.0, math.nan, 2.0]
    found = lines(curve_figure([Series("loss", x, y)]))["loss"]
    assert found[0] == x
    assert found[1][:2] == y[:2] and math.isnan(found[1][2]) and found[1][3] == 2.0


def test_long_curves_are_thinned_without_shift() -> None:
    x = list(range(100_000))
    found = lines(curve_figure([Series("loss", x, [2.0 * v for v in x])]))["loss"]
    assert len(found[0]) <= 300
    middle = len(found[0]) // 2
    assert found[1][middle] == pytest.approx(2 * found[0][middle])


def test_a_spike_neither_moves_the_curve_nor_the_axis() -> None:
    y = [1.0 + 0.1 * (i % 2) for i in range(300)]
    y[150] = 1e6
    figure = curve_figure([Series("norm", list(range(300)), y)])
    assert max(lines(figure)["norm"][1]) < 1.2
    assert figure.axes[0].get_ylim()[1] < 1.2


@pytest.mark.parametrize(
    "values",
    [[], [math.nan] * 5, [0.0] * 5, [1e-30, 2e-30], [-1e30, 1e30], [-1e308, 1e308], [3.0]],
)
def test_odd_curves_can_be_drawn(values: list[float]) -> None:
    svg = to_svg(curve_figure([Series("x", list(range(len(values))), values)], marks=[1]))
    ElementTree.fromstring(svg.replace("xlink:", ""))


def test_resume_marks_are_vertical_lines() -> None:
    svg = to_svg(curve_figure([Series("x", [0, 10], [1.0, 2.0])], marks=[3, 7]))
    assert svg.count('<g id="resumed">') == 2
    assert "resumed" not in to_svg(curve_figure([Series("x", [0, 10], [1.0, 2.0])]))


def test_trade_off_shows_curves_and_levels() -> None:
    series = [Series("dpm", [2, 10], [0.5, 0.1]), Series("gan", [1], [0.2])]
    found = lines(trade_off_figure(series, {"real data": 0.05, "absent": math.nan}))
    assert found["dpm"] == ([2, 10], [0.5, 0.1]) and found["gan"] == ([1], [0.2])
    assert found["real data"][1] == [0.05, 0.05]


def test_svg_stands_alone_and_takes_the_colors_of_its_page() -> None:
    figure = curve_figure([Series("a", [1, 2], [1, 2]), Series("b", [1, 2], [2, 1])])
    svg = to_svg(figure)
    assert svg.startswith("<svg") and svg.endswith("</svg>")
    assert "http" not in svg and "font-family" not in svg and "<script" not in svg
    assert "var(--line-0, #" in svg and "var(--line-1, #" in svg and "var(--muted, #" in svg
    assert svg == to_svg(curve_figure([Series("a", [1, 2], [1, 2]), Series("b", [1, 2], [2, 1])]))


def test_names_are_text_and_not_markup_or_formulas() -> None:
    names = ["<script>alert(1)</script>", r"$\frac{$", "a & b"]
    svg = to_svg(curve_figure([Series(name, [1, 2], [1, 2]) for name in names], title="<b>$x"))
    assert "<script" not in svg and "&lt;script&gt;" in svg and "<b>" not in svg


def test_png() -> None:
    assert to_png(curve_figure([Series("a", [1, 2], [1, 2])], title="Loss")).startswith(b"\x89PNG")


def test_global_state_is_left_alone() -> None:
    before, loaded = dict(mpl.rcParams), "matplotlib.pyplot" in sys.modules
    to_png(curve_figure([Series("a", [1, 2], [1, 2])]))
    assert dict(mpl.rcParams) == before
    assert loaded or "matplotlib.pyplot" not in sys.modules
