r"""The probability flow dz/dt = f z - g^2/2 score(z, t): its field, its adaptive solution and its density."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torchdiffeq import odeint

from .denoiser import Denoiser
from .distributions import LOG_2PI
from .noise import NoiseStream, normal_like
from .process import Process
from .tensors import event_sum, item_mask, over

Field = Callable[[Tensor, Tensor], Tensor]


def flow_field(denoiser: Denoiser, mask: Tensor | None = None, condition: Tensor | None = None) -> Field:
    """dz/dt of the probability flow (Song et al. 2021, Eq. 13) as a function of a scalar t and z [B, *E]."""

    def field(t: Tensor, z: Tensor) -> Tensor:
        time = t.to(z.dtype).expand(len(z))
        return flow_velocity(denoiser.process, z, time, denoiser(z, time, mask, condition).eps, mask)

    return field


def flow_velocity(process: Process, z: Tensor, t: Tensor, eps: Tensor, mask: Tensor | None = None) -> Tensor:
    """dz/dt = f z + g^2 / (2 sigma) eps_hat for z and eps_hat [B, *E] and t [B]; zero at masked items."""
    velocity = over(process.drift(t), z) * z + over(process.diffusion2(t) / (2 * process.sigma(t)), z) * eps
    return velocity if mask is None else velocity * item_mask(mask, velocity)


def integrate(field: Callable[[Tensor, Tensor], Tensor], z: Tensor, times: Tensor, tolerance: float) -> Tensor:
    """Solve dz/dt = field with an adaptive Dormand-Prince pair (torchdiffeq), one step size for the batch.

    Args:
        field: dz/dt.
        z: value at times[0].
        times: increasing or decreasing times, shape [K].
        tolerance: relative and absolute tolerance.

    Returns:
        The solution at every time, shape [K, *z.shape].
    """
    # a step past the last time would evaluate the process where it is not defined (sigma^2 < 0)
    options = {"step_t": times}
    solution: Tensor = odeint(field, z, times, rtol=tolerance, atol=tolerance, method="dopri5", options=options)
    return solution


def flow_log_prob(
    denoiser: Denoiser,
    z: Tensor,
    mask: Tensor | None = None,
    condition: Tensor | None = None,
    tolerance: float = 1e-5,
    exact: bool = False,
    noise: NoiseStream | None = None,
) -> Tensor:
    r"""ln p_tmin(z) = ln p_1(z_1) + integral of div over [t_min, 1] (Song et al. 2021, Eq. 39), nats, shape [B].

    Args:
        denoiser: holds the process.
        z: value at t_min, shape [B, *E].
        mask: True where an item is real, shape [B, N], or None.
        condition: shape [B, F] or None.
        tolerance: of the adaptive solver.
        exact: sum over all unit vectors; else Hutchinson's estimate with one Rademacher probe, fixed for the solve.
        noise: the samples' own random streams, for the probe.
    """
    process, batch = denoiser.process, len(z)
    field = flow_field(denoiser, mask, condition)
    draw = normal_like(z, noise)
    probe = torch.where(draw > 0, 1.0, -1.0).to(z.dtype)
    divergence = _exact_divergence if exact else _hutchinson

    def augmented(t: Tensor, state: Tensor) -> Tensor:
        with torch.enable_grad():
            point = state[:, :-1].reshape(z.shape).requires_grad_(True)
            velocity = field(t, point)
            div = divergence(velocity, point, probe, mask)
        return torch.cat([velocity.detach().flatten(1), div.detach().unsqueeze(1)], dim=1)

    start = torch.cat([z.flatten(1), z.new_zeros(batch, 1)], dim=1)
    times = torch.cat(process.ends(z))
    end = integrate(augmented, start, times, tolerance)[-1]
    z_1, change = end[:, :-1].reshape(z.shape), end[:, -1]
    std = process.terminal_std
    log_terminal = event_sum(-0.5 * (z_1 / std) ** 2 - 0.5 * LOG_2PI - torch.tensor(std).log(), mask)
    return log_terminal + change


def _hutchinson(velocity: Tensor, z: Tensor, probe: Tensor, mask: Tensor | None) -> Tensor:
    """probe^T (d velocity / d z) probe, shape [B]."""
    (grad,) = torch.autograd.grad(velocity, z, probe)
    return event_sum(grad * probe, mask)


def _exact_divergence(velocity: Tensor, z: Tensor, probe: Tensor, mask: Tensor | None) -> Tensor:
    """Trace of d velocity / d z by one backward pass a dimension, shape [B]."""
    flat = velocity.flatten(1)
    keep = torch.ones_like(z) if mask is None else item_mask(mask, z).expand_as(z)
    trace = torch.zeros(len(z), dtype=z.dtype, device=z.device)
    for index in range(flat.shape[1]):
        (grad,) = torch.autograd.grad(flat[:, index].sum(), z, retain_graph=True)
        trace = trace + grad.flatten(1)[:, index] * keep.flatten(1)[:, index]
    return trace
