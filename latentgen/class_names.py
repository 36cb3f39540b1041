"""Names of classes as a tensor, so that they travel in the state of a modality."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn

import torch
from torch import Tensor

Refuse = Callable[[str, str, str], NoReturn]
"""Called with a tensor's name, what it must be and what it is."""
PACKED = "names"
"""The state's key; models without names, and older ones, do not have it."""


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


def count_names(packed: Tensor, refuse: Refuse) -> int:
    """How many names a stranger's tensor holds; ``refuse`` raises where it holds none."""
    if packed.dim() != 1 or packed.dtype != torch.uint8:
        refuse(PACKED, "bytes [L]", f"{packed.dtype} {list(packed.shape)}")
    try:
        return len(unpack_names(packed))
    except ValueError as error:
        refuse(PACKED, "UTF-8 text", f"the error '{error}'")
