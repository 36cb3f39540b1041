"""A plain multilayer perceptron."""

from __future__ import annotations

import itertools

from torch import Tensor, nn


class MLP(nn.Module):
    """Linear layers with SiLU between them.

    Args:
        *widths: sizes from input to output, at least two.
    """

    def __init__(self, *widths: int) -> None:
        if len(widths) < 2:
            raise ValueError(f"widths is {widths}; give at least an input and an output size.")
        layers: list[nn.Module] = []
        for size_in, size_out in itertools.pairwise(widths):
            layers += [nn.Linear(size_in, size_out), nn.SiLU()]
        super().__init__()
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., widths[0]] to [..., widths[-1]]."""
        result: Tensor = self.layers(x)
        return result
