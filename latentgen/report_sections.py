"""The parts of the report that show what was made: pictures, figures, settings."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from .report_charts import trade_offs
from .run_contents import Picture, RunContents
from .table import Row, Table, format_number

__all__ = ["Section", "figures", "plots", "samples", "setup", "words"]

_SMALL = 260  # pixels; a picture below it is drawn with sharp pixels
_STRIP = 6  # earlier sample grids shown
_LINES_OF_TEXT = 24
_YAML_KEY = re.compile(r"^(\s*(?:- )*)([\w.$-]+)(:)(?=\s|$)", re.MULTILINE)


class Section(NamedTuple):
    """A part of the page.

    Args:
        anchor: Its name in links.
        title: Its heading, plain text.
        lead: A sentence under the heading, HTML.
        body: The rest, HTML.
    """

    anchor: str
    title: str
    lead: str
    body: str


def words(name: str) -> str:
    """A name from a file or a log as words."""
    return " ".join(name.replace("_", " ").replace("-", " ").split())


def samples(contents: RunContents) -> Section | None:
    """Sample grids beside real data, then earlier ones in order of steps."""
    real = [picture for picture in contents.samples if picture.real]
    made = [picture for picture in contents.samples if not picture.real]
    steps = sorted({picture.step for picture in made if picture.step is not None})
    final = steps[-1] if steps else None
    latest = [picture for picture in made if picture.step == final or picture.step is None]
    body = "".join(_shot(picture, "Real data") for picture in real[-1:])
    body += "".join(_shot(picture, "Samples") for picture in latest)
    body += "".join(_text_sample(*text) for text in _first_and_last(contents.texts))
    if not body:
        return None
    body = f'<div class="pair">{body}</div>'
    chosen = set(_spread(steps[:-1], _STRIP))
    if earlier := [picture for picture in made if picture.step in chosen]:
        shots = "".join(_shot(picture, "") for picture in earlier)
        body += f'<h3>Through training</h3><div class="strip">{shots}</div>'
    left = len(steps) - 1 - len(chosen)
    lead = "Real data and what the model makes, at the last step and on the way there."
    if left > 0:
        lead += f" {left} grids in between are left out; they are in <code>samples/</code>."
    return Section("samples", "Samples", lead if earlier else "", body)


def _shot(picture: Picture, name: str) -> str:
    label = picture.label.capitalize() if picture.label and not picture.real else ""
    step = "" if picture.step is None else f"step {picture.step:,}"
    name = label or name
    alternative = escape(f"{name or 'Samples'} {step}".strip())
    small = ' class="small"' if max(picture.width, picture.height) < _SMALL else ""
    caption = f"{escape(name)}<span>{step}</span>" if name else f"<span>{step}</span>"
    data = base64.b64encode(picture.data).decode()
    return (
        f'<figure class="shot"><img{small} width="{picture.width}" height="{picture.height}" '
        f'src="data:image/png;base64,{data}" alt="{alternative}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _text_sample(name: str, text: str) -> str:
    lines = text.splitlines()
    shown = "\n".join(lines[:_LINES_OF_TEXT])
    more = len(lines) - _LINES_OF_TEXT
    count = f"<span>{more} more lines</span>" if more > 0 else ""
    return (
        f'<figure class="shot"><pre>{escape(shown)}</pre>'
        f"<figcaption>{escape(name)}{count}</figcaption></figure>"
    )


def _first_and_last(items: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return list(items) if len(items) < 3 else [items[0], items[-1]]


def _spread(items: Sequence[int], count: int) -> list[int]:
    """At most `count` of the items, the first and the last among them, evenly spaced."""
    if len(items) <= count:
        return list(items)
    return [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]


def figures(table: Table) -> Section | None:
    """The table of metrics: gates, a rule, the prior; then quality against network calls."""
    if not table.rows or not table.columns:
        return None
    head = "".join(
        f'<th scope="col">{escape(name)}{_arrow(table, name)}</th>' for name in table.columns
    )
    gates = [row for row in table.rows if row.calls is None]
    prior = [row for row in table.rows if row.calls is not None]
    body = "".join(
        f"<tbody{kind}>{''.join(_row(row, table) for row in rows)}</tbody>"
        for rows, kind in ((gates, ' class="gate"'), (prior, ""))
        if rows
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in table.notes)
    notes = f'<ul class="notes">{notes}</ul>' if notes else ""
    charts = trade_offs(table)
    charts = f"<h3>Quality against network calls</h3>{charts}" if charts else ""
    lead = (
        "Above the rule stand the gates: the floor that real data reach at the same sample "
        "count, what the autoencoder alone can do, and latents drawn without a prior. A prior "
        "cannot beat its autoencoder."
    )
    return Section(
        "figures",
        "Figures",
        lead if gates else "",
        '<div class="scroll"><table class="figures"><thead><tr><th scope="col"></th>'
        f'<th scope="col">calls</th><th scope="col">s / sample</th>{head}</tr></thead>'
        f"{body}</table></div>{notes}{charts}",
    )


def _arrow(table: Table, name: str) -> str:
    arrows = {"lower": "&darr;", "higher": "&uarr;"}
    way = table.better.get(name)
    return f'<small title="{way} is better">{arrows[way]}</small>' if way else ""


def _row(row: Row, table: Table) -> str:
    calls = "&ndash;" if row.calls is None else str(row.calls)
    seconds = "&ndash;" if row.seconds is None else f"{row.seconds:.3g}"
    cells = "".join(_cell(row, name, table) for name in table.columns)
    name = f'<th scope="row">{escape(row.name)}</th>'
    return f"<tr>{name}<td>{calls}</td><td>{seconds}</td>{cells}</tr>"


def _cell(row: Row, name: str, table: Table) -> str:
    value = row.values.get(name)
    if value is None:
        return "<td>&ndash;</td>"
    text = format_number(value, table.column(name))
    if name in row.spread:
        spread = format_number(row.spread[name], [*table.column(name), row.spread[name]])
        text += f"<small>&plusmn;{spread}</small>"
    return f'<td class="best">{text}</td>' if table.stands_out(row, name) else f"<td>{text}</td>"


def plots(contents: RunContents) -> Section | None:
    """The pictures of the folder `plots`."""
    if not contents.plots:
        return None
    shots = "".join(_shot(picture, "Plot") for picture in contents.plots)
    return Section("plots", "Plots", "", f'<div class="pair">{shots}</div>')


def setup(contents: RunContents) -> Section | None:
    """Configuration and environment side by side."""
    parts = []
    if contents.config_text.strip():
        text = _YAML_KEY.sub(
            r"\1<b>\2</b>\3", escape(contents.config_text.strip("\n"), quote=False)
        )
        parts.append(f"<div><h3>Configuration</h3><pre>{text}</pre></div>")
    if contents.environment:
        rows = "".join(
            f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
            for name, value in contents.environment.items()
        )
        parts.append(f'<div><h3>Environment</h3><table class="plain">{rows}</table></div>')
    if not parts:
        return None
    return Section("setup", "Setup", "", f'<div class="setup">{"".join(parts)}</div>')
