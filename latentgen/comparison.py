"""The trilemma of any models of one data type: quality, coverage and speed in one table, never one of them alone."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .evaluation import Evaluation, count_of, gather, sample_without_prior, select, subset
from .metrics import BETTER, FeatureMap, feature_metrics
from .model import LatentGenerativeModel
from .stream import batches
from .tensors import Batch

TIMED = 128
"""Samples of a batch whose time is taken."""


@dataclass(frozen=True)
class Setting:
    """One way to sample one model.

    Attributes:
        run: name of the model.
        sampler: short name, or None for a prior that is sampled directly.
        steps: number of steps, for samplers on a grid.
        tolerance: of the adaptive sampler.
    """

    run: str
    sampler: str | None = None
    steps: int | None = None
    tolerance: float | None = None

    @property
    def label(self) -> str:
        """What tables call it."""
        if self.sampler is None:
            return f"{self.run}: prior"
        amount = f" {self.tolerance:g}" if self.tolerance is not None else f" {self.steps}" if self.steps else ""
        return f"{self.run}: {self.sampler}{amount}"

    def sample(self, model: LatentGenerativeModel, n: int, seed: int) -> Batch:
        """n examples."""
        return model.sample(n, self.sampler, self.steps, seed, tolerance=self.tolerance)


def default_settings(
    run: str,
    model: LatentGenerativeModel,
    samplers: Sequence[str] = ("dpm", "ddim", "ode", "gan"),
    calls: Sequence[int] = (2, 4, 10, 25),
    tolerances: Sequence[float] = (1e-3,),
) -> list[Setting]:
    """The settings of those ``samplers`` that the model's prior has; a prior without samplers is sampled directly."""
    known = model.prior.samplers
    if not known:
        return [Setting(run)]
    found: list[Setting] = []
    for sampler in (name for name in samplers if name in known):
        if sampler == "gan":
            found.append(Setting(run, sampler))
        elif sampler == "ode":
            found += [Setting(run, sampler, tolerance=value) for value in tolerances]
        else:
            found += [Setting(run, sampler, steps) for steps in calls]
    return found


def compare(
    models: Mapping[str, LatentGenerativeModel],
    settings: Sequence[Setting] | None = None,
    samples: int = 1000,
    sets: int = 3,
    seed: int = 0,
    repeats: int = 5,
    features: FeatureMap | None = None,
    nelbo: bool = True,
) -> Evaluation:
    """Measure all models at all settings by the same figures, on the same machine, in one run.

    Args:
        models: trained models with data, by name; all of one modality class.
        settings: how to sample; the default ones of each model unless given.
        samples: examples of a sample set, and real examples that they are compared with.
        sets: sample sets of a row; figures are their means, ``spread`` their standard deviations.
        seed: of the samples.
        repeats: times of a batch of at most 128, taken after a warm-up in turns over all rows; the median counts.
        features: feature map; the modality's own unless given.
        nelbo: estimate likelihoods where there are any.

    Returns:
        The content of ``trilemma.json``: title, axes, columns, rows (gates first), notes, likelihoods.

    Raises:
        ValueError: if there is no model, or the models are of different modalities.
    """
    if not models:
        raise ValueError("models is empty; give at least one trained run.")
    kinds = {type(model.modality).__name__ for model in models.values()}
    if len(kinds) > 1:
        raise ValueError(f"models are of {', '.join(sorted(kinds))}; compare runs of one modality.")
    if settings is None:
        settings = [setting for name, model in models.items() for setting in default_settings(name, model)]
    judge = _Judge(next(iter(models.values())), samples, features)
    rows = _gates(models, judge, samples, sets, seed)
    for setting in settings:
        model = models[setting.run]
        row = judge.row(setting.label, [setting.sample(model, samples, seed + number) for number in range(sets)])
        rows.append({**row, "run": setting.run, "sampler": setting.sampler or "prior", "calls": model.calls})
    times = _times(models, settings, min(samples, TIMED), repeats)
    for row, (median, spread) in zip(rows[-len(settings) :], times, strict=True):
        row |= {"seconds_per_sample": median, "seconds_spread": spread}
    return {
        "title": f"Trilemma: {next(iter(kinds))}",
        "axes": judge.model.modality.axes(),
        "columns": list(dict.fromkeys(name for row in rows for name in row["values"])),
        "rows": rows,
        "better": {**BETTER, **judge.model.modality.better()},
        "features": judge.provenance,
        "likelihood": {name: _nelbo(model) for name, model in models.items() if nelbo and model.prior.has_likelihood},
        "notes": judge.notes(samples, sets, seed, repeats),
    }


