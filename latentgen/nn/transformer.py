"""The score network that every modality shares: a diffusion transformer over a masked set of latent tokens."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from ..component import Component
from ..latents import LatentSpec
from .embedding import SinusoidalEmbedding, grid_positions
from .mlp import MLP


class Attention(nn.Module):
    """Multi-head self-attention over tokens [B, K, width] with a key mask [B, K].

    Args:
        width: size of a token.
        heads: number of heads; divides the width.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width is {width} and heads is {heads}; the number of heads must divide the width.")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor, attend: Tensor | None = None) -> Tensor:
        """Attend; ``attend`` broadcasts to [B, heads, K, K] (True or additive), None means to every token."""
        batch, count, width = tokens.shape
        qkv = self.qkv(tokens).view(batch, count, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = scaled_dot_product_attention(query, key, value, attn_mask=attend)
        return torch.as_tensor(self.out(mixed.transpose(1, 2).reshape(batch, count, width)))


class Block(nn.Module):
    """Attention and MLP, each with a norm that is shifted, scaled and gated by the condition (adaLN-Zero).

    Peebles and Xie 2023, Section 3.2: a block starts as the identity, since its gates start at zero.

    Args:
        width: size of a token.
        heads: number of attention heads.
        expansion: width of the hidden layer over ``width``.
        dropout: share of the residual branches' outputs set to zero in training.
    """

    def __init__(self, width: int, heads: int, expansion: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, expansion * width), nn.GELU("tanh"), nn.Linear(expansion * width, width)
        )
        self.modulation = zero_linear(width, 6 * width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, condition: Tensor, attend: Tensor | None) -> Tensor:
        """Update tokens [B, K, width] under a condition [B, width]."""
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.modulation(condition).unsqueeze(1).chunk(6, -1)
        hidden = torch.addcmul(shift_a, _norm(tokens), 1 + scale_a)
        tokens = torch.addcmul(tokens, gate_a, self.dropout(self.attention(hidden, attend)))
        hidden = torch.addcmul(shift_m, _norm(tokens), 1 + scale_m)
        return torch.addcmul(tokens, gate_m, self.dropout(self.mlp(hidden)))


def zero_linear(size_in: int, size_out: int) -> nn.Linear:
    """A linear layer that starts at zero: a gate or an output. Marked, so that Muon leaves it to AdamW."""
    layer = nn.Linear(size_in, size_out)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    layer.weight.is_gate = True  # type: ignore[attr-defined]
    return layer


def _norm(tokens: Tensor) -> Tensor:
    return nn.functional.layer_norm(tokens, tokens.shape[-1:])


def attention_mask(mask: Tensor | None) -> Tensor | None:
    """Key mask [B, 1, 1, K] from a token mask [B, K]; an empty sample attends to everything instead of to nothing."""
    if mask is None:
        return None
    return (mask | ~mask.any(dim=1, keepdim=True))[:, None, None, :]


