"""The comparison written down: one self-contained page, pictures and JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from .plots import to_png
from .storage import replace_file
from .trilemma import HOW, calls_chart, shown_columns, table_rows, triangle_chart


def write_comparison(result: Mapping[str, Any], folder: Path) -> Path:
    """Write ``trilemma.html``, ``trilemma.json``, ``trilemma_calls.png`` and ``trilemma_triangle.png``.

    Args:
        result: what :func:`latentgen.compare` gave.
        folder: made when absent.

    Returns:
        Path of the page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    charts = {"trilemma_triangle.png": triangle_chart(result), "trilemma_calls.png": calls_chart(result)}
    pictures = {name: to_png(chart) for name, chart in charts.items()}
    for name, data in pictures.items():
        replace_file(folder / name, data)
    replace_file(folder / "trilemma.json", json.dumps(result, indent=1).encode())
    page = folder / "trilemma.html"
    replace_file(page, render_comparison(result, list(pictures.values())).encode(errors="replace"))
    return page


def render_comparison(result: Mapping[str, Any], pictures: list[bytes]) -> str:
    """The page as text, with the pictures inside."""
    style = files("latentgen").joinpath("report.css").read_text(encoding="utf-8")
    triangle, calls = (
        f'<img alt="" src="data:image/png;base64,{base64.b64encode(data).decode()}">' for data in pictures
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in result["notes"])
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{escape(result["title"])}</title>
<style>
{style}
main img {{ max-width: 100%; height: auto; }}
main .wide {{ overflow-x: auto; }}
main .wide :is(td, th) {{ white-space: nowrap; padding-right: .9em; }}
</style>
</head>
<body>
<header><p class="kicker">latentgen comparison</p><h1>{escape(result["title"])}</h1></header>
<main>
<section><h2>Quality, coverage, speed</h2>{triangle}<p class="lead">{escape(HOW)}</p></section>
<section><h2>Against cost</h2>{calls}</section>
<section><h2>Table</h2><div class="wide">{_table(result)}</div>{_likelihood(result)}</section>
<section><h2>How it was measured</h2><ul>{notes}</ul></section>
</main>
</body>
</html>
"""


def _table(result: Mapping[str, Any]) -> str:
    columns = shown_columns(result)
    arrows = {"lower": " &darr;", "higher": " &uarr;"}
    heads = [f"{escape(name)}{arrows.get(result['better'].get(name, ''), '')}" for name in columns]
    head = "".join(f'<th scope="col">{text}</th>' for text in ["", *heads, "calls", "s / sample"])
    body = ""
    for name, *cells in table_rows(result, columns):
        body += f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>'
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _likelihood(result: Mapping[str, Any]) -> str:
    lines = [
        f"<li>{escape(run)}: {escape(method)} {found['nelbo']:.2f} &plusmn; {found['standard_error']:.2f} nats "
        f"({found['examples']:.0f} examples)</li>"
        for run, methods in result["likelihood"].items()
        for method, found in methods.items()
    ]
    return f"<h3>-ln p(x) of test data</h3><ul>{''.join(lines)}</ul>" if lines else ""


def format_comparison(result: Mapping[str, Any]) -> str:
    """The table for a terminal: the figures of the three axes, calls and seconds."""
    columns = [result["axes"][axis] for axis in ("quality", "coverage")]
    rows = [["", *(f"{axis}: {name}" for axis, name in result["axes"].items()), "calls", "s / sample"]]
    rows += table_rows(result, columns)
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = ["  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
             for row in rows]
    nelbo = [f"NELBO of {run} ({method}): {found['nelbo']:.2f} +- {found['standard_error']:.2f} nats"
             for run, methods in result["likelihood"].items() for method, found in methods.items()]
    return "\n".join([str(result["title"]), *lines, *nelbo])
