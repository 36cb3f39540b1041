r"""Proposals r(t) from which diffusion times are drawn; a loss is the mean of w(t) / r(t) * error.

If z_0 has variance s^2 and the denoiser is optimal, the error per dimension is sigmoid(lambda + ln s^2) for every
linear process, so the proposal of least variance for a weighting w is r(t) proportional to
w(t) sigmoid(lambda_t + ln s^2). For the likelihood weighting its distribution function is a softplus in lambda,
exact for every process; other weightings use a table. (Vahdat, Kreis, Kautz 2021, Section 3.4, in one rule.)
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import softplus

from .component import Component
from .process import Process
from .weighting import LikelihoodWeighting, Weighting


class TimeSampler(Component, ABC):
    """A distribution over t in [t_min, 1], given by its quantile function."""

    stratified: bool = True

    @abstractmethod
    def quantile(self, process: Process, rho: Tensor) -> tuple[Tensor, Tensor]:
        """Times and densities at the levels rho.

        Args:
            process: the diffusion process.
            rho: levels in [0, 1], shape [B].

        Returns:
            t [B], dimensionless, and r(t) [B], per unit of t.
        """

    def __call__(self, n: int, process: Process, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
        """Draw n times, stratified over the batch unless ``stratified`` is False.

        rho_i = (i / n + u) mod 1 with one u ~ U[0, 1] for all: one level in each n-th part of the distribution, and
        each level uniform by itself, so that what is estimated for one sample is unbiased too.
        """
        if self.stratified:
            rho = (torch.arange(n, device=device) / n + torch.rand(1, device=device)) % 1.0
        else:
            rho = torch.rand(n, device=device)
        return self.quantile(process, rho)


class UniformTimes(TimeSampler):
    """t ~ U[t_min, 1].

    Args:
        stratified: one time in each n-th part of the distribution.
    """

    def __init__(self, stratified: bool = True) -> None:
        self.stratified = stratified

    def quantile(self, process: Process, rho: Tensor) -> tuple[Tensor, Tensor]:
        """t = t_min + (1 - t_min) rho."""
        width = 1 - process.t_min
        return process.t_min + width * rho, torch.full_like(rho, 1 / width)


class LogSNRTimes(TimeSampler):
    r"""The optimal proposal of the likelihood weighting, uniform in S = softplus(lambda + ln s^2).

    r(t) = w_ll(t) sigmoid(lambda + ln s^2) / Z with Z = (S(t_min) - S(1)) / 2.

    Args:
        stratified: one time in each n-th part of the distribution.
    """

    def __init__(self, stratified: bool = True) -> None:
        self.stratified = stratified

    def quantile(self, process: Process, rho: Tensor) -> tuple[Tensor, Tensor]:
        """lambda = ln(expm1(S)) - ln s^2, then the process's own inverse."""
        shift = 2 * math.log(process.latent_std)
        start, end = (softplus(process.log_snr(t) + shift) for t in process.ends(rho))
        level = (1 - rho) * start + rho * end
        # ln(expm1(S)) = S + ln(1 - exp(-S)) keeps its digits for large S
        log_snr = level + torch.log(-torch.expm1(-level)) - shift
        t = process.time_of_log_snr(log_snr).clamp(process.t_min, 1.0)
        density = LikelihoodWeighting()(process, t) * torch.sigmoid(log_snr + shift)
        return t, density / ((start - end) / 2)

    @staticmethod
    def integral(process: Process, like: Tensor) -> Tensor:
        """Z: the cross-entropy integral of N(0, s^2 I) under its exact denoiser, nats per dimension, shape [1]."""
        shift = 2 * math.log(process.latent_std)
        start, end = (softplus(process.log_snr(t) + shift) for t in process.ends(like))
        return (start - end) / 2


class ImportanceTimes(TimeSampler):
    r"""The optimal proposal of any weighting and any process, from a table of its distribution function.

    Between table points the density is constant, and that constant is the density returned: the estimate stays
    exactly unbiased.

    Args:
        weighting: w(t), for example ``UnweightedWeighting()``.
        points: size of the table.
        stratified: one time in each n-th part of the distribution.
    """

    def __init__(self, weighting: Weighting, points: int = 4096, stratified: bool = True) -> None:
        if points < 2:
            raise ValueError(f"points is {points}; a table needs at least 2.")
        self.weighting, self.points, self.stratified = weighting, points, stratified

    @cached_property
    def _tables(self) -> list[tuple[Process, Tensor, Tensor, Tensor]]:
        return []

    # a compiled objective would make the table anew at every step, on the CPU
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _table(self, process: Process, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Grid [P+1], distribution function [P+1] and density [P] in float64, made once a process and device."""
        found = next((entry for entry in self._tables if entry[0] is process and entry[1].device == device), None)
        if found is None:
            unit = torch.linspace(0, 1, self.points + 1, dtype=torch.float64)
            # a square grid resolves the steep beginning of the log-SNR
            grid = process.t_min + (1 - process.t_min) * unit**2
            middle, width = (grid[1:] + grid[:-1]) / 2, grid.diff()
            shift = 2 * math.log(process.latent_std)
            mass = self.weighting(process, middle) * torch.sigmoid(process.log_snr(middle) + shift) * width
            cdf = torch.cat([mass.new_zeros(1), mass.cumsum(0)]) / mass.sum()
            found = (process, grid.to(device), cdf.to(device), (cdf.diff() / width).to(device))
            self._tables.append(found)
        return found[1:]

    def quantile(self, process: Process, rho: Tensor) -> tuple[Tensor, Tensor]:
        """Linear interpolation of the tabulated distribution function."""
        grid, cdf, density = self._table(process, rho.device)
        level = rho.double()
        cell = torch.searchsorted(cdf, level, right=True).clamp(1, self.points) - 1
        t = grid[cell] + (level - cdf[cell]) / density[cell]
        return t.clamp(process.t_min, 1.0).to(rho.dtype), density[cell].to(rho.dtype)

    def integral(self, process: Process) -> float:
        """The normaliser: integral of w(t) sigmoid(lambda + ln s^2) over [t_min, 1]."""
        grid, _, _ = self._table(process, torch.device("cpu"))
        middle = (grid[1:] + grid[:-1]) / 2
        shift = 2 * math.log(process.latent_std)
        values = self.weighting(process, middle) * torch.sigmoid(process.log_snr(middle) + shift)
        return float((values * grid.diff()).sum())
