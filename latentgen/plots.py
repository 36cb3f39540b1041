"""Figures of a run, drawn without a display and without matplotlib's global state."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "COLORS",
    "GRID",
    "INK",
    "MUTED",
    "Series",
    "chart_style",
    "curve_figure",
    "to_png",
    "to_svg",
    "trade_off_figure",
]

INK, MUTED, GRID = "#20242a", "#6a727d", "#e3e6ea"
COLORS = ("#2a62c4", "#cf5f2e", "#2b8a5e", "#8457bd", "#a8801f", "#bf3f6d")
_VARIABLES = {INK: "ink", MUTED: "muted", GRID: "grid"} | {
    color: f"line-{number}" for number, color in enumerate(COLORS)
}
_LARGEST = 1e100  # what is larger, or not finite, is a gap
_POINTS = 300  # a curve of this many points looks the same as one of a million


@dataclass(frozen=True)
class Series:
    """One curve.

    Args:
        label: Its name.
        x: Steps or network calls.
        y: Values; those that are not finite leave a gap.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]


@contextmanager
def chart_style() -> Iterator[None]:
    """The look of all figures, for the time of drawing."""
    import matplotlib

    settings: dict[Any, Any] = {
        "font.size": 8,
        "svg.fonttype": "none",
        "svg.hashsalt": "latentgen",
        "text.parse_math": False,
        "axes.edgecolor": GRID,
        "axes.labelcolor": MUTED,
        "axes.titlesize": 9,
        "axes.titlelocation": "left",
        "axes.titlecolor": INK,
        "text.color": INK,
        "xtick.color": GRID,
        "ytick.color": GRID,
        "xtick.labelcolor": MUTED,
        "ytick.labelcolor": MUTED,
        "grid.color": GRID,
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "legend.fontsize": 7.5,
        "legend.labelcolor": MUTED,
    }
    with matplotlib.rc_context(settings):
        yield


