"""Solvers of the probability flow: Heun, DPM-Solver++(2M) and the adaptive Dormand-Prince method."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..denoiser import Denoiser
from ..flow import flow_velocity, integrate
from ..noise import NoiseStream
from ..process import Process
from ..tensors import over
from .sampler import GridSampler, Predict, Sampler, Step
from .spacing import Spacing


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
