r"""Residual cells of hierarchical autoencoders, after NVAE (Vahdat and Kautz 2020).

Group norms take the place of NVAE's batch norms: no layer mixes samples, so that a bound is one image's own, the joint
objective's single backward pass is exact, and a batch split over processes gives the gradients of the joined one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

BRANCH = 0.1
"""Factor on the branch of a cell, which keeps deep stacks near the identity at the start."""


class SqueezeExcite(nn.Module):
    """Scales each channel by a function of all channels' means (Hu et al. 2018); hidden size max(C / 16, 4).

    Args:
        width: number of channels C.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = max(width // 16, 4)
        self.gate = nn.Sequential(nn.Linear(width, hidden), nn.SiLU(), nn.Linear(hidden, width), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """Shape [B, C, H, W]."""
        return x * torch.as_tensor(self.gate(x.mean(dim=(2, 3))))[:, :, None, None]


class EncoderCell(nn.Module):
    """x + 0.1 branch(x): twice norm, SiLU and a 3 x 3 convolution, then squeeze-excite.

    Args:
        width: number of channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            group_norm(width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1),
            group_norm(width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1), SqueezeExcite(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Shape [B, width, H, W]."""
        return x + BRANCH * torch.as_tensor(self.branch(x))


class DecoderCell(nn.Module):
    """x + 0.1 branch(x): channels are widened, seen by a depthwise 5 x 5 convolution and narrowed; squeeze-excite.

    Args:
        width: number of channels.
        expansion: widened channels over ``width``.
    """

    def __init__(self, width: int, expansion: int = 3) -> None:
        super().__init__()
        wide = expansion * width
        self.branch = nn.Sequential(
            group_norm(width), nn.Conv2d(width, wide, 1),
            group_norm(wide), nn.SiLU(), nn.Conv2d(wide, wide, 5, padding=2, groups=wide),
            group_norm(wide), nn.SiLU(), nn.Conv2d(wide, width, 1),
            group_norm(width), SqueezeExcite(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Shape [B, width, H, W]."""
        return x + BRANCH * torch.as_tensor(self.branch(x))


def group_norm(width: int) -> nn.GroupNorm:
    """Groups of at least eight channels where the width allows."""
    return nn.GroupNorm(math.gcd(width, 8), width)
