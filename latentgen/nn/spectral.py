r"""A penalty on a network's Lipschitz constant: largest singular values of layers and largest gains of norms.

After NVAE (Vahdat and Kautz 2020, Section 3.2, with the power iteration of Yoshida and Miyato 2017), as LSGM puts it on
the autoencoder and on the prior (Vahdat, Kreis, Kautz 2021).
"""

from __future__ import annotations

import math
from collections import defaultdict

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from .unet import AdaptiveGroupNorm

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.GroupNorm, nn.LayerNorm, AdaptiveGroupNorm)


class SpectralNorms(nn.Module):
    r"""sum over layers of sigma_max(W), W of shape [out, in k k].

    The layers are a module's convolutions or, where it has none, as a transformer, its linear ones. Largest singular
    values by power iteration, u <- W v / |W v|, v <- W^T u / |W^T u|, sigma = u^T W v, whose vectors are buffers, kept
    from step to step; they get no gradient, W does: d sigma / dW = u v^T. A layer that is zero keeps its vector for
    the time when it is not.

    Args:
        module: whose layers are meant; they stay where they are in its tree.
        iterations: power iterations a call while training.

    Raises:
        ValueError: if the module has neither kind of layer.
    """

    def __init__(self, module: nn.Module, iterations: int = 4) -> None:
        super().__init__()
        self.iterations = iterations
        found: list[nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear]
        found = [layer for layer in module.modules() if isinstance(layer, CONVOLUTIONS)]
        # a list: its layers are not submodules of this one
        self._layers = found or [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
        if not self._layers:
            raise ValueError(
                f"module is a {type(module).__name__} without convolutions and linear layers, whose spectral norms "
                "would be an empty sum; give a spectral weight of 0."
            )
        for number, layer in enumerate(self._layers):
            size = layer.weight.flatten(1).shape[1]
            start = 1.0 + torch.arange(size) % 7
            self.register_buffer(f"v{number}", start / start.norm())

    def forward(self) -> Tensor:
        """The sum, shape [], at least in single precision whatever autocast says."""
        with torch.autocast(self._layers[0].weight.device.type, enabled=False):
            weights = [layer.weight.flatten(1) for layer in self._layers]
            matrices = [w if w.dtype == torch.float64 else w.float() for w in weights]
            vectors = self._iterated(matrices)
            if self.training:
                for number, v in enumerate(vectors):
                    getattr(self, f"v{number}").copy_(v)
            with torch.no_grad():
                left = [normalize(matrix @ v, dim=0) for matrix, v in zip(matrices, vectors, strict=True)]
            return torch.stack([u @ (m @ v) for u, m, v in zip(left, matrices, vectors, strict=True)]).sum()

    @torch.no_grad()
    def _iterated(self, matrices: list[Tensor]) -> list[Tensor]:
        """The vectors v [in k k] after the iterations, matrices of one shape together."""
        vectors: list[Tensor] = [getattr(self, f"v{number}") for number in range(len(matrices))]
        same = defaultdict(list)
        for number, matrix in enumerate(matrices):
            same[matrix.shape, matrix.dtype, matrix.device].append(number)
        for numbers in same.values():
            w = torch.stack([matrices[number] for number in numbers])
            v = torch.stack([vectors[number] for number in numbers]).to(w.dtype).unsqueeze(2)
            for _ in range(self.iterations):
                new = normalize(w.mT @ normalize(w @ v, dim=1), dim=1)
                v = torch.where(new.any(dim=1, keepdim=True), new, v)
            for number, one in zip(numbers, v.squeeze(2), strict=True):
                vectors[number] = one
        return vectors


def largest_gains(module: nn.Module) -> Tensor:
    """sum over a module's group and layer norms of max |gamma|, shape []; 0 where none has a gain gamma."""
    norms = [layer for layer in module.modules() if isinstance(layer, NORMS)]
    gains = [layer.weight.abs().max().float() for layer in norms if layer.weight is not None]
    return torch.stack(gains).sum() if gains else torch.zeros((), device=next(module.parameters()).device)


def has_gains(module: nn.Module) -> bool:
    """Whether :func:`largest_gains` has something to sum."""
    return any(isinstance(layer, NORMS) and layer.weight is not None for layer in module.modules())


def checked_weights(spectral: float, gains: float | None) -> tuple[float, float]:
    """The weights of both sums; ``gains`` is ``spectral`` unless given.

    Raises:
        ValueError: if one is negative or not finite.
    """
    for name, value in (("spectral", spectral), ("gains", 0.0 if gains is None else gains)):
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} is {value}; give a weight of at least 0, 0 is without the penalty.")
    return spectral, spectral if gains is None else gains
