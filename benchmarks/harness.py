"""What every benchmark shares: arguments, rows, results."""

from __future__ import annotations

import argparse
import atexit
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

_FOUND: list[str] = []
"""Names of figures that were asked for."""


def arguments(description: str, time: str, minutes: bool = False) -> argparse.Namespace:
    """The arguments of every benchmark; prints how long it takes.

    Args:
        description: what it measures.
        time: how long it takes, in words.
        minutes: whether a training's CPU time can be chosen.
    """
    parser = argparse.ArgumentParser(
        description=description, epilog=f"Time: {time}.", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if minutes:
        parser.add_argument("--minutes", type=float, default=None, help="CPU time of each training")
    parser.add_argument("--data", type=Path, default=None, help="folder of benchmark data (graphs/, molecules/, ...)")
    parser.add_argument("--json", type=Path, default=None, help="where to write the rows")
    parser.add_argument("--seeds", type=int, default=3, help="number of training seeds")
    parser.add_argument("--only", action="append", default=None, help="only figures with this in their name")
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmarks"), help="where trained runs are kept")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.only:
        atexit.register(_tell_of_nothing, args.only)
    print(f"time: {time}; {args.seeds} seeds, {args.threads} thread(s), runs in {args.runs}", flush=True)
    return args


@dataclass
class Rows:
    """Rows of figures, written after every addition, so that an interrupted benchmark keeps what it found."""

    path: Path | None
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self,
        figure: str,
        value: float | None,
        to_reach: str = "",
        holds: bool | None = None,
        spread: float | None = None,
        note: str = "",
    ) -> None:
        """Add one row and print it.

        Args:
            figure: what it is.
            value: the mean over seeds and sample sets.
            to_reach: the condition in words, for example ">= 0.92"; empty for rows of reference.
            holds: whether it is met; worked out from ``to_reach`` when that is a plain comparison.
            spread: standard deviation over seeds and sample sets.
            note: what else must be said.
        """
        if holds is None and to_reach and value is not None:
            holds = _holds(value, to_reach)
        self.rows.append(
            {"figure": figure, "value": value, "to_reach": to_reach, "holds": holds, "spread": spread, "note": note}
        )
        shown = "-" if value is None else f"{value:.5g}" + (f" +- {spread:.2g}" if spread is not None else "")
        verdict = {None: "", True: "  holds", False: "  SHORT"}[holds]
        print(f"{figure}: {shown}  {to_reach}{verdict}  {note}", flush=True)
        self.write()

    def write(self) -> None:
        """Write the rows with commit, machine and command."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.rows, indent=1) + "\n", encoding="utf-8")
        about = {
            "commit": _commit(),
            "machine": f"{platform.machine()}, {_processor()}",
            "python": platform.python_version(),
            "torch": torch.__version__,
            "date": time.strftime("%Y-%m-%d"),
            "command": " ".join(["python", Path(sys.argv[0]).as_posix(), *_shown(sys.argv[1:])]),
        }
        self.path.with_suffix(".about.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def _shown(words: Sequence[str]) -> list[str]:
    """The command without this machine's folders."""
    return [Path(word).name if word.startswith(("/", "../")) else word for word in words]


def _holds(value: float, condition: str) -> bool | None:
    for sign in (">=", "<="):
        if condition.startswith(sign):
            bound = float(condition.removeprefix(sign).split()[0])
            return value >= bound if sign == ">=" else value <= bound
    return None


def _commit() -> str:
    try:
        return subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        return f"{len(names)} x {names[0]}"
    except (OSError, IndexError):
        return platform.processor() or "unknown processor"


def wanted(only: Sequence[str] | None, name: str) -> bool:
    """Whether a figure was asked for."""
    found = not only or any(word in name for word in only)
    if found:
        _FOUND.append(name)
    return found


def _tell_of_nothing(only: Sequence[str]) -> None:
    if not _FOUND:
        print(f"nothing was measured: only is {list(only)}, and no figure that could be has one of these in its name.")


def mean_spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0