def _axes(title: str, size: tuple[float, float], below: float) -> tuple[Figure, Axes]:
    """A figure with one plot; margins are fixed, so that charts side by side line up."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    width, height = size
    figure = Figure(figsize=size)
    FigureCanvasAgg(figure)
    left, right, above = 0.4, 0.08, 0.3 if title else 0.1  # inches, as is below
    axes = figure.add_axes(
        (left / width, below / height, 1 - (left + right) / width, 1 - (above + below) / height)
    )
    axes.set_title(title)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(_tick)
    return figure, axes


def curve_figure(
    series: Sequence[Series],
    marks: Sequence[float] = (),
    title: str = "",
    legend: bool = True,
    size: tuple[float, float] = (3.15, 1.75),
) -> Figure:
    """Curves over steps: the values faint, their running median strong.

    Args:
        series: One or more curves.
        marks: Steps with a vertical line, where a run was resumed.
        title: Heading, empty for none.
        legend: Whether to name the curves, if there are several.
        size: Inches.
    """
    from matplotlib.ticker import MaxNLocator

    with chart_style():
        figure, axes = _axes(title, size, below=0.25)
        axes.margins(x=0.015)
        for mark in marks:
            style = (0, (2, 2))
            axes.axvline(
                mark, color=MUTED, linewidth=0.7, alpha=0.7, linestyle=style, gid="resumed"
            )
        shown: list[float] = []
        for number, curve in enumerate(series):
            color = COLORS[number % len(COLORS)]
            x, y = _thin(curve)
            smooth = _smooth(y)
            few = len(x) < 25
            if not few:
                axes.plot(x, y, color=color, linewidth=0.8, alpha=0.28)
            marker = "o" if few else ""
            axes.plot(
                x, smooth, color, linewidth=1.5, marker=marker, markersize=2.5, label=curve.label
            )
            shown += _bulk(y)
        _limit(axes, shown)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.xaxis.set_major_formatter(_tick)
        if legend and len(series) > 1:
            axes.legend(loc="upper right", ncols=2, handlelength=1.2, borderaxespad=0.1)
        return figure


def trade_off_figure(
    series: Sequence[Series],
    levels: Mapping[str, float] | None = None,
    title: str = "",
    legend: bool = True,
    size: tuple[float, float] = (3.15, 1.9),
) -> Figure:
    """Quality against network calls, on a logarithmic axis, with lines to hold it against.

    Args:
        series: One curve a sampler or model; x holds calls.
        levels: Horizontal lines by name, such as the floor of real data.
        title: Heading, empty for none.
        legend: Whether to name curves and levels.
        size: Inches.
    """
    with chart_style():
        figure, axes = _axes(title, size, below=0.4)
        for number, curve in enumerate(series):
            color = COLORS[number % len(COLORS)]
            axes.plot(
                curve.x, curve.y, color, marker="o", markersize=4, linewidth=1.5, label=curve.label
            )
        for number, (name, level) in enumerate((levels or {}).items()):
            style = ((0, (1, 1.5)), (0, (4, 2)), (0, (4, 2, 1, 2)))[number % 3]
            axes.axhline(level, color=MUTED, linewidth=1, linestyle=style, label=name)
        calls = sorted({call for curve in series for call in curve.x})
        axes.set_xscale("log")
        axes.set_xticks(calls, [f"{call:g}" for call in calls])
        axes.minorticks_off()
        axes.margins(x=0.05, y=0.12)
        shown = [y for curve in series for y in curve.y] + list((levels or {}).values())
        if max(shown, default=2.0) <= 1:  # a share: no room above 1
            axes.set_ylim(top=min(axes.get_ylim()[1], 1.01))
        if legend:
            axes.legend(loc="best", handlelength=1.8)
        axes.set_xlabel("network calls")
        return figure


def to_png(figure: Figure, dpi: int = 144) -> bytes:
    """The figure as a PNG file."""
    buffer = io.BytesIO()
    with chart_style():
        figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def to_svg(figure: Figure) -> str:
    """The figure as an SVG element to put into a page.

    Its colors are CSS variables (`--ink`, `--muted`, `--grid`, `--line-0` ...) that fall back to
    those of the light page, its font is the page's, it has no size of its own, and it refers to
    nothing outside.
    """
    buffer = io.StringIO()
    with chart_style():
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\sxmlns(?::\w+)?="[^"]*"', "", text)
    text = re.sub(r'(<svg\b[^>]*?)\swidth="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg\b[^>]*?)\sheight="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)
    text = re.sub(r"font: [^;\"]*?([\d.]+px) [^;\"]*", r"font-size: \1", text)
    for color, name in _VARIABLES.items():
        text = text.replace(color, f"var(--{name}, {color})")
    return text.strip()


def _thin(curve: Series) -> tuple[list[float], list[float]]:
    """Means of equal runs of points, at most `_POINTS` of them; gaps stay gaps."""
    size = math.ceil(len(curve.x) / _POINTS) or 1
    x, y = [], []
    for start in range(0, len(curve.x), size):
        values = [value for value in curve.y[start : start + size] if abs(value) < _LARGEST]
        steps = curve.x[start : start + size]
        x.append(sum(steps) / len(steps))
        y.append(sum(values) / len(values) if values else math.nan)
    return x, y


def _smooth(values: Sequence[float]) -> list[float]:
    """Means of medians over a fortieth of the curve, centred; a single spike does not show."""
    half = len(values) // 80
    return _windowed(_windowed(values, half, median), half, fmean)


def _windowed(
    values: Sequence[float], half: int, reduce: Callable[[Sequence[float]], float]
) -> list[float]:
    """A figure of the finite values around each point; gaps stay gaps."""
    found = []
    for middle, value in enumerate(values):
        window = [v for v in values[max(0, middle - half) : middle + half + 1] if math.isfinite(v)]
        found.append(reduce(window) if math.isfinite(value) else math.nan)
    return found


def _bulk(values: Sequence[float]) -> list[float]:
    """The values without the most extreme hundredth on either side."""
    finite = sorted(value for value in values if math.isfinite(value))
    cut = len(finite) // 100
    return finite[cut : len(finite) - cut]


def _limit(axes: Axes, shown: Sequence[float]) -> None:
    """Let the vertical axis span what is worth seeing; single spikes may leave it."""
    finite = [value for value in shown if math.isfinite(value)]
    if finite:
        low, high = min(finite), max(finite)
        space = 0.08 * (high - low) or abs(high) * 0.1 or 1.0
        axes.set_ylim(low - space, high + space)


def _tick(value: float, position: float) -> str:
    """The text of a tick: 0.05, 500, 20k, 1.5M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"
