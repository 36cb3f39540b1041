"""The comparison written down: one self-contained page, pictures, JSON, and the table of a terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from .plots import to_png, to_svg
from .storage import replace_file
from .table import format_number
from .trilemma import NAMES, SECONDS, caption, sampled, scores
from .trilemma_charts import calls_chart, triangle_chart

LEAD = (
    "Quality, coverage and speed of every sampler at every cost, never one of them alone. Above the rule stand the "
    "gates: what real data reach at the same sample count, what the autoencoder alone can do, and latents drawn "
    "without a prior."
)
NELBO = "\u2212ln p(x)"


def write_comparison(result: Mapping[str, Any], folder: Path) -> Path:
    """Write ``trilemma.html``, ``trilemma.json``, ``trilemma_calls.png`` and ``trilemma_triangle.png``.

    Args:
        result: what :func:`latentgen.compare` gave.
        folder: made when absent.

    Returns:
        Path of the page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, chart in (("trilemma_triangle.png", triangle_chart), ("trilemma_calls.png", calls_chart)):
        replace_file(folder / name, to_png(chart(result)))
    replace_file(folder / "trilemma.json", comparison_json(result).encode())
    page = folder / "trilemma.html"
    replace_file(page, render_comparison(result).encode(errors="replace"))
    return page


