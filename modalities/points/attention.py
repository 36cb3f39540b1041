"""Attention that stays cheap for many points: to a few queries, or through inducing points."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class CrossAttention(nn.Module):
    """Queries [B, K, width] attend to keys [B, N, width] with a key mask [B, N]; both are normed first.

    Args:
        width: size of a token.
        heads: number of heads; divides the width.

    Raises:
        ValueError: if it does not.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width is {width} and heads is {heads}; the number of heads must divide the width.")
        self.heads = heads
        self.norm_queries, self.norm_keys = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.pair, self.out = nn.Linear(width, width), nn.Linear(width, 2 * width), nn.Linear(width, width)

    def forward(self, queries: Tensor, keys: Tensor, mask: Tensor | None = None) -> Tensor:
        """Shape [B, K, width]; a set without points is attended to as a whole."""
        batch, count, width = queries.shape
        split = (batch, -1, self.heads, width // self.heads)
        key, value = self.pair(self.norm_keys(keys)).chunk(2, dim=-1)
        attend = None if mask is None else (mask | ~mask.any(dim=1, keepdim=True))[:, None, None, :]
        mixed = scaled_dot_product_attention(
            self.query(self.norm_queries(queries)).view(split).transpose(1, 2),
            key.reshape(split).transpose(1, 2),
            value.reshape(split).transpose(1, 2),
            attn_mask=attend,
        )
        return torch.as_tensor(self.out(mixed.transpose(1, 2).reshape(batch, count, width)))


class CrossBlock(nn.Module):
    """x + attention to keys, then x + MLP.

    Args:
        width: size of a token.
        heads: attention heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = CrossAttention(width, heads)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU("tanh"), nn.Linear(2 * width, width)
        )

    def forward(self, queries: Tensor, keys: Tensor, mask: Tensor | None = None) -> Tensor:
        """Queries [B, K, width] under keys [B, N, width] with a mask [B, N]."""
        queries = queries + self.attention(queries, keys, mask)
        return queries + torch.as_tensor(self.mlp(queries))


class InducedBlock(nn.Module):
    """Points attend to points through I inducing ones: 2 N I products in the place of N^2 (Lee et al. 2019, ISAB).

    Permutation-equivariant. Inducing tokens gather the set, points read them.

    Args:
        width: size of a token.
        heads: attention heads.
        inducing: I.
    """

    def __init__(self, width: int, heads: int, inducing: int = 32) -> None:
        super().__init__()
        self.inducing = nn.Parameter(0.5 * torch.randn(inducing, width))
        self.gather, self.read = CrossBlock(width, heads), CrossBlock(width, heads)

    def forward(self, points: Tensor, mask: Tensor | None = None) -> Tensor:
        """Shape [B, N, width] with a mask [B, N]."""
        inducing = self.inducing.to(points.dtype).expand(len(points), -1, -1)
        return torch.as_tensor(self.read(points, self.gather(inducing, points, mask)))


class SelfBlock(CrossBlock):
    """Tokens attend to each other; for few tokens."""

    def forward(self, queries: Tensor, keys: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Shape [B, K, width]; ``keys`` are the queries themselves."""
        return super().forward(queries, queries, mask)


class PointEmbedding(nn.Module):
    """Coordinates as sines of octaves (Mildenhall et al. 2020), further features as they are, through an MLP.

    Args:
        size_in: 3 + F.
        width: size of a token.
        octaves: frequencies 1, 2, 4, ... times pi / 2 over normalised coordinates.
    """

    def __init__(self, size_in: int, width: int, octaves: int = 5) -> None:
        super().__init__()
        self.octaves = octaves
        self.mlp = nn.Sequential(
            nn.Linear(size_in + 6 * octaves, width), nn.GELU("tanh"), nn.Linear(width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """From [B, N, 3 + F] to [B, N, width]."""
        scales = (torch.pi / 2) * 2.0 ** torch.arange(self.octaves, device=x.device, dtype=torch.float32)
        angles = (x[..., :3, None].float() * scales).flatten(-2)
        return torch.as_tensor(self.mlp(torch.cat([x, angles.sin().to(x.dtype), angles.cos().to(x.dtype)], dim=-1)))
