"""Samplers that draw fresh noise on the way: DDIM (with eta), ancestral, Euler-Maruyama, predictor-corrector."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from ..noise import NoiseStream, normal_like
from ..process import Process
from ..tensors import over
from .sampler import GridSampler, Predict, Step
from .spacing import Spacing


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
