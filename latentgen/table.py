"""The table of an evaluation, for the terminal and for the report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Row", "Table", "finite", "format_number", "format_table", "read_table"]


@dataclass(frozen=True)
class Row:
    """One line: a gate (real data, reconstruction, no prior) or the prior at some cost.

    Args:
        name: What was measured.
        values: Figure by column; absent where it means nothing.
        spread: Standard deviation over sample sets by column.
        calls: Network calls a sample; None for a gate.
        seconds: Seconds a sample.
    """

    name: str
    values: dict[str, float]
    spread: dict[str, float] = field(default_factory=dict)
    calls: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Table:
    """An evaluation with every value checked.

    Args:
        title: Heading.
        columns: Names of the figures, in order.
        rows: Gates and prior rows, in order.
        notes: Sentences about how it was measured.
        better: `lower` or `higher` by column, where one is better.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    better: dict[str, str]

    def column(self, name: str) -> list[float]:
        """All figures of a column."""
        return [row.values[name] for row in self.rows if name in row.values]

    def best(self, name: str) -> float | None:
        """The best figure that the prior reached; None without a direction or a prior row."""
        reached = [row.values[name] for row in self.rows if row.calls and name in row.values]
        if not reached or name not in self.better:
            return None
        return min(reached) if self.better[name] == "lower" else max(reached)

    def stands_out(self, row: Row, name: str) -> bool:
        """Whether a prior row has the best figure, and not most of the others too."""
        best = self.best(name)
        if best is None or row.calls is None or row.values.get(name) != best:
            return False
        prior = [other for other in self.rows if other.calls is not None]
        return 2 * sum(other.values.get(name) == best for other in prior) <= max(len(prior), 2)

    @property
    def main_column(self) -> str | None:
        """The figure to name first: an average if there is one, else the first judged one."""
        judged = [name for name in self.columns if name in self.better]
        return next((name for name in judged if name.lower() in ("average", "fid")), None) or (
            judged[0] if judged else None
        )


def read_table(evaluation: Mapping[str, Any]) -> Table:
    """Check the content of `evaluation.json`; what has the wrong type counts as absent.

    Args:
        evaluation: `title`, `columns`, `rows` (`name`, `values`, `calls`, `seconds_per_sample`,
            `spread`), `notes` and `better`.
    """
    columns = tuple(str(name) for name in _list(evaluation.get("columns")))
    better = {
        str(name): str(way)
        for name, way in _mapping(evaluation.get("better")).items()
        if way in ("lower", "higher")
    }
    rows = tuple(_row(row, columns) for row in _list(evaluation.get("rows")) if _mapping(row))
    notes = tuple(str(note) for note in _list(evaluation.get("notes")))
    return Table(str(evaluation.get("title") or ""), columns, rows, notes, better)


def _row(row: Mapping[str, Any], columns: Sequence[str]) -> Row:
    calls = finite(row.get("calls"))
    return Row(
        name=str(row.get("name") or ""),
        values=_numbers(row.get("values"), columns),
        spread=_numbers(row.get("spread"), columns),
        calls=round(calls) if calls is not None and 1 <= calls < 1e9 else None,
        seconds=finite(row.get("seconds_per_sample")),
    )


def _numbers(value: object, columns: Sequence[str]) -> dict[str, float]:
    found = {name: finite(_mapping(value).get(name)) for name in columns}
    return {name: number for name, number in found.items() if number is not None}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def finite(value: object) -> float | None:
    """A finite number as it is; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    with suppress(OverflowError):
        return float(value) if math.isfinite(value) else None
    return None


def format_number(value: float, among: Iterable[float] = ()) -> str:
    """A figure with the decimals that suit its column, so that a column lines up.

    Args:
        value: The figure.
        among: All figures of the column; the largest decides.
    """
    largest = max((abs(number) for number in (*among, value)), default=0.0)
    if largest >= 1e6 or 0 < abs(value) < 5e-5:
        return f"{value:.2e}"
    decimals = 4 if largest < 1 else max(0, 3 - math.floor(math.log10(largest)))
    return f"{value:.{min(decimals, 4)}f}"


def format_table(evaluation: Mapping[str, Any]) -> str:
    """The evaluation as plain text: gates, a rule, the prior; `*` marks the best of the prior.

    Args:
        evaluation: The content of `evaluation.json`.
    """
    table = read_table(evaluation)
    header = ["", "calls", "s/sample", *(f"{name} " for name in table.columns)]
    lines = [_cells(row, table) for row in table.rows]
    widths = [max(len(line[i]) for line in (header, *lines)) for i in range(len(header))]
    text = [table.title] if table.title else []
    text.append(_aligned(header, widths))
    rule = "-" * len(text[-1])
    text.append(rule)
    for previous, row, line in zip((None, *table.rows), table.rows, lines, strict=False):
        if previous is not None and previous.calls is None and row.calls is not None:
            text.append(rule)
        text.append(_aligned(line, widths))
    for way in ("lower", "higher"):
        if named := [name for name in table.columns if table.better.get(name) == way]:
            text.append(f"{way} is better: {', '.join(named)}")
    return "\n".join([*text, *table.notes])


def _cells(row: Row, table: Table) -> list[str]:
    """One row as text."""
    cells = [
        row.name,
        "-" if row.calls is None else str(row.calls),
        "-" if row.seconds is None else f"{row.seconds:.3g}",
    ]
    for name in table.columns:
        value = row.values.get(name)
        if value is None:
            cells.append("- ")
            continue
        mark = "*" if table.stands_out(row, name) else " "
        cells.append(format_number(value, table.column(name)) + mark)
    return cells


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    row = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
    return "  ".join(row).rstrip()
