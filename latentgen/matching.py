r"""Moment matching: what a chain of few, imperfect steps drifts away from is known, and is put right in closed form."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .latents import LatentSpec

LARGEST = 2.0
"""Bound of a scale, and its inverse: beyond it a chain is not slightly off but not trained."""


class Moments(NamedTuple):
    """First and second moments of pairs (x, y), each of one shape [*S], float64."""

    mean_x: Tensor
    mean_y: Tensor
    variance_x: Tensor
    variance_y: Tensor
    covariance: Tensor


class MomentMatching(nn.Module):
    r"""z_0 -> a_k z_0 + b_k for a generator's draw at step k of its chain; a = 1 and b = 0 until :meth:`fit`.

    There are an a and a b for every number of a latent, or for every channel where items have no order or no fixed
    number; samples of all conditions share them. At k = 1, whose z_0 is the sample itself, they stay 1 and 0.

    Args:
        steps: T.
        latents: what the latent looks like.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, steps: int, latents: LatentSpec) -> None:
        super().__init__()
        self.by_item = latents.layout == "set" or latents.masked
        shape = (steps, latents.channels) if self.by_item else (steps, *latents.shape)
        self.register_buffer("scale", torch.ones(shape))
        self.register_buffer("shift", torch.zeros(shape))

    def forward(self, z_0: Tensor, k: int) -> Tensor:
        """a_k z_0 + b_k, shape [B, *E], for z_0 [B, *E] in latent units."""
        return self.scale[k - 1].to(z_0.dtype) * z_0 + self.shift[k - 1].to(z_0.dtype)

    @torch.no_grad()
    def reset(self) -> None:
        """Back to a = 1 and b = 0."""
        self.scale.fill_(1.0)
        self.shift.zero_()

    @torch.no_grad()
    def fit(self, k: int, found: Moments, bridge: tuple[float, float, float], mean: Tensor, variance: Tensor) -> None:
        r"""Set a_k and b_k so that z_{k-1} = p z_k + q (a z_0 + b) + sqrt(v) eps has a given mean and variance.

        a is the larger root of q^2 Var[z_0] a^2 + 2 p q Cov[z_k, z_0] a + p^2 Var[z_k] + v - Var[z_{k-1}] = 0, or where
        that quadratic is least if it has none, within [1 / 2, 2]; at a bound a part of the gap of the variances stays.
        b closes the gap of the means. Without finite moments a is 1 and b is 0.

        Args:
            k: step, 2 .. T.
            found: moments of z_k (x) and of the draws z_0 (y).
            bridge: p, q and v of q(z_{k-1} | z_k, z_0) = N(p z_k + q z_0, v I).
            mean: what E[z_{k-1}] should be, shape [*S].
            variance: what Var[z_{k-1}] should be, shape [*S].
        """
        p, q, v = bridge
        square, half = q**2 * found.variance_y, p * q * found.covariance
        rest = p**2 * found.variance_x + v - variance
        root = ((half**2 - square * rest).clamp_min(0).sqrt() - half) / square
        scale = root.nan_to_num(1.0, LARGEST, 1 / LARGEST).clamp(1 / LARGEST, LARGEST)
        shift = (mean - p * found.mean_x) / q - scale * found.mean_y
        known = shift.isfinite()
        self.scale[k - 1] = torch.where(known, scale, 1.0)
        self.shift[k - 1] = torch.where(known, shift, 0.0)

    @torch.no_grad()
    def moments(self, pairs: Iterable[tuple[Tensor, Tensor, Tensor | None]]) -> Moments:
        """Moments over all blocks of pairs x [B, *E], y [B, *E] and mask [B, N] or None.

        Only real items count, and of those only finite ones.
        """
        sums: list[Tensor] = []
        for x, y, mask in pairs:
            a, b = self._rows(x, mask), self._rows(y, mask)
            finite = (a.isfinite() & b.isfinite()).flatten(1).all(1)
            a, b = a[finite].double(), b[finite].double()
            parts = [part.sum(0) for part in (torch.ones_like(a), a, b)]
            parts += [torch.einsum("r...,r...->...", one, two) for one, two in ((a, a), (b, b), (a, b))]
            sums = parts if not sums else [sum_ + part for sum_, part in zip(sums, parts, strict=True)]
        count, x1, y1, x2, y2, xy = sums
        x1, y1 = x1 / count, y1 / count
        return Moments(x1, y1, x2 / count - x1**2, y2 / count - y1**2, xy / count - x1 * y1)

    def _rows(self, z: Tensor, mask: Tensor | None) -> Tensor:
        """The draws that share their moments, shape [R, *S]: samples, or all real items of all samples."""
        if not self.by_item:
            return z
        return z.flatten(0, 1) if mask is None else z[mask]
