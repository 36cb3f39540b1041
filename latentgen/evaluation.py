"""The table of a model: gates first (real data, reconstruction, no prior), then the prior at several costs."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .conditions import drawn_condition
from .joining import join
from .model import LatentGenerativeModel
from .noise import NoiseStream
from .sampler import Sampler, make_sampler
from .storage import replace_file
from .stream import batches
from .tensors import Batch, item_mask

Evaluation = dict[str, Any]

HELD_OUT = "held-out data: test examples, which are unknown to the model, judged against the other ones."
"""Note of tables that have such a row."""


def gather(model: LatentGenerativeModel, split: str, limit: int | None = None) -> Batch:
    """The first examples of a split as one batch."""
    modality = model.modality
    return join(list(batches(modality, modality.dataset(split), limit=limit)))


def select(batch: Batch, numbers: Tensor) -> Batch:
    """Some examples of a batch by number."""
    return {key: value[numbers.to(value.device)] for key, value in batch.items()}


@torch.no_grad()
def sample_without_prior(model: LatentGenerativeModel, train: Batch, n: int, seed: int) -> Batch:
    """Decode latents drawn from N(mean, std^2) of the aggregate posterior, channel by channel: what no prior gives."""
    axis = 1 if model.prior.latents.layout == "grid" else -1
    q = model.encode(train)
    mean, std = (value.movedim(axis, -1) for value in (q.mean, q.std))
    axes = tuple(range(mean.dim() - 1))
    weight = torch.ones_like(mean) if q.mask is None else item_mask(q.mask, mean).expand_as(mean)
    center = (weight * mean).sum(axes) / weight.sum(axes)
    spread = ((weight * (mean**2 + std**2)).sum(axes) / weight.sum(axes) - center**2).sqrt()
    noise = NoiseStream(seed, range(n))
    mask = model.modality.sample_mask(noise.uniform())
    mask = None if mask is None else mask.to(model.device)
    z = (noise.normal(model.prior.latents.shape).to(model.device).movedim(axis, -1) * spread + center).movedim(-1, axis)
    return model.read(z if mask is None else z * item_mask(mask, z), mask, noise)


def evaluate(
    model: LatentGenerativeModel,
    samples: int = 1000,
    sets: int = 1,
    calls: Sequence[int] = (2, 4, 10, 25, 100),
    sampler: str = "dpm",
    seed: int = 0,
    reference: int | None = None,
    train_limit: int = 5000,
    nelbo: bool = True,
    title: str = "",
    nelbo_examples: int = 256,
) -> Evaluation:
    """Measure a model by its modality's own figures.

    Args:
        model: a trained model, with data.
        samples: examples generated for each sample set.
        sets: sample sets of each row; figures are their means, ``spread`` their standard deviations.
        calls: costs at which the prior is sampled.
        sampler: name of a sampler on a grid.
        seed: of the samples; set k uses seed + k.
        reference: number of test examples; None takes all.
        train_limit: training examples that novelty is judged against and rows are made from.
        nelbo: also estimate -ln p(x).
        title: heading of the table.
        nelbo_examples: test examples for it; the probability flow's part costs hundreds of network evaluations.

    Returns:
        The content of ``evaluation.json``: columns, rows, notes.
    """
    make_sampler(sampler)  # refuses an unknown name
    real, train = gather(model, "test", reference), gather(model, "train", train_limit)
    runner = _Rows(model, real, train, samples, sets, seed)
    size, count = min(samples, count_of(train)), count_of(train)

    def chosen_of(k: int) -> Batch:
        return select(train, subset(count, size, seed + k))

    runner.add("real data", chosen_of, novelty=False)
    held_out = model.modality.held_out and count_of(real) > 1
    if held_out:
        parts = [halves(real, samples, seed + k) for k in range(sets)]
        runner.add("held-out data", lambda k: parts[k][0], reference=lambda k: parts[k][1])
    runner.add("reconstruction", lambda k: model.reconstruct(chosen_of(k)), novelty=False)
    runner.add("no prior", lambda k: sample_without_prior(model, train, samples, seed + k))
    for name, chosen in _settings(model, sampler, calls):
        runner.add(name, lambda k, s=chosen: sample_like(model, train, samples, s, seed + k), chosen)
    notes = [
        f"{samples} samples a set, {sets} sets, {count_of(real)} test and {count} training examples, seed {seed}.",
        "real data: random training examples in the role of samples; reconstruction: the same ones through the "
        "autoencoder, never test examples judged against themselves (novelty means nothing for both and is left out).",
    ]
    if held_out:
        notes.append(HELD_OUT)
    if "condition" in train:
        notes.append("samples of the prior take the conditions of random training examples.")
    notes += model.modality.notes()
    if model.prior.samplers and sampler not in model.prior.samplers:
        notes.append(f"no rows by {sampler!r}: this prior is sampled by {', '.join(model.prior.samplers)}.")
    result = {
        "title": title or type(model.modality).__name__,
        "columns": list(dict.fromkeys(name for row in runner.rows for name in row["values"])),
        "rows": runner.rows,
        "notes": notes,
        "better": model.modality.better(),
    }
    if nelbo:
        add_nelbo(result, model, nelbo_examples)
    return result


def sample_like(
    model: LatentGenerativeModel, examples: Batch, n: int, sampler: Sampler | str | None, seed: int, **options: Any
) -> Batch:
    """n samples, of a conditional model under the conditions of random examples: p(x) = E[p(x | c)]."""
    return model.sample(n, sampler, seed=seed, condition=drawn_condition(examples, n, seed), **options)


def _settings(
    model: LatentGenerativeModel, sampler: str, calls: Sequence[int]
) -> Iterator[tuple[str, Sampler | None]]:
    """Name and sampler of every row that the model's prior can give."""
    known = model.prior.samplers
    if sampler in known and sampler != "gan":
        yield from ((f"{sampler}, {cost} steps", make_sampler(sampler, cost)) for cost in calls)
    if "gan" in known:
        yield "gan", make_sampler("gan")
    if not known:
        yield "prior", None


