"""How many of a distribution's known modes are hit, and how evenly."""

from __future__ import annotations

import torch
from torch import Tensor


def mode_statistics(assignment: Tensor, modes: int, weights: Tensor | None = None) -> dict[str, float]:
    """Modes hit and KL(generated frequencies || weights), as for Stacked MNIST and the 25 Gaussians.

    Args:
        assignment: mode number 0 .. modes - 1 of every sample, int64, shape [N]; negative numbers belong to no mode
            and count for neither figure.
        modes: number of modes K.
        weights: true weights, shape [K], summing to 1; uniform unless given.

    Returns:
        ``modes`` (number hit at least once) and ``mode_kl`` (nats; infinite if a mode of weight 0 is hit or no sample
        belongs to a mode).

    Raises:
        ValueError: if a number is too large, or the weights are not K numbers.
    """
    if len(assignment) and int(assignment.max()) >= modes:
        raise ValueError(f"assignment has mode {int(assignment.max())} for modes={modes}; give numbers below it.")
    weights = torch.full((modes,), 1 / modes) if weights is None else weights
    if weights.shape != (modes,):
        raise ValueError(f"weights has shape {tuple(weights.shape)} for modes={modes}; give one weight a mode.")
    counts = torch.bincount(assignment[assignment >= 0].cpu(), minlength=modes).double()
    if not counts.any():
        return {"modes": 0.0, "mode_kl": float("inf")}
    share = counts / counts.sum()
    hit = share > 0
    kl = (share[hit] * (share[hit] / weights.double().cpu()[hit]).log()).sum()
    return {"modes": float(hit.sum()), "mode_kl": float(kl)}
