"""The charts of the trilemma: quality and coverage against calls and seconds, and the triangle."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .plots import COLORS, GRID, MUTED, chart_style
from .trilemma import CORNERS, NAMES, SECONDS, lines, position, sampled, scales, scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = {
    "dpm": "o", "ddim": "s", "ode": "D", "gan": "^", "heun": "v",
    "ancestral": "P", "euler": "X", "pc": "h", "prior": "*",
}
NO_CALLS = 0.5
"""Where the logarithmic axis shows a prior that is sampled without a network."""
NEAR = 0.05
"""Distance in the triangle within which equal labels are drawn once."""


def calls_chart(result: Mapping[str, Any]) -> Figure:
    """Quality and coverage against calls and against seconds, on logarithmic axes; one line a sampler and run."""
    from matplotlib.figure import Figure

    with chart_style():
        figure = Figure(figsize=(9.0, 6.4), layout="constrained")
        panels = figure.subplots(2, 2, sharex="col", sharey="row")
        for row, axis in zip(panels, ("quality", "coverage"), strict=True):
            for axes, key in zip(row, ("calls", SECONDS), strict=True):
                _panel(axes, result, axis, key)
        for axes in panels[1]:
            axes.tick_params(labelbottom=True)
        panels[1][0].set_xlabel("function calls a sample")
        panels[1][1].set_xlabel("milliseconds a sample, decoder included")
        drawn, names = panels[0][0].get_legend_handles_labels()
        order = sorted(range(len(names)), key=lambda k: names[k] == "real data")  # last
        figure.legend(
            handles=[drawn[k] for k in order], labels=[names[k] for k in order], loc="outside lower center",
            ncols=min(4, max(1, len(names))), handlelength=2.2,
        )
    return figure


def _panel(axes: Axes, result: Mapping[str, Any], axis: str, key: str) -> None:
    """One axis of the trilemma against one cost, with the level of real data."""
    column, scale = result["axes"][axis], scales(result)[axis]
    for number, (name, rows) in enumerate(lines(result).items()):
        shown = [row for row in rows if column in row["values"]]
        spread = [row.get("spread", {}).get(column, 0.0) for row in shown]
        places = [_place(row, key) for row in shown]
        values = [row["values"][column] for row in shown]
        style = _style(number, rows[0]["sampler"])
        axes.errorbar(places, values, spread, lw=1.4, ms=5, elinewidth=1, label=name, **style)
    real = result["rows"][0]["values"].get(column)
    if real is not None:
        axes.axhline(real, color=MUTED, lw=1, ls=(0, (4, 2)), label="real data")
    axes.set_xscale("log")
    _ticks(axes, [_place(row, key) for row in sampled(result)], key)
    if scale.logarithmic:
        axes.set_yscale("log", nonpositive="clip")
        _plain(axes.yaxis)
    better = {"lower": " (lower is better)", "higher": " (higher is better)"}.get(result["better"].get(column, ""), "")
    axes.set_title(f"{axis}: {column}{better}")
    axes.set_axisbelow(True)
    axes.grid(True)


def _place(row: Mapping[str, Any], key: str) -> float:
    return float(row[key] * 1e3 if key == SECONDS else row[key] or NO_CALLS)


def _ticks(axes: Axes, places: Sequence[float], key: str) -> None:
    """The calls that occur, as far as there is room for them; 1, 2 and 5 times powers of ten for milliseconds."""
    if key == SECONDS:
        _plain(axes.xaxis)
        return
    span = max(places) / min(places)
    kept: list[float] = []
    for place in sorted(set(places)):
        if not kept or place / kept[-1] >= span**0.06:
            kept.append(place)
    axes.set_xticks(kept, ["0" if place == NO_CALLS else f"{place:g}" for place in kept])
    axes.minorticks_off()


def _plain(axis: Any) -> None:
    """Few labels without powers."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
    axis.set_major_formatter(lambda value, _: f"{value:.3g}")
    axis.set_minor_formatter(NullFormatter())
    axis.set_minor_locator(LogLocator(subs=()))


def _style(number: int, sampler: str) -> dict[str, Any]:
    """A colour a line, a marker a sampler; the second half dozen of lines is dashed."""
    color, dashed = COLORS[number % len(COLORS)], number >= len(COLORS)
    return {"color": color, "marker": MARKERS.get(sampler, "d"), "ls": (0, (4, 2)) if dashed else "-"}


def triangle_chart(result: Mapping[str, Any]) -> Figure:
    """Every sampled row between the three corners."""
    from matplotlib.figure import Figure

    with chart_style():
        figure = Figure(figsize=(9.0, 5.8), layout="constrained")
        axes = figure.subplots()
        corners = [*CORNERS.values(), CORNERS["quality"]]
        axes.fill(*zip(*corners, strict=True), facecolor=GRID, alpha=0.3, lw=0)
        axes.plot(*zip(*corners, strict=True), color=MUTED, lw=1.0, alpha=0.7)
        for corner in CORNERS.values():
            axes.plot(*zip(corner, position(dict.fromkeys(CORNERS, 1.0)), strict=True), color=GRID, lw=0.8, zorder=1)
        for axis, (x, y) in CORNERS.items():
            up = axis == "quality"
            side: dict[str, Any] = {"ha": "center", "va": "bottom" if up else "top", "fontsize": 10, "weight": "bold"}
            axes.text(x, y + (0.025 if up else -0.03), NAMES[axis], **side)
        _points(axes, result)
        axes.set(xlim=(-0.42, 1.22), ylim=(-0.09, 0.95), aspect="equal")
        axes.axis("off")
        legend = axes.legend(loc="upper left", title="number: function calls", alignment="left")
        for handle in legend.legend_handles:
            handle.set_sizes([30])  # type: ignore[union-attr]
    return figure


def _points(axes: Axes, result: Mapping[str, Any]) -> None:
    """A line a sampler and run, with the calls beside its points; one label for equal calls at almost one place."""
    found, labelled = scores(result), list[tuple[int, tuple[float, float]]]()
    for number, (name, rows) in enumerate(lines(result).items()):
        style = _style(number, rows[0]["sampler"])
        places = [position(found[row["name"]]) for row in rows]
        x, y = zip(*places, strict=True)
        axes.plot(x, y, color=style["color"], ls=style["ls"], lw=0.9, alpha=0.6)
        sizes = [12 + 110 * sum(found[row["name"]].values()) / 3 for row in rows]
        axes.scatter(x, y, s=sizes, color=style["color"], marker=style["marker"], label=name, zorder=3, lw=0)
        up, right = (number % 2 == 0), (number // 2 % 2 == 0)
        side: dict[str, Any] = {"ha": "left" if right else "right", "va": "bottom" if up else "top"}
        for row, place in zip(rows, places, strict=True):
            if any(calls == row["calls"] and math.dist(place, other) < NEAR for calls, other in labelled):
                continue
            labelled.append((row["calls"], place))
            offset = (5 if right else -5, 3 if up else -3)
            axes.annotate(
                str(row["calls"]), place, offset, textcoords="offset points", fontsize=8, color=style["color"], **side
            )
