r"""The short forward chain of a denoising diffusion GAN: T steps so large that their reversal is not Gaussian."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from .component import Component
from .distributions import DiagonalGaussian
from .process import Process
from .tensors import over


class StartedProcess(Process):
    r"""The same diffusion with clean data at a time t_0 instead of 0: q(z_t | z_0 placed at t_0).

    alpha'_t = alpha_t / alpha_{t_0} and sigma'^2_t = sigma^2_t - alpha'^2_t sigma^2_{t_0}; drift and diffusion are
    those of the process itself. sigma' vanishes at t_0, so that the bridge to t_0 ends exactly at z_0.

    Args:
        process: a forward process.
        first: t_0, in [0, 1).
    """

    def __init__(self, process: Process, first: float) -> None:
        if not 0 <= first < 1:
            raise ValueError(f"first is {first}; clean data stand at a time in [0, 1).")
        self.process, self.first = process, first
        self.t_min = max(process.t_min, first + 1e-3)
        self.latent_std, self.terminal_std = process.latent_std, process.terminal_std

    def log_alpha(self, t: Tensor) -> Tensor:
        """ln alpha_t - ln alpha_{t_0}."""
        return self.process.log_alpha(t) - self.process.log_alpha(self._first(t))

    def sigma2(self, t: Tensor) -> Tensor:
        """sigma_t^2 - alpha'^2_t sigma_{t_0}^2."""
        return self.process.transition(self._first(t), t)[1]

    def drift(self, t: Tensor) -> Tensor:
        """f(t) of the process."""
        return self.process.drift(t)

    def diffusion2(self, t: Tensor) -> Tensor:
        """g(t)^2 of the process."""
        return self.process.diffusion2(t)

    def _first(self, t: Tensor) -> Tensor:
        return torch.full_like(t, self.first)


class Chain(Component):
    r"""T steps z_0 -> z_1 -> ... -> z_T of a forward process (Xiao, Kreis, Vahdat 2022, Section 3).

    Data stand at t_0 and z_T at t = 1. Spacing "time" is the published t_k = t_0 + (1 - t_0) k / T. Of its T steps the
    first alone takes away most of the noise of standardised latents, so that the generator of that step has nearly all
    modes to tell apart; "log_snr" spreads t_1 .. t_{T-1} evenly over log-SNRs ``levels``, which shares the work out.

    Args:
        process: a forward process; the linear VP process with spacing "time" gives the published schedule.
        steps: T, 1 to 8 are usual. T = 1 is a one-shot GAN.
        first: t_0; 1e-3 is the published one.
        spacing: "time" or "log_snr".
        levels: log-SNRs of t_1 and t_{T-1} for spacing "log_snr"; their middle for T = 2. In units of latents of
            standard deviation 1 they are noise of 0.15 and 1.3.
        times: t_1 < ... < t_T = 1 themselves, instead of a spacing.

    Raises:
        ValueError: if there is no step, the spacing is unknown, or ``times`` does not rise from above t_0 to 1.
    """

    def __init__(
        self,
        process: Process,
        steps: int = 4,
        first: float = 1e-3,
        spacing: Literal["time", "log_snr"] = "time",
        levels: tuple[float, float] = (3.8, -0.5),
        times: Sequence[float] | None = None,
    ) -> None:
        if steps < 1:
            raise ValueError(f"steps is {steps}; a chain has at least 1.")
        if spacing not in ("time", "log_snr"):
            raise ValueError(f"spacing is {spacing!r}; choose time or log_snr.")
        self.steps, self.process = steps, StartedProcess(process, first)
        if times is None and spacing == "time":
            times = [first + (1 - first) * k / steps for k in range(1, steps + 1)]
        elif times is None:
            times = [*_levelled(process, steps - 1, levels), 1.0]
        self.times = [first, *(float(time) for time in times)]
        rising = all(a < b for a, b in zip(self.times, self.times[1:], strict=False))
        if len(self.times) != steps + 1 or not rising or self.times[-1] != 1.0:
            raise ValueError(f"times is {times}; give {steps} times that rise from above {first} to 1.")

    def time(self, k: Tensor) -> Tensor:
        """t_k for step numbers k [B] in 0 .. T, shape [B], float32."""
        return torch.tensor(self.times, dtype=torch.float32, device=k.device)[k]

    def draw(self, z_0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A training pair: k uniform in 1 .. T, z_{k-1} ~ q(z_{k-1} | z_0), then z_k by one forward transition from it.

        Args:
            z_0: clean latents, shape [B, *E], latent units; gradients flow to it.

        Returns:
            k [B], z_{k-1} [B, *E] and z_k [B, *E].
        """
        k = torch.randint(1, self.steps + 1, (len(z_0),), device=z_0.device)
        s, t = self.time(k - 1), self.time(k)
        z_s = self.process.marginal(z_0, s).rsample()
        a, v = self.process.transition(s, t)
        return k, z_s, over(a, z_s) * z_s + over(v.sqrt(), z_s) * torch.randn_like(z_s)

    def posterior(self, z_k: Tensor, z_0: Tensor, k: Tensor) -> DiagonalGaussian:
        """q(z_{k-1} | z_k, z_0): the bridge of the process; exactly z_0 for k = 1.

        Args:
            z_k: shape [B, *E], latent units.
            z_0: shape [B, *E], latent units.
            k: step numbers in 1 .. T, shape [B].
        """
        return self.process.bridge(z_k, z_0, self.time(k - 1), self.time(k))

    def bridge(self, k: int) -> tuple[float, float, float]:
        """p, q and v of q(z_{k-1} | z_k, z_0) = N(p z_k + q z_0, v I), see :meth:`posterior`."""
        number, one, zero = torch.tensor([k]), torch.ones(1, 1), torch.zeros(1, 1)
        first = self.posterior(one, zero, number)
        return float(first.mean), float(self.posterior(zero, one, number).mean), float(first.std) ** 2


def _levelled(process: Process, count: int, levels: tuple[float, float]) -> list[float]:
    """Rising times at log-SNRs spread evenly from ``levels[0]`` to ``levels[1]``, for latents of unit variance."""
    unit = torch.linspace(0, 1, count).double() if count > 1 else torch.full((count,), 0.5).double()
    log_snr = levels[0] + (levels[1] - levels[0]) * unit - 2 * math.log(process.latent_std)
    return [float(time) for time in process.time_of_log_snr(log_snr)]
