"""What a run says while it trains: one bar, and one log."""

from __future__ import annotations

import itertools
import json
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, SupportsFloat, TextIO

from tqdm import tqdm

from .storage import replace_file

__all__ = ["MetricsLog", "Progress", "format_seconds", "read_metrics", "resume_steps"]

_REDRAW = 0.2  # seconds between new figures in the bar; reading one may wait for the device
_RESUMED = "resumed"


class Progress:
    """One bar in a terminal; a plain line now and then where there is none.

    Args:
        total: Steps of the whole run.
        initial: Steps that were done before (a resumed run).
        enabled: False on all but the main process; then nothing is ever printed.
        interval: Seconds between plain lines.
        stream: Where to print; the standard error stream if None.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        total: int,
        *,
        initial: int = 0,
        enabled: bool = True,
        interval: float = 10.0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total = total
        self.step = initial
        self._enabled = enabled
        self._interval = interval
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._drawn_at, self._drawn_step = clock(), initial
        self._losses: Mapping[str, SupportsFloat] = {}
        self._bar: tqdm[Any] | None = None
        if enabled and is_terminal(self._stream):
            self._bar = tqdm(
                total=total,
                initial=initial,
                file=self._stream,
                dynamic_ncols=True,
                bar_format="{n_fmt}/{total_fmt} |{bar:20}| {desc}{rate_fmt}, {remaining} left",
            )

    def update(self, step: int, losses: Mapping[str, SupportsFloat]) -> None:
        """Say that `step` steps are done.

        Args:
            step: Optimizer steps since the start of the run.
            losses: Values by name; a tensor is read only when something is printed.
        """
        ahead, self.step, self._losses = step - self.step, step, losses
        if not self._enabled:
            return
        passed = self._clock() - self._drawn_at
        if self._bar is not None:
            if passed >= _REDRAW:
                self._bar.set_description_str(_losses(losses), refresh=False)
                self._drawn_at = self._clock()
            self._bar.update(ahead)
        elif passed >= self._interval:
            self._line()

    def write(self, text: str) -> None:
        """Print a message without breaking the bar."""
        if self._bar is not None:
            self._bar.write(text, file=self._stream)
        elif self._enabled:
            print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Show the last state and let the terminal go; more calls do nothing."""
        if self._bar is not None:
            self._bar.set_description_str(_losses(self._losses))
            self._bar.close()
        elif self._enabled and self.step != self._drawn_step:
            self._line()
        self._enabled, self._bar = False, None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _line(self) -> None:
        """Print one plain line; its speed is that since the last one."""
        now = self._clock()
        rate = (self.step - self._drawn_step) / max(now - self._drawn_at, 1e-9)
        left = format_seconds((self.total - self.step) / rate) if rate > 0 else "?"
        share = 100 * self.step / max(self.total, 1)
        speed = f"{rate:.4g} it/s" if rate >= 1 or rate == 0 else f"{1 / rate:.4g} s/it"
        print(
            f"step {self.step}/{self.total} ({share:.1f}%)  {_losses(self._losses)}{speed}, "
            f"{left} left",
            file=self._stream,
            flush=True,
        )
        self._drawn_at, self._drawn_step = now, self.step


def is_terminal(stream: TextIO) -> bool:
    """Whether a bar can be drawn there: a terminal that understands it, and no CI service."""
    if os.environ.get("CI", "").lower() not in ("", "0", "false"):
        return False
    return os.environ.get("TERM") != "dumb" and stream.isatty()


def format_seconds(seconds: float) -> str:
    """A duration as 7:05, 2:03:11 or 1d 02:03:11."""
    whole = round(seconds)
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, rest = divmod(rest, 60)
    if days:
        return f"{days}d {hours:02}:{minutes:02}:{rest:02}"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _losses(losses: Mapping[str, SupportsFloat]) -> str:
    """Losses in one row, with a gap after it."""
    return "".join(f"{name} {float(value):.4g}  " for name, value in losses.items())


