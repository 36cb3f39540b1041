"""What a model file says of its graphs, checked before anything is built on it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NoReturn

import torch
from torch import Tensor

from latentgen.class_names import PACKED, count_names

Labels = tuple[int | str, ...]
NAMES = ("kinds", "sizes")
LABELS = "labels"
"""Name of what graphs without labels, and older models, do not have."""
CLASS_SIZES = "class_sizes"
"""Name of what models without classes, and older ones, do not have."""
STATE = (*NAMES, LABELS, PACKED, CLASS_SIZES)
TYPES_LIMIT = 256
"""Types are held in one byte."""


def check_state(state: Mapping[str, Tensor], more: bool = False) -> dict[str, Tensor]:
    """The state of a ``Graphs``: ``sizes`` float [N + 1], shares that sum to 1, ``kinds`` int [2], perhaps ``labels``,
    ``names``, see :func:`latentgen.class_names.pack_names`, and ``class_sizes`` float [K, N + 1], a row for each name.

    Args:
        state: the tensors by name.
        more: whether there may be others, which a subclass gives and takes itself.

    Raises:
        ValueError: if a tensor is missing, unknown, or cannot be one that ``Graphs.state`` gave.
    """
    if not set(NAMES) <= set(state) or (set(state) - set(STATE) and not more):
        raise ValueError(
            f"state of Graphs must hold {' and '.join(NAMES)}, got {', '.join(sorted(state)) or 'nothing'}; the model "
            "file is not whole, get it again or export the model anew."
        )
    sizes, kinds = state["sizes"], state["kinds"]
    if sizes.dim() != 1 or len(sizes) < 2 or not sizes.is_floating_point():
        _refuse("sizes", "numbers [N + 1], N at least 1", f"{sizes.dtype} {list(sizes.shape)}")
    _check_shares("sizes", sizes)
    if kinds.shape != (2,) or kinds.dtype not in (torch.int64, torch.int32):
        _refuse("kinds", "two whole numbers", f"{kinds.dtype} {list(kinds.shape)}")
    if not bool(((kinds >= 1) & (kinds <= TYPES_LIMIT)).all()):
        _refuse("kinds", f"numbers of types from 1 to {TYPES_LIMIT}", str(kinds.tolist()))
    if LABELS in state:
        _check_labels(state[LABELS], kinds.tolist())
    count = count_names(state[PACKED], _refuse) if PACKED in state else 0
    if CLASS_SIZES in state:
        found = state[CLASS_SIZES]
        if found.shape != (count, len(sizes)) or not found.is_floating_point():
            _refuse(CLASS_SIZES, f"numbers [{count}, {len(sizes)}]", f"{found.dtype} {list(found.shape)}")
        for row in found:
            _check_shares(CLASS_SIZES, row)
    return dict(state)


def _check_shares(name: str, shares: Tensor) -> None:
    total = float(shares.double().sum())
    if not bool((shares >= 0).all()) or not abs(total - 1) < 1e-3:
        _refuse(name, "shares from 0 on that sum to 1", f"a least of {float(shares.min()):g} and a sum of {total:g}")


def pack_labels(nodes: Labels, edges: Labels) -> Tensor:
    """Labels of node types 0, 1, ... and of edge types 1, 2, ... as one tensor: uint8, their JSON text."""
    return torch.tensor(list(json.dumps([nodes, edges]).encode()), dtype=torch.uint8)


def unpack_labels(packed: Tensor | None) -> tuple[Labels, Labels]:
    """What :func:`pack_labels` was given; twice () for None."""
    if packed is None:
        return (), ()
    nodes, edges = json.loads(bytes(packed.tolist()))
    return tuple(nodes), tuple(edges)


def _check_labels(packed: Tensor, kinds: list[int]) -> None:
    if packed.dim() != 1 or packed.dtype != torch.uint8:
        _refuse(LABELS, "bytes [L]", f"{packed.dtype} {list(packed.shape)}")
    try:
        both = json.loads(bytes(packed.tolist()))
        lists = isinstance(both, list) and len(both) == 2 and all(isinstance(part, list) for part in both)
    except (ValueError, RecursionError):
        lists = False
    if not lists or not all(type(label) in (int, str) for part in both for label in part):
        _refuse(LABELS, "two lists of whole numbers and words", "something else")
    for part, count in zip(both, (kinds[0], kinds[1] - 1), strict=True):
        if len(part) not in (0, count):
            _refuse(LABELS, f"none or {count} of them", str(len(part)))


def _refuse(name: str, expected: str, given: str) -> NoReturn:
    raise ValueError(f"state of Graphs: {name} must be {expected}, got {given}; get the model file again.")
