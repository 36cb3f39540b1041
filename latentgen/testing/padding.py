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
IN_FRONT = (
    "put real items first in the mask: new samples have theirs there (sample_mask), and a model would be sampled "
    "elsewhere than it was trained"
)
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
    require(
        torch.equal(mask, torch.arange(items) < mask.sum(dim=1, keepdim=True)),
        "real items do not come first in the mask",
        IN_FRONT,
    )
    before = leading(_encode(autoencoder, batch), batch)
    most = max(items, min(latents.shape[0] - before, longest + EXTRA))
    if longest == most:
        return "not tested: every example fills all items"
    sizes, strided = (longest, most), _strided(batch)
    try:
        return _compare(autoencoder, batch, sizes, before, {})
    except Exception as error:
        if not strided or type(error) is BrokenRule:
            raise
        first = error
    try:
        return _compare(autoencoder, batch, sizes, before, strided)
    except Exception as error:
        raise error if type(error) is BrokenRule else first from None


class _Refusal(BrokenRule):
    """The encoder cannot take so many items."""


def _compare(
    autoencoder: Autoencoder, batch: Batch, sizes: tuple[int, int], before: int, strides: dict[str, int]
) -> str:
    """Posterior and likelihood with two numbers of items."""
    few, many = (_resize(batch, size, strides) for size in sizes)
    encoded = _encode(autoencoder, few), _encode(autoencoder, many)
    _same_posterior(autoencoder, (few, many), encoded, before + sizes[0])
    z, more = encoded[0].mean, _resize_axis(encoded[0].mean, 1, before + sizes[1])
    expected = autoencoder.decode(z, encoded[0].mask).log_prob(few)
    found = autoencoder.decode(more, encoded[1].mask).log_prob(many)
    difference = float((found - expected).abs().max())
    require(
        difference < CLOSE * (1 + float(expected.abs().max())),
        f"the likelihood changes by {difference:.3g} nats with the number of padded items",
        FIX,
    )
    remark = "".join(f", {stride} of {key} an item" for key, stride in strides.items())
    return f"equal with {sizes[0]} and {sizes[1]} items{remark}"


def _strided(batch: Batch) -> dict[str, int]:
    """Tensors that may have several steps for each item of the mask, and how many."""
    items = batch["mask"].shape[1]
    steps = {key: value.shape[1] for key, value in batch.items() if value.dim() > 1 and key != "condition"}
    return {key: count // items for key, count in steps.items() if count > items and count % items == 0}


def _encode(autoencoder: Autoencoder, batch: Batch) -> DiagonalGaussian:
    try:
        with FixedNoise():
            return autoencoder.encode(batch)
    except Exception as error:
        items, steps = batch["mask"].shape[1], ""
        longer = [key for key, value in batch.items() if value.dim() > 1 and value.shape[1] > items]
        if longer not in ([], ["condition"]):
            steps = (
                '; where one item stands for several steps, read x[:, : stride * batch["mask"].shape[1]] '
                "(docs/extend.md, Several steps an item)"
            )
        raise _Refusal(
            f"encode refuses {items} items ({type(error).__name__}: {error})",
            "let encode and decode take any number of items up to latents.shape[0]: batches are "
            f"padded to their longest example{steps}",
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


def _resize(batch: Batch, size: int, strides: dict[str, int]) -> Batch:
    """Cut or pad with zeros the leading axes after the first that have as many entries as the mask, or a stride's."""
    resized, items = Batch(), batch["mask"].shape[1]
    for key, value in batch.items():
        axis, stride = 1, strides.get(key, 1)
        while axis < value.dim() and value.shape[axis] == stride * items and key != "condition":
            value = _resize_axis(value, axis, stride * size)
            axis += 1
        resized[key] = value
    return resized


def _resize_axis(value: Tensor, axis: int, size: int) -> Tensor:
    if size <= value.shape[axis]:
        return value.narrow(axis, 0, size)
    behind = [0, 0] * (value.dim() - 1 - axis)
    return pad(value, [*behind, 0, size - value.shape[axis]])
