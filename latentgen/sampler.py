r"""Samplers: from noise z_1 to a latent z_0, each counting its function calls.

A fixed-grid sampler of ``steps`` steps visits the times 1 = t_1 > ... > t_steps = t_min and from t_min returns the
prediction's mean, so one-call-a-step samplers cost exactly ``steps`` calls.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor

from .component import Component
from .denoiser import Denoiser, Prediction
from .flow import flow_velocity, integrate
from .noise import NoiseStream, normal_like
from .process import Process
from .tensors import bisect, item_mask, over

Spacing = Literal["log_snr", "normal", "karras", "time"]
NORMAL_SPACING = (2.0, 1.7, 0.1, -5.0)
"""Of the spacing "normal": mean and standard deviation of the log-SNR, share of evenly spread times, first log-SNR."""
def _normal_quantiles(unit: Tensor, first: Tensor, last: Tensor, shift: float) -> Tensor:
    """Log-SNRs from max(first, -5) to last at the quantiles of the spacing "normal", shape of ``unit``."""
    mean, std, even, earliest = NORMAL_SPACING
    a, b = float(first.clamp_min(earliest - shift)), float(last)

    def level(log_snr: Tensor) -> Tensor:
        return torch.as_tensor(torch.special.ndtr((log_snr + shift - mean) / std))

    low, high = (level(torch.tensor(edge).double()) for edge in (a, b))

    def share(log_snr: Tensor) -> Tensor:
        return (1 - even) * (level(log_snr) - low) / (high - low) + even * (log_snr - a) / (b - a)

    return bisect(share, unit, a, b)


class Predict(Protocol):
    """One function call of the denoiser."""

    def __call__(self, z: Tensor, t: Tensor, remember: bool = True) -> Prediction:
        """Predict at z [B, *E] and a scalar time t [1]; ``remember`` feeds self-conditioning of the next call."""


Step = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(z_t [B, *E], t [B], s [B]) -> z_s [B, *E]."""
Observer = Callable[[Tensor, Prediction], None]
"""Called with (t, prediction) after every function call, for pictures of a trajectory."""


