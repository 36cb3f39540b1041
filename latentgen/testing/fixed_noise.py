"""Random numbers that depend on the place of an item alone, to test what must not change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_STEPS = (0.7548776662466927, 0.5698402909980532, 0.4301597090019468, 0.3247179572447460)


def place_noise(shape: Iterable[int]) -> Tensor:
    """Numbers in (0, 1) that are a function of every index but the first, in [B, N, ...]."""
    sizes = tuple(shape)
    value = torch.full(sizes, 0.37)
    for axis in range(1, len(sizes)):
        index = torch.arange(sizes[axis], dtype=torch.float32) + 1
        step = _STEPS[(axis - 1) % len(_STEPS)] * axis
        value = value + (index * step).reshape([-1] + [1] * (len(sizes) - axis - 1))
    return (torch.sin(value * 12.9898) * 43.7585).frac().abs().clamp(1e-3, 1 - 1e-3)


def _normal(shape: Iterable[int]) -> Tensor:
    return 2**0.5 * torch.erfinv(2 * place_noise(shape) - 1)


def _shape(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """The size argument of torch.randn and torch.rand, in both of its spellings."""
    size = kwargs.get("size", args)
    return tuple(size[0]) if len(size) == 1 and not isinstance(size[0], int) else tuple(size)


class FixedNoise(TorchFunctionMode):
    """Within it torch's normal and uniform numbers do not depend on seed, batch or padding.

    The number for item j is the same in every sample, however many samples and items there are,
    so that an encoder that draws random features can be held to exact invariances.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Replace the random functions of torch, and leave all others alone."""
        kwargs = dict(kwargs or {})
        if func in (torch.randn, torch.rand):
            drawn = (_normal if func is torch.randn else place_noise)(_shape(args, kwargs))
            return drawn.to(device=kwargs.get("device"), dtype=kwargs.get("dtype"))
        if func in (torch.randn_like, torch.rand_like):
            like = args[0] if args else kwargs["input"]
            drawn = (_normal if func is torch.randn_like else place_noise)(like.shape)
            return drawn.to(device=like.device, dtype=kwargs.get("dtype") or like.dtype)
        if func is torch.normal and args and isinstance(args[0], Tensor):
            mean, std = args[0], args[1] if len(args) > 1 else kwargs.get("std", 1.0)
            return mean + std * _normal(mean.shape).to(mean)
        if func is torch.bernoulli:
            return (place_noise(args[0].shape).to(args[0]) < args[0]).to(args[0].dtype)
        if func in (Tensor.normal_, Tensor.uniform_):
            return self._fill(func, *args, **kwargs)
        return func(*args, **kwargs)

    @staticmethod
    def _fill(
        func: Callable[..., Any], target: Tensor, first: float = 0.0, second: float = 1.0, **_: Any
    ) -> Tensor:
        """``normal_(mean, std)`` and ``uniform_(from, to)``, in place."""
        if func is Tensor.normal_:
            return target.copy_(first + second * _normal(target.shape))
        return target.copy_(first + (second - first) * place_noise(target.shape))
