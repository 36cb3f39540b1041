"""The mapping network: from a noise vector to a style vector."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

SILU_GAIN = 1.676
"""1 / sqrt(E[silu(x)^2]) for x ~ N(0, 1)."""


class MappingNetwork(nn.Module):
    """Noise w -> style: normalisation to unit mean square, then linear layers with SiLU (Karras et al. 2019).

    Args:
        noise_dim: size of the noise vector.
        style_dim: size of the style vector.
        depth: number of layers after the first.
    """

    def __init__(self, noise_dim: int, style_dim: int, depth: int = 3) -> None:
        super().__init__()
        self.noise_dim = noise_dim
        sizes = [noise_dim, *([style_dim] * (depth + 1))]
        gains = [1.0, *([SILU_GAIN] * depth)]
        self.layers = nn.ModuleList(
            _preserving(a, b, gain) for (a, b), gain in zip(itertools.pairwise(sizes), gains, strict=True)
        )

    def forward(self, noise: Tensor) -> Tensor:
        """Map standard normal noise [B, noise_dim] to styles [B, style_dim]."""
        style = noise * torch.rsqrt(noise.square().mean(dim=1, keepdim=True) + 1e-8)
        for layer in self.layers:
            style = nn.functional.silu(layer(style))
        return style


def _preserving(size_in: int, size_out: int, gain: float) -> nn.Linear:
    """A layer whose outputs have unit mean square for inputs of 1 / gain: a faint style would be ignored."""
    layer = nn.Linear(size_in, size_out)
    nn.init.normal_(layer.weight, std=gain * float(size_in) ** -0.5)
    nn.init.zeros_(layer.bias)
    return layer
