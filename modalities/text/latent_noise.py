"""Latents read through noise of a known level: how much of a sentence is left to the decoder's own judgement."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class LatentNoise(nn.Module):
    r"""z_r = sqrt(1 - r^2) z + r eps with eps ~ N(0, I), and an embedding that tells a decoder the level r.

    A decoder trained on p(x | z_r, r) at all levels is the autoencoder's own at r = 0 and a language model that knows
    nothing of the latent at r = 1. Of a latent that a sampler made, noise hides what no sentence has: by data
    processing the distribution of generated z_r is no further, in any f-divergence, from that of real ones than it was
    without noise. The decoder makes up what the noise has hidden.

    Args:
        width: of the embedding.
        share: of the sentences that are read through noise while training, at levels uniform in (0, 1).

    Raises:
        ValueError: if the share is not in (0, 1).
    """

    frequencies: Tensor

    def __init__(self, width: int, share: float = 0.25) -> None:
        super().__init__()
        if not 0 < share < 1:
            raise ValueError(f"share is {share}; give that of the sentences read through noise, between 0 and 1.")
        self.share = share
        self.register_buffer("frequencies", math.pi * torch.arange(1, 9), persistent=False)
        self.embed = nn.Sequential(nn.Linear(17, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, z: Tensor, level: float = 0.0, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """z_r and the embedding of r.

        Args:
            z: latents [B, K, C], latent units.
            level: r outside training, in [0, 1]; while training levels are drawn.
            generator: of the noise outside training, on the CPU; None takes torch's global one.

        Returns:
            z_r [B, K, C], and the embedding [B, 1, width].

        Raises:
            ValueError: if the level is not in [0, 1].
        """
        if not 0 <= level <= 1:
            raise ValueError(f"level is {level}; it is the noise's share of a latent's spread, from 0 to 1.")
        if self.training:
            drawn = torch.rand(len(z), 1, 1, device=z.device)
            r = drawn * (torch.rand(len(z), 1, 1, device=z.device) < self.share)
            eps = torch.randn_like(z)
        else:
            r = torch.full((len(z), 1, 1), float(level), device=z.device)
            eps = torch.randn(z.shape, generator=generator).to(z) if level > 0 else torch.zeros_like(z)
        waves = r * self.frequencies
        known = torch.cat([r, waves.sin(), waves.cos()], dim=-1).to(z.dtype)
        return ((1 - r**2).sqrt() * z + r * eps).to(z.dtype), self.embed(known)


def read_through(
    noise: LatentNoise | None, embed: nn.Module, z: Tensor, level: float, generator: torch.Generator | None
) -> Tensor:
    """What a decoder sees of latents [B, K, C]: embedded, [B, K, width], through noise where it has learned that.

    Raises:
        ValueError: if a level is asked for and there is no noise in training.
    """
    if noise is not None:
        z, told = noise(z, level, generator)
        return embed(z) + told  # type: ignore[no-any-return]
    if level:
        raise ValueError(
            f"noise is {level} and the decoder never read through any; train with Text(latent_noise=0.25), or give 0."
        )
    return embed(z)  # type: ignore[no-any-return]