class _Judge:
    """Figures of sample sets against the same real data."""

    def __init__(self, model: LatentGenerativeModel, samples: int, features: FeatureMap | None) -> None:
        self.model = model
        self.real, self.train = gather(model, "test"), gather(model, "train", 5000)
        self.features = features if features is not None else model.modality.feature_map()
        self.reference = select(self.real, subset(count_of(self.real), samples, 0))
        self.provenance: dict[str, Any] = {}

    def row(self, name: str, found: Sequence[Batch], novelty: bool = True) -> dict[str, Any]:
        """Mean and spread over sample sets."""
        figures = [self._figures(batch, novelty) for batch in found]
        values = {key: [figure[key] for figure in figures] for key in figures[0]}
        row: dict[str, Any] = {"name": name, "values": {key: statistics.fmean(v) for key, v in values.items()}}
        if len(found) > 1:
            row["spread"] = {key: statistics.stdev(v) for key, v in values.items()}
        return {**row, "run": None, "sampler": None, "calls": None, "seconds_per_sample": None}

    def _figures(self, batch: Batch, novelty: bool) -> dict[str, float]:
        batch = {key: value.cpu() for key, value in batch.items()}
        report = feature_metrics(self.reference, batch, self.features)
        self.provenance = {
            "name": report.feature_map, "hash": report.hash, "n_real": report.n_real, "n_generated": report.n_generated,
        }
        own = self.model.modality.evaluate(batch, self.real, self.train)
        kept = {key: value for key, value in own.items() if novelty or key not in ("novel", "vun")}
        return {**kept, **report.values}

    def notes(self, samples: int, sets: int, seed: int, repeats: int) -> list[str]:
        """How it was measured."""
        found = self.provenance
        return [
            f"{samples} samples a set, {sets} sets, seed {seed}; features {found['name']} ({found['hash']}) of "
            f"{found['n_real']} test and {found['n_generated']} generated examples.",
            f"seconds: median of {repeats} batches of {min(samples, TIMED)}, decoder included, warm, in turns over the "
            "rows.",
            "real data: training examples in the role of samples; their novelty means nothing and is left out.",
        ]


def _gates(
    models: Mapping[str, LatentGenerativeModel], judge: _Judge, samples: int, sets: int, seed: int
) -> list[dict[str, Any]]:
    """Real data, then reconstruction and the row without a prior of every model."""
    count = count_of(judge.train)
    real = [select(judge.train, subset(count, samples, seed + number)) for number in range(sets)]
    rows = [judge.row("real data", real, novelty=False)]
    for name, model in models.items():
        rebuilt = [model.reconstruct(select(judge.real, subset(count_of(judge.real), samples, seed + number)))
                   for number in range(sets)]
        blind = [sample_without_prior(model, judge.train, samples, seed + number) for number in range(sets)]
        rows += [judge.row(f"{name}: reconstruction", rebuilt), judge.row(f"{name}: no prior", blind)]
    return rows


def _times(
    models: Mapping[str, LatentGenerativeModel], settings: Sequence[Setting], n: int, repeats: int
) -> list[tuple[float, float]]:
    """Median and half the range of seconds a sample; every round visits all settings, so that load hits all alike."""
    found: list[list[float]] = [[] for _ in settings]
    for number in range(repeats + 1):
        for cell, setting in zip(found, settings, strict=True):
            model = models[setting.run]
            start = time.perf_counter()
            setting.sample(model, n, number)
            if model.device.type == "cuda":
                torch.cuda.synchronize(model.device)
            cell.append((time.perf_counter() - start) / n)
    return [(statistics.median(cell[1:]), (max(cell[1:]) - min(cell[1:])) / 2) for cell in found]


def _nelbo(model: LatentGenerativeModel, limit: int = 128) -> dict[str, dict[str, float]]:
    """-ln p(x) of test data in nats, by the bound and, for a score prior, by the flow."""
    test, found = model.modality.dataset("test"), {}
    for method in ("bound", "ode") if model.prior.score_prior is not None else ("bound",):
        draws = 8 if method == "bound" else 1
        estimate = model.nelbo(batches(model.modality, test, limit=limit), method, draws=draws)
        found[method] = {
            "nelbo": estimate.mean, "standard_error": estimate.standard_error, "examples": float(estimate.count),
        }
    return found
