"""A Perceiver resampler: a fixed number of tokens that read a sequence of any length."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class CrossAttention(nn.Module):
    """Queries [B, K, width] attend to keys [B, M, width] with a key mask [B, M].

    Args:
        width: size of a token.
        heads: number of heads; divides the width.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width is {width} and heads is {heads}; the number of heads must divide the width.")
        self.heads = heads
        self.query, self.pair = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, queries: Tensor, keys: Tensor, mask: Tensor | None) -> Tensor:
        """Shape [B, K, width]; at least one key of every sample must be unmasked."""
        batch, count, width = queries.shape
        split = (batch, -1, self.heads, width // self.heads)
        key, value = self.pair(keys).chunk(2, dim=-1)
        attend = None if mask is None else mask[:, None, None, :]
        mixed = scaled_dot_product_attention(
            self.query(queries).view(split).transpose(1, 2),
            key.reshape(split).transpose(1, 2),
            value.reshape(split).transpose(1, 2),
            attn_mask=attend,
        )
        return torch.as_tensor(self.out(mixed.transpose(1, 2).reshape(batch, count, width)))


class Resampler(nn.Module):
    """Learned queries that attend to a sequence and to themselves, layer after layer (Jaegle et al. 2021).

    Args:
        size_in: size of the sequence's tokens.
        tokens: K, the number of queries.
        width: size of a query.
        depth: number of layers.
        heads: attention heads.
    """

    def __init__(self, size_in: int, tokens: int, width: int, depth: int = 2, heads: int = 4) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(tokens, width) * 0.5)
        self.embed = nn.Linear(size_in, width)
        self.attention = nn.ModuleList(CrossAttention(width, heads) for _ in range(depth))
        self.mlp = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
            for _ in range(depth)
        )
        self.norm_query = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
        self.norm_keys, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, sequence: Tensor, mask: Tensor) -> Tensor:
        """Read a sequence.

        Args:
            sequence: shape [B, M, size_in].
            mask: True where a token is real, shape [B, M].

        Returns:
            Shape [B, K, width].
        """
        batch = len(sequence)
        keys = self.norm_keys(self.embed(sequence))
        queries = self.queries.to(keys.dtype).expand(batch, -1, -1)
        seen = torch.cat([mask, mask.new_ones(batch, len(self.queries))], dim=1)
        for attention, mlp, norm in zip(self.attention, self.mlp, self.norm_query, strict=True):
            normed = norm(queries)
            queries = queries + attention(normed, torch.cat([keys, normed], dim=1), seen)
            queries = queries + mlp(queries)
        return torch.as_tensor(self.norm(queries))
