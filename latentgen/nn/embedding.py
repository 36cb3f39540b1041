"""Sinusoidal embeddings of a scalar and of positions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class SinusoidalEmbedding(nn.Module):
    """sin and cos of a scalar at geometrically spaced frequencies (Vaswani et al. 2017).

    Args:
        width: size of the embedding, even.
        min_period: shortest period, in units of the scalar.
        max_period: longest period, in units of the scalar.
    """

    frequencies: Tensor

    def __init__(self, width: int, min_period: float, max_period: float) -> None:
        super().__init__()
        if width % 2:
            raise ValueError(f"width is {width}; an embedding of sines and cosines needs an even number.")
        periods = torch.logspace(math.log10(min_period), math.log10(max_period), width // 2)
        self.register_buffer("frequencies", 2 * math.pi / periods, persistent=False)

    def forward(self, value: Tensor) -> Tensor:
        """Embed a scalar of shape [...]; returns [..., width]."""
        angle = value.float().unsqueeze(-1) * self.frequencies
        return torch.cat([angle.sin(), angle.cos()], dim=-1)


def grid_positions(sizes: tuple[int, ...], width: int) -> Tensor:
    """Fixed positional code of a grid: every axis gets an equal share of the width.

    Args:
        sizes: number of tokens along each axis.
        width: size of the code.

    Returns:
        Shape [prod(sizes), width]; a remainder of the width stays zero.
    """
    share = width // len(sizes) // 2 * 2
    code = torch.zeros(*sizes, width)
    for axis, size in enumerate(sizes):
        embedding = SinusoidalEmbedding(share, 4.0, 4.0 * max(size, 8))(torch.arange(size))
        shape = [1] * len(sizes) + [share]
        shape[axis] = size
        code[..., axis * share : (axis + 1) * share] = embedding.reshape(shape)
    return code.reshape(-1, width)