class _Rows:
    """Collects rows: each is a maker of sample sets, judged against the same real data."""

    def __init__(
        self, model: LatentGenerativeModel, real: Batch, train: Batch, samples: int, sets: int, seed: int
    ) -> None:
        self.model, self.real, self.train = model, real, train
        self.samples, self.sets = samples, sets
        self.rows: list[dict[str, Any]] = []

    def add(
        self, name: str, make: Any, sampler: Sampler | None = None, novelty: bool = True, reference: Any = None
    ) -> None:
        """Make the sets, judge and time them."""
        found: list[dict[str, float]] = []
        seconds: list[float] = []
        for number in range(self.sets):
            start = time.perf_counter()
            batch = make(number)
            seconds.append((time.perf_counter() - start) / self.samples)
            real = self.real if reference is None else reference(number)
            found.append(self.model.modality.evaluate(batch, real, self.train))
        values = {key: torch.tensor([figures[key] for figures in found]).double() for key in found[0]}
        if not novelty:
            values = {key: value for key, value in values.items() if key not in ("novel", "vun")}
        row: dict[str, Any] = {
            "name": name,
            "values": {key: float(value.mean()) for key, value in values.items()},
            "calls": None if sampler is None else sampler.calls,
            "seconds_per_sample": None if sampler is None else sorted(seconds)[len(seconds) // 2],
        }
        if self.sets > 1:
            row["spread"] = {key: float(value.std()) for key, value in values.items()}
        self.rows.append(row)


def add_nelbo(result: Evaluation, model: LatentGenerativeModel, limit: int = 256) -> None:
    """Append -ln p(x) of test data by the importance-sampled bound and, for a score prior, by the flow."""
    test = model.modality.dataset("test")
    if not model.prior.has_likelihood:
        result["notes"].append(f"no NELBO: {type(model.prior).__name__} has no likelihood.")
        return
    methods = ("bound", "ode") if model.prior.score_prior is not None else ("bound",)
    result["likelihood"] = {}
    for method in methods:
        found = model.nelbo(batches(model.modality, test, limit=limit), method, draws=8 if method == "bound" else 1)
        dimensions = model.modality.dimensions
        bits = None if dimensions is None else found.mean / (dimensions * math.log(2))
        result["likelihood"][method] = {
            "nelbo": found.mean, "standard_error": found.standard_error, "examples": found.count, "bits_per_dim": bits,
        }
        result["notes"].append(
            f"NELBO ({method}) {found.mean:.2f} +- {found.standard_error:.2f} nats"
            f"{'' if bits is None else f', {bits:.3f} bits per dimension'} ({found.count} examples)."
        )


def write_evaluation(run: Path, result: Evaluation) -> Path:
    """Write ``evaluation.json`` into a run folder."""
    path = run / "evaluation.json"
    replace_file(path, json.dumps(_finite(result), indent=1, allow_nan=False).encode())
    return path


def _finite(value: Any) -> Any:
    """The same with None for infinity and NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def count_of(batch: Batch) -> int:
    """Number of examples of a batch."""
    return len(next(iter(batch.values())))


def halves(batch: Batch, size: int, seed: int) -> tuple[Batch, Batch]:
    """Random examples, ``size`` or half of them, whichever is less; and the others."""
    order = subset(count_of(batch), count_of(batch), seed)
    first = min(size, len(order) // 2)
    return select(batch, order[:first]), select(batch, order[first:])


def subset(count: int, size: int, seed: int) -> Tensor:
    """Random distinct numbers below ``count``, at most ``size`` of them."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return order[:size]
