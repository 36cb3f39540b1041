"""One page about a run, in one file that opens without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Any

from .progress import format_seconds
from .report_charts import diagnostic_charts, loss_charts
from .report_sections import Section, figures, plots, samples, setup, words
from .run_contents import RunContents, read_run
from .storage import replace_file
from .table import Table, finite, format_number, format_table, read_table

__all__ = ["format_table", "write_report"]

_TILES = 5  # one row of them
_RESUMED = " A dotted line marks a step at which the run was resumed."


def write_report(run: Path) -> Path:
    """Write `report.html` into a run folder from what is there.

    Args:
        run: Folder with any of `config.yaml`, `env.json`, `metrics.jsonl`, `evaluation.json`,
            `samples/` and `plots/`; a part that is missing is left out.

    Returns:
        The path of the page.

    Raises:
        FileNotFoundError: If there is no such folder.
        OSError: If the page cannot be written.
    """
    path = Path(run) / "report.html"
    replace_file(path, render_page(read_run(run)).encode(errors="replace"))
    return path


def render_page(contents: RunContents) -> str:
    """The page as text; everything that comes from the run is escaped."""
    table = read_table(contents.evaluation)
    title = table.title or contents.name
    found = (
        samples(contents),
        figures(table),
        _training(contents),
        _latents(contents),
        plots(contents),
        setup(contents),
    )
    sections = [section for section in found if section is not None]
    style = files("latentgen").joinpath("report.css").read_text(encoding="utf-8")
    links = "".join(f'<a href="#{s.anchor}">{escape(s.title)}</a>' for s in sections)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
<header>
<p class="kicker">latentgen run{_unless_same(contents.name, title)}</p>
<h1>{escape(title)}</h1>
{_recipe(contents.config)}
{f"<nav>{links}</nav>" if links else ""}
</header>
<main>
{_tiles(contents, table)}
{"".join(_section(section) for section in sections)}
{_problems(contents.problems)}
</main>
<footer>{_origin(contents)}</footer>
</body>
</html>
"""


def _section(section: Section) -> str:
    lead = f'<p class="lead">{section.lead}</p>' if section.lead else ""
    head = f"<h2>{escape(section.title)}</h2>{lead}"
    return f'<section id="{section.anchor}">{head}{section.body}</section>\n'


def _unless_same(name: str, title: str) -> str:
    return "" if name == title else f" &middot; {escape(name)}"


def _recipe(config: Mapping[str, Any]) -> str:
    """What was trained on what, from the class names in the configuration."""
    model = config.get("model")
    parts = model if isinstance(model, dict) else config
    names = [_class_name(parts.get(part)) for part in ("modality", "autoencoder", "prior")]
    objectives = config.get("objectives", config.get("objective"))
    listed = objectives if isinstance(objectives, list) else [objectives]
    names.append(" + ".join(filter(None, map(_class_name, listed))))
    shown = [f"<b>{escape(name)}</b>" for name in names if name]
    return f'<p class="recipe">{"<i>/</i>".join(shown)}</p>' if shown else ""


def _class_name(value: object) -> str:
    """The last part of a class path; empty if there is none."""
    path = value.get("class_path") if isinstance(value, dict) else value
    return path.rpartition(".")[2] if isinstance(path, str) else ""


def _tiles(contents: RunContents, table: Table) -> str:
    """The figures to see first."""
    tiles = [*_training_tiles(contents), *_quality_tiles(contents, table)]
    if not tiles:
        return ""
    cells = "".join(
        f'<div class="tile"><dt>{escape(name)}</dt><dd><div class="value">{escape(value)}</div>'
        f'<div class="aside">{escape(aside)}</div></dd></div>'
        for name, value, aside in tiles
    )
    return f'<dl class="tiles">{cells}</dl>'


def _training_tiles(contents: RunContents) -> list[tuple[str, str, str]]:
    if not contents.metrics:
        return []
    last = contents.metrics[-1]
    seconds = _last(contents, "seconds")
    aside = "" if seconds is None else f"in {format_seconds(seconds)}"
    if resumed := len(contents.marks):
        times = {1: "once", 2: "twice"}.get(resumed, f"{resumed} times")
        aside += f"{', ' if aside else ''}resumed {times}"
    return [("Steps", f"{int(last['step'] or 0):,}", aside)]


def _quality_tiles(contents: RunContents, table: Table) -> list[tuple[str, str, str]]:
    tiles = []
    column = table.main_column
    best = table.best(column) if column else None
    if column and best is not None:
        row = next(row for row in table.rows if row.calls and row.values.get(column) == best)
        aside = f"at {row.calls} network calls"
        tiles.append((f"Best {words(column)}", format_number(best, table.column(column)), aside))
        floor = next((r for r in table.rows if r.calls is None and column in r.values), None)
        if floor is not None:
            reached = format_number(floor.values[column], table.column(column))
            tiles.append((f"{words(column).capitalize()} of {floor.name}", reached, "the floor"))
        if row.seconds is not None:
            tiles.append(("Time a sample", _duration(row.seconds), aside))
    tiles += _likelihood_tile(contents.evaluation.get("likelihood"))
    for name, label, aside in (
        ("nelbo", "\u2212ELBO", "nats per example, training"),
        ("loss", "Loss", "last value"),
        ("active_units", "Active units", "latent channels in use"),
    ):
        value = _last(contents, name)
        if value is not None and len(tiles) < _TILES - 1:
            tiles.append((label, f"{value:.4g}", aside))
    return tiles


def _likelihood_tile(likelihood: object) -> list[tuple[str, str, str]]:
    """The first estimate of -ln p(x) of test data, if it was made."""
    found = next(iter(likelihood.items()), None) if isinstance(likelihood, dict) else None
    value = finite(found[1].get("nelbo")) if found and isinstance(found[1], dict) else None
    if found is None or value is None:
        return []
    return [("\u2212ln p(x)", f"{value:.4g}", f"nats, test data ({found[0]})")]


def _duration(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _last(contents: RunContents, name: str) -> float | None:
    """The last finite value of a metric."""
    values = (row.get(name) for row in reversed(contents.metrics))
    return next((value for value in values if value is not None), None)


def _training(contents: RunContents) -> Section | None:
    charts = loss_charts(contents)
    if not charts:
        return None
    lead = "Values faint, their running median strong; the number is the last one."
    lead += _RESUMED if contents.marks else ""
    return Section("training", "Training", lead, f'<div class="charts">{charts}</div>')


def _latents(contents: RunContents) -> Section | None:
    charts = diagnostic_charts(contents)
    if not charts:
        return None
    lead = "Whether the latents carry information, and whether the prior can follow them."
    return Section("latents", "Latents", lead, f'<div class="charts">{charts}</div>')


def _problems(problems: Sequence[str]) -> str:
    """What could not be read, where the reader sees it."""
    items = "".join(f"<li>{escape(problem)}</li>" for problem in problems)
    return f'<ul class="notes warn">{items}</ul>' if items else ""


def _origin(contents: RunContents) -> str:
    """Where the page comes from."""
    try:
        release = f" {version('latentgen')}"
    except PackageNotFoundError:
        release = ""
    rows = len(contents.metrics)
    logged = f" &middot; {rows:,} rows of metrics.jsonl" if rows else ""
    date = datetime.now().strftime("%Y-%m-%d %H:%M")
    return f"latentgen{escape(release)} &middot; written {date}{logged}"
