"""Conditions of samples: given by the user, drawn as the data have them, left out in training."""

from __future__ import annotations

import torch
from torch import Tensor

from .tensors import Batch


def checked_condition(condition: Tensor | None, n: int, dim: int, guidance: float = 1.0) -> Tensor | None:
    """A condition as networks take it.

    Args:
        condition: shape [n, F], or [1, F] for the same n times, or None.
        n: number of samples.
        dim: F of the model, 0 where it was trained without conditions.
        guidance: weight of classifier-free guidance, which needs a condition.

    Raises:
        ValueError: if the condition is no floating-point tensor of shape [n, F], the model takes none, or there is
            guidance without one.
    """
    if condition is None:
        if guidance != 1:
            raise ValueError(f"guidance is {guidance:g} without a condition; give one, or leave guidance at 1.")
        return None
    if not dim:
        raise ValueError("condition is given to a model that was trained without conditions; leave it out.")
    if isinstance(condition, Tensor) and condition.shape == (1, dim):
        condition = condition.expand(n, dim)
    shape = list(condition.shape) if isinstance(condition, Tensor) else None
    if shape != [n, dim] or not condition.is_floating_point():
        given = f"{condition.dtype} of shape {shape}" if shape is not None else f"a {type(condition).__name__}"
        raise ValueError(
            f"condition is {given}; expected floats of shape [{n}, {dim}], one row a sample: of class numbers, "
            f"torch.eye({dim})[numbers] makes them."
        )
    return condition


def dropped_condition(condition: Tensor | None, share: float) -> Tensor | None:
    """A condition [B, F] of which a share of the rows is NaN, "no condition": what samples without one, and guidance,
    need a network to have seen.
    """
    if condition is None or share <= 0:
        return condition
    dropped = torch.rand(len(condition), 1, device=condition.device) < share
    return condition.masked_fill(dropped, float("nan"))


def drawn_condition(examples: Batch, n: int, seed: int) -> Tensor | None:
    """Conditions of n random examples, shape [n, F]; None where examples have none.

    Args:
        examples: with a ``condition`` [B, F], where the data are conditional.
        n: how many, drawn with replacement.
        seed: of the draw.
    """
    given = examples.get("condition")
    if given is None:
        return None
    return given[torch.randint(len(given), (n,), generator=torch.Generator().manual_seed(seed))]
