r"""Time-conditional discriminators of pairs (z_s, z_t): they tell draws of q(z_s | z_t) from the generator's.

Neither has a layer that mixes samples (unless minibatch statistics are asked for), so that a batch split over
processes gives the same gradients as the joined one.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..component import Component
from ..latents import LatentSpec
from ..tensors import over
from .embedding import SinusoidalEmbedding, grid_positions
from .mlp import MLP
from .transformer import Block, attention_mask

CONVOLUTIONS: dict[int, type[nn.Conv1d | nn.Conv2d | nn.Conv3d]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
POOLS: dict[int, type[nn.AvgPool1d | nn.AvgPool2d | nn.AvgPool3d]] = {
    1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d,
}
"""By the number of spatial axes."""


class TokenDiscriminator(Component, nn.Module):
    """A transformer over the pair's tokens with a class token, for vectors, sets and sequences with masks.

    The logit is read from the class token and from the mean over real tokens. Layer norms act within a token.

    Args:
        latents: what the latent looks like; a vector is one token.
        width: size of a token.
        depth: number of blocks.
        heads: number of attention heads.
        condition_dim: size F of the condition vector, 0 for none; NaN rows mean "no condition".
        expansion: width of a block's hidden layer over ``width``.
    """

    positions: Tensor | None

    def __init__(
        self,
        latents: LatentSpec,
        width: int = 128,
        depth: int = 3,
        heads: int = 4,
        condition_dim: int = 0,
        expansion: int = 2,
    ) -> None:
        super().__init__()
        if latents.layout == "grid":
            raise ValueError("latents has layout 'grid'; TokenDiscriminator takes the others, use GridDiscriminator.")
        self.latents, self.condition_dim = latents, condition_dim
        positions = grid_positions(latents.shape[:1], width) if latents.layout == "sequence" else None
        self.register_buffer("positions", positions, persistent=False)
        self.embed = nn.Linear(2 * latents.channels, width)
        self.first = nn.Parameter(torch.randn(width) / math.sqrt(width))
        self.embed_log_snr = nn.Sequential(SinusoidalEmbedding(64, 1.0, 100.0), MLP(64, width, width))
        if latents.masked:
            self.embed_count = nn.Sequential(SinusoidalEmbedding(64, 4.0, 4.0 * latents.shape[0]), nn.Linear(64, width))
        if condition_dim:
            self.embed_condition = MLP(condition_dim, width, width)
        self.blocks = nn.ModuleList(_open(Block(width, heads, expansion)) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(2 * width, 1)

    def forward(
        self, z_s: Tensor, z_t: Tensor, log_snr: Tensor, mask: Tensor | None = None, condition: Tensor | None = None
    ) -> Tensor:
        """Logit of "z_s is real", shape [B].

        Args:
            z_s: the earlier, cleaner latent, shape [B, *E].
            z_t: the later latent, shape [B, *E].
            log_snr: lambda at t, shape [B].
            mask: True where a token is real, shape [B, N], or None.
            condition: shape [B, F] or None.
        """
        pair = torch.cat([z_s, z_t], dim=-1)
        tokens = self.embed(pair.unsqueeze(1) if self.latents.layout == "vector" else pair)
        if self.positions is not None:
            tokens = tokens + self.positions[: tokens.shape[1]].to(tokens.dtype)
        real = mask if mask is not None else torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        context = nn.functional.silu(self._context(log_snr, real, condition).to(tokens.dtype))
        tokens = torch.cat([self.first.to(tokens.dtype).expand(len(tokens), 1, -1), tokens], dim=1)
        attend = None if mask is None else attention_mask(torch.cat([torch.ones_like(mask[:, :1]), mask], dim=1))
        with sdpa_kernel(SDPBackend.MATH):  # the gradient penalty differentiates twice, which fused attention cannot
            for block in self.blocks:
                tokens = block(tokens, context, attend)
        tokens = self.norm(tokens)
        share = (real / real.sum(dim=1, keepdim=True).clamp_min(1)).unsqueeze(-1).to(tokens.dtype)
        pooled = torch.cat([tokens[:, 0], (tokens[:, 1:] * share).sum(dim=1)], dim=-1)
        logit: Tensor = self.out(pooled).squeeze(-1)
        return logit

    def _context(self, log_snr: Tensor, real: Tensor, condition: Tensor | None) -> Tensor:
        context: Tensor = self.embed_log_snr(log_snr)
        if self.latents.masked:
            context = context + self.embed_count(real.sum(dim=1))
        if self.condition_dim and condition is not None:
            context = context + _where_given(condition, self.embed_condition(condition.nan_to_num()))
        return context


def _where_given(condition: Tensor, embedded: Tensor) -> Tensor:
    """The embedding, zero in rows whose condition [B, F] has a NaN: no condition there."""
    return embedded * ~condition.isnan().any(dim=1, keepdim=True)


def _open(block: Block) -> Block:
    """A block whose branches take part from the start: gates of 1."""
    nn.init.normal_(block.modulation.weight, std=0.02)
    block.modulation.bias.data.view(6, -1)[[2, 5]] = 1.0
    return block


class GridDiscriminator(Component, nn.Module):
    """Residual convolutions on the pair's channels, with the time added in every block (Xiao et al. 2022, appendix).

    No normalisation. Each block but those at spatial size 1 halves the grid by averaging; the last grid is summed.

    Args:
        latents: what the latent looks like; layout "grid" with one, two or three spatial axes.
        width: channels of the first block; they double up to ``largest``.
        depth: number of blocks.
        largest: most channels of a block.
        condition_dim: size F of the condition vector, 0 for none; NaN rows mean "no condition".
        group: samples whose standard deviation is given to the last block (minibatch standard deviation, Karras et al.
            2018); 0 is without, so that samples stay independent.
    """

    def __init__(
        self,
        latents: LatentSpec,
        width: int = 64,
        depth: int = 3,
        largest: int = 256,
        condition_dim: int = 0,
        group: int = 0,
    ) -> None:
        super().__init__()
        axes = len(latents.shape) - 1
        if latents.layout != "grid" or axes > 3:
            raise ValueError(f"latents is {latents}; GridDiscriminator takes a grid (C, *S) of at most 3 spatial axes.")
        self.latents, self.group, self.condition_dim = latents, group, condition_dim
        self.embed_log_snr = nn.Sequential(SinusoidalEmbedding(64, 1.0, 100.0), MLP(64, 2 * width, 2 * width))
        if condition_dim:
            self.embed_condition = MLP(condition_dim, 2 * width, 2 * width)
        self.stem = CONVOLUTIONS[axes](2 * latents.channels, width, 3, padding=1)
        sizes = [min(width * 2**number, largest) for number in range(depth + 1)]
        self.blocks = nn.ModuleList(_DownBlock(a, b, 2 * width, axes) for a, b in itertools.pairwise(sizes))
        self.last = CONVOLUTIONS[axes](sizes[-1] + (1 if group else 0), sizes[-1], 3, padding=1)
        self.out = nn.Linear(sizes[-1], 1)

    def forward(
        self, z_s: Tensor, z_t: Tensor, log_snr: Tensor, mask: Tensor | None = None, condition: Tensor | None = None
    ) -> Tensor:
        """Logit of "z_s is real", shape [B]; see :class:`TokenDiscriminator`. Grids have no mask."""
        context = self.embed_log_snr(log_snr)
        if self.condition_dim and condition is not None:
            context = context + _where_given(condition, self.embed_condition(condition.nan_to_num()))
        context = nn.functional.silu(context.to(z_s.dtype))
        hidden = self.stem(torch.cat([z_s, z_t], dim=1))
        for block in self.blocks:
            hidden = block(hidden, context)
        if self.group:
            hidden = torch.cat([hidden, minibatch_std(hidden, self.group)], dim=1)
        hidden = nn.functional.leaky_relu(self.last(nn.functional.leaky_relu(hidden, 0.2)), 0.2)
        logit: Tensor = self.out(hidden.flatten(2).sum(dim=2)).squeeze(-1)
        return logit


class _DownBlock(nn.Module):
    def __init__(self, size_in: int, size_out: int, context: int, axes: int) -> None:
        super().__init__()
        convolution = CONVOLUTIONS[axes]
        self.first = convolution(size_in, size_out, 3, padding=1)
        self.time = nn.Linear(context, size_out)
        self.second = convolution(size_out, size_out, 3, padding=1)
        self.skip = convolution(size_in, size_out, 1, bias=False)
        self.halve = POOLS[axes](2, ceil_mode=True)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        hidden = self.first(nn.functional.leaky_relu(x, 0.2))
        hidden = hidden + self.time(context).reshape(*hidden.shape[:2], *([1] * (x.dim() - 2)))
        hidden, skip = self.second(nn.functional.leaky_relu(hidden, 0.2)), self.skip(x)
        total: Tensor = (hidden + skip) / math.sqrt(2)
        return self.halve(total) if min(total.shape[2:]) > 1 else total


def minibatch_std(x: Tensor, group: int) -> Tensor:
    """Standard deviation over groups of samples, averaged over channels and cells, shape [B, 1, *S]."""
    size = math.gcd(len(x), group) if len(x) % group else group
    groups = x.reshape(size, -1, *x.shape[1:])
    std = (groups.var(dim=0, unbiased=False) + 1e-8).sqrt().flatten(1).mean(dim=1)
    return over(std.repeat(size), x).expand(-1, 1, *x.shape[2:])
