"""Paths between latents through the noise of a prior: of the probability flow, a one-to-one code, or N(0, I) itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from .distributions import DiagonalGaussian
from .evaluating import evaluating
from .flow import flow_field, integrate
from .joining import pad_items, pad_mask
from .noise import NoiseStream, normal_like
from .prior import NormalPrior, ScorePrior
from .sampler import ProbabilityFlow
from .tensors import item_mask, over

Coded = ScorePrior | NormalPrior
"""Priors whose latents have noise as their code."""


def to_noise(prior: Coded, q: DiagonalGaussian, tolerance: float, condition: Tensor | None = None) -> Tensor:
    """z_1 [B, *E] of the flow that starts at the posterior's mean; masked items are fresh noise."""
    if isinstance(prior, NormalPrior):
        return _with_fresh_items(prior, q.mean, q.mask, 1.0)
    with evaluating(prior):
        z = over(prior.process.alpha(prior.process.ends(q.mean)[0]), q.mean) * q.mean
        field = flow_field(prior.denoiser, q.mask, condition)
        z_1 = integrate(field, z, torch.cat(prior.process.ends(z)), tolerance)[-1]
    return _with_fresh_items(prior, z_1, q.mask, prior.process.terminal_std)


def _with_fresh_items(prior: Coded, z_1: Tensor, mask: Tensor | None, std: float) -> Tensor:
    """Noise [B, *E] whose masked items are drawn from the terminal law."""
    if mask is None:
        return z_1
    fresh = normal_like(z_1, NoiseStream(0, range(len(z_1)), prior.latents.shape)) * std
    return torch.where(mask.unsqueeze(-1), z_1, fresh)


def from_noise(
    prior: Coded, z_1: Tensor, mask: Tensor | None, tolerance: float, condition: Tensor | None = None
) -> Tensor:
    """z_0 [B, *E] of the flow that ends at z_1 [B, *E]."""
    if isinstance(prior, NormalPrior):
        return z_1
    with evaluating(prior):
        return ProbabilityFlow(tolerance)(prior.denoiser, z_1, mask=mask, condition=condition)


def spherical_path(
    prior: Coded, ends: Sequence[DiagonalGaussian], conditions: Sequence[Tensor | None], n: int, tolerance: float
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Latents [B, *E] and masks of n points from one posterior to the other, each under the nearer end's condition."""
    items = max(q.mean.shape[1] for q in ends)
    noise = [to_noise(prior, pad_items(q, items), tolerance, c) for q, c in zip(ends, conditions, strict=True)]
    masks = [None if q.mask is None else pad_mask(q.mask, items) for q in ends]
    if masks[0] is not None and masks[1] is not None:  # what neither has would decide the angle between the ends
        noise = [z * item_mask(masks[0] | masks[1], z) for z in noise]
    for share in torch.linspace(0, 1, n).tolist():
        nearer = 0 if share < 0.5 else 1
        z_1, mask = _slerp(noise[0], noise[1], share), masks[nearer]
        z_1 = z_1 if mask is None else z_1 * item_mask(mask, z_1)
        yield from_noise(prior, z_1, mask, tolerance, conditions[nearer]), mask


def _slerp(a: Tensor, b: Tensor, share: float) -> Tensor:
    """Spherical interpolation of noise, sample by sample (keeps the norm that a Gaussian has)."""
    flat_a, flat_b = a.flatten(1), b.flatten(1)
    cosine = torch.nn.functional.cosine_similarity(flat_a, flat_b, dim=1).clamp(-1 + 1e-6, 1 - 1e-6)
    angle = torch.acos(cosine)
    left, right = torch.sin((1 - share) * angle) / torch.sin(angle), torch.sin(share * angle) / torch.sin(angle)
    return over(left, a) * a + over(right, b) * b
