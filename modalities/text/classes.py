"""Classes of sentences: the words of a column, in an order, and one-hot."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NoReturn

import torch
from torch import Tensor

from latentgen.class_names import PACKED, count_names, unpack_names

MOST = 1000
"""Classes of a model: a column of more different cells holds something else, such as numbers of its rows."""


def class_names(labels: Sequence[str], label: str) -> tuple[str, ...]:
    """The different classes, sorted: as numbers if all of them are whole ones.

    Args:
        labels: the class of each sentence, "" where it has none.
        label: the column that they are from, for messages.

    Raises:
        ValueError: if there are fewer than two or more than ``MOST`` classes.
    """
    found = set(labels) - {""}
    if not 2 <= len(found) <= MOST:
        raise ValueError(f"label is {label!r}, a column of {len(found)} classes; name one of 2 to {MOST} of them.")
    numbers = all(re.fullmatch(r"-?[0-9]+", name) for name in found)
    return tuple(sorted(found, key=lambda name: (int(name) if numbers else 0, name)))


def one_hot(labels: Sequence[str], names: Sequence[str]) -> Tensor:
    """float32 [N, K]; a row of NaN, which is no condition, for a sentence of none of the classes."""
    places = {name: number for number, name in enumerate(names)}
    rows = torch.cat([torch.eye(len(names)), torch.full((1, len(names)), torch.nan)])
    return rows[[places.get(label, len(names)) for label in labels]]


def stored_names(packed: Tensor) -> tuple[str, ...]:
    """Names of classes of a stored model.

    Raises:
        ValueError: if they are none, or two are equal.
    """
    count, names = count_names(packed, _refuse), unpack_names(packed)
    if not 2 <= count <= MOST or len(set(names)) < count:
        _refuse(PACKED, f"2 to {MOST} different ones", f"{len(set(names))} of {count}")
    return names


def _refuse(name: str, expected: str, given: str) -> NoReturn:
    raise ValueError(f"the stored {name} of text are {given}, and must be {expected}; load another file.")
