r"""Residual cells of hierarchical autoencoders, after NVAE (Vahdat and Kautz 2020), and a penalty on their norms.

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


class SpectralNorms(nn.Module):
    r"""sum over convolutions of sigma_max(W), W of shape [out, in k k]: NVAE's spectral regularisation.

    Largest singular values by power iteration, u <- W v / |W v|, v <- W^T u / |W^T u|, sigma = u^T W v, whose vectors
    are kept from step to step; they get no gradient, W does.

    Args:
        module: whose convolutions are meant.
        iterations: power iterations a call while training.
    """

    def __init__(self, module: nn.Module, iterations: int = 4) -> None:
        super().__init__()
        self.iterations = iterations
        # a list: the convolutions stay where they are in the module tree
        self._layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]
        for number, layer in enumerate(self._layers):
            size = layer.weight.flatten(1).shape[1]
            start = 1.0 + torch.arange(size) % 7
            self.register_buffer(f"v{number}", start / start.norm())

    def forward(self) -> Tensor:
        """The sum, shape []."""
        total = self._layers[0].weight.new_zeros(())
        for number, layer in enumerate(self._layers):
            matrix = layer.weight.flatten(1).float()
            v: Tensor = getattr(self, f"v{number}")
            with torch.no_grad():
                for _ in range(self.iterations):
                    u = nn.functional.normalize(matrix @ v, dim=0)
                    v = nn.functional.normalize(matrix.T @ u, dim=0)
                if self.training:
                    getattr(self, f"v{number}").copy_(v)
                u = nn.functional.normalize(matrix @ v, dim=0)
            total = total + u @ matrix @ v
        return total


def group_norm(width: int) -> nn.GroupNorm:
    """Groups of at least eight channels where the width allows."""
    return nn.GroupNorm(math.gcd(width, 8), width)
