"""What is sampled how, and what it costs: function calls, network evaluations and seconds a sample."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from .denoiser import Denoiser
from .evaluation import sample_like
from .model import LatentGenerativeModel
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

    def sample(
        self, model: LatentGenerativeModel, n: int, seed: int, batch_size: int | None = None,
        examples: Batch | None = None,
    ) -> Batch:
        """n examples, of a conditional model under the conditions of random ones of ``examples``."""
        options = {"tolerance": self.tolerance, "batch_size": batch_size, "steps": self.steps}
        return sample_like(model, examples or {}, n, self.sampler, seed, **options)


@dataclass(frozen=True)
class Cost:
    """Cost of a setting, measured on the same batches.

    Attributes:
        calls: function calls a sample, the median over batches (an adaptive sampler's differ).
        evaluations: times that a network is evaluated for a sample; more than calls where one call needs several.
        seconds: seconds a sample, decoder included, the median over batches.
        spread: half the range of the seconds.
    """

    calls: int
    evaluations: int
    seconds: float
    spread: float

    def as_row(self) -> dict[str, Any]:
        """Under the names of a table's row."""
        return {
            "calls": self.calls, "evaluations": self.evaluations,
            "seconds_per_sample": self.seconds, "seconds_spread": self.spread,
        }


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


def costs(
    models: Mapping[str, LatentGenerativeModel], settings: Sequence[Setting], n: int, repeats: int,
    examples: Batch | None = None,
) -> list[Cost]:
    """Cost of batches of n; every round visits all settings, so that a drifting load hits all alike.

    A first round, not timed, warms up and counts the evaluations.
    """
    evaluations: list[float] = []  # a call
    for setting in settings:
        with _counted(models[setting.run]) as count:
            setting.sample(models[setting.run], n, 0, n, examples)
        evaluations.append(len(count) / max(models[setting.run].calls, 1))
    calls: list[list[int]] = [[] for _ in settings]
    seconds: list[list[float]] = [[] for _ in settings]
    for number in range(repeats):
        for setting, called, spent in zip(settings, calls, seconds, strict=True):
            model = models[setting.run]
            _wait(model)
            start = time.perf_counter()
            setting.sample(model, n, number, n, examples)
            _wait(model)
            spent.append((time.perf_counter() - start) / n)
            called.append(model.calls)
    return [
        Cost(statistics.median_low(c), round(e * statistics.median_low(c)), statistics.median(s), (max(s) - min(s)) / 2)
        for c, e, s in zip(calls, evaluations, seconds, strict=True)
    ]


@contextmanager
def _counted(model: LatentGenerativeModel) -> Iterator[list[None]]:
    """Counts how often the networks of the prior's denoisers are evaluated."""
    found: list[None] = []
    networks = {module.network for module in model.prior.modules() if isinstance(module, Denoiser)}
    hooks = [network.register_forward_hook(lambda *_: found.append(None)) for network in networks]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _wait(model: LatentGenerativeModel) -> None:
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
