"""The few tensor operations that every other file shares: broadcasting over events, masked sums, root finding."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Batch = dict[str, Tensor]
"""One mini-batch of data: named tensors, each with the batch dimension B first."""


def over(coefficient: Tensor, z: Tensor) -> Tensor:
    """Reshape a per-sample coefficient so that it multiplies an event.

    Args:
        coefficient: a(t), shape [B].
        z: the tensor to be multiplied, shape [B, *E].

    Returns:
        a(t) with shape [B, 1, ..., 1] in the dtype of ``z``. The only place where times meet event axes.
    """
    return coefficient.to(z.dtype).reshape(-1, *([1] * (z.dim() - 1)))


def event_sum(value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Sum over every axis but the first, leaving out masked items.

    Args:
        value: shape [B, *E].
        mask: True where an item is real, shape [B, N] for events [N, d]; None means everything is real.

    Returns:
        The sums, shape [B].
    """
    if mask is not None:
        value = value * item_mask(mask, value)
    return value.flatten(1).sum(dim=1)


def item_mask(mask: Tensor, value: Tensor) -> Tensor:
    """Give a mask [B, N] the trailing axes and the dtype of ``value`` [B, N, *F]."""
    if mask.shape != value.shape[: mask.dim()]:
        raise ValueError(
            f"mask has shape {tuple(mask.shape)} but the value has shape {tuple(value.shape)}; "
            "give one entry for each item of the leading axes [B, N]."
        )
    return mask.reshape(*mask.shape, *([1] * (value.dim() - mask.dim()))).to(value.dtype)


def event_size(z: Tensor, mask: Tensor | None = None) -> Tensor:
    """Number of real dimensions D of each sample's event, shape [B] (float)."""
    if mask is None:
        return torch.full((z.shape[0],), float(z[0].numel()), device=z.device)
    per_item = z[0, 0].numel() if z.dim() > 2 else 1
    return mask.sum(dim=1).float() * per_item


def bisect(function: Callable[[Tensor], Tensor], target: Tensor, low: float, high: float) -> Tensor:
    """Solve ``function(x) = target`` for a monotone function, elementwise.

    Args:
        function: monotone on [low, high], acts elementwise.
        target: shape [B].
        low: left end of the bracket.
        high: right end of the bracket.

    Returns:
        x of shape [B]; values outside of the function's range give the nearer end of the bracket.
    """
    a, b = torch.full_like(target, low), torch.full_like(target, high)
    increasing = function(b) > function(a)
    for _ in range(60 if target.dtype == torch.float64 else 30):
        middle = (a + b) / 2
        right = (function(middle) < target) == increasing
        a, b = torch.where(right, middle, a), torch.where(right, b, middle)
    return (a + b) / 2


class _ScaleGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, z: Tensor, factor: Tensor) -> Tensor:
        ctx.save_for_backward(factor)
        return z.view_as(z)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, None]:
        (factor,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return grads[0] * over(factor, grads[0]), None


def scale_gradient(z: Tensor, factor: Tensor) -> Tensor:
    """Identity in the forward pass; in the backward pass sample i's gradient is multiplied by ``factor[i]``.

    Args:
        z: shape [B, *E].
        factor: shape [B].
    """
    result: Tensor = _ScaleGradient.apply(z, factor)  # type: ignore[no-untyped-call]
    return result


def not_finite(batch: Batch) -> list[str]:
    """Names of the tensors of a batch that hold NaN or infinity; whole rows of NaN are conditions left out."""
    found = []
    for name, value in batch.items():
        rows = value.flatten(1) if value.dim() > 1 else value.reshape(-1, 1)
        bad = ~rows.isfinite()
        if name == "condition":
            bad = bad & ~rows.isnan().all(1, keepdim=True)
        if bool(bad.any()):
            found.append(name)
    return found
