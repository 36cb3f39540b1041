"""Scores and charts of the trilemma: quality, coverage and speed of every row of a comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .plots import chart_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CORNERS = {"quality": (0.5, math.sqrt(3) / 2), "coverage": (0.0, 0.0), "speed": (1.0, 0.0)}
NAMES = {"quality": "high-quality samples", "coverage": "mode coverage", "speed": "fast sampling"}
HOW = (
    "Scores: quality and coverage run linearly from the worst row of the table (0) to the best (1), real data "
    "included; speed runs from the slowest row (0) to the fastest (1) in the logarithm of seconds a sample. A point "
    "lies at the mean of the corners weighted by its three scores and grows with their sum; the middle of the triangle "
    "has all three alike."
)
COLORS = ("#2a62c4", "#cf5f2e", "#2b8a5e", "#8457bd", "#a8801f", "#bf3f6d", "#4a9fb5", "#6b6f76")


def scores(result: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """For every sampled row, its scores of "quality", "coverage" and "speed" in [0, 1], see ``HOW``."""
    rows = [row for row in result["rows"] if row["seconds_per_sample"] is not None]
    found: dict[str, dict[str, float]] = {row["name"]: {} for row in rows}
    for axis in ("quality", "coverage"):
        column = result["axes"][axis]
        sign = -1.0 if result["better"].get(column) == "lower" else 1.0
        known = [sign * row["values"][column] for row in result["rows"] if column in row["values"]]
        finite = [value for value in known if math.isfinite(value)]
        for row in rows:
            found[row["name"]][axis] = _place(sign * row["values"].get(column, math.nan), min(finite), max(finite))
    logs = [-math.log(row["seconds_per_sample"]) for row in rows]
    for row, value in zip(rows, logs, strict=True):
        found[row["name"]]["speed"] = _place(value, min(logs), max(logs))
    return found


def _place(value: float, low: float, high: float) -> float:
    if not math.isfinite(value):
        return 0.0
    return 1.0 if high == low else (value - low) / (high - low)


def position(score: Mapping[str, float]) -> tuple[float, float]:
    """Place in the triangle: the mean of the corners weighted by the scores; the centre if all are 0."""
    total = sum(score.values())
    weights = {axis: score[axis] / total if total > 0 else 1 / 3 for axis in CORNERS}
    return tuple(sum(weights[axis] * corner[k] for axis, corner in CORNERS.items()) for k in (0, 1))  # type: ignore[return-value]


def lines(result: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Sampled rows by run and sampler, each by rising calls."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in result["rows"]:
        if row["seconds_per_sample"] is not None:
            found.setdefault(f"{row['run']}: {row['sampler']}", []).append(row)
    return {name: sorted(rows, key=lambda row: row["calls"]) for name, rows in found.items()}


def calls_chart(result: Mapping[str, Any]) -> Figure:
    """Quality and coverage against calls, and quality against seconds, on log axes; one line a sampler and run."""
    from matplotlib.figure import Figure

    with chart_style():
        figure = Figure(figsize=(11, 3.9), layout="constrained")
        panels = figure.subplots(1, 3)
        shown = (("quality", "calls"), ("coverage", "calls"), ("quality", "seconds"))
        for axes, (axis, x) in zip(panels, shown, strict=True):
            _panel(axes, result, result["axes"][axis], axis, x)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(4, max(1, len(labels))))
    return figure


def _panel(axes: Axes, result: Mapping[str, Any], column: str, axis: str, x: str) -> None:
    """One figure against calls or seconds, with the level of real data."""
    for number, (name, rows) in enumerate(lines(result).items()):
        shown = [row for row in rows if column in row["values"]]
        key = "calls" if x == "calls" else "seconds_per_sample"
        places = [max(row[key], 0.5) if x == "calls" else row[key] for row in shown]
        color, marker = COLORS[number % len(COLORS)], "osD^vPX*"[number % 8]
        axes.plot(places, [row["values"][column] for row in shown], marker=marker, ms=5, lw=1.3, color=color,
        label=name)
    real = result["rows"][0]["values"].get(column)
    if real is not None:
        axes.axhline(real, color="0.55", lw=1, ls="--", label="real data")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(lambda value, _: "")
    axes.set_xlabel("function calls a sample" if x == "calls" else "seconds a sample")
    arrow = {"lower": " (lower is better)", "higher": " (higher is better)"}.get(result["better"].get(column, ""), "")
    axes.set_title(f"{axis}: {column}{arrow}")
    axes.grid(True)


def triangle_chart(result: Mapping[str, Any]) -> Figure:
    """Every sampled row between the three corners."""
    from matplotlib.figure import Figure

    with chart_style():
        figure = Figure(figsize=(7.2, 5.4), layout="constrained")
        axes = figure.subplots()
        corners = [*CORNERS.values(), CORNERS["quality"]]
        axes.fill(*zip(*corners, strict=True), facecolor="#f4f6f9", edgecolor="#b9c0c9", lw=1.2)
        found = scores(result)
        for number, (name, rows) in enumerate(lines(result).items()):
            places = [position(found[row["name"]]) for row in rows]
            sizes = [20 + 60 * sum(found[row["name"]].values()) / 3 for row in rows]
            color = COLORS[number % len(COLORS)]
            axes.plot(*zip(*places, strict=True), color=color, lw=0.8, alpha=0.6)
            marker = "osD^vPX*"[number % 8]
            right, up = zip(*places, strict=True)
            axes.scatter(right, up, s=sizes, color=color, label=name, zorder=3, marker=marker)
            for row, place in zip(rows, places, strict=True):
                text, offset = str(row["calls"]), "offset points"
                axes.annotate(text, place, (5, 4), textcoords=offset, fontsize=7, color=color)
        for axis, (x, y) in CORNERS.items():
            axes.text(x, y + (0.03 if axis == "quality" else -0.05), NAMES[axis], ha="center", fontsize=10,
            weight="bold")
        axes.set(xlim=(-0.25, 1.25), ylim=(-0.12, 0.98), aspect="equal")
        axes.axis("off")
        axes.legend(loc="upper left", bbox_to_anchor=(0.0, 1.0), title="numbers: function calls")
    return figure


def table_rows(result: Mapping[str, Any], columns: Sequence[str]) -> list[list[str]]:
    """Cells of the table: name, the three axes' figures, calls, seconds, then the other figures, with spreads."""
    return [
        [
            row["name"],
            *(_cell(row, column) for column in columns),
            "-" if row["calls"] is None else str(row["calls"]),
            "-" if row["seconds_per_sample"] is None else f"{row['seconds_per_sample']:.2e}",
        ]
        for row in result["rows"]
    ]


def shown_columns(result: Mapping[str, Any]) -> list[str]:
    """The axes' figures first, then all others."""
    first = [result["axes"][axis] for axis in ("quality", "coverage")]
    return [*first, *(column for column in result["columns"] if column not in first)]


def _cell(row: Mapping[str, Any], column: str) -> str:
    if column not in row["values"]:
        return "-"
    spread = row.get("spread", {}).get(column)
    return f"{row['values'][column]:.3g}" + ("" if spread is None else f" ± {spread:.1g}")
