"""What a model file says of its images, checked before anything is built on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

import torch
from torch import Tensor

from latentgen.class_names import PACKED, count_names

from .readers.decoding import CHANNELS, PIXELS_LIMIT

NAMES = ("classes", "shape")
CLASSES_LIMIT = 2**24
"""More than any reader gives but of as many images."""


def check_state(state: Mapping[str, Tensor], more: bool = False) -> dict[str, Tensor]:
    """The state of an ``Images``: ``shape`` int [3], C, H and W, ``classes`` int [1], and perhaps
    ``names``, see :func:`latentgen.class_names.pack_names`.

    Args:
        state: the tensors by name.
        more: whether there may be others, which a subclass gives and takes itself.

    Raises:
        ValueError: if a tensor is missing, unknown, or cannot be one that ``Images.state`` gave.
    """
    if not set(NAMES) <= set(state) or (set(state) - {*NAMES, PACKED} and not more):
        raise ValueError(
            f"state of Images must hold {' and '.join(NAMES)}, got {', '.join(sorted(state)) or 'nothing'}; the model "
            "file is not whole, get it again or export the model anew."
        )
    for name, count in (("shape", 3), ("classes", 1)):
        tensor = state[name]
        if tensor.shape != (count,) or tensor.dtype not in (torch.int64, torch.int32):
            _refuse(name, f"{count} whole number(s)", f"{tensor.dtype} {list(tensor.shape)}")
    channels, height, width = state["shape"].tolist()
    if channels not in CHANNELS or min(height, width) < 1 or height * width > PIXELS_LIMIT:
        expected = f"1 or 3 channels, height and width of at least 1, at most {PIXELS_LIMIT:,} pixels"
        _refuse("shape", expected, f"{[channels, height, width]}")
    if not 0 <= int(state["classes"]) <= CLASSES_LIMIT:
        _refuse("classes", f"a number from 0 to {CLASSES_LIMIT:,}", f"{int(state['classes'])}")
    if PACKED in state:
        classes, count = int(state["classes"]), count_names(state[PACKED], _refuse)
        if count > classes:
            _refuse(PACKED, f"those of at most {classes} classes", str(count))
    return dict(state)


def _refuse(name: str, expected: str, given: str) -> NoReturn:
    raise ValueError(f"state of Images: {name} must be {expected}, got {given}; get the model file again.")