class Transformer(Component, nn.Module):
    """Diffusion transformer F(z, lambda, mask, condition) over latent tokens, for every layout.

    A set or a sequence [B, N, d] is N tokens, a vector [B, d] is one token, a grid [B, C, *S] is cut into patches. A
    sequence without masks can be as well: ``patch`` neighbours are one token then, and a call costs that much less.
    Positions are known to sequences and grids alone, so that on a set the network is permutation-equivariant.
    The number of real tokens conditions the network, as does the log-SNR lambda and, where there is one, a
    condition vector (NaN entries mean "no condition", as classifier-free guidance needs). The output starts at zero.

    Args:
        latents: what the latent looks like.
        width: size of a token.
        depth: number of blocks.
        heads: number of attention heads.
        patch: edge of a grid's patch, in latent cells, or neighbours of a sequence in one token; divides every spatial
            size, or the sequence's length.
        condition_dim: size F of the condition vector, 0 for none.
        dropout: share of residual outputs set to zero in training.
        expansion: width of a block's hidden layer over ``width``.
        self_condition: whether the network also takes an earlier prediction of z_0 (Chen, Zhang, Hinton 2023).
        style_dim: size of the style vector of a generator's mapping network, 0 for none.

    Raises:
        ValueError: if a size is too small, or the patch does not divide what it cuts, or is not 1 for a latent that is
            not cut.
    """

    positions: Tensor | None

    def __init__(
        self,
        latents: LatentSpec,
        width: int = 128,
        depth: int = 6,
        heads: int = 4,
        patch: int = 1,
        condition_dim: int = 0,
        dropout: float = 0.0,
        expansion: int = 4,
        self_condition: bool = False,
        style_dim: int = 0,
    ) -> None:
        super().__init__()
        if width < 1 or heads < 1 or depth < 0:
            raise ValueError(f"width is {width}, depth {depth}, heads {heads}; give 1 or more (depth: 0).")
        self.self_condition, self.style_dim = self_condition, style_dim
        self.latents, self.patch, self.condition_dim = latents, patch, condition_dim
        self.token_size = latents.channels
        positions = self._positions(latents, width)
        self.register_buffer("positions", positions, persistent=False)
        self.embed = nn.Linear(self.token_size, width)
        if self_condition:
            self.embed_previous = zero_linear(self.token_size, width)
        self.embed_log_snr = nn.Sequential(SinusoidalEmbedding(64, 1.0, 100.0), MLP(64, width, width))
        if latents.masked:
            self.embed_count = nn.Sequential(SinusoidalEmbedding(64, 4.0, 4.0 * latents.shape[0]), nn.Linear(64, width))
        if condition_dim:
            self.embed_condition = MLP(condition_dim, width, width)
            self.no_condition = nn.Parameter(torch.zeros(width))
        if style_dim:
            self.embed_style = nn.Linear(style_dim, width)
        self.blocks = nn.ModuleList(Block(width, heads, expansion, dropout) for _ in range(depth))
        self.final = zero_linear(width, 2 * width)
        self.out = zero_linear(width, self.token_size)

    def _positions(self, latents: LatentSpec, width: int) -> Tensor | None:
        spatial = {"grid": latents.shape[1:], "sequence": latents.shape[:1]}.get(latents.layout, ())
        if self.patch != 1 and (not spatial or latents.masked):
            kind = "masked " + latents.layout if latents.masked else latents.layout
            raise ValueError(f"patch is {self.patch} for a {kind}; only a grid or a sequence without masks is cut.")
        if not spatial:
            return None
        if any(size % self.patch for size in spatial):
            raise ValueError(
                f"patch is {self.patch} for a {latents.layout} of size {spatial}; it must divide every size."
            )
        self.token_size = latents.channels * self.patch ** len(spatial)
        return grid_positions(tuple(size // self.patch for size in spatial), width)

    def forward(
        self,
        z: Tensor,
        log_snr: Tensor,
        mask: Tensor | None = None,
        condition: Tensor | None = None,
        previous: Tensor | None = None,
        style: Tensor | None = None,
    ) -> Tensor:
        """Map noisy latents to an output of the same shape.

        Args:
            z: noisy latent, shape [B, *E], of about unit variance.
            log_snr: lambda, shape [B].
            mask: True where a token is real, shape [B, N], or None.
            condition: shape [B, F] or None; a row with NaN counts as no condition.
            previous: earlier prediction of z_0, shape [B, *E], or None; needs ``self_condition``.
            style: shape [B, style_dim], for a network built with it.

        Returns:
            Shape [B, *E]; zero at masked tokens.
        """
        tokens = self.embed(self._tokens(z))
        if previous is not None:
            tokens = tokens + self.embed_previous(self._tokens(previous))
        if self.positions is not None:
            tokens = tokens + self.positions[: tokens.shape[1]].to(tokens.dtype)
        context = self._context(tokens, log_snr, mask, condition)
        if style is not None:
            context = context + self.embed_style(style).to(context.dtype)
        context = nn.functional.silu(context)
        attend = attention_mask(mask)
        for block in self.blocks:
            tokens = block(tokens, context, attend)
        shift, scale = self.final(context).unsqueeze(1).chunk(2, dim=-1)
        out = self._untokens(self.out(torch.addcmul(shift, _norm(tokens), 1 + scale)), z)
        return out if mask is None else out * mask.unsqueeze(-1).to(out.dtype)

    def _context(self, tokens: Tensor, log_snr: Tensor, mask: Tensor | None, condition: Tensor | None) -> Tensor:
        context: Tensor = self.embed_log_snr(log_snr)
        if self.latents.masked:
            full = torch.full_like(log_snr, tokens.shape[1])
            context = context + self.embed_count(full if mask is None else mask.sum(dim=1))
        if self.condition_dim:
            context = context + self._embedded_condition(condition, len(log_snr))
        elif condition is not None:
            raise ValueError(
                f"condition has shape {tuple(condition.shape)} but the network was built without one; "
                "build it with condition_dim or leave the condition out."
            )
        return context.to(tokens.dtype)

    def _embedded_condition(self, condition: Tensor | None, batch: int) -> Tensor:
        if condition is None:
            return self.no_condition.expand(batch, -1)
        absent = condition.isnan().any(dim=1, keepdim=True)
        return torch.where(absent, self.no_condition, self.embed_condition(condition.nan_to_num()))

    def _tokens(self, z: Tensor) -> Tensor:
        if z.shape[1:] != self.latents.shape and not (self.latents.masked and z.shape[2:] == self.latents.shape[1:]):
            raise ValueError(f"z has event shape {tuple(z.shape[1:])}; the network was built for {self.latents.shape}.")
        if self.latents.layout == "vector":
            return z.unsqueeze(1)
        if self.latents.layout != "grid":
            return z if self.patch == 1 else z.reshape(len(z), -1, self.token_size)
        axes = len(self.latents.shape) - 1
        split = z.reshape(z.shape[0], z.shape[1], *(n for s in z.shape[2:] for n in (s // self.patch, self.patch)))
        outer, inner = [2 + 2 * i for i in range(axes)], [3 + 2 * i for i in range(axes)]
        return split.permute(0, *outer, 1, *inner).reshape(z.shape[0], -1, self.token_size)

    def _untokens(self, tokens: Tensor, z: Tensor) -> Tensor:
        if self.latents.layout == "vector":
            return tokens.squeeze(1)
        if self.latents.layout != "grid":
            return tokens.reshape(z.shape)
        axes = len(self.latents.shape) - 1
        counts = [size // self.patch for size in z.shape[2:]]
        split = tokens.reshape(z.shape[0], *counts, z.shape[1], *([self.patch] * axes))
        order = [0, 1 + axes, *(n for i in range(axes) for n in (1 + i, 2 + axes + i))]
        return split.permute(*order).reshape(z.shape)


def parameter_count(module: nn.Module) -> int:
    """Number of trainable numbers in a module."""
    return sum(math.prod(parameter.shape) for parameter in module.parameters() if parameter.requires_grad)
