"""Random numbers that depend on the seed and on the sample's number alone."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class NoiseStream:
    """One independent random stream a sample, so that sample i is the same in every batch size and process count.

    The streams are those of the counter-based generator Philox with the key (seed, i) (Salmon et al. 2011). They are
    drawn on the CPU and moved, so that a seed means the same on every device.

    Args:
        seed: the user's seed, modulo 2^64.
        indices: the samples' numbers, for example ``range(64)``.
        event: full shape of a sample's noise; noise for a batch whose items were trimmed is drawn in full and trimmed,
            so that the padding of its batch does not change a sample. None: as asked for.
    """

    def __init__(self, seed: int, indices: range, event: tuple[int, ...] | None = None) -> None:
        self.event = event
        keys = (np.array([seed % 2**64, index], dtype=np.uint64) for index in indices)
        self.generators = [np.random.Generator(np.random.Philox(key=key)) for key in keys]

    def __len__(self) -> int:
        return len(self.generators)

    def normal(self, shape: tuple[int, ...], like: Tensor | None = None) -> Tensor:
        """Standard normal noise eps, shape [B, *shape], in the dtype and on the device of ``like``."""
        draws = [generator.standard_normal(shape, dtype=np.float32) for generator in self.generators]
        eps = torch.from_numpy(np.stack(draws))
        return eps if like is None else eps.to(device=like.device, dtype=like.dtype)

    def normal_like(self, z: Tensor) -> Tensor:
        """Standard normal noise of z's shape [B, *E]; with a full event [N, d], the first items of it."""
        shape = tuple(z.shape[1:])
        if self.event is None or self.event == shape:
            return self.normal(shape, like=z)
        return self.normal(self.event, like=z)[:, : shape[0]]

    def uniform(self) -> Tensor:
        """One number in [0, 1) a sample, shape [B]."""
        return torch.from_numpy(np.array([generator.random(dtype=np.float32) for generator in self.generators]))

    def seeds(self) -> list[int]:
        """One seed of another generator a sample, 32 bits each, which is all that torch's on a CPU takes."""
        return [int(generator.integers(2**32)) for generator in self.generators]


def normal_like(z: Tensor, noise: NoiseStream | None) -> Tensor:
    """Standard normal noise of z's shape [B, *E]: from the samples' own streams, or torch's global one."""
    return torch.randn_like(z) if noise is None else noise.normal_like(z)
