"""What a model file says of its shapes, checked before anything is built on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

import torch
from torch import Tensor

from latentgen.class_names import PACKED, count_names

NAMES = ("centre", "classes", "features", "scale", "sizes")
COUNT_LIMIT = 2**24
"""Classes, or numbers beside the coordinates: more than any file has."""


def check_state(state: Mapping[str, Tensor], more: bool = False) -> dict[str, Tensor]:
    """The state of a ``Points``: ``centre`` float [3], ``scale`` float [] above 0, ``sizes`` float [N + 1], shares that
    sum to 1, ``features`` and ``classes`` int [], and perhaps ``names``, see :func:`latentgen.class_names.pack_names`.

    Args:
        state: the tensors by name.
        more: whether there may be others, which a subclass gives and takes itself.

    Raises:
        ValueError: if a tensor is missing, unknown, or cannot be one that ``Points.state`` gave.
    """
    if not set(NAMES) <= set(state) or (set(state) - {*NAMES, PACKED} and not more):
        raise ValueError(
            f"state of Points must hold {', '.join(NAMES)}, got {', '.join(sorted(state)) or 'nothing'}; the model "
            "file is not whole, get it again or export the model anew."
        )
    sizes = state["sizes"]
    if sizes.dim() != 1 or len(sizes) < 2 or not sizes.is_floating_point():
        _refuse("sizes", "numbers [N + 1], N at least 1", f"{sizes.dtype} {list(sizes.shape)}")
    total = float(sizes.double().sum())
    if not bool((sizes >= 0).all()) or not abs(total - 1) < 1e-3:
        _refuse("sizes", "shares from 0 on that sum to 1", f"a least of {float(sizes.min()):g} and a sum of {total:g}")
    for name, shape in (("centre", (3,)), ("scale", ())):
        tensor = state[name]
        if tensor.shape != shape or not tensor.is_floating_point():
            _refuse(name, f"numbers {list(shape)}", f"{tensor.dtype} {list(tensor.shape)}")
        if not bool(tensor.isfinite().all()) or (name == "scale" and not float(tensor) > 0):
            _refuse(name, "finite, and a scale above 0", str(tensor.tolist()))
    for name in ("features", "classes"):
        tensor = state[name]
        if tensor.shape != () or tensor.dtype not in (torch.int64, torch.int32):
            _refuse(name, "one whole number", f"{tensor.dtype} {list(tensor.shape)}")
        if not 0 <= int(tensor) <= COUNT_LIMIT:
            _refuse(name, f"a number from 0 to {COUNT_LIMIT:,}", str(int(tensor)))
    if PACKED in state:
        classes, count = int(state["classes"]), count_names(state[PACKED], _refuse)
        if count != classes:
            _refuse(PACKED, f"those of {classes} classes", str(count))
    return dict(state)


def _refuse(name: str, expected: str, given: str) -> NoReturn:
    raise ValueError(f"state of Points: {name} must be {expected}, got {given}; get the model file again.")
