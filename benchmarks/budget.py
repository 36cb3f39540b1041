"""Training for a given time on one CPU core: the number of steps that fit is measured first, and kept with the run."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

import latentgen

PROBE, WARM = 14, 4


def trained_for(
    minutes: float,
    make: Callable[[], latentgen.Recipe],
    modality: latentgen.Modality,
    run: Path,
    options: latentgen.TrainingOptions,
) -> latentgen.LatentGenerativeModel:
    """A kept model, or a new one that was trained for about ``minutes`` of one core.

    A learning rate that falls to the end of training needs to know the end: a few steps are timed first, objectives
    that begin late by their share, and the run then takes the steps that fill the time.

    Args:
        minutes: of CPU time.
        make: a new recipe.
        modality: with data.
        run: folder of the run.
        options: all but the number of steps.
    """
    if not (run / "export" / "model.safetensors").exists():
        steps = _steps(minutes, make, modality, options)
        torch.manual_seed(options.seed)
        prepared = make().prepare(modality)
        print(f"  {run.name}: {steps} steps in {minutes:g} minutes", flush=True)
        full = replace(options, steps=steps, checkpoint_every=0, keep=1, log_every=max(1, steps // 50))
        latentgen.Trainer(prepared.model, prepared.objectives, run, full, quiet=True).fit()
    model = latentgen.load(run)
    model.modality = modality
    return model


def _steps(
    minutes: float,
    make: Callable[[], latentgen.Recipe],
    modality: latentgen.Modality,
    options: latentgen.TrainingOptions,
) -> int:
    """Steps that fill the time, from the median time of a few."""
    torch.manual_seed(options.seed)
    prepared = make().prepare(modality)
    late = max(objective.begins for objective in prepared.objectives)

    def seconds(all_of_them: bool) -> float:
        times: list[float] = []
        chosen = prepared.objectives if all_of_them else [o for o in prepared.objectives if o.begins == 0]
        begins = [objective.begins for objective in prepared.objectives]
        for objective in prepared.objectives:
            objective.begins = 0.0
        with tempfile.TemporaryDirectory() as folder:
            short = replace(options, steps=PROBE, checkpoint_every=0, keep=1)
            hook = lambda trainer: times.append(time.process_time())  # noqa: E731
            latentgen.Trainer(prepared.model, chosen, folder, short, [hook], quiet=True).fit()
        for objective, value in zip(prepared.objectives, begins, strict=True):
            objective.begins = value
        steps = sorted(b - a for a, b in zip(times[WARM:], times[WARM + 1 :], strict=False))
        return steps[len(steps) // 2]

    mean = seconds(True) if not late else late * seconds(False) + (1 - late) * seconds(True)
    return max(20, round(60 * minutes / mean))


def training_record(run: Path) -> dict[str, float]:
    """Steps and CPU-minutes of a kept run."""
    rows = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    last = json.loads(rows[-1])
    return {"steps": float(last["step"]), "CPU-minutes": float(last["cpu_seconds"]) / 60}


def cpu_minutes(run: Path) -> float:
    """CPU time that training took, stages added."""
    total = 0.0
    for log in (run / "metrics.jsonl", run / "autoencoder" / "metrics.jsonl"):
        if log.exists():
            rows = [json.loads(line) for line in log.read_text().splitlines() if line.strip()]
            total += max((row.get("cpu_seconds") or 0.0 for row in rows), default=0.0)
    return total / 60
