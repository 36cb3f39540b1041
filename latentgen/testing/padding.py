"""Whether padded items are without effect on posterior and likelihood."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..autoencoder import Autoencoder
from ..latents import LatentSpec
from ..tensors import Batch
from .fixed_noise import FixedNoise
from .result import BrokenRule, require

EXTRA = 3
CLOSE = 1e-3


@torch.no_grad()
def padding(autoencoder: Autoencoder, batch: Batch, latents: LatentSpec) -> str | None:
    """Encode and decode the same examples with few and with many padded items."""
    if not latents.masked:
        return "does not apply: latents have no mask"
    mask = batch["mask"]
    longest = int(mask.sum(dim=1).max())
    if not torch.equal(mask, _prefix(mask)):
        return "not tested: real items do not come first"
    sizes = sorted({longest, mask.shape[1], min(latents.shape[0], longest + EXTRA)})
    if len(sizes) == 1:
        return "not tested: every example fills all items"
    found = [_outcome(autoencoder, batch, mask.shape[1], size, longest) for size in sizes]
    for mean, log_prob in found[1:]:
        for name, value, first in (
            ("posterior", mean, found[0][0]),
            ("likelihood", log_prob, found[0][1]),
        ):
            difference = float((value - first).abs().max())
            require(
                difference < CLOSE * (1 + float(first.abs().max())),
                f"the {name} changes by {difference:.3g} with the number of padded items",
                "keep padded items out of attention, messages, means, norms and sums with the "
                "mask",
            )
    return f"equal with {' and '.join(map(str, sizes))} items"


def _prefix(mask: Tensor) -> Tensor:
    return torch.arange(mask.shape[1]) < mask.sum(dim=1, keepdim=True)


def _outcome(
    autoencoder: Autoencoder, batch: Batch, items: int, size: int, longest: int
) -> tuple[Tensor, Tensor]:
    """Means of real items and log-likelihoods with ``size`` items."""
    resized = _resize(batch, items, size)
    try:
        with FixedNoise():
            q = autoencoder.encode(resized)
            log_prob = autoencoder.decode(q.mean, q.mask).log_prob(resized)
    except Exception as error:
        raise BrokenRule(
            f"{size} items instead of {items} are refused ({type(error).__name__}: {error})",
            "let encode and decode take any number of items up to latents.shape[0]: batches are "
            "padded to their longest example",
        ) from error
    keep = resized["mask"][:, :longest].reshape(len(q.mean), longest, *[1] * (q.mean.dim() - 2))
    return q.mean[:, :longest] * keep, log_prob


def _resize(batch: Batch, items: int, size: int) -> Batch:
    """Cut or pad with zeros the leading axes after the first that have ``items`` entries."""
    resized: Batch = {}
    for key, value in batch.items():
        axes = 1
        while axes < value.dim() and value.shape[axes] == items and key != "condition":
            value = _resize_axis(value, axes, size)
            axes += 1
        resized[key] = value
    return resized


def _resize_axis(value: Tensor, axis: int, size: int) -> Tensor:
    if size <= value.shape[axis]:
        return value.narrow(axis, 0, size)
    behind = [0] * 2 * (value.dim() - 1 - axis)
    return pad(value, [*behind, 0, size - value.shape[axis]])
