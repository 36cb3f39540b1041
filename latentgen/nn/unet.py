"""A U-Net for grids, in latent or pixel space: the family of DDPM++ and NCSN++ (Song et al. 2021)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, scaled_dot_product_attention, silu

from ..component import Component
from ..latents import LatentSpec
from .embedding import SinusoidalEmbedding
from .mlp import MLP

LARGEST_GROUPS = 32
CHANNELS_A_GROUP = 4
FAINT = 0.1


class AdaptiveGroupNorm(nn.Module):
    """Group norm whose scale and shift come from a context vector, and from a style vector where there is one.

    min(C / 4, 32) groups, as in DDPM++ and the denoising diffusion GAN (Xiao et al. 2022); statistics are those of a
    sample alone.

    Args:
        channels: C.
        context_dim: size of the context; 0 for none.
        style_dim: size of the style; 0 for none.
    """

    def __init__(self, channels: int, context_dim: int = 0, style_dim: int = 0) -> None:
        super().__init__()
        self.groups = _groups(channels)
        self.from_context = _modulation(context_dim, channels) if context_dim else None
        self.from_style = _modulation(style_dim, channels) if style_dim else None
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, context: Tensor | None = None, style: Tensor | None = None) -> Tensor:
        """Normalise and modulate x [B, C, H, W]; a missing style changes nothing."""
        normed = nn.functional.group_norm(x, self.groups, self.weight, self.bias)
        given = ((self.from_context, context), (self.from_style, style))
        changes = [layer(vector.to(x.dtype)) for layer, vector in given if layer is not None and vector is not None]
        if not changes:
            return normed
        scale, shift = torch.stack(changes).sum(dim=0)[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(shift, normed, 1 + scale)


class ResidualBlock(nn.Module):
    """(x + branch(x)) / sqrt(2): two convolutions, each behind a group norm and SiLU; the second starts small.

    Args:
        size_in: channels before.
        size_out: channels after.
        context_dim: size of the context.
        style_dim: size of the style; 0 for none.
        dropout: share of the branch set to zero in training.
    """

    def __init__(self, size_in: int, size_out: int, context_dim: int, style_dim: int, dropout: float) -> None:
        super().__init__()
        self.norm_in = AdaptiveGroupNorm(size_in, 0, style_dim)
        self.first = nn.Conv2d(size_in, size_out, 3, padding=1)
        self.norm_out = AdaptiveGroupNorm(size_out, context_dim, style_dim)
        self.dropout = nn.Dropout(dropout)
        self.second = _scaled(nn.Conv2d(size_out, size_out, 3, padding=1), FAINT)
        self.skip = nn.Conv2d(size_in, size_out, 1) if size_in != size_out else nn.Identity()

    def forward(self, x: Tensor, context: Tensor, style: Tensor | None) -> Tensor:
        """From [B, size_in, H, W] to [B, size_out, H, W]."""
        hidden = self.first(silu(self.norm_in(x, None, style)))
        hidden = self.second(self.dropout(silu(self.norm_out(hidden, context, style))))
        return torch.as_tensor((self.skip(x) + hidden) * math.sqrt(0.5))


class GridAttention(nn.Module):
    """(x + attention(x)) / sqrt(2) over all cells of a grid.

    Args:
        channels: of the grid.
        heads: number of heads; divides the channels.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = math.gcd(channels, heads)
        self.norm = nn.GroupNorm(_groups(channels), channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = _scaled(nn.Conv2d(channels, channels, 1), FAINT)

    def forward(self, x: Tensor) -> Tensor:
        """Shape [B, C, H, W]."""
        batch, channels, height, width = x.shape
        qkv = self.qkv(self.norm(x)).reshape(batch, 3, self.heads, channels // self.heads, height * width)
        query, key, value = qkv.transpose(-1, -2).contiguous().unbind(1)  # fused attention takes no other strides
        mixed = scaled_dot_product_attention(query, key, value).transpose(-1, -2).reshape(x.shape)
        return torch.as_tensor((x + self.out(mixed)) * math.sqrt(0.5))


class UNet(Component, nn.Module):
    """F(z, lambda, mask, condition, previous, style) for grids [B, C, H, W] of any size; called like ``Transformer``.

    Residual blocks at every resolution, halved (rounding up) by strided convolutions and doubled by repetition, with
    connections across; skips are divided by sqrt(2). The log-SNR (and the condition) modulate the second norm of every
    block, a style vector both. No layer mixes samples. The output starts at zero.

    Args:
        latents: what the latent looks like; layout "grid" with two spatial axes.
        width: channels at full resolution.
        multipliers: channels at each resolution, over ``width``; their number is that of resolutions.
        depth: residual blocks at each resolution (one more on the way up).
        attention: resolutions, as edges of the shorter side, at which blocks are followed by attention; the middle of
            the network has it always.
        heads: attention heads.
        condition_dim: size F of the condition vector, 0 for none; a row with NaN counts as no condition.
        dropout: share of residual branches set to zero in training.
        self_condition: whether the network also takes an earlier prediction of z_0.
        style_dim: size of the style vector of a generator's mapping network, 0 for none.
    """

    def __init__(
        self,
        latents: LatentSpec,
        width: int = 64,
        multipliers: Sequence[int] = (1, 2, 2),
        depth: int = 2,
        attention: Sequence[int] = (16,),
        heads: int = 4,
        condition_dim: int = 0,
        dropout: float = 0.0,
        self_condition: bool = False,
        style_dim: int = 0,
    ) -> None:
        super().__init__()
        if latents.layout != "grid" or len(latents.shape) != 3:
            raise ValueError(f"latents is {latents}; UNet takes a grid (C, H, W), use a transformer.")
        if width % CHANNELS_A_GROUP or not multipliers:
            raise ValueError(f"width is {width} with multipliers {multipliers}; give a multiple of 4 and one or more.")
        self.latents, self.condition_dim = latents, condition_dim
        self.self_condition, self.style_dim, self.depth = self_condition, style_dim, depth
        context, channels = 4 * width, latents.channels
        self.embed_log_snr = nn.Sequential(SinusoidalEmbedding(64, 1.0, 100.0), MLP(64, context, context))
        if condition_dim:
            self.embed_condition = MLP(condition_dim, context, context)
            self.no_condition = nn.Parameter(torch.zeros(context))
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        if self_condition:
            self.embed_previous = _scaled(nn.Conv2d(channels, width, 3, padding=1), 0.0)
        self._context_dim, self._heads, self._dropout = context, heads, dropout
        widths = [width * multiplier for multiplier in multipliers]
        edges = [-(-min(latents.shape[1:]) // 2**number) for number in range(len(widths))]
        self._build_down(widths, [edge in tuple(attention) for edge in edges])
        self.middle = nn.ModuleList([self._block(widths[-1], widths[-1]) for _ in range(2)])
        self.middle_attention = GridAttention(widths[-1], heads)
        self._build_up(widths, [edge in tuple(attention) for edge in edges])
        self.norm = AdaptiveGroupNorm(width, context, style_dim)
        self.out = _scaled(nn.Conv2d(width, channels, 3, padding=1), 0.0)

    def _block(self, size_in: int, size_out: int) -> ResidualBlock:
        return ResidualBlock(size_in, size_out, self._context_dim, self.style_dim, self._dropout)

    def _attention(self, channels: int, wanted: bool) -> nn.Module:
        return GridAttention(channels, self._heads) if wanted else nn.Identity()

    def _build_down(self, widths: list[int], attended: list[bool]) -> None:
        self.down, self.down_attention, self.smaller = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        self._kept = [widths[0]]
        size = widths[0]
        for number, (width, wanted) in enumerate(zip(widths, attended, strict=True)):
            for _ in range(self.depth):
                self.down.append(self._block(size, width))
                self.down_attention.append(self._attention(width, wanted))
                size = width
                self._kept.append(size)
            if number < len(widths) - 1:
                self.smaller.append(nn.Conv2d(size, size, 3, stride=2, padding=1))
                self._kept.append(size)

    def _build_up(self, widths: list[int], attended: list[bool]) -> None:
        self.up, self.up_attention, self.larger = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        size, kept = widths[-1], list(self._kept)
        for number, (width, wanted) in reversed(list(enumerate(zip(widths, attended, strict=True)))):
            for _ in range(self.depth + 1):
                self.up.append(self._block(size + kept.pop(), width))
                self.up_attention.append(self._attention(width, wanted))
                size = width
            if number:  # narrows before the blocks of the larger grid, where channels cost four times as much
                self.larger.append(nn.Conv2d(size, widths[number - 1], 3, padding=1))
                size = widths[number - 1]

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
            z: noisy latent, shape [B, C, H, W], of about unit variance.
            log_snr: lambda, shape [B].
            mask: None; grids have no mask.
            condition: shape [B, F] or None; a row with NaN counts as no condition.
            previous: earlier prediction of z_0, shape [B, C, H, W], or None; needs ``self_condition``.
            style: shape [B, style_dim], for a network built with it.

        Returns:
            Shape [B, C, H, W].
        """
        if z.shape[1:] != self.latents.shape:
            raise ValueError(f"z has event shape {tuple(z.shape[1:])}; the network was built for {self.latents.shape}.")
        context = silu(self._context(log_snr, condition).to(z.dtype))
        hidden = self.first(z)
        if self.training and not (hidden.device.type == "cpu" and hidden.dtype == torch.bfloat16):
            # convolutions' backward passes are faster so (measured), but not those in bf16 on a CPU
            hidden = hidden.contiguous(memory_format=torch.channels_last)
        if previous is not None:
            hidden = hidden + self.embed_previous(previous)
        kept = self._descend(hidden, context, style)
        hidden = self.middle_attention(self.middle[0](kept[-1], context, style))
        hidden = self._ascend(self.middle[1](hidden, context, style), kept, context, style)
        return torch.as_tensor(self.out(silu(self.norm(hidden, context, style))))

    def _context(self, log_snr: Tensor, condition: Tensor | None) -> Tensor:
        context: Tensor = self.embed_log_snr(log_snr)
        if not self.condition_dim and condition is not None:
            raise ValueError(
                f"condition has shape {tuple(condition.shape)} but the network was built without one; "
                "build it with condition_dim or leave the condition out."
            )
        if not self.condition_dim:
            return context
        if condition is None:
            return context + self.no_condition
        absent = condition.isnan().any(dim=1, keepdim=True)
        return context + torch.where(absent, self.no_condition, self.embed_condition(condition.nan_to_num()))

    def _descend(self, hidden: Tensor, context: Tensor, style: Tensor | None) -> list[Tensor]:
        """All grids on the way down, which the way up takes in reverse."""
        kept, smaller = [hidden], iter(self.smaller)
        for number, (block, attention) in enumerate(zip(self.down, self.down_attention, strict=True)):
            hidden = attention(block(hidden, context, style))
            kept.append(hidden)
            if (number + 1) % self.depth == 0 and number + 1 < len(self.down):
                hidden = next(smaller)(hidden)
                kept.append(hidden)
        return kept

    def _ascend(self, hidden: Tensor, kept: list[Tensor], context: Tensor, style: Tensor | None) -> Tensor:
        larger = iter(self.larger)
        for number, (block, attention) in enumerate(zip(self.up, self.up_attention, strict=True)):
            hidden = attention(block(torch.cat([hidden, kept.pop()], dim=1), context, style))
            if (number + 1) % (self.depth + 1) == 0 and kept:
                height, width = kept[-1].shape[2:]
                hidden = next(larger)(interpolate(hidden, scale_factor=2.0, mode="nearest")[..., :height, :width])
        return hidden


def _groups(channels: int) -> int:
    wanted = min(channels // CHANNELS_A_GROUP, LARGEST_GROUPS)
    return next(groups for groups in range(max(wanted, 1), 0, -1) if channels % groups == 0)


def _modulation(size_in: int, channels: int) -> nn.Linear:
    """A layer for scale and shift that starts near "no change"; a gate, which Muon leaves to AdamW."""
    layer = nn.Linear(size_in, 2 * channels)
    nn.init.normal_(layer.weight, std=0.1 / math.sqrt(size_in))
    nn.init.zeros_(layer.bias)
    layer.weight.is_gate = True  # type: ignore[attr-defined]
    return layer


def _scaled(layer: nn.Conv2d, factor: float) -> nn.Conv2d:
    """A convolution with weights times a factor and without bias: a block that starts near its skip, or at zero."""
    with torch.no_grad():
        layer.weight.mul_(factor)
        if layer.bias is not None:
            layer.bias.zero_()
    return layer