def comparison_json(result: Mapping[str, Any]) -> str:
    """The comparison with its scores as JSON, in which a figure that is not finite is null."""
    found = scores(result)
    rows = [{**row, "scores": found.get(row["name"])} for row in result["rows"]]
    return json.dumps(_finite({**result, "rows": rows, "scoring": caption(result)}), indent=1, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def render_comparison(result: Mapping[str, Any]) -> str:
    """The page as text, with everything inside."""
    style = files("latentgen").joinpath("report.css").read_text(encoding="utf-8")
    notes = "".join(f"<li>{escape(note)}</li>" for note in [*_likelihood(result), *result["notes"]])
    others = [name for name in result["columns"] if name not in result["axes"].values()]
    sections = [
        ("Quality, coverage, speed", LEAD, _main_table(result)),
        ("Triangle", escape(caption(result)), _chart(to_svg(triangle_chart(result)))),
        ("Against cost", "Bars are standard deviations over sample sets.", _chart(to_svg(calls_chart(result)))),
        ("All other figures", "", _table(result, [_figure(name, result) for name in others]) if others else ""),
        ("How it was measured", "", f'<ul class="notes">{notes}</ul>'),
    ]
    body = "".join(
        f'<section><h2>{name}</h2>{f"<p class=lead>{lead}</p>" if lead else ""}<div>{content}</div></section>\n'
        for name, lead, content in sections
        if content
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{escape(result["title"])}</title>
<style>
{style}</style>
</head>
<body>
<header><p class="kicker">latentgen comparison</p><h1>{escape(result["title"])}</h1></header>
<main>
{body}</main>
</body>
</html>
"""


def _chart(svg: str) -> str:
    return f'<div class="scroll"><figure class="chart" style="min-width: 42rem">{svg}</figure></div>'


Column = tuple[str, Callable[[Mapping[str, Any]], str], Callable[[Mapping[str, Any]], float | None]]
"""Head as HTML, the cell of a row as HTML, and how good it is (more is better) or None where nothing is best."""


def _main_table(result: Mapping[str, Any]) -> str:
    """Costs, the figures of the two axes, likelihood and the three scores."""
    found = scores(result)
    columns: list[Column] = [
        ("calls", lambda row: _dash(row["calls"]), lambda row: None),
        ("ms / sample", _milliseconds, lambda row: None if row[SECONDS] is None else -row[SECONDS]),
        *(_figure(name, result, f"{axis}<br>") for axis, name in result["axes"].items()),
    ]
    if result["likelihood"]:
        nats = [row["nelbo"] for row in result["rows"] if row["nelbo"] is not None]
        columns.append((
            f"{NELBO}<br><small>nats &darr;</small>",
            lambda row: "&ndash;" if row["nelbo"] is None else format_number(row["nelbo"], nats),
            lambda row: None,
        ))
    for axis, name in NAMES.items():
        columns.append((
            f'<span title="{name}">{axis}<br><small>score</small></span>',
            lambda row, axis=axis: "&ndash;" if row["name"] not in found else f"{found[row['name']][axis]:.2f}",  # type: ignore[misc]
            lambda row: None,
        ))
    return _table(result, columns)


def _figure(name: str, result: Mapping[str, Any], above: str = "") -> Column:
    """The column of a figure."""
    arrow = {"lower": "&darr;", "higher": "&uarr;"}.get(result["better"].get(name, ""), "")
    sign = {"lower": -1.0, "higher": 1.0}.get(result["better"].get(name, ""))
    text = f"<small>{escape(name)} {arrow}</small>" if above else f"{escape(name)}<small>{arrow}</small>"
    known = [row["values"][name] for row in result["rows"] if math.isfinite(row["values"].get(name, math.nan))]

    def cell(row: Mapping[str, Any]) -> str:
        if name not in row["values"]:
            return "&ndash;"
        spread = row.get("spread", {}).get(name)
        shown = format_number(row["values"][name], known)
        return shown + ("" if spread is None else f"<small>&plusmn;{format_number(spread, [*known, spread])}</small>")

    return f"{above}{text}", cell, lambda row: sign * row["values"][name] if sign and name in row["values"] else None


def _table(result: Mapping[str, Any], columns: Sequence[Column]) -> str:
    """Gates, a rule, sampled rows; the best sampled row of a column stands out."""
    asked = {row["name"] for row in sampled(result)}
    best = [
        max((good for row in sampled(result) if (good := value(row)) is not None), default=None)
        for _, _, value in columns
    ]
    bodies = {"gate": "", "": ""}
    for row in result["rows"]:
        kind = "" if row["name"] in asked else "gate"
        bodies[kind] += f'<tr><th scope="row">{escape(row["name"])}</th>'
        for (_, cell, value), top in zip(columns, best, strict=True):
            stands_out = not kind and top is not None and value(row) == top
            bodies[kind] += f'<td class="best">{cell(row)}</td>' if stands_out else f"<td>{cell(row)}</td>"
        bodies[kind] += "</tr>"
    head = "".join(f'<th scope="col">{name}</th>' for name in ("", *(column[0] for column in columns)))
    body = "".join(f'<tbody class="{kind}">{text}</tbody>' for kind, text in bodies.items() if text)
    return f'<div class="scroll"><table class="figures"><thead><tr>{head}</tr></thead>{body}</table></div>'


def _dash(value: object) -> str:
    return "&ndash;" if value is None else str(value)


def _milliseconds(row: Mapping[str, Any]) -> str:
    if row[SECONDS] is None:
        return "&ndash;"
    return f"{row[SECONDS] * 1e3:.3g}<small>&plusmn;{row['seconds_spread'] * 1e3:.1g}</small>"


def _likelihood(result: Mapping[str, Any]) -> list[str]:
    """What each model's likelihood is and how it was estimated."""
    ways = {"bound": "importance-sampled bound", "ode": "probability flow"}
    return [
        f"{NELBO} of {run}: {found['nelbo']:.2f} \u00b1 {found['standard_error']:.2f} nats by the {ways[method]} "
        f"({found['examples']:.0f} test examples, standard error)."
        for run, methods in result["likelihood"].items()
        for method, found in methods.items()
    ]


def format_comparison(result: Mapping[str, Any]) -> str:
    """The table for a terminal: calls, seconds, the figures of the two axes, likelihood; gates first."""
    axes = [f"{axis}: {name}" for axis, name in result["axes"].items()]
    table = [["", "calls", "ms / sample", *axes, *([NELBO] if result["likelihood"] else [])]]
    for row in result["rows"]:
        time = "-" if row[SECONDS] is None else f"{row[SECONDS] * 1e3:.3g} \u00b1 {row['seconds_spread'] * 1e3:.1g}"
        cells = [row["name"], "-" if row["calls"] is None else str(row["calls"]), time]
        cells += [_plain(row, column) for column in result["axes"].values()]
        if result["likelihood"]:
            cells.append("-" if row["nelbo"] is None else f"{row['nelbo']:.2f}")
        table.append(cells)
    widths = [max(len(row[k]) for row in table) for k in range(len(table[0]))]
    lines = [f"{row[0]:<{widths[0]}}  " + "  ".join(f"{c:>{w}}" for c, w in zip(row[1:], widths[1:], strict=True))
             for row in table]
    gates = sum(row[SECONDS] is None for row in result["rows"])
    rule = "-" * len(lines[0])
    lines = [lines[0], rule, *lines[1 : gates + 1], rule, *lines[gates + 1 :]]
    better = [f"{name}: {result['better'][name]} is better" for name in result["axes"].values() if name in
              result["better"]]
    return "\n".join([str(result["title"]), *lines, "; ".join(better), *_likelihood(result), *result["notes"]])


def _plain(row: Mapping[str, Any], column: str) -> str:
    if column not in row["values"]:
        return "-"
    spread = row.get("spread", {}).get(column)
    return f"{row['values'][column]:.3g}" + ("" if spread is None else f" \u00b1 {spread:.1g}")
