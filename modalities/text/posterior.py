"""The limits of a posterior: means and widths in a range, and a floor under what the latents must say."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from latentgen.distributions import DiagonalGaussian


class PosteriorLimits(nn.Module):
    r"""Turns raw outputs of an encoder into q(z | x).

    Without a floor, means lie softly in (-5, 5) and standard deviations in (min_std, 1).

    With a floor of lambda nats, b = exp(-lambda) bounds the standard deviations, sigma in (min_std, b), and every
    unit's means are normalised over the batch (with running statistics in evaluation) to the variance a^2 = 1 - b^2.
    A unit's divergence from N(0, 1), averaged over the batch, is then

    E KL = 1/2 (a^2 + E[sigma^2] - 1 - E[ln sigma^2]) >= 1/2 (a^2 + b^2 - 1) - ln b = lambda,

    whatever the weights (as long as raw means vary by more than about 1e-4), since sigma^2 - ln sigma^2 falls on
    (0, 1): a rate that the encoder cannot give up, so that the decoder has no cause to ignore the latents (Razavi et
    al. 2019 commit to a rate, Zhu et al. 2020 do so by normalised means). All units stay active. Free bits (Kingma et
    al. 2016) would leave the choice of the units to the encoder, and need the loss to know the divergence unit by
    unit, which a learned prior does not give.

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
        self.spread = math.sqrt(1 - self.max_std**2)
        # a short memory: the averages follow an encoder that trains
        self.norm = nn.BatchNorm1d(units, eps=1e-10, affine=False, momentum=0.05) if free_nats else None

    def forward(self, mean: Tensor, raw: Tensor) -> DiagonalGaussian:
        """q(z | x) from raw means and raw widths, both [B, K, C]."""
        mean, raw = mean.float(), raw.float()
        std = self.min_std + (self.max_std - self.min_std) * torch.sigmoid(raw - 2)
        if self.norm is None:
            return DiagonalGaussian(5 * torch.tanh(mean / 5), std)
        return DiagonalGaussian(self.spread * self.norm(mean.flatten(1)).view_as(mean), std)
