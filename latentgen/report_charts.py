"""The charts of the report: what was measured while it trained, and quality against calls."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from itertools import takewhile

from .plots import Series, curve_figure, to_svg, trade_off_figure
from .run_contents import RunContents
from .table import Row, Table

__all__ = ["diagnostic_charts", "loss_charts", "trade_offs"]

_SPLIT = re.compile(r"^(train|training|valid|validation|val|test|eval)[/._](.+)$")
_CLOCKS = ("step", "seconds", "cpu_seconds", "skipped")
_DIAGNOSTICS = (
    "reconstruction",
    "entropies",
    "active_units",
    "latent_std",
    "log_var",
    "kl",
)
_TOGETHER = ("cross_entropy", "entropy")
_MOST_CHARTS, _MOST_TRADE_OFFS = 48, 6
_LEVELS = 3  # real, held-out and reconstructed data
_MEANING = {
    "loss": "what is minimised, per latent dimension",
    "nelbo": "-ELBO, nats per example",
    "kl": "KL(q(z | x) || p(z)), nats per example",
    "prior_error": "weighted error of the prior, per latent dimension",
    "reconstruction": "-ln p(x | z), nats per example",
    "entropies": "nats per example; entropy must not fall faster",
    "active_units": "channels whose mean has a variance above 0.01",
    "latent_std": "standard deviation of the aggregate posterior",
    "log_var": "mean log variance of q(z | x)",
    "grad_norm": "of the gradient, before clipping",
}

Chart = dict[str, list[tuple[float, float]]]
"""Points (step, value) by the label of their curve."""


def loss_charts(contents: RunContents) -> str:
    """Losses and all that is logged beside the diagnostics, each in a chart of its own."""
    charts = _charts(contents)
    return _draw(
        contents, {name: chart for name, chart in charts.items() if not _is_diagnostic(name)}
    )


def diagnostic_charts(contents: RunContents) -> str:
    """The signs of health or collapse of the latents, in a fixed order."""
    charts = {name: chart for name, chart in _charts(contents).items() if _is_diagnostic(name)}
    order = {name: number for number, name in enumerate(_DIAGNOSTICS)}
    return _draw(contents, dict(sorted(charts.items(), key=lambda item: order[_base(item[0])])))


def trade_offs(table: Table) -> str:
    """A key, and a chart of each judged figure that the prior was asked for at several costs."""
    judged = [name for name in table.columns if name in table.better]
    judged.sort(key=lambda name: name != table.main_column)
    charts = "".join(_trade_off(table, name) for name in judged[:_MOST_TRADE_OFFS])
    if not charts:
        return ""
    gates = [row.name for row in _levels(table)]
    names = dict.fromkeys(_sampler(row) for row in table.rows if row.calls)
    return f'<p class="legend">{_key(list(names), gates)}</p><div class="charts">{charts}</div>'


def _trade_off(table: Table, column: str) -> str:
    """One chart; empty if no sampler was tried at two costs, or the figure never changes."""
    curves: dict[str, list[tuple[float, float]]] = {
        _sampler(row): [] for row in table.rows if row.calls
    }
    for row in table.rows:
        if row.calls and column in row.values:
            curves[_sampler(row)].append((row.calls, row.values[column]))
    several = any(len({calls for calls, _ in points}) > 1 for points in curves.values())
    if not several or len({value for points in curves.values() for _, value in points}) == 1:
        return ""
    levels = {row.name: row.values.get(column, math.nan) for row in _levels(table)}
    series = [_series(name, sorted(points)) for name, points in curves.items()]
    figure = trade_off_figure(series, levels, legend=False)
    return _chart(column, f"{table.better[column]} is better", "", to_svg(figure))


def _levels(table: Table) -> list[Row]:
    """The gates above the one without a prior, whose figures would flatten the curves."""
    gates = [row for row in table.rows if row.calls is None]
    return list(takewhile(lambda row: row.name != "no prior", gates))[:_LEVELS]


def _sampler(row: Row) -> str:
    """The name of a row without its cost: "dpm" of "dpm, 10 steps"."""
    return row.name.partition(",")[0].strip()


def _series(name: str, points: Sequence[tuple[float, float]]) -> Series:
    return Series(name, [x for x, _ in points], [y for _, y in points])


def _key(curves: Sequence[str], levels: Sequence[str] = ()) -> str:
    """Names of curves and levels beside a stroke that looks like theirs."""
    strokes = [(name, f"line line-{number % 6}") for number, name in enumerate(curves)]
    strokes += [(name, f"line level-{number}") for number, name in enumerate(levels)]
    return "".join(f'<span><i class="{kind}"></i>{escape(name)}</span>' for name, kind in strokes)


def _charts(contents: RunContents) -> dict[str, Chart]:
    """Points by chart and curve; splits of one name share a chart, and so do both entropies."""
    charts: dict[str, Chart] = {}
    for row in contents.metrics:
        step = row["step"]
        for name, value in row.items():
            if name in _CLOCKS or step is None or not isinstance(value, int | float):
                continue
            split = _SPLIT.match(name)
            plain, label = (split[2], split[1]) if split else (name, "")
            folder, slash, base = plain.rpartition("/")
            chart = f"{folder}{slash}{'entropies' if base in _TOGETHER else base}"
            if base in _TOGETHER:
                label = f"{label} {base.replace('_', '-')}".strip()
            charts.setdefault(chart, {}).setdefault(label or "train", []).append((step, value))
    return charts


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _is_diagnostic(name: str) -> bool:
    return _base(name) in _DIAGNOSTICS


def _draw(contents: RunContents, charts: Mapping[str, Chart]) -> str:
    drawn = []
    for name, chart in list(charts.items())[:_MOST_CHARTS]:
        series = [_series(label, points) for label, points in chart.items()]
        figure = curve_figure(series, contents.marks, legend=False)
        base = _base(name)
        meaning = escape(_MEANING.get("grad_norm" if base.startswith("grad_norm") else base, ""))
        last = escape(f"{series[0].y[-1]:.4g}")
        if len(series) > 1:
            last = f'<span class="legend">{_key(list(chart))}</span>'
        drawn.append(_chart(name.replace("_", " "), meaning, last, to_svg(figure)))
    if (more := len(charts) - _MOST_CHARTS) > 0:
        drawn.append(f"<p>{more} more are in <code>metrics.jsonl</code>.</p>")
    return "".join(drawn)


def _chart(name: str, meaning: str, aside: str, svg: str) -> str:
    """A chart under its name; `meaning` and `aside` are HTML."""
    return (
        f'<figure class="chart"><figcaption><b>{escape(name)}</b><span>{aside}</span></figcaption>'
        f"<p>{meaning}</p>{svg}</figure>"
    )
