"""Random numbers that depend on the seed and on the sample's number alone."""

from __future__ import annotations

import torch
from torch import Tensor

_STRIDE = 0x9E3779B97F4A7C15


class NoiseStream:
    """One independent random stream a sample, so that sample i is the same in every batch size and process count.

    Args:
        seed: the user's seed.
        indices: the samples' numbers, for example ``range(64)``.

    Streams are drawn on the CPU and moved, so that a seed means the same on every device.
    """

    def __init__(self, seed: int, indices: range) -> None:
        self.generators = [
            torch.Generator().manual_seed((seed * 1_000_003 + index * _STRIDE) % (2**63)) for index in indices
        ]

    def __len__(self) -> int:
        return len(self.generators)

    def normal(self, shape: tuple[int, ...], like: Tensor | None = None) -> Tensor:
        """Standard normal noise eps, shape [B, *shape], in the dtype and on the device of ``like``."""
        eps = torch.stack([torch.randn(shape, generator=generator) for generator in self.generators])
        return eps if like is None else eps.to(device=like.device, dtype=like.dtype)

    def uniform(self) -> Tensor:
        """One number in [0, 1) a sample, shape [B]."""
        return torch.cat([torch.rand(1, generator=generator) for generator in self.generators])


def normal_like(z: Tensor, noise: NoiseStream | None) -> Tensor:
    """Standard normal noise of z's shape [B, *E]: from the samples' own streams, or torch's global one."""
    return torch.randn_like(z) if noise is None else noise.normal(tuple(z.shape[1:]), like=z)
