r"""What a sampler is: from noise z_1 to a latent z_0, counting its function calls.

A fixed-grid sampler of ``steps`` steps visits the times 1 = t_1 > ... > t_steps = t_min and from t_min returns the
prediction's mean, so one-call-a-step samplers cost exactly ``steps`` calls.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol, get_args

import torch
from torch import Tensor

from ..component import Component
from ..denoiser import Denoiser, Prediction
from ..noise import NoiseStream
from ..process import Process
from ..tensors import item_mask
from .spacing import Spacing, time_grid


class Predict(Protocol):
    """One function call of the denoiser."""

    def __call__(self, z: Tensor, t: Tensor, remember: bool = True) -> Prediction:
        """Predict at z [B, *E] and a scalar time t [1]; ``remember`` feeds self-conditioning of the next call."""


Step = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(z_t [B, *E], t [B], s [B]) -> z_s [B, *E]."""
Observer = Callable[[Tensor, Prediction], None]
"""Called with (t, prediction) after every function call, for pictures of a trajectory."""


def _spread(process: Process, t: Tensor) -> Tensor:
    """Standard deviation of z_t for latents of standard deviation s, shape [1]."""
    return ((process.alpha(t) * process.latent_std) ** 2 + process.sigma2(t)).sqrt()


class Sampler(Component, ABC):
    """Runs the generative process. After a run, ``calls`` is the number of function calls that it took."""

    calls: int = 0

    def __call__(
        self,
        denoiser: Denoiser,
        z_1: Tensor,
        mask: Tensor | None = None,
        condition: Tensor | None = None,
        noise: NoiseStream | None = None,
        start: float = 1.0,
        observe: Observer | None = None,
    ) -> Tensor:
        """Sample.

        Args:
            denoiser: any denoiser.
            z_1: latent at time ``start``, shape [B, *E], latent units.
            mask: True where an item is real, shape [B, N], or None.
            condition: shape [B, F] or None.
            noise: the samples' own random streams.
            start: time of ``z_1``; less than 1 for editing.
            observe: called after every function call.

        Returns:
            z_0, shape [B, *E]; zero at masked items.
        """
        before = denoiser.calls
        last: list[Tensor | None] = [None]

        def predict(z: Tensor, t: Tensor, remember: bool = True) -> Prediction:
            prediction: Prediction = denoiser(z, t.expand(len(z)), mask, condition, last[0] if remember else None)
            last[0] = prediction.mean if remember and denoiser.self_condition else None
            if observe is not None:
                observe(t, prediction)
            return prediction

        z_0 = self.run(denoiser, predict, z_1, mask, condition, noise, start)
        self.calls = denoiser.calls - before
        return z_0 if mask is None else z_0 * item_mask(mask, z_0)

    @abstractmethod
    def run(
        self,
        denoiser: Denoiser,
        predict: Predict,
        z: Tensor,
        mask: Tensor | None,
        condition: Tensor | None,
        noise: NoiseStream | None,
        start: float,
    ) -> Tensor:
        """The algorithm; ``predict(z, t)`` evaluates the denoiser at a scalar time."""


class GridSampler(Sampler):
    """A sampler on a fixed grid of times: a subclass writes one step.

    Args:
        steps: number of times.
        spacing: how the times are spread, see :func:`time_grid`.
        end: time of the last call, whose mean is returned; None means t_min. Where latents carry posterior noise, an
            end at which sigma is about that noise spends no calls on it and returns a cleaner latent.
    """

    def __init__(self, steps: int = 25, spacing: Spacing = "log_snr", end: float | None = None) -> None:
        if steps < 1:
            raise ValueError(f"steps is {steps}; a sampler needs at least 1.")
        if spacing not in get_args(Spacing):
            raise ValueError(f"spacing is {spacing!r}; choose one of {', '.join(get_args(Spacing))}.")
        self.steps, self.spacing, self.end = steps, spacing, end

    def run(
        self,
        denoiser: Denoiser,
        predict: Predict,
        z: Tensor,
        mask: Tensor | None,
        condition: Tensor | None,
        noise: NoiseStream | None,
        start: float,
    ) -> Tensor:
        """Step along the grid, then return the mean."""
        process = denoiser.process
        times = time_grid(process, self.steps, self.spacing, start, z, self.end)
        z = z * (_spread(process, times[:1]) / _spread(process, torch.full_like(times[:1], start)))
        stepper = self.stepper(process, predict, mask, noise)
        for t, s in itertools.pairwise(times):
            z = stepper(z, t.expand(len(z)), s.expand(len(z)))
        return predict(z, times[-1]).mean

    @abstractmethod
    def stepper(
        self, process: Process, predict: Predict, mask: Tensor | None, noise: NoiseStream | None
    ) -> Step:
        """A function (z_t, t, s) -> z_s; it may keep what it learned in earlier steps."""
