"""Data drawn from p(x | z), so that a sample's draw depends on the seed and on its number alone."""

from __future__ import annotations

import torch
from torch import Tensor

from .autoencoder import Autoencoder
from .joining import join, trim
from .noise import NoiseStream
from .tensors import Batch


def drawn(autoencoder: Autoencoder, z: Tensor, mask: Tensor | None, noise: NoiseStream) -> Batch:
    """One draw of p(x | z) for each latent.

    A likelihood draws from torch's global generator, in which neighbours share a stream. Each latent is therefore
    decoded by itself, with the generator seeded from the sample's own stream; the global one is left as it was.

    Args:
        autoencoder: its decoder is used.
        z: latents, shape [B, *E].
        mask: True where an item is real, shape [B, N], or None.
        noise: the samples' streams.
    """
    devices = [] if z.device.type == "cpu" else [z.device]
    parts = []
    with torch.random.fork_rng(devices, device_type=z.device.type):
        for number, seed in enumerate(noise.seeds()):
            torch.manual_seed(seed)
            one = None if mask is None else trim(mask[number : number + 1])
            latent = z[number : number + 1] if one is None else z[number : number + 1, : one.shape[1]]
            parts.append(autoencoder.decode(latent, one).sample())
    return join(parts)
