"""The compressing autoencoder of points: a fixed number of latent tokens that describe a density in space."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from latentgen.autoencoder import Autoencoder
from latentgen.distributions import DiagonalGaussian, Likelihood
from latentgen.tensors import Batch

from .attention import CrossBlock, PointEmbedding, SelfBlock
from .mixture import PointMixture, turns

START_SPREAD = 0.25
"""Standard deviation at which the components of an untrained decoder start, units of the normalised data."""


class TokenAutoencoder(Autoencoder):
    r"""q(z | X) on K latent tokens and p(X | z), a mixture of K J normal densities (:class:`PointMixture`).

    Encoder: K learned queries that read the points, layer after layer (Jaegle et al. 2021): it does not depend on the
    order of the points and takes any number of them, at K N products. Decoder: a transformer over the tokens; every
    token places J components. Points are independent draws, so that a latent decodes to any number of them.

    Args:
        points: points that a decoded set has.
        features: F, numbers of a point beside its place.
        tokens: K.
        channels: size of a latent token.
        width: of all networks.
        depth: layers of encoder and of decoder.
        heads: attention heads.
        components: J.
        noise: s of the likelihood, units of the normalised data.
        min_std: least standard deviation of the posterior, latent units.
    """

    def __init__(
        self,
        points: int,
        features: int = 0,
        tokens: int = 32,
        channels: int = 8,
        width: int = 96,
        depth: int = 2,
        heads: int = 4,
        components: int = 8,
        noise: float = 0.02,
        min_std: float = 0.02,
    ) -> None:
        super().__init__()
        self.points, self.features, self.components = points, features, components
        self.noise, self.min_std = noise, min_std
        self.embed = PointEmbedding(3 + features, width)
        self.queries = nn.Parameter(0.5 * torch.randn(tokens, width))
        self.reading = nn.ModuleList(CrossBlock(width, heads) for _ in range(depth))
        self.thinking = nn.ModuleList(SelfBlock(width, heads) for _ in range(depth))
        self.to_latent = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * channels))
        self.from_latent = nn.Linear(channels, width)
        self.places = nn.Parameter(0.5 * torch.randn(tokens, width))
        self.decoder = nn.ModuleList(SelfBlock(width, heads) for _ in range(depth))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, components * (13 + features)))
        self.start = nn.Parameter(0.6 * torch.randn(tokens, components, 3))
        self.log_scale = nn.Parameter(torch.full((features,), -1.0)) if features else None

    def encode(self, batch: Batch) -> DiagonalGaussian:
        """q(z | X) for ``x`` [B, N, 3 + F] and ``mask`` [B, N]: mean and std [B, K, channels]."""
        points, mask = self.embed(batch["x"]), batch.get("mask")
        tokens = self.queries.to(points.dtype).expand(len(points), -1, -1)
        for read, think in zip(self.reading, self.thinking, strict=True):
            tokens = think(read(tokens, points, mask))
        mean, raw = self.to_latent(tokens).float().chunk(2, dim=-1)
        # soft limits as of the other modalities: means in (-5, 5), std in (min_std, 1)
        return DiagonalGaussian(5 * torch.tanh(mean / 5), self.min_std + (1 - self.min_std) * torch.sigmoid(raw - 1))

    def decode(self, z: Tensor, mask: Tensor | None = None) -> Likelihood:
        """p(X | z) for z [B, K, channels]; these latents have no mask."""
        return self.decode_to(z, self.points)

    def decode_to(self, z: Tensor, points: int) -> PointMixture:
        """The same with another number of points to draw, more than ever seen too."""
        hidden = self.from_latent(z) + self.places.to(z.dtype)
        for block in self.decoder:
            hidden = block(hidden)
        out = self.head(hidden).float().unflatten(-1, (self.components, 13 + self.features))
        logit, shift, factor, feature = out.split([1, 3, 9, self.features], dim=-1)
        eye = START_SPREAD * torch.eye(3, device=z.device)
        log_weight = logit.flatten(1).log_softmax(dim=1)
        return PointMixture(
            log_weight,
            (self.start + shift).flatten(1, 2),
            0.25 * factor.unflatten(-1, (3, 3)).flatten(1, 2) + eye,
            self.noise,
            points,
            turns(z, 4 + self.features),
            feature.flatten(1, 2) if self.features else None,
            self.log_scale.exp() if self.log_scale is not None else None,
        )
