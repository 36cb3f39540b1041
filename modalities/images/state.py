"""What a model file says of its images, checked before anything is built on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

import torch
from torch import Tensor

from .readers.decoding import CHANNELS, PIXELS_LIMIT

NAMES = ("classes", "shape")
PACKED = "names"
"""The classes' names, which models without names, and older ones, do not have."""
CLASSES_LIMIT = 2**24
"""More than any reader gives but of as many images."""


def check_state(state: Mapping[str, Tensor], more: bool = False) -> dict[str, Tensor]:
    """The state of an ``Images``: ``shape`` int [3], C, H and W, ``classes`` int [1], and perhaps
    ``names``, see :func:`pack_names`.

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
        _check_names(state[PACKED], int(state["classes"]))
    return dict(state)


def pack_names(names: Sequence[str]) -> Tensor:
    """Names of classes as one tensor: uint8, their UTF-8 text, zeros between them."""
    text = "\0".join(name.replace("\0", " ") for name in names)
    return torch.tensor(list(text.encode("utf-8", "surrogatepass")), dtype=torch.uint8)


def unpack_names(packed: Tensor | None) -> tuple[str, ...]:
    """What :func:`pack_names` was given; () for None.

    Raises:
        ValueError: if it is no UTF-8 text.
    """
    if packed is None:
        return ()
    return tuple(bytes(packed.tolist()).decode("utf-8", "surrogatepass").split("\0"))


def _check_names(packed: Tensor, classes: int) -> None:
    if packed.dim() != 1 or packed.dtype != torch.uint8:
        _refuse(PACKED, "bytes [L]", f"{packed.dtype} {list(packed.shape)}")
    try:
        count = len(unpack_names(packed))
    except ValueError as error:
        _refuse(PACKED, "UTF-8 text", f"the error '{error}'")
    if count > classes:
        _refuse(PACKED, f"those of at most {classes} classes", str(count))


def _refuse(name: str, expected: str, given: str) -> NoReturn:
    raise ValueError(f"state of Images: {name} must be {expected}, got {given}; get the model file again.")
