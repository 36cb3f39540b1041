"""What one does with trained shapes beside drawing new ones: more points than seen, completion."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn.functional import pad

from latentgen.inpainting import inpaint_latents, inpainting_sampler
from latentgen.model import LatentGenerativeModel
from latentgen.noise import NoiseStream
from latentgen.prior import ScorePrior
from latentgen.tensors import Batch

from .hierarchical import LatentPointAutoencoder
from .networks import TokenAutoencoder


@torch.no_grad()
def decode_points(model: LatentGenerativeModel, z: Tensor, points: int) -> Batch:
    """Decode latents of a fixed number of tokens to any number of points, more than were ever seen too.

    Args:
        model: of shapes, with the encoder "tokens".
        z: latents as ``model.encode(batch).mean`` or the prior's, shape [B, K, C].
        points: number of points of each shape.

    Returns:
        ``x`` [B, points, 3 + F] and ``mask``.

    Raises:
        ValueError: if the model's encoder is another one, or points is below 1.
    """
    if points < 1:
        raise ValueError(f"points is {points}; ask for at least one.")
    found = [part for part in model.modules() if isinstance(part, TokenAutoencoder)]
    if not found:
        raise ValueError("the model's encoder is not 'tokens', and has one latent for every point; train one that is.")
    (autoencoder,) = found
    usual, autoencoder.points = autoencoder.points, points
    try:
        return model.decode(z).mode()
    finally:
        autoencoder.points = usual


def upsample(model: LatentGenerativeModel, batch: Batch, points: int) -> Batch:
    """Shapes of few points with many: encoded, and decoded to another number; see :func:`decode_points`."""
    return decode_points(model, model.encode(batch).mean, points)


@torch.no_grad()
def complete(
    model: LatentGenerativeModel, batch: Batch, more: int, steps: int = 25, seed: int = 0, resample: int = 5
) -> Batch:
    """Keep the points of partial shapes and add others that fit (``latentgen.inpainting``).

    A latent of the encoder "points" belongs to a point, so that known points keep theirs; the global tokens, which
    would speak of the missing part, are drawn anew with the other points. Tokens of the encoder "tokens" belong to no
    place, and there is nothing to keep.

    Args:
        model: of shapes, with the encoder "points" and a score prior.
        batch: ``x`` [B, N, 3 + F] and ``mask`` [B, N], the known points.
        more: points to add to every shape.
        steps: of the sampler.
        seed: of the samples.
        resample: how often each step is made.

    Returns:
        ``x`` [B, N + more, 3 + F] and ``mask``: the known points as given, then the new ones.

    Raises:
        ValueError: if the model has another encoder or prior, or the sets become too large for it.
    """
    found = [part for part in model.modules() if isinstance(part, LatentPointAutoencoder)]
    if not found:
        raise ValueError("the model's encoder is not 'points', and its latents belong to no point; train one that is.")
    prior = model.prior.score_prior
    if prior is None:
        raise ValueError(f"the prior is a {type(model.prior).__name__}; completion needs a score prior.")
    limit, count = prior.latents.shape[0] - found[0].tokens, batch["x"].shape[1]
    if more < 1 or count + more > limit:
        raise ValueError(f"more is {more} for {count} points; give 1 to {limit - count}, the model takes {limit}.")
    q = model.encode(batch)
    mask = pad(cast(Tensor, q.mask), (0, more), value=True)
    z = pad(q.mean, (0, 0, 0, more))
    keep = torch.zeros_like(mask)
    keep[:, found[0].tokens : found[0].tokens + count] = batch["mask"].to(mask.device)
    noise = NoiseStream(seed, range(len(z)), prior.latents.shape)
    made = _drawn(model, prior, z, keep, mask, noise, steps, resample)
    known = batch["mask"].to(made["x"].device)
    x = torch.where(known.unsqueeze(-1), batch["x"].to(made["x"]), made["x"][:, :count])
    return {"x": torch.cat([x, made["x"][:, count:]], dim=1), "mask": made["mask"]}


def _drawn(
    model: LatentGenerativeModel,
    prior: ScorePrior,
    z: Tensor,
    keep: Tensor,
    mask: Tensor,
    noise: NoiseStream,
    steps: int,
    resample: int,
) -> Batch:
    training = model.training
    model.eval()
    try:
        sampler = inpainting_sampler(None, steps, resample)
        return model.decode(inpaint_latents(prior, z, keep, sampler, mask, noise), mask).mode()
    finally:
        model.train(training)
