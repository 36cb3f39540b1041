"""``latentgen compare``: runs of one data type and their samplers, by quality, coverage and speed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .trained import change_data, load_model, overrides_of, whole_numbers

if TYPE_CHECKING:
    from ..comparison_cost import Setting
    from ..model import LatentGenerativeModel


def add_command(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "compare",
        help="runs by quality, coverage and speed: the trilemma report",
        description="Measure runs of one data type at several samplers and costs; write trilemma.html, PNG and JSON.",
    )
    add = parser.add_argument
    add("runs", nargs="+", help="run folders, exports or hub names")
    add("--samplers", default="dpm,ddim,ode,gan", help="those that a prior lacks are left out (default: %(default)s)")
    add("--calls", default="2,4,10,25", help="steps of samplers on a grid (default: %(default)s)")
    add("--tolerance", default="1e-3", help="of the adaptive sampler (default: %(default)s)")
    add("--samples", type=int, default=1000, help="examples of a sample set (default: %(default)s)")
    add("--sets", type=int, default=3, help="sample sets of a row (default: %(default)s)")
    add("--repeats", type=int, default=5, help="timed batches of a row (default: %(default)s)")
    add("--seed", type=int, default=0, help="of the samples (default: %(default)s)")
    add("--out", type=Path, default=None, help="folder of the report (default: the first run's)")
    add("--json", action="store_true", help="print the result as JSON instead of the table")
    add("--threads", type=int, default=None, help="CPU threads")
    add("--device", default=None, help="device, for example cpu or cuda")
    add("--data", default=None, help="data to compare with, instead of those of the run")
    add("--modality", nargs="*", default=[], metavar="NAME=VALUE", help="other arguments of the modality")
    add("--trust-remote-code", action="store_true", help="allow classes from outside of latentgen and modalities")
    parser.set_defaults(run_command=_compare)


def _compare(options: argparse.Namespace) -> int:
    from ..comparison import compare
    from ..comparison_report import comparison_json, format_comparison, write_comparison

    models = {name: _load(options, run) for name, run in zip(_names(options.runs), options.runs, strict=True)}
    first = Path(options.runs[0])
    folder = Path(options.out or (first if first.is_dir() else Path(".")))
    folder.mkdir(parents=True, exist_ok=True)  # a folder that cannot be is refused before anything is measured
    result = compare(
        models, _settings(options, models), options.samples, options.sets, options.seed, options.repeats,
        progress=lambda text: print(f"measuring {text}", file=sys.stderr, flush=True),
    )
    print(comparison_json(result) if options.json else format_comparison(result), flush=True)
    page = write_comparison(result, folder)
    print(f"report: {page}", file=sys.stderr if options.json else sys.stdout)
    return 0


def _load(options: argparse.Namespace, run: str) -> LatentGenerativeModel:
    model = load_model(argparse.Namespace(**{**vars(options), "run": run}))
    overrides = overrides_of(options)
    if overrides:
        change_data(model, overrides, options.trust_remote_code)
    return model


def _names(runs: Sequence[str]) -> list[str]:
    """Last parts of the paths, numbered where they repeat."""
    names = [Path(run).name or run for run in runs]
    return [name if names.count(name) == 1 else f"{name} ({names[:k].count(name) + 1})" for k, name in enumerate(names)]


def _settings(options: argparse.Namespace, models: dict[str, LatentGenerativeModel]) -> list[Setting]:
    from ..comparison_cost import default_settings
    from ..sampler import SAMPLERS

    samplers = [name.strip() for name in options.samplers.split(",") if name.strip()]
    for name in samplers:
        if name not in SAMPLERS:
            raise ValueError(f"samplers has {name!r}; the known ones are {', '.join(sorted(SAMPLERS))}.")
    calls = whole_numbers("calls", options.calls)
    try:
        tolerances = [float(text) for text in options.tolerance.split(",")]
    except ValueError:
        raise ValueError(f"tolerance is {options.tolerance!r}; give numbers such as 1e-2,1e-3.") from None
    found = [s for name, model in models.items() for s in default_settings(name, model, samplers, calls, tolerances)]
    if not found:
        raise ValueError(f"samplers is {options.samplers!r}, of which no run's prior has one.")
    return found
