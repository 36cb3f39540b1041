"""Networks for latents that are one vector: residual perceptrons as generator, denoiser and discriminator.

A transformer treats a vector as a single token and spends most of its arithmetic on attention and modulation that one
token has no use for; these cost a fifth of it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..component import Component
from ..latents import LatentSpec
from .embedding import SinusoidalEmbedding

TIME_FEATURES = 64


class ResidualMLP(nn.Module):
    """x -> W_out act(... h + W_2 act(W_1 norm(h)) ...) with h = W_in x.

    Args:
        size_in: size of the input.
        size_out: size of the output.
        width: size of h.
        depth: number of residual blocks.
    """

    def __init__(self, size_in: int, size_out: int, width: int, depth: int) -> None:
        super().__init__()
        self.first = nn.Linear(size_in, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
            for _ in range(depth)
        )
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, size_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, size_in] to [B, size_out]."""
        hidden = self.first(x)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        result: Tensor = self.out(nn.functional.silu(self.norm(hidden)))
        return result


class Waves(nn.Module):
    r"""z -> (z, sin(2 pi z / p), cos(2 pi z / p)) at periods p = 4, 2, 1, ...: without them a perceptron learns fine
    structure
    very late (Tancik et al. 2020).

    Args:
        size: size of z.
        octaves: number of periods.
    """

    periods: Tensor

    def __init__(self, size: int, octaves: int) -> None:
        super().__init__()
        self.size_out = size * (1 + 2 * octaves)
        self.register_buffer("periods", 4.0 * 0.5 ** torch.arange(octaves), persistent=False)

    def forward(self, z: Tensor) -> Tensor:
        """Map [B, size] to [B, size (1 + 2 octaves)]."""
        angle = (2 * math.pi / self.periods.to(z.dtype) * z.unsqueeze(-1)).flatten(1)
        return torch.cat([z, angle.sin(), angle.cos()], dim=1)


class VectorNetwork(Component, nn.Module):
    """F(z, lambda, mask, condition) for vectors; same arguments as a ``Transformer``. The output starts at zero.

    Args:
        latents: what the latent looks like; layout "vector".
        width: of the hidden layers.
        depth: number of residual blocks.
        condition_dim: size F of the condition vector, 0 for none; NaN rows mean "no condition".
        style_dim: size of a generator's style vector, 0 for none.
        octaves: number of periods of ``Waves``.
        self_condition: whether the network takes a second input of the latent's shape.
    """

    def __init__(
        self,
        latents: LatentSpec,
        width: int = 128,
        depth: int = 3,
        condition_dim: int = 0,
        style_dim: int = 0,
        octaves: int = 4,
        self_condition: bool = False,
    ) -> None:
        super().__init__()
        _check_vector(latents, "VectorNetwork")
        self.self_condition = self_condition
        self.latents, self.condition_dim, self.style_dim = latents, condition_dim, style_dim
        self.embed_log_snr = SinusoidalEmbedding(TIME_FEATURES, 1.0, 100.0)
        # the extra input of a condition says whether there is one
        extra = TIME_FEATURES + style_dim + (condition_dim + 1 if condition_dim else 0)
        self.waves = Waves(latents.dims * (2 if self_condition else 1), octaves)
        self.body = ResidualMLP(self.waves.size_out + extra, latents.dims, width, depth)
        nn.init.zeros_(self.body.out.weight)
        nn.init.zeros_(self.body.out.bias)

    def forward(
        self,
        z: Tensor,
        log_snr: Tensor,
        mask: Tensor | None = None,
        condition: Tensor | None = None,
        previous: Tensor | None = None,
        style: Tensor | None = None,
    ) -> Tensor:
        """Map noisy latents [B, d] at lambda [B] to an output of the same shape; see ``Transformer.forward``."""
        if self.self_condition:
            z = torch.cat([z, torch.zeros_like(z) if previous is None else previous], dim=1)
        parts = [self.waves(z), self.embed_log_snr(log_snr).to(z.dtype)]
        if self.style_dim:
            parts.append(z.new_zeros((len(z), self.style_dim)) if style is None else style.to(z.dtype))
        if self.condition_dim:
            parts += _condition_parts(condition, z, self.condition_dim)
        result: Tensor = self.body(torch.cat(parts, dim=1))
        return result


class VectorDiscriminator(Component, nn.Module):
    """A residual multilayer perceptron on (z_s, z_t, lambda).

    Args:
        latents: what the latent looks like; layout "vector".
        width: of the hidden layers.
        depth: number of residual blocks.
        condition_dim: size F of the condition vector, 0 for none.
        octaves: number of periods of ``Waves``.
    """

    def __init__(
        self, latents: LatentSpec, width: int = 128, depth: int = 3, condition_dim: int = 0, octaves: int = 4
    ) -> None:
        super().__init__()
        _check_vector(latents, "VectorDiscriminator")
        self.latents, self.condition_dim = latents, condition_dim
        self.embed_log_snr = SinusoidalEmbedding(TIME_FEATURES, 1.0, 100.0)
        extra = TIME_FEATURES + (condition_dim + 1 if condition_dim else 0)
        self.waves = Waves(2 * latents.dims, octaves)
        self.body = ResidualMLP(self.waves.size_out + extra, 1, width, depth)

    def forward(
        self, z_s: Tensor, z_t: Tensor, log_snr: Tensor, mask: Tensor | None = None, condition: Tensor | None = None
    ) -> Tensor:
        """Logit of "z_s is real", shape [B], for z_s and z_t [B, d] and lambda [B] at t."""
        parts = [self.waves(torch.cat([z_s, z_t], dim=1)), self.embed_log_snr(log_snr).to(z_s.dtype)]
        if self.condition_dim:
            parts += _condition_parts(condition, z_s, self.condition_dim)
        logit: Tensor = self.body(torch.cat(parts, dim=1)).squeeze(-1)
        return logit


def _condition_parts(condition: Tensor | None, z: Tensor, size: int) -> list[Tensor]:
    """The condition [B, F], zero where absent, and whether there is one [B, 1]."""
    if condition is None:
        return [z.new_zeros((len(z), size)), z.new_zeros((len(z), 1))]
    absent = condition.isnan().any(dim=1, keepdim=True)
    return [condition.nan_to_num().to(z.dtype) * ~absent, (~absent).to(z.dtype)]


def _check_vector(latents: LatentSpec, name: str) -> None:
    if latents.layout != "vector":
        raise ValueError(f"latents has layout {latents.layout!r}; {name} takes a vector, use a transformer.")
