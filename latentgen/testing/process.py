"""Proof that the four formulas of a forward process belong together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ..component import describe
from ..config import build
from ..process import Process
from .result import CheckResult, Checks, require

POINTS = 201
TOLERANCE = 1e-6
FORMS = ("log_alpha", "sigma2", "drift", "diffusion2")


def check_process(process: Process) -> list[CheckResult]:
    """Check a forward process in float64, by automatic differentiation, on times in [t_min, 1].

    Args:
        process: the process; its four formulas are checked against each other.

    Returns:
        One result for each of: forms, drift, diffusion, log-SNR, inverse, bridge, end,
        configuration.
    """
    checks = Checks()
    rules: dict[str, Callable[[Process], None]] = {
        "drift": _drift,
        "diffusion": _diffusion,
        "log-SNR": _log_snr,
        "inverse": _inverse,
        "bridge": _bridge,
        "end": _end,
    }
    checks.run("forms", partial(_forms, process))
    for name, rule in rules.items():
        needs = ("forms", "log-SNR") if name == "inverse" else ("forms",)
        checks.run(name, partial(rule, process), needs)
    checks.run("configuration", partial(_configuration, process), ("forms",))
    return checks.results


def _times(process: Process, points: int = POINTS) -> Tensor:
    """Times from t_min to 1, denser near t_min, shape [points], float64."""
    unit = torch.linspace(0, 1, points, dtype=torch.float64)
    return process.t_min + (1 - process.t_min) * unit**2


def _forms(process: Process) -> None:
    require(
        0 <= process.t_min < 1,
        f"t_min is {process.t_min}",
        "set t_min to a small time, at least 0 and below 1",
    )
    t = _times(process)
    for name in FORMS:
        value = getattr(process, name)(t)
        require(
            isinstance(value, Tensor) and value.shape == t.shape and value.dtype == t.dtype,
            f"{name}(t) of {POINTS} float64 times gives {_kind(value)}",
            f"let {name} act elementwise and keep shape [B] and dtype of t",
        )
        bad = ~value.isfinite() | ((value <= 0) if name == "sigma2" else (value < -1e300))
        if name == "diffusion2":
            bad = bad | (value < 0)
        where = f"t = {float(t[bad][0]):.4g}" if bool(bad.any()) else ""
        require(
            not where,
            f"{name} is {float(value[bad][0]) if where else 0:.4g} at {where}",
            f"let {name} be finite{'' if name in FORMS[::2] else ' and positive'} on [t_min, 1], "
            "or raise t_min",
        )


def _kind(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{value.dtype} of shape {list(value.shape)}"
    return f"a {type(value).__name__}"


def _slope(function: Callable[[Tensor], Tensor], t: Tensor) -> Tensor:
    """The derivative d function / dt at every t, shape [B]."""
    t = t.clone().requires_grad_(True)
    value = function(t)
    if not value.requires_grad:  # a constant, such as ln alpha = 0
        return torch.zeros_like(t)
    (slope,) = torch.autograd.grad(value.sum(), t, allow_unused=True)
    return torch.zeros_like(t) if slope is None else slope.detach()


def _agree(found: Tensor, expected: Tensor, t: Tensor, name: str, law: str) -> None:
    """Compare two curves relative to the expected one's size."""
    scale = expected.abs() + 1e-3 * expected.abs().max() + 1e-12
    error = (found - expected).abs() / scale
    worst = int(error.argmax())
    require(
        float(error[worst]) < TOLERANCE,
        f"{name} at t = {float(t[worst]):.4g} is {float(found[worst]):.6g}, but {law} is "
        f"{float(expected[worst]):.6g}",
        f"let {name} return {law}",
    )


def _drift(process: Process) -> None:
    t = _times(process)
    _agree(process.drift(t), _slope(process.log_alpha, t), t, "drift(t)", "d log_alpha / dt")


def _diffusion(process: Process) -> None:
    t = _times(process)
    expected = _slope(process.sigma2, t) - 2 * _slope(process.log_alpha, t) * process.sigma2(t)
    law = "d sigma2 / dt - 2 f sigma2 with f = d log_alpha / dt"
    _agree(process.diffusion2(t), expected, t, "diffusion2(t)", law)


def _log_snr(process: Process) -> None:
    t = _times(process)
    rising = process.log_snr(t).diff() >= 0
    at = float(t[1:][rising][0]) if bool(rising.any()) else 0.0
    require(
        not rising.any(),
        f"the log-SNR does not fall at t = {at:.4g}",
        "let log_alpha fall or sigma2 rise strictly with t, so that noise only grows",
    )


def _inverse(process: Process) -> None:
    t = _times(process)
    found = process.time_of_log_snr(process.log_snr(t))
    error = (found - t).abs()
    worst = int(error.argmax())
    require(
        float(error[worst]) < TOLERANCE,
        f"time_of_log_snr(log_snr(t)) is {float(found[worst]):.6g} at t = {float(t[worst]):.6g}",
        "correct the closed form of time_of_log_snr, or leave it out: bisection is the default",
    )


def _bridge(process: Process) -> None:
    """q(z_s | z_t, z_0) averaged over q(z_t | z_0) must be q(z_s | z_0)."""
    grid = _times(process, 12)
    pairs = [(s, t) for k, s in enumerate(grid) for t in grid[k + 1 :]]
    s, t = torch.stack([pair[0] for pair in pairs]), torch.stack([pair[1] for pair in pairs])
    zero, one = torch.zeros(len(s), 1).double(), torch.ones(len(s), 1).double()
    of_z_t = process.bridge(one, zero, s, t).mean[:, 0]
    q = process.bridge(zero, one, s, t)
    mean = of_z_t * process.alpha(t) + q.mean[:, 0]
    variance = of_z_t**2 * process.sigma2(t) + q.std[:, 0] ** 2
    _agree(mean, process.alpha(s), s, "the bridge's mean over q(z_t | z_0)", "alpha(s)")
    _agree(variance, process.sigma2(s), s, "the bridge's variance over q(z_t | z_0)", "sigma2(s)")


def _end(process: Process) -> None:
    end = torch.ones(1, dtype=torch.float64)
    alpha, sigma = float(process.alpha(end)), float(process.sigma(end))
    spread = (alpha**2 * process.latent_std**2 + sigma**2) ** 0.5
    require(
        abs(spread / process.terminal_std - 1) < 0.05,
        f"z_1 has standard deviation {spread:.4g}, but terminal_std is {process.terminal_std:.4g}",
        f"set terminal_std to {spread:.4g}, the spread of z_1 for latents of std latent_std",
    )
    share = alpha * process.latent_std / process.terminal_std
    require(
        share < 0.1,
        f"at t = 1 the data still make up {share:.0%} of z_1's standard deviation",
        "add noise until alpha(1) * latent_std is below a tenth of terminal_std",
    )


def _configuration(process: Process) -> None:
    rebuilt = build(describe(process), trust_remote_code=True)
    t = _times(process)
    require(
        torch.equal(rebuilt.log_snr(t), process.log_snr(t)),
        "the process built again from its configuration is another one",
        "keep all that the formulas depend on in constructor arguments with plain values",
    )
