"""An exponential moving average of a module's weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["EMA"]

_HALF = (torch.float16, torch.bfloat16)


class EMA:
    r"""Shadows s of all that a module's state holds (parameters and buffers p), by name.

    .. math:: s \leftarrow s + (1 - d_n) (p - s), \qquad d_n = \min(d, (1 + n) / (10 + n))

    with n the number of updates made before this one, so early averages forget the initial weights
    quickly. Floating values are averaged, buffers included; integers and flags are copied. Shadows
    of half-precision values are kept in float32, where steps of size 1 - d do not vanish. Names
    are those of `module.state_dict()`; the count n is `updates`, to be saved and set beside the
    state.

    In a distributed run every process keeps its own EMA; equal weights give equal averages. Pass
    the unwrapped module.

    Args:
        module: The module whose present values are the first shadows.
        decay: d, in [0, 1).
        warmup: Whether d_n rises to d as above, or is d from the start.

    Raises:
        ValueError: If `decay` is out of range.
    """

    def __init__(self, module: nn.Module, decay: float = 0.9999, warmup: bool = True) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay is {decay}; expected 0 <= decay < 1, such as 0.9999")
        self.decay = decay
        self.warmup = warmup
        self.updates = 0
        values = _state(module)
        copies = {id(value): _shadow(value) for value in values.values()}  # tied weights share one
        self._shadows = {name: copies[id(value)] for name, value in values.items()}
        self._applied = 0

    @property
    def current_decay(self) -> float:
        """d_n, the decay that the next update uses."""
        early = (1 + self.updates) / (10 + self.updates)
        return min(self.decay, early) if self.warmup else self.decay

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move the shadows towards the values of `module`; call it once after each optimizer step.

        Raises:
            ValueError: If the names or shapes are not those of the module that the EMA was made
                for.
            RuntimeError: If the module holds the averages at this moment (`applied_to`).
        """
        if self._applied:
            raise RuntimeError(
                "update was called inside applied_to, where the module holds the averages "
                "themselves; leave applied_to first"
            )
        shadows: dict[int, Tensor] = {}
        values: dict[int, Tensor] = {}
        for shadow, value in self._pairs(module):
            if shadow.is_floating_point():
                shadows[id(shadow)], values[id(shadow)] = shadow, value.to(shadow.dtype)
            else:
                shadow.copy_(value)
        for group in _by_kind(list(shadows.values()), list(values.values())):
            torch._foreach_lerp_(*group, 1 - self.current_decay)
        self.updates += 1

    @torch.no_grad()
    def copy_to(self, module: nn.Module) -> None:
        """Overwrite the values of `module` with the averages, for export.

        Raises:
            ValueError: If the names or shapes differ.
        """
        for shadow, value in self._pairs(module):
            value.copy_(shadow)

    @contextmanager
    def applied_to(self, module: nn.Module) -> Iterator[None]:
        """Let `module` hold the averages inside a `with` block and get its own values back after.

        The values return bit for bit, whatever happens inside.

        Raises:
            ValueError: If the names or shapes differ.
        """
        own = [(value, value.detach().clone()) for _, value in self._pairs(module)]
        self._applied += 1
        try:
            self.copy_to(module)
            yield
        finally:
            with torch.no_grad():
                for value, backup in own:
                    value.copy_(backup)
            self._applied -= 1

    def state_dict(self) -> dict[str, Tensor]:
        """Shadows by name, not copied; `module.load_state_dict` takes them too."""
        return dict(self._shadows)

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` gave: all of it or an error. The count `updates` is set apart.

        Raises:
            ValueError: If the names or shapes do not fit, or a number is not finite or of another kind.
        """
        _check_names("state", state, self._shadows)
        for name, shadow in self._shadows.items():
            floats = shadow.is_floating_point()
            if state[name].is_floating_point() != floats or (floats and not state[name].isfinite().all()):
                raise ValueError(f"state has {name!r} of {state[name].dtype}; expected finite {shadow.dtype}.")
        for name, shadow in self._shadows.items():
            shadow.copy_(state[name])

    def to(self, device: torch.device | str) -> EMA:
        """Move the shadows to a device; returns the EMA."""
        copies = {id(shadow): shadow.to(device) for shadow in self._shadows.values()}
        self._shadows = {name: copies[id(shadow)] for name, shadow in self._shadows.items()}
        return self

    def _pairs(self, module: nn.Module) -> list[tuple[Tensor, Tensor]]:
        """Shadow and value of every name, after the check that the module fits."""
        values = _state(module)
        _check_names("module", values, self._shadows)
        return [(shadow, values[name]) for name, shadow in self._shadows.items()]


def _state(module: nn.Module) -> dict[str, Tensor]:
    """The parameters and persistent buffers themselves, by name."""
    found = module.state_dict(keep_vars=True)
    return {name: value for name, value in found.items() if isinstance(value, Tensor)}


def _shadow(tensor: Tensor) -> Tensor:
    """A copy to average into."""
    dtype = torch.float32 if tensor.dtype in _HALF else tensor.dtype
    return tensor.detach().to(dtype, copy=True)


def _by_kind(
    shadows: Sequence[Tensor], values: Sequence[Tensor]
) -> list[tuple[list[Tensor], list[Tensor]]]:
    """Lists of one dtype and device each, which the fused kernels need."""
    groups: dict[tuple[torch.dtype, torch.device], tuple[list[Tensor], list[Tensor]]] = {}
    for shadow, value in zip(shadows, values, strict=True):
        group = groups.setdefault((shadow.dtype, shadow.device), ([], []))
        group[0].append(shadow)
        group[1].append(value)
    return list(groups.values())


def _check_names(
    argument: str, given: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> None:
    """Refuse other names or shapes, naming the first that differs."""
    if differing := sorted(given.keys() ^ expected.keys()):
        verb = "lacks" if differing[0] in expected else "has"
        raise ValueError(
            f"{argument} {verb} {differing[0]!r}; expected exactly the names of the EMA's module: "
            "pass the unwrapped module that it was made for"
        )
    for name, shadow in expected.items():
        if given[name].shape != shadow.shape:
            raise ValueError(
                f"{argument} has {name!r} of shape {list(given[name].shape)}; expected "
                f"{list(shadow.shape)}: build the module with the same configuration"
            )
