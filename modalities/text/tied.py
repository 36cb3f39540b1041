"""Weights that a network has under several names, stored under one of them."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


def store_tied_once(module: nn.Module) -> None:
    """Leave all names of a shared weight but the first out of ``state_dict``, and fill them in when one is loaded.

    Args:
        module: a network whose weights are tied already; changed in place.
    """
    names: dict[int, str] = {}
    first_of: dict[str, str] = {}
    for name, value in module.state_dict(keep_vars=True).items():
        first = names.setdefault(id(value), name)
        if first != name:
            first_of[name] = first

    def leave_out(_module: nn.Module, state: dict[str, Any], prefix: str, _metadata: Any) -> None:
        for name in first_of:
            state.pop(prefix + name, None)

    def fill_in(_module: nn.Module, state: dict[str, Tensor], prefix: str, *_others: Any) -> None:
        for name, first in first_of.items():
            if prefix + first in state:
                state.setdefault(prefix + name, state[prefix + first])

    hooked: Any = module
    hooked.register_state_dict_post_hook(leave_out)
    hooked.register_load_state_dict_pre_hook(fill_in)
