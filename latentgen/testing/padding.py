"""Whether padded items are without effect on posterior and likelihood."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..autoencoder import Autoencoder
from ..distributions import DiagonalGaussian
from ..latents import LatentSpec
from ..tensors import Batch
from .fixed_noise import FixedNoise
from .result import BrokenRule, require

EXTRA = 3
CLOSE = 1e-3
DRAWS = 64
EXAMPLES = 4
FIX = "keep padded items out of attention, messages, means, norms and sums with the mask"


def leading(q: DiagonalGaussian, batch: Batch) -> int:
    """Latent items that stand before those of the data, such as global tokens; they belong to every example."""
    return max(0, q.mean.shape[1] - batch["mask"].shape[1])


def latent_mask(mask: Tensor, before: int) -> Tensor:
    """The data's mask [B, N] behind so many items that are always real, shape [B, before + N]."""
    return torch.cat([mask.new_ones(len(mask), before), mask], dim=1)


@torch.no_grad()
def padding(autoencoder: Autoencoder, batch: Batch, latents: LatentSpec) -> str | None:
    """Encode and decode the same examples with few and with many padded items."""
    if not latents.masked:
        return "does not apply: latents have no mask"
    mask = batch["mask"]
    items, longest = mask.shape[1], int(mask.sum(dim=1).max())
    if not torch.equal(mask, torch.arange(items) < mask.sum(dim=1, keepdim=True)):
        return "not tested: real items do not come first"
    before = leading(_encode(autoencoder, batch), batch)
    most = max(items, min(latents.shape[0] - before, longest + EXTRA))
    if longest == most:
        return "not tested: every example fills all items"
    parts = _resize(batch, items, longest), _resize(batch, items, most)
    encoded = _encode(autoencoder, parts[0]), _encode(autoencoder, parts[1])
    _same_posterior(autoencoder, parts, encoded, before + longest)
    z, more = encoded[0].mean, _resize_axis(encoded[0].mean, 1, before + most)
    expected = autoencoder.decode(z, encoded[0].mask).log_prob(parts[0])
    found = autoencoder.decode(more, encoded[1].mask).log_prob(parts[1])
    difference = float((found - expected).abs().max())
    require(
        difference < CLOSE * (1 + float(expected.abs().max())),
        f"the likelihood changes by {difference:.3g} nats with the number of padded items",
        FIX,
    )
    return f"equal with {longest} and {most} items"


def _encode(autoencoder: Autoencoder, batch: Batch) -> DiagonalGaussian:
    try:
        with FixedNoise():
            return autoencoder.encode(batch)
    except Exception as error:
        raise BrokenRule(
            f"encode refuses {batch['mask'].shape[1]} items ({type(error).__name__}: {error})",
            "let encode and decode take any number of items up to latents.shape[0]: batches are "
            "padded to their longest example",
        ) from error


def _same_posterior(
    autoencoder: Autoencoder,
    parts: tuple[Batch, Batch],
    encoded: tuple[DiagonalGaussian, DiagonalGaussian],
    longest: int,
) -> None:
    """Equal means of real items; for an encoder with random features, equal in distribution."""
    a, b = (_real(q, longest) for q in encoded)
    difference = (a - b).abs()
    close = torch.full_like(a, CLOSE * (1 + float(a.abs().max())))
    if bool((difference > close).any()) and _is_random(autoencoder, parts[0]):
        moments = [_moments(autoencoder, part, longest) for part in parts]
        difference = (moments[0][0] - moments[1][0]).abs()
        spread = ((moments[0][1] + moments[1][1]) / DRAWS).sqrt()
        close = close[: len(spread)] + 6 * spread
    require(
        (difference <= close).all(),
        f"the posterior changes by {float(difference.max()):.3g} with the number of padded items",
        FIX,
    )


def _real(q: DiagonalGaussian, longest: int) -> Tensor:
    assert q.mask is not None
    keep = q.mask[:, :longest].reshape(len(q.mean), longest, *[1] * (q.mean.dim() - 2))
    return q.mean[:, :longest] * keep


def _is_random(autoencoder: Autoencoder, batch: Batch) -> bool:
    return not torch.equal(autoencoder.encode(batch).mean, autoencoder.encode(batch).mean)


def _moments(autoencoder: Autoencoder, batch: Batch, longest: int) -> tuple[Tensor, Tensor]:
    """Mean and variance of the posterior's mean over the encoder's own random numbers."""
    copies = {key: value[:EXAMPLES].repeat_interleave(DRAWS, 0) for key, value in batch.items()}
    means = _real(autoencoder.encode(copies), longest)
    means = means.reshape(-1, DRAWS, *means.shape[1:])
    return means.mean(1), means.var(1)


def _resize(batch: Batch, items: int, size: int) -> Batch:
    """Cut or pad with zeros the leading axes after the first that have ``items`` entries."""
    resized: Batch = {}
    for key, value in batch.items():
        axis = 1
        while axis < value.dim() and value.shape[axis] == items and key != "condition":
            value = _resize_axis(value, axis, size)
            axis += 1
        resized[key] = value
    return resized


def _resize_axis(value: Tensor, axis: int, size: int) -> Tensor:
    if size <= value.shape[axis]:
        return value.narrow(axis, 0, size)
    behind = [0, 0] * (value.dim() - 1 - axis)
    return pad(value, [*behind, 0, size - value.shape[axis]])
