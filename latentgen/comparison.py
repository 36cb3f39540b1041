"""The trilemma of any models of one data type: quality, coverage and speed in one table, never one of them alone."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch

from .comparison_cost import TIMED, Setting, costs, default_settings
from .evaluation import HELD_OUT, Evaluation, count_of, gather, halves, sample_without_prior, select, subset
from .metrics import BETTER, FeatureMap, feature_metrics
from .model import LatentGenerativeModel
from .stream import batches
from .tensors import Batch, not_finite

Models = Mapping[str, LatentGenerativeModel]
Progress = Callable[[str], None]

NEIGHBOURS = 5
"""Of density and coverage; a sample set must be larger."""


def compare(
    models: Models,
    settings: Sequence[Setting] | None = None,
    samples: int = 1000,
    sets: int = 3,
    seed: int = 0,
    repeats: int = 5,
    features: FeatureMap | None = None,
    nelbo: bool = True,
    progress: Progress = lambda text: None,
) -> Evaluation:
    """Measure all models at all settings by the same figures, on the same machine, in one run.

    Args:
        models: trained models with data, by name; all of one modality class and with the same test data.
        settings: how to sample; the default ones of each model unless given.
        samples: examples of a sample set, and at most as many real examples that they are compared with.
        sets: sample sets of a row; figures are their means, ``spread`` their standard deviations.
        seed: of the samples.
        repeats: times of a batch of at most 128, taken after a warm-up in turns over all rows; the median counts.
        features: feature map; the modality's own unless given.
        nelbo: estimate likelihoods where there are any.
        progress: is told what is being measured.

    Returns:
        The content of ``trilemma.json``: title, axes, columns, rows (gates first), notes, likelihoods. A row has its
        name, run, sampler, figures, their spread, calls, evaluations of networks, seconds a sample with half their
        range, and nelbo (nats; None where its samples have no density). Gates have no sampler, calls and seconds.

    Raises:
        ValueError: if there is nothing to compare, the models are of different modalities or data, a number is too
            small, or a figure of the modality's axes is not there.
    """
    _check(models, settings, samples, sets, repeats)
    if settings is None:
        settings = [setting for name, model in models.items() for setting in default_settings(name, model)]
    judge = _Judge(next(iter(models.values())), samples, features)
    progress("real data, reconstruction, no prior")
    rows = _gates(models, judge, samples, sets, seed)
    _check_axes(judge.model.modality.axes(), {name for row in rows for name in row["values"]})
    likelihood, modality = {}, judge.model.modality
    for name, model in models.items():
        if nelbo and model.prior.has_likelihood:
            progress(f"{name}: likelihood")
            likelihood[name] = _likelihood(model, seed)
    for number, setting in enumerate(settings, 1):
        progress(f"{setting.label} ({number} of {len(settings)})")
        model = models[setting.run]
        made = [setting.sample(model, samples, seed + k, examples=judge.train) for k in range(sets)]
        row = judge.row(setting.label, made)
        has_density = setting.run in likelihood and setting.sampler != "gan"
        nats = _nelbo(likelihood[setting.run]) if has_density else None
        rows.append({**row, "run": setting.run, "sampler": setting.sampler or "prior", "nelbo": nats})
    progress("times")
    timed = costs(models, settings, min(samples, TIMED), repeats, judge.train)
    for row, cost in zip(rows[-len(settings) :], timed, strict=True):
        row |= cost.as_row()
    return {
        "title": f"Trilemma: {type(modality).__name__}",
        "axes": modality.axes(),
        "columns": list(dict.fromkeys(name for row in rows for name in row["values"])),
        "rows": rows,
        "better": {**BETTER, **modality.better()},
        "features": judge.provenance,
        "likelihood": likelihood,
        "notes": [
            *judge.notes(samples, sets, seed), *[HELD_OUT for row in rows if row["name"] == "held-out data"],
            *modality.notes(),
            *_notes(judge.model, rows, min(samples, TIMED), repeats),
        ],
    }


class _Judge:
    """Figures of sample sets against the same real data."""

    def __init__(self, model: LatentGenerativeModel, samples: int, features: FeatureMap | None) -> None:
        self.model = model
        self.real, self.train = gather(model, "test"), gather(model, "train", 5000)
        self.features = features if features is not None else model.modality.feature_map()
        self.reference = select(self.real, subset(count_of(self.real), samples, 0))
        self.provenance: dict[str, Any] = {}
        self.broken: list[str] = []

    def row(
        self, name: str, found: Sequence[Batch], novelty: bool = True, against: Sequence[Batch] | None = None
    ) -> dict[str, Any]:
        """Mean and spread over sample sets, judged against test examples; no figures if one holds NaN or infinity."""
        row: dict[str, Any] = {"name": name, "values": {}, "run": None, "sampler": None, "calls": None, "nelbo": None}
        row["seconds_per_sample"] = None
        if any(map(not_finite, found)):
            self.broken.append(name)
            return row
        real = against or [self.real] * len(found)
        figures = [self._figures(batch, novelty, part) for batch, part in zip(found, real, strict=True)]
        values = {key: [figure[key] for figure in figures] for key in figures[0]}
        row["values"] = {key: statistics.fmean(v) for key, v in values.items()}
        if len(found) > 1:
            row["spread"] = {k: statistics.stdev(v) for k, v in values.items() if all(map(math.isfinite, v))}
        return row

    def _figures(self, batch: Batch, novelty: bool, real: Batch) -> dict[str, float]:
        batch = {key: value.cpu() for key, value in batch.items()}
        size = min(count_of(real), count_of(self.reference))
        reference = self.reference if real is self.real else select(real, torch.arange(size))
        report = feature_metrics(reference, batch, self.features)
        self.provenance = {
            "name": report.feature_map, "hash": report.hash, "n_real": report.n_real, "n_generated": report.n_generated,
        }
        own = self.model.modality.evaluate(batch, real, self.train)
        kept = {key: value for key, value in own.items() if novelty or key not in ("novel", "vun")}
        return {**kept, **report.values}

    def notes(self, samples: int, sets: int, seed: int) -> list[str]:
        """What was compared with what."""
        found = self.provenance
        notes = [
            f"{samples} samples a set, {sets} sets, seed {seed}; features {found['name']} ({found['hash']}) of "
            f"{found['n_real']} test and {found['n_generated']} generated examples.",
            "real data: training examples in the role of samples; reconstruction: the same examples through the "
            "autoencoder; no prior: latents from a normal distribution fitted to the aggregate posterior. Novelty "
            "means nothing for the first two and is left out.",
        ]
        return [*notes, *(f"{name}: samples hold NaN or infinity; no figures." for name in self.broken)]


def _notes(model: LatentGenerativeModel, rows: Sequence[Mapping[str, Any]], n: int, repeats: int) -> list[str]:
    """How costs were taken."""
    cuda = model.device.type == "cuda"
    machine = torch.cuda.get_device_name(model.device) if cuda else f"CPU, {torch.get_num_threads()} thread(s)"
    notes = [
        f"seconds: median of {repeats} batches of {n} and half their range, decoder included, warm, in turns over the "
        f"rows; {machine}, {str(next(model.parameters(), torch.zeros(())).dtype).removeprefix('torch.')}.",
    ]
    several = [row for row in rows if row["calls"] and row["evaluations"] > row["calls"]]
    return notes + [
        f"{row['name']}: {row['calls']} calls evaluate networks {row['evaluations']} times." for row in several
    ]


def _gates(models: Models, judge: _Judge, samples: int, sets: int, seed: int) -> list[dict[str, Any]]:
    """Real data, then reconstruction and the row without a prior of every autoencoder."""
    count = count_of(judge.train)
    real = [select(judge.train, subset(count, samples, seed + number)) for number in range(sets)]
    rows = [judge.row("real data", real, novelty=False)]
    if judge.model.modality.held_out and count_of(judge.real) > 2 * NEIGHBOURS + 1:
        parts = [halves(judge.real, samples, seed + number) for number in range(sets)]
        made, others = zip(*parts, strict=True)
        rows.append(judge.row("held-out data", made, against=others))
    for names in _by_autoencoder(models, select(judge.train, torch.arange(min(count, 32)))):
        model, prefix = models[names[0]], "" if len(names) == len(models) else f"{', '.join(names)}: "
        rebuilt = [_rebuild(model, batch, seed + number) for number, batch in enumerate(real)]
        blind = [sample_without_prior(model, judge.train, samples, seed + number) for number in range(sets)]
        rows.append(judge.row(f"{prefix}reconstruction", rebuilt, novelty=False))
        rows.append(judge.row(f"{prefix}no prior", blind))
    return rows


def _by_autoencoder(models: Models, batch: Batch) -> list[list[str]]:
    """Names of the models, those together that encode and decode ``batch`` alike."""
    groups: list[tuple[list[torch.Tensor], list[str]]] = []
    for name, model in models.items():
        q = model.encode(batch)
        seen = [q.mean, q.std, *_rebuild(model, batch, 0).values()]
        for known, names in groups:
            if len(known) == len(seen) and all(map(torch.equal, known, seen)):
                names.append(name)
                break
        else:
            groups.append((seen, [name]))
    return [names for _, names in groups]


def _rebuild(model: LatentGenerativeModel, batch: Batch, seed: int) -> Batch:
    """Reconstruction with posterior samples of a seed."""
    with torch.random.fork_rng(_devices(model)):
        torch.manual_seed(seed)
        return model.reconstruct(batch)


def _devices(model: LatentGenerativeModel) -> list[torch.device]:
    return [model.device] if model.device.type == "cuda" else []


def _likelihood(model: LatentGenerativeModel, seed: int, limit: int = 128) -> dict[str, dict[str, float]]:
    """-ln p(x) of test data in nats, by the bound and, for a score prior, by the flow."""
    test, found = model.modality.dataset("test"), {}
    for method in ("bound", "ode") if model.prior.score_prior is not None else ("bound",):
        draws = 8 if method == "bound" else 1
        with torch.random.fork_rng(_devices(model)):
            torch.manual_seed(seed)
            estimate = model.nelbo(batches(model.modality, test, limit=limit), method, draws=draws)
        found[method] = {
            "nelbo": estimate.mean, "standard_error": estimate.standard_error, "examples": float(estimate.count),
        }
    return found


def _nelbo(methods: Mapping[str, Mapping[str, float]]) -> float:
    """The estimate by the flow, where there is one."""
    return methods["ode" if "ode" in methods else "bound"]["nelbo"]


def _check(models: Models, settings: Sequence[Setting] | None, samples: int, sets: int, repeats: int) -> None:
    if not models:
        raise ValueError("models is empty; give at least one trained run.")
    for name, value, least in (("samples", samples, NEIGHBOURS + 1), ("sets", sets, 1), ("repeats", repeats, 1)):
        if value < least:
            raise ValueError(f"{name} is {value}; give at least {least}.")
    kinds = {type(model.modality): type(model.modality).__name__ for model in models.values()}
    if len(kinds) > 1:
        raise ValueError(f"models are of {', '.join(sorted(kinds.values()))}; compare runs of one modality.")
    if settings is not None and not settings:
        raise ValueError("settings is empty; give at least one, or None for the default ones.")
    for setting in settings or ():
        if setting.run not in models:
            raise ValueError(f"settings name the run {setting.run!r}; the models are {', '.join(models)}.")
    first, *others = models
    for other in others:
        if not _same_data(models[first], models[other]):
            raise ValueError(
                f"{first} and {other} have different test data; compare runs of the same data, or give all of them the "
                "same (--data on the command line)."
            )


def _same_data(a: LatentGenerativeModel, b: LatentGenerativeModel) -> bool:
    """Whether the test splits have equal sizes and equal first examples, in what both batches hold."""
    sizes = {len(model.modality.dataset("test")) for model in (a, b)}
    if len(sizes) > 1:
        return False
    one, two = gather(a, "test", 64), gather(b, "test", 64)
    shared = one.keys() & two.keys()
    # an example without a condition has NaN for it
    return bool(shared) and all(torch.equal(one[key].cpu().nan_to_num(), two[key].cpu().nan_to_num()) for key in shared)


def _check_axes(axes: Mapping[str, str], figures: Collection[str]) -> None:
    for axis, figure in axes.items():
        if figure not in figures:
            raise ValueError(
                f"the modality's axes() names {figure!r} as {axis}, which nothing measures; choose one of "
                f"{', '.join(sorted(figures))}."
            )
