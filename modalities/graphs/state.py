"""What a model file says of its graphs, checked before anything is built on it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

NAMES = ("kinds", "sizes")
TYPES_LIMIT = 256
"""Types are held in one byte."""


def check_state(state: Mapping[str, Tensor], more: bool = False) -> dict[str, Tensor]:
    """The state of a ``Graphs``: ``sizes`` float [N + 1], shares that sum to 1, and ``kinds`` int [2].

    Args:
        state: the tensors by name.
        more: whether there may be others, which a subclass gives and takes itself.

    Raises:
        ValueError: if a tensor is missing, unknown, or cannot be one that ``Graphs.state`` gave.
    """
    if not set(NAMES) <= set(state) or (set(state) > set(NAMES) and not more):
        raise ValueError(
            f"state of Graphs must hold {' and '.join(NAMES)}, got {', '.join(sorted(state)) or 'nothing'}; the model "
            "file is not whole, get it again or export the model anew."
        )
    sizes, kinds = state["sizes"], state["kinds"]
    if sizes.dim() != 1 or len(sizes) < 2 or not sizes.is_floating_point():
        _refuse("sizes", "numbers [N + 1], N at least 1", f"{sizes.dtype} {list(sizes.shape)}")
    total = float(sizes.double().sum())
    if not bool((sizes >= 0).all()) or not abs(total - 1) < 1e-3:
        _refuse("sizes", "shares from 0 on that sum to 1", f"a least of {float(sizes.min()):g} and a sum of {total:g}")
    if kinds.shape != (2,) or kinds.dtype not in (torch.int64, torch.int32):
        _refuse("kinds", "two whole numbers", f"{kinds.dtype} {list(kinds.shape)}")
    if not bool(((kinds >= 1) & (kinds <= TYPES_LIMIT)).all()):
        _refuse("kinds", f"numbers of types from 1 to {TYPES_LIMIT}", str(kinds.tolist()))
    return dict(state)


def _refuse(name: str, expected: str, given: str) -> None:
    raise ValueError(f"state of Graphs: {name} must be {expected}, got {given}; get the model file again.")
