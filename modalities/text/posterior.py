"""The limits of a posterior: means and widths in a range, and a floor under what the latents must say."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from latentgen.distributions import DiagonalGaussian


class PosteriorLimits(nn.Module):
    r"""Turns raw outputs of an encoder into q(z | x).

    Without a floor, means lie softly in (-5, 5) and standard deviations in (min_std, 1).

    With a floor of lambda nats, b = exp(-lambda) bounds the standard deviations, sigma in (min_std, b), and
    :class:`UnitSpread` holds every unit's means at mean 0 and variance a^2 = 1 - b^2 over the data. A unit's divergence
    from N(0, 1), averaged over the data, is then

    E KL = 1/2 (a^2 + E[sigma^2] - 1 - E[ln sigma^2]) >= 1/2 (a^2 + b^2 - 1) - ln b = lambda,

    since sigma^2 - ln sigma^2 falls on (0, 1): a rate that the encoder cannot give up, so that the decoder has no cause
    to ignore the latents (Razavi et al. 2019 commit to a rate, Zhu et al. 2020 do so by normalised means). It holds
    under any prior, and all units stay active. Free bits proper (Kingma et al. 2016) let the encoder choose its units,
    and need the divergence unit by unit in the loss, which a learned prior does not give.

    Args:
        units: K C, number of latent dimensions of a sentence.
        min_std: least standard deviation, latent units.
        free_nats: lambda, nats a latent dimension; 0 is no floor.

    Raises:
        ValueError: if min_std is out of (0, 1), or the floor is negative or so high that b falls below min_std.
    """

    def __init__(self, units: int, min_std: float = 0.02, free_nats: float = 0.0) -> None:
        super().__init__()
        if not 0 < min_std < 1:
            raise ValueError(f"min_std is {min_std}; it lies between 0 and 1, the latents' own scale.")
        if not 0 <= free_nats < -math.log(min_std):
            most = -math.log(min_std)
            raise ValueError(f"free_nats is {free_nats}; give 0 or more, and less than -ln min_std = {most:.2f}.")
        self.min_std, self.max_std = min_std, math.exp(-free_nats)
        self.spread = UnitSpread(units, math.sqrt(1 - self.max_std**2)) if free_nats else None

    def forward(self, mean: Tensor, raw: Tensor) -> DiagonalGaussian:
        """q(z | x) from raw means and raw widths, both [B, K, C]."""
        mean, raw = mean.float(), raw.float()
        std = self.min_std + (self.max_std - self.min_std) * torch.sigmoid(raw - 2)
        if self.spread is None:
            return DiagonalGaussian(5 * torch.tanh(mean / 5), std)
        return DiagonalGaussian(self.spread(mean.flatten(1)).view_as(mean), std)


class UnitSpread(nn.Module):
    r"""Gives each unit mean 0 and a fixed standard deviation over the data: y = a (x - m) / s with statistics m and s.

    The statistics follow the training batches that take gradients, closely (they are those of the first one after it;
    before that, m = 0 and s = 1), and stand still otherwise. The gradient that arrives at y loses its mean over the
    batch and its part along y, as in batch normalisation: a pull on a unit's mean or spread has no effect but that the
    statistics follow it. In a distributed run they are those of all processes.

    Args:
        units: size of a sample.
        size: a.
        momentum: share of a batch in the statistics.
    """

    mean: Tensor
    variance: Tensor
    seen: Tensor

    def __init__(self, units: int, size: float, momentum: float = 0.5) -> None:
        super().__init__()
        self.size, self.momentum = size, momentum
        self.register_buffer("mean", torch.zeros(units))
        self.register_buffer("variance", torch.ones(units))
        self.register_buffer("seen", torch.zeros((), dtype=torch.bool))

    def forward(self, x: Tensor) -> Tensor:
        """y for x [B, units]."""
        if self.training and torch.is_grad_enabled():
            self._follow(x.detach())
        y = self.size * (x - self.mean) / self.variance.sqrt()
        if self.training and y.requires_grad:
            hooked: Any = y
            centred = y.detach() - y.detach().mean(0)
            hooked.register_hook(lambda gradient: _without_pull(gradient, centred))
        return y

    @torch.no_grad()
    def _follow(self, x: Tensor) -> None:
        x = x.double()  # a small spread about a large mean
        moments = torch.stack([x.mean(0), (x**2).mean(0)])
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(moments)
            moments /= torch.distributed.get_world_size()
        if not bool(moments.isfinite().all()):
            return
        share = self.momentum if bool(self.seen) else 1.0
        variance = (moments[1] - moments[0] ** 2).clamp_min(0).to(self.variance.dtype)
        mean = moments[0].to(self.mean.dtype)
        between = share * (1 - share) * (mean - self.mean) ** 2  # of a mixture of the old data and the new
        self.variance.copy_((self.variance.lerp(variance, share) + between).clamp_min(1e-8))
        self.mean.lerp_(mean, share)
        self.seen.fill_(True)


def _without_pull(gradient: Tensor, centred: Tensor) -> Tensor:
    """Less its mean over the batch, and less its part along the centred values, unit by unit [B, units]."""
    gradient = gradient - gradient.mean(0)
    part = (gradient * centred).mean(0) / (centred**2).mean(0).clamp_min(1e-12)
    return gradient - part * centred