class MetricsLog:
    """The file `metrics.jsonl`: one JSON object a line, with `step` and named numbers.

    Each row reaches the system in one write, so a kill can only cut the last one, and opening the
    log repairs that. A resumed run drops the rows after the step that it resumes from, because it
    will write them again, and leaves a mark for the plots. Write the row of a step before its
    checkpoint is saved, or a kill in between loses it. Values that are not finite become null.

    Args:
        path: The file; its folder is made.
        resumed_step: The step that the run goes on from. None starts afresh: what an earlier run
            wrote moves to `metrics.previous.jsonl`.
        enabled: False on all but the main process; then nothing is ever written.
    """

    def __init__(self, path: Path, resumed_step: int | None = None, enabled: bool = True) -> None:
        self.path = Path(path)
        self._enabled = enabled
        self._torn = False
        if not enabled:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if resumed_step is not None:
            self._cut(resumed_step)
            self._append({"step": resumed_step, "event": _RESUMED})
        elif self.path.exists() and self.path.stat().st_size:
            os.replace(self.path, _unused(self.path.with_name(f"{self.path.stem}.previous.jsonl")))

    def write(self, step: int, values: Mapping[str, SupportsFloat]) -> None:
        """Append one row. A disk that refuses is a warning, not the end of the run.

        Args:
            step: Optimizer steps done.
            values: Numbers or tensors with one element, by name.

        Raises:
            ValueError: If a value is called `step` or `event`.
        """
        if not self._enabled:
            return
        for name in ("step", "event"):
            if name in values:
                raise ValueError(f"values has {name!r}, which names the row itself; rename it")
        self._append({"step": step, **{name: _number(value) for name, value in values.items()}})

    def _append(self, row: Mapping[str, object]) -> None:
        line = json.dumps(row).encode() + b"\n"
        try:
            with open(self.path, "ab", buffering=0) as handle:
                written = handle.write(b"\n" + line if self._torn else line)
            self._torn = written != len(line) + self._torn
        except OSError as error:
            self._torn = True
            warnings.warn(f"a row of {self.path} was lost: {error}", stacklevel=3)

    def _cut(self, step: int) -> None:
        """Drop broken lines, rows after `step`, and an equal mark."""
        if not self.path.exists():
            return
        data = self.path.read_bytes()
        kept = b""
        for line, row in _parse(data):
            marked = row.get("event") == _RESUMED and row["step"] == step
            if row["step"] <= step and not marked:
                kept += line + b"\n"
        if kept != data:
            replace_file(self.path, kept)


def _unused(path: Path) -> Path:
    """The path itself, or the first free one of ``stem-2.suffix``, ``stem-3.suffix``, ...."""
    names = itertools.chain([path], (path.with_stem(f"{path.stem}-{n}") for n in itertools.count(2)))
    return next(name for name in names if not os.path.lexists(name))


def read_metrics(path: Path) -> list[dict[str, float | None]]:
    """The rows of a log, each with `step`; None stands for a value that was not finite.

    Lines that are not rows, such as one that a kill cut short, are left out. A file that does not
    exist has no rows.
    """
    rows = (row for _, row in _lines(path) if "event" not in row)
    return [
        {name: _number(value) for name, value in row.items() if _is_number(value)} for row in rows
    ]


def resume_steps(path: Path) -> list[int]:
    """The steps at which the run was resumed."""
    return [row["step"] for _, row in _lines(path) if row.get("event") == _RESUMED]


def _lines(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    path = Path(path)
    return _parse(path.read_bytes() if path.is_file() else b"")


def _parse(data: bytes) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Lines that hold a whole row, as they stand and as a mapping; a cut object never parses."""
    for line in data.split(b"\n"):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and type(row.get("step")) is int and abs(row["step"]) < 2**63:
            yield line, row


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _number(value: SupportsFloat | None) -> float | int | None:
    """A JSON number; None if it is not finite."""
    if value is None or isinstance(value, int):
        return value if value is None or abs(value) < 2**63 else None
    number = float(value)
    return number if math.isfinite(number) else None
