"""Batches put together, and their item axes made longer or shorter."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .distributions import DiagonalGaussian
from .latents import LatentSpec
from .tensors import Batch


def join(parts: list[Batch]) -> Batch:
    """Concatenate batches; item axes that were trimmed to different lengths are padded with zeros."""
    joined: Batch = {}
    for key in parts[0]:
        tensors: list[Any] = [part[key] for part in parts]
        target = [max(tensor.shape[axis] for tensor in tensors) for axis in range(1, tensors[0].dim())]
        joined[key] = torch.cat([pad_axes(tensor, target) for tensor in tensors])
    return joined


def pad_axes(tensor: Tensor, target: list[int]) -> Tensor:
    """The axes after the first, filled up with zeros to these sizes."""
    missing = [size - have for size, have in zip(target, tensor.shape[1:], strict=True)]
    if not any(missing):
        return tensor
    return nn.functional.pad(tensor, [n for extra in reversed(missing) for n in (0, extra)])


def pad_mask(mask: Tensor, items: int) -> Tensor:
    """A mask [B, N] for more items, none of them real."""
    return pad_axes(mask, [items])


def pad_items(q: DiagonalGaussian, items: int) -> DiagonalGaussian:
    """A posterior over more items, none of them real; without a mask it stays as it is."""
    if q.mask is None:
        return q
    extra = [items, *q.mean.shape[2:]]
    return DiagonalGaussian(pad_axes(q.mean, extra), pad_axes(q.std, extra), pad_mask(q.mask, items))


def trim(mask: Tensor) -> Tensor:
    """Drop item positions that no sample of the batch has."""
    longest = int(mask.sum(dim=1).max())
    return mask[:, : max(longest, 1)]


def checked_mask(mask: Tensor, n: int, latents: LatentSpec) -> Tensor:
    """A mask of n samples, bool [n, N], that a user gave.

    Args:
        mask: shape [n, N], or [1, N] for the same n times.
        n: number of samples.
        latents: of the model.

    Raises:
        ValueError: if latents have no mask, or it is not of this kind: real items first, at least one a sample.
    """
    if not latents.masked:
        raise ValueError("mask is given to a model whose samples all have as many items; leave it out.")
    if mask.dtype == torch.bool and mask.shape == (1, latents.shape[0]):
        mask = mask.expand(n, -1)
    if mask.dtype != torch.bool or mask.shape != (n, latents.shape[0]):
        raise ValueError(
            f"mask is {mask.dtype} of shape {list(mask.shape)}; expected bool [{n}, {latents.shape[0]}]: of numbers of "
            f"items, torch.arange({latents.shape[0]}) < numbers[:, None] makes it."
        )
    if not bool(mask[:, 0].all()) or bool((mask[:, 1:] & ~mask[:, :-1]).any()):
        raise ValueError("mask has samples without items, or with gaps; let real items come first, at least one each.")
    return mask
