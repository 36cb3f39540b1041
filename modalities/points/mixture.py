"""p(X | z) of a set of points: a mixture of normal densities in space, whose components the latent tokens place."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from latentgen.tensors import Batch

LOG_2PI = math.log(2 * math.pi)
TURNS = 16.0
"""How fast the draws of ``mode`` turn with the latent; see :class:`PointMixture`."""


class PointMixture:
    r"""Points of one set are independent draws of one density, so that a set of any size has a likelihood.

    ln p(X | z) = sum_i ln sum_m w_m N(x_i; mu_m, M_m M_m^T + s^2 I)   (nats, x in units of the normalised data)

    It does not depend on the order of the points. s is the noise that points are taken to carry: surfaces have no
    volume, and without it their likelihood would have no upper bound. Further features of a point (normals, colours)
    are normal around means of its component, with one scale a feature.

    Args:
        log_weight: ln w_m, shape [B, M], normalised.
        mean: mu_m, shape [B, M, 3].
        factor: M_m, shape [B, M, 3, 3].
        noise: s > 0.
        count: points that :meth:`sample` and :meth:`mode` give.
        offset: in [0, 1), shape [B, 4 + F], what makes the draws of :meth:`mode` differ from one latent to another.
        feature_mean: shape [B, M, F], or None without features.
        feature_std: shape [F].
        mask: True where a point is asked for, shape [B, count], or None for all.
    """

    def __init__(
        self,
        log_weight: Tensor,
        mean: Tensor,
        factor: Tensor,
        noise: float,
        count: int,
        offset: Tensor,
        feature_mean: Tensor | None = None,
        feature_std: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> None:
        self.log_weight, self.mean, self.factor, self.noise = log_weight, mean, factor, noise
        self.count, self.offset, self.mask = count, offset, mask
        self.feature_mean, self.feature_std = feature_mean, feature_std

    def density(self, x: Tensor) -> Tensor:
        """ln p(x_i | z) for points [B, N, 3 + F], nats, shape [B, N].

        The exponent is a quadratic polynomial of x, so that one product of matrices evaluates all components. Its
        terms are as large as |x|^2 / s^2: on CUDA, where float32 may mean TF32, the product is in float64.
        """
        with torch.autocast(x.device.type, enabled=False):
            precise = torch.float64 if x.is_cuda else torch.float32
            constant, quadratic = (part.to(precise) for part in self._polynomial())
            powers = monomials(x[..., :3].to(precise))
            logits = torch.baddbmm(constant.unsqueeze(1), powers, quadratic).float()
            if self.feature_mean is not None and self.feature_std is not None:
                scaled, middle = x[..., 3:].float() / self.feature_std, self.feature_mean / self.feature_std
                gap = torch.cdist(scaled, middle, compute_mode="donot_use_mm_for_euclid_dist").square()
                size = self.feature_std.shape[0]
                logits = logits - 0.5 * gap - self.feature_std.log().sum() - 0.5 * size * LOG_2PI
            return log_sum_exp(logits)

    def _covariance(self) -> Tensor:
        factor = self.factor.double()
        eye = torch.eye(3, device=factor.device, dtype=torch.float64)
        return torch.as_tensor(factor @ factor.mT + self.noise**2 * eye)

    def _precision(self) -> tuple[Tensor, Tensor]:
        """Inverse [B, M, 3, 3] and determinant [B, M] of the covariances, by cross products, in float64: of a thin
        component the determinant is the small difference of large terms.
        """
        first, second, third = self._covariance().unbind(dim=2)
        cofactors = torch.stack(
            [torch.linalg.cross(second, third), torch.linalg.cross(third, first), torch.linalg.cross(first, second)],
            dim=2,
        )
        determinant = (first * cofactors[:, :, 0]).sum(dim=2)
        return cofactors / determinant[..., None, None], determinant

    def _polynomial(self) -> tuple[Tensor, Tensor]:
        """Constant [B, M] and coefficients of the monomials [B, 9, M] of every component's logarithm, float64."""
        (p, determinant), mean = self._precision(), self.mean.double()
        linear = (p @ mean.unsqueeze(-1)).squeeze(-1)
        level = (mean * linear).sum(dim=-1)
        constant = self.log_weight - 0.5 * (level + determinant.log() + 3 * LOG_2PI)
        square = torch.stack([p[..., 0, 0], p[..., 1, 1], p[..., 2, 2]], dim=-1)
        mixed = 2 * torch.stack([p[..., 0, 1], p[..., 0, 2], p[..., 1, 2]], dim=-1)
        return constant, torch.cat([-0.5 * square, -0.5 * mixed, linear], dim=-1).mT

    def log_prob(self, batch: Batch) -> Tensor:
        """ln p(X | z), nats, shape [B]; masked points count nothing."""
        found = self.density(batch["x"])
        mask = batch.get("mask")
        return found.sum(dim=1) if mask is None else (found * mask).sum(dim=1)

    def sample(self) -> Batch:
        """Independent draws, noise included."""
        shape = (len(self.mean), self.count, 4 + self._features)
        uniform = torch.rand(shape, device=self.mean.device)
        x = self._drawn(uniform)
        noise = self.noise * torch.randn_like(x[..., :3])
        return self._batch(torch.cat([x[..., :3] + noise, x[..., 3:]], dim=-1))

    def mode(self) -> Batch:
        """Draws without the noise s, as a function of the latent alone.

        The most probable set would be one point over and over. Uniform numbers that are the same for all latents are
        turned by an offset that depends on the latent (Cranley and Patterson 1976): independent for all purposes,
        the same in every batch.
        """
        generator = torch.Generator().manual_seed(0)
        fixed = torch.rand(self.count, 4 + self._features, generator=generator).to(self.mean.device)
        return self._batch(self._drawn((fixed + self.offset.unsqueeze(1)) % 1.0))

    @property
    def _features(self) -> int:
        return 0 if self.feature_mean is None else self.feature_mean.shape[-1]

    def _drawn(self, uniform: Tensor) -> Tensor:
        """Points [B, N, 3 + F] by inverse distribution functions of uniform numbers [B, N, 4 + F]."""
        edges = self.log_weight.exp().cumsum(dim=1)
        chosen = torch.searchsorted(edges.contiguous(), uniform[..., 0].contiguous() * edges[:, -1:])
        chosen = chosen.clamp(max=self.mean.shape[1] - 1)
        normal = torch.special.ndtri(uniform[..., 1:].clamp(1e-6, 1 - 1e-6))
        rows = torch.arange(len(self.mean), device=self.mean.device)[:, None]
        shift = (self.factor[rows, chosen] @ normal[..., :3].unsqueeze(-1)).squeeze(-1)
        x: Tensor = self.mean[rows, chosen] + shift
        if self.feature_mean is None or self.feature_std is None:
            return x
        feature = self.feature_mean[rows, chosen] + self.feature_std * normal[..., 3:]
        return torch.cat([x, feature], dim=-1)

    def _batch(self, x: Tensor) -> Batch:
        mask = self.mask if self.mask is not None else x.new_ones(x.shape[:2], dtype=torch.bool)
        return {"x": x * mask.unsqueeze(-1), "mask": mask}


def log_sum_exp(logits: Tensor) -> Tensor:
    """ln sum_m exp(l_m) over the last axis, without the terms below exp(-60) of the greatest.

    They change nothing in single precision, and numbers below its normal range make processors slow.
    """
    top = logits.detach().amax(dim=-1, keepdim=True)
    return ((logits - top).clamp_min(-60.0).exp().sum(dim=-1, keepdim=True).log() + top).squeeze(-1)


def monomials(x: Tensor) -> Tensor:
    """x^2, y^2, z^2, xy, xz, yz, x, y, z of points [..., 3], shape [..., 9]."""
    a, b, c = x.unbind(dim=-1)
    return torch.stack([a * a, b * b, c * c, a * b, a * c, b * c, a, b, c], dim=-1)


def turns(z: Tensor, size: int) -> Tensor:
    """Offsets in [0, 1) that change fast with a latent z [B, *E], shape [B, size]."""
    flat = z.detach().flatten(1).double()
    generator = torch.Generator().manual_seed(1)
    directions = torch.randn(flat.shape[1], size, generator=generator, dtype=torch.float64).to(flat.device)
    return (TURNS * flat @ directions).frac().abs().float()
