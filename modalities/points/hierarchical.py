"""The hierarchical autoencoder of points: global tokens and a latent for every point, in one set for the prior."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from latentgen.architecture import Architecture
from latentgen.autoencoder import Autoencoder
from latentgen.distributions import DiagonalGaussian, Likelihood
from latentgen.latents import LatentSpec
from latentgen.nn.transformer import Transformer, zero_linear
from latentgen.tensors import Batch, event_sum

from .attention import CrossBlock, InducedBlock, PointEmbedding, SelfBlock


class LaplacePoints:
    r"""Every point has a mean of its own: ln p(X | z) = sum_i sum_c -|x_ic - m_ic| / b_c - ln 2 b_c, nats.

    Args:
        mean: m, shape [B, N, 3 + F].
        scale: b, shape [3 + F].
        mask: True where a point is real, shape [B, N].
    """

    def __init__(self, mean: Tensor, scale: Tensor, mask: Tensor) -> None:
        self.mean, self.scale, self.mask = mean, scale, mask

    def log_prob(self, batch: Batch) -> Tensor:
        """ln p(X | z) in the order of the latents, nats, shape [B]."""
        return event_sum(-(batch["x"] - self.mean).abs() / self.scale - (2 * self.scale).log(), self.mask)

    def sample(self) -> Batch:
        """Means plus noise."""
        return self._batch(torch.distributions.Laplace(self.mean, self.scale).sample())

    def mode(self) -> Batch:
        """The means."""
        return self._batch(self.mean)

    def _batch(self, x: Tensor) -> Batch:
        return {"x": x * self.mask.unsqueeze(-1), "mask": self.mask}


class LatentPointAutoencoder(Autoencoder):
    r"""G global tokens and a latent point for every point (in the spirit of LION, Zeng et al. 2022).

    The latent of point i starts as its own place with a small posterior, and the decoder as the identity, so that
    training begins with a faithful copy and learns what to smooth. Points keep their identity from data to latent to
    reconstruction: a Laplace likelihood needs no matching. Encoder and decoder are permutation-equivariant, and mix
    points through inducing ones, at N I products.

    Args:
        points: N, the most points of a set.
        features: F, numbers of a point beside its place.
        tokens: G.
        channels: size of a latent, at least 3 + F.
        width: of all networks.
        depth: induced blocks of encoder and of decoder.
        heads: attention heads.
        inducing: I.
        min_std: least standard deviation of the posterior, latent units.

    Raises:
        ValueError: if a latent is too small for a point.
    """

    def __init__(
        self,
        points: int,
        features: int = 0,
        tokens: int = 8,
        channels: int = 4,
        width: int = 96,
        depth: int = 2,
        heads: int = 4,
        inducing: int = 32,
        min_std: float = 0.01,
    ) -> None:
        super().__init__()
        size = 3 + features
        if channels < size:
            raise ValueError(f"channels is {channels} for points of {size} numbers; give at least {size}.")
        self.points, self.size, self.tokens, self.channels, self.min_std = points, size, tokens, channels, min_std
        self.embed = PointEmbedding(size, width)
        self.queries = nn.Parameter(0.5 * torch.randn(tokens, width))
        self.encoder = nn.ModuleList(InducedBlock(width, heads, inducing) for _ in range(depth))
        self.reading, self.thinking = CrossBlock(width, heads), SelfBlock(width, heads)
        self.to_point, self.to_global = zero_linear(width, 2 * channels), nn.Linear(width, 2 * channels)
        self.from_point = PointEmbedding(channels, width)
        self.from_global, self.places = nn.Linear(channels, width), nn.Parameter(0.5 * torch.randn(tokens, width))
        self.decoder = nn.ModuleList(InducedBlock(width, heads, inducing) for _ in range(depth))
        self.readers = nn.ModuleList(CrossBlock(width, heads) for _ in range(depth))
        self.out = zero_linear(width, size)
        self.log_scale = nn.Parameter(torch.full((size,), -2.0))

    def encode(self, batch: Batch) -> DiagonalGaussian:
        """q(z | X) for ``x`` [B, N, 3 + F] and ``mask`` [B, N]: mean and std [B, G + N, channels]."""
        x, mask = batch["x"], batch["mask"]
        hidden = self.embed(x)
        for block in self.encoder:
            hidden = block(hidden, mask)
        tokens = self.queries.to(hidden.dtype).expand(len(x), -1, -1)
        tokens = self.thinking(self.reading(tokens, hidden, mask))
        shift, raw_point = self.to_point(hidden).float().chunk(2, dim=-1)
        mean_global, raw_global = self.to_global(tokens).float().chunk(2, dim=-1)
        place = nn.functional.pad(x.float(), (0, self.channels - self.size))
        mean = torch.cat([5 * torch.tanh(mean_global / 5), place + shift], dim=1)
        # points start certain (std about .07), global tokens not
        raw = torch.cat([raw_global - 1, raw_point - 2.75], dim=1)
        seen = torch.cat([mask.new_ones(len(x), self.tokens), mask], dim=1)
        return DiagonalGaussian(mean, self.min_std + (1 - self.min_std) * torch.sigmoid(raw), seen)

    def decode(self, z: Tensor, mask: Tensor | None = None) -> Likelihood:
        """p(X | z) for z [B, G + N, channels] and its mask."""
        seen = z.new_ones(z.shape[:2], dtype=torch.bool) if mask is None else mask
        context = self.from_global(z[:, : self.tokens]) + self.places.to(z.dtype)
        points, real = z[:, self.tokens :], seen[:, self.tokens :]
        hidden = self.from_point(points)
        for block, reader in zip(self.decoder, self.readers, strict=True):
            hidden = block(reader(hidden, context), real)
        mean = points[..., : self.size].float() + self.out(hidden).float()
        return LaplacePoints(mean, self.log_scale.exp().clamp_min(1e-3), real)


class PointTransformer(Transformer):
    """The shared transformer for a set whose first G tokens have roles, and whose other tokens have none.

    Args:
        latents: a set.
        tokens: G.
        options: further arguments of :class:`Transformer`.
    """

    def __init__(self, latents: LatentSpec, tokens: int, **options: int | float | bool) -> None:
        super().__init__(latents, **options)  # type: ignore[arg-type]
        self.tokens, self.items = tokens, latents.shape[0]
        self.roles = nn.Parameter(0.5 * torch.randn(tokens, self.embed.out_features))

    @property
    def positions(self) -> Tensor:
        """The roles of the first G tokens, zero for points, shape [N, width]."""
        return nn.functional.pad(self.roles, (0, 0, 0, self.items - self.tokens))

    @positions.setter
    def positions(self, value: Tensor | None) -> None:
        """A set's own table of positions is None."""


class PointArchitecture(Architecture):
    """The prior's network for the hierarchical autoencoder: it tells global tokens from points.

    Args:
        tokens: G, the number of global tokens of the autoencoder.
        width: size of a token.
        depth: number of blocks.
        heads: attention heads.
        expansion: hidden width of a block over ``width``.
    """

    def __init__(self, tokens: int = 8, width: int = 128, depth: int = 4, heads: int = 4, expansion: int = 2) -> None:
        self.tokens, self.width, self.depth, self.heads, self.expansion = tokens, width, depth, heads, expansion

    def network(
        self, latents: LatentSpec, condition_dim: int = 0, self_condition: bool = False, style_dim: int = 0
    ) -> nn.Module:
        """A :class:`PointTransformer`.

        Raises:
            ValueError: if the latent is no set.
        """
        if latents.layout != "set":
            raise ValueError(f"layout is {latents.layout!r}; this network is for sets of global tokens and points.")
        return PointTransformer(
            latents, self.tokens, width=self.width, depth=self.depth, heads=self.heads, condition_dim=condition_dim,
            expansion=self.expansion, self_condition=self_condition, style_dim=style_dim,
        )