def time_grid(
    process: Process, steps: int, spacing: Spacing, start: float, like: Tensor, end: float | None = None
) -> Tensor:
    """Falling times from ``start`` to ``end``, shape [steps].

    Spacings: "log_snr" uniform in the log-SNR lambda; "karras" uniform in (sigma / alpha)^(1/7) (Karras et al. 2022,
    Eq. 5); "time" uniform in t; "normal" at the quantiles of three parts N(2, 1.7^2) and one part uniform in
    lambda + ln s^2, which spends the calls where standardised latents take their shape and starts at lambda = -5, where
    they are noise to within 0.7 % of their variance.

    Args:
        process: the forward process.
        steps: number of times.
        spacing: see above.
        start: first time, 1 for a full sample.
        like: gives device and dtype.
        end: last time; None means t_min.
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}; a sampler needs at least 1.")
    unit = torch.linspace(0, 1, steps, dtype=torch.float64)
    first, last = torch.tensor([start]).double(), torch.tensor([process.t_min if end is None else end]).double()
    if last >= first:
        raise ValueError(f"end is {float(last):g} and start is {start:g}; sampling runs from the start to the end.")
    high, low = process.log_snr(first), process.log_snr(last)
    if spacing == "time":
        times = first + (last - first) * unit
    elif spacing == "karras":
        a, b = (torch.exp(-value / 14) for value in (high, low))
        times = process.time_of_log_snr(-14 * torch.log(a + (b - a) * unit))
    elif spacing == "normal":
        times = process.time_of_log_snr(_normal_quantiles(unit, high, low, 2 * math.log(process.latent_std)))
    else:
        times = process.time_of_log_snr(high + (low - high) * unit)
    times = times.clamp(float(last), start)
    return times.to(device=like.device, dtype=like.dtype)


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


class DDIM(GridSampler):
    r"""z_s = alpha_s z_hat + sqrt(sigma_s^2 - tau^2) eps_hat + tau eps (Song, Meng, Ermon 2021, Eq. 12).

    tau^2 = eta^2 times the bridge variance; eta = 0 is deterministic, eta = 1 is ancestral sampling.

    Args:
        steps: number of function calls.
        eta: share of the bridge's standard deviation.
        spacing: how the times are spread.
        end: time of the last call; None means t_min.
    """

    def __init__(
        self, steps: int = 25, eta: float = 0.0, spacing: Spacing = "log_snr", end: float | None = None
    ) -> None:
        super().__init__(steps, spacing, end)
        self.eta = eta

    def stepper(
        self, process: Process, predict: Predict, mask: Tensor | None, noise: NoiseStream | None
    ) -> Step:
        """One DDIM step."""

        def step(z: Tensor, t: Tensor, s: Tensor) -> Tensor:
            prediction = predict(z, t[:1])
            _, v = process.transition(s, t)
            tau2 = self.eta**2 * v * process.sigma2(s) / process.sigma2(t)
            direction = (process.sigma2(s) - tau2).clamp_min(0).sqrt()
            z_s = over(process.alpha(s), z) * prediction.mean + over(direction, z) * prediction.eps
            return z_s if self.eta == 0 else z_s + over(tau2.sqrt(), z) * normal_like(z, noise)

        return step


class Ancestral(GridSampler):
    r"""z_s ~ q(z_s | z_t, z_hat): the bridge at the predicted mean (Ho et al. 2020, Algorithm 2).

    Args:
        steps: number of function calls.
        variance: "small" for the bridge's variance, "large" for the transition's.
        spacing: how the times are spread.
        end: time of the last call; None means t_min.
    """

    def __init__(
        self,
        steps: int = 100,
        variance: Literal["small", "large"] = "small",
        spacing: Spacing = "log_snr",
        end: float | None = None,
    ) -> None:
        super().__init__(steps, spacing, end)
        if variance not in ("small", "large"):
            raise ValueError(f"variance is {variance!r}; choose small or large.")
        self.variance = variance

    def stepper(
        self, process: Process, predict: Predict, mask: Tensor | None, noise: NoiseStream | None
    ) -> Step:
        """One draw from the bridge."""

        def step(z: Tensor, t: Tensor, s: Tensor) -> Tensor:
            q = process.bridge(z, predict(z, t[:1]).mean, s, t)
            std = q.std if self.variance == "small" else over(process.transition(s, t)[1].sqrt(), z)
            return q.mean + std * normal_like(z, noise)

        return step


class EulerMaruyama(GridSampler):
    """Euler steps of the reverse SDE dz = (f z - g^2 score) dt + g dW (Song et al. 2021, Eq. 6)."""

    def stepper(
        self, process: Process, predict: Predict, mask: Tensor | None, noise: NoiseStream | None
    ) -> Step:
        """One Euler step backwards in time."""

        def step(z: Tensor, t: Tensor, s: Tensor) -> Tensor:
            g2, width = process.diffusion2(t), t - s
            slope = over(process.drift(t), z) * z - over(g2, z) * predict(z, t[:1]).score
            return z - over(width, z) * slope + over((g2 * width).sqrt(), z) * normal_like(z, noise)

        return step


class PredictorCorrector(GridSampler):
    r"""Langevin corrections at each time, then an ancestral step (Song et al. 2021, Algorithms 1 and 4-5).

    The step size of a correction is 2 (snr ||eps|| / ||score||)^2 at the ratio of norms sigma_t of a noised sample: a
    ratio taken from each sample would bias the chain, and one from the batch would mix samples.

    Args:
        steps: number of times; each costs 1 + corrections calls (the last time 1).
        corrections: Langevin steps a time.
        snr: signal-to-noise ratio of the corrections; 0.16 in the paper.
        spacing: how the times are spread.
        end: time of the last call; None means t_min.
    """

    def __init__(
        self,
        steps: int = 100,
        corrections: int = 1,
        snr: float = 0.16,
        spacing: Spacing = "log_snr",
        end: float | None = None,
    ) -> None:
        super().__init__(steps, spacing, end)
        self.corrections, self.snr = corrections, snr

    def stepper(
        self, process: Process, predict: Predict, mask: Tensor | None, noise: NoiseStream | None
    ) -> Step:
        """Corrections at t, then the bridge to s."""

        def correct(z: Tensor, t: Tensor) -> Tensor:
            score = predict(z, t[:1]).score
            size = 2 * self.snr**2 * process.sigma2(t)
            return z + over(size, z) * score + over((2 * size).sqrt(), z) * normal_like(z, noise)

        def step(z: Tensor, t: Tensor, s: Tensor) -> Tensor:
            for _ in range(self.corrections):
                z = correct(z, t)
            q = process.bridge(z, predict(z, t[:1]).mean, s, t)
            return q.rsample(normal_like(z, noise))

        return step


class Heun(GridSampler):
    r"""Heun's second-order steps of the flow dx / d(sigma / alpha) = eps_hat for x = z / alpha (Karras et al. 2022).

    Args:
        steps: number of times; costs 2 steps - 1 calls.
        spacing: how the times are spread.
        end: time of the last call; None means t_min.
    """

    def __init__(self, steps: int = 13, spacing: Spacing = "log_snr", end: float | None = None) -> None:
        super().__init__(steps, spacing, end)

    def stepper(
        self, process: Process, predict: Predict, mask: Tensor | None, noise: NoiseStream | None
    ) -> Step:
        """An Euler step and its correction."""

        def step(z: Tensor, t: Tensor, s: Tensor) -> Tensor:
            width = process.sigma(s) / process.alpha(s) - process.sigma(t) / process.alpha(t)
            x, alpha = z / over(process.alpha(t), z), over(process.alpha(s), z)
            slope = predict(z, t[:1]).eps
            other = predict(alpha * (x + over(width, z) * slope), s[:1]).eps
            return alpha * (x + over(width, z) * (slope + other) / 2)

        return step


class DPMSolver(GridSampler):
    r"""DPM-Solver++(2M): second-order multistep in half the log-SNR (Lu et al. 2022, Algorithm 2).

    z_s = (sigma_s / sigma_t) z_t - alpha_s (e^-h - 1) D with D = (1 + 1 / (2 r)) z_hat_t - z_hat_before / (2 r), h the
    step and r the ratio of the step before to it.
    """

    def stepper(
        self, process: Process, predict: Predict, mask: Tensor | None, noise: NoiseStream | None
    ) -> Step:
        """One multistep update; the first one is first-order."""
        before: list[tuple[Tensor, Tensor]] = []

        def step(z: Tensor, t: Tensor, s: Tensor) -> Tensor:
            h = (process.log_snr(s) - process.log_snr(t)) / 2
            mean = data = predict(z, t[:1]).mean
            if before:
                last_h, last_mean = before.pop()
                weight = over(h / (2 * last_h), z)
                data = (1 + weight) * mean - weight * last_mean
            before.append((h, mean))
            ratio = process.sigma(s) / process.sigma(t)
            return over(ratio, z) * z - over(process.alpha(s) * torch.expm1(-h), z) * data

        return step


class ProbabilityFlow(Sampler):
    """Adaptive Dormand-Prince solution of the probability flow, then one denoising call at t_min.

    One step size serves the whole batch, so that the number of calls depends (weakly) on its composition.

    Args:
        tolerance: relative and absolute tolerance; the fewer digits, the fewer calls.
    """

    def __init__(self, tolerance: float = 1e-3) -> None:
        if not (tolerance > 0 and math.isfinite(tolerance)):
            raise ValueError(f"tolerance is {tolerance}; it must be a positive number such as 1e-3.")
        self.tolerance = tolerance

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
        """Integrate from ``start`` to t_min."""
        last, _ = denoiser.process.ends(z)
        times = torch.cat([torch.full_like(last, start), last])

        def field(t: Tensor, z: Tensor) -> Tensor:
            time = t.to(z.dtype).reshape(1)
            # an adaptive step may be rejected, so nothing is remembered from one evaluation to the next
            return flow_velocity(denoiser.process, z, time.expand(len(z)), predict(z, time, remember=False).eps, mask)

        return predict(integrate(field, z, times, self.tolerance)[-1], last).mean


SAMPLERS: dict[str, type[Sampler]] = {
    "ode": ProbabilityFlow,
    "heun": Heun,
    "dpm": DPMSolver,
    "ddim": DDIM,
    "ancestral": Ancestral,
    "euler": EulerMaruyama,
    "pc": PredictorCorrector,
}
"""Short names of the samplers."""

FEW_CALLS: dict[str, Spacing] = {"heun": "karras", "dpm": "normal", "ddim": "normal", "ancestral": "normal"}
"""Spacings that samplers have by their short names: the better ones at few calls."""


def make_sampler(sampler: str | Sampler | None, steps: int | None = None, tolerance: float | None = None) -> Sampler:
    """A sampler by its short name, with the spacing that is good at few calls (``FEW_CALLS``).

    Args:
        sampler: a name of :data:`SAMPLERS`, a sampler, or None for "dpm".
        steps: number of steps, for samplers on a grid.
        tolerance: for the adaptive sampler.

    Raises:
        ValueError: if the name is unknown or the option does not fit the sampler.
    """
    if isinstance(sampler, Sampler):
        return sampler
    name = sampler or "dpm"
    if name not in SAMPLERS:
        raise ValueError(f"sampler is {sampler!r}; the known ones are {', '.join(sorted(SAMPLERS))}.")
    options = {key: value for key, value in {"steps": steps, "tolerance": tolerance}.items() if value is not None}
    accepts = {"tolerance"} if name == "ode" else {"steps"}
    spacing = {"spacing": FEW_CALLS[name]} if name in FEW_CALLS else {}
    for key in options.keys() - accepts:
        raise ValueError(f"{key} is {options[key]} for sampler {name!r}, which takes {' and '.join(accepts)} instead.")
    return SAMPLERS[name](**options, **spacing)
