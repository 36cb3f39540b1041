"""Where a sampler on a fixed grid spends its calls."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from ..process import Process
from ..tensors import bisect

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
