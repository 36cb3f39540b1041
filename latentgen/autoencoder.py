"""The interface between data and latents, and the wrapper that standardises latents."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from .component import Component
from .distributions import DiagonalGaussian, Likelihood
from .tensors import Batch, item_mask


class Autoencoder(Component, nn.Module, ABC):
    """Encoder q(z | x) and decoder p(x | z) of one modality."""

    @abstractmethod
    def encode(self, batch: Batch) -> DiagonalGaussian:
        """q(z | x): mean and std of shape [B, *E], with the items' mask if there is one."""

    @abstractmethod
    def decode(self, z: Tensor, mask: Tensor | None = None) -> Likelihood:
        """p(x | z).

        Args:
            z: latent, shape [B, *E].
            mask: True where an item is real, shape [B, N], or None.
        """


class IdentityAutoencoder(Autoencoder):
    """No autoencoder: the data are the latent. Turns every prior into a data-space model.

    The posterior is N(x, std^2) with a small fixed std, and so is the likelihood.

    Args:
        key: name of the data tensor in the batch.
        std: noise floor, data units.
    """

    def __init__(self, key: str = "x", std: float = 1e-3) -> None:
        super().__init__()
        self.key, self.std = key, std

    def encode(self, batch: Batch) -> DiagonalGaussian:
        """N(x, std^2)."""
        x = batch[self.key]
        return DiagonalGaussian(x, torch.full_like(x, self.std), batch.get("mask"))

    def decode(self, z: Tensor, mask: Tensor | None = None) -> Likelihood:
        """N(z, std^2)."""
        from .distributions import NormalLikelihood

        return NormalLikelihood(z, self.std, self.key)


class StandardizedAutoencoder(Autoencoder):
    r"""An autoencoder whose latents are shifted and scaled to zero mean and unit variance, channel by channel.

    The variance is that of the aggregate posterior, Var(mean) + E[std^2], never that of the means alone: a channel
    that the encoder does not use has std near 1 and means near 0, and must stay as it is. The affine map counts as
    the encoder's last layer, so entropies and bounds stay exact.

    Args:
        autoencoder: the autoencoder inside.
        channels: size of the channel axis.
        channel_axis: the channel axis of a latent [B, *E]: -1 for vectors, sets and sequences, 1 for grids.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, autoencoder: Autoencoder, channels: int, channel_axis: int = -1) -> None:
        super().__init__()
        self.autoencoder, self.channel_axis = autoencoder, channel_axis
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))

    def encode(self, batch: Batch) -> DiagonalGaussian:
        """The inner posterior, standardised."""
        inner = self.autoencoder.encode(batch)
        mean, std = self._shaped(inner.mean)
        return DiagonalGaussian((inner.mean - mean) / std, inner.std / std, inner.mask)

    def decode(self, z: Tensor, mask: Tensor | None = None) -> Likelihood:
        """The inner likelihood at the latent put back to its own scale."""
        mean, std = self._shaped(z)
        return self.autoencoder.decode(z * std + mean, mask)

    def _shaped(self, z: Tensor) -> tuple[Tensor, Tensor]:
        shape = [1] * z.dim()
        shape[self.channel_axis] = -1
        return self.mean.view(shape).to(z.dtype), self.std.view(shape).to(z.dtype)

    @torch.no_grad()
    def fit(self, batches: Iterable[Batch]) -> None:
        """Measure mean and variance of the aggregate posterior.

        Args:
            batches: training data.

        Raises:
            ValueError: if there is no batch.
        """
        count = torch.zeros((), dtype=torch.float64)
        first, second = torch.zeros_like(self.mean).double(), torch.zeros_like(self.mean).double()
        for batch in batches:
            q = self.autoencoder.encode(batch)
            mean, std = (value.movedim(self.channel_axis, -1).double() for value in (q.mean, q.std))
            weight = torch.ones_like(mean) if q.mask is None else item_mask(q.mask, mean).expand_as(mean)
            axes = tuple(range(mean.dim() - 1))
            first += (weight * mean).sum(axes)
            second += (weight * (mean**2 + std**2)).sum(axes)
            count += weight[..., 0].sum().cpu()
        if count == 0:
            raise ValueError("batches is empty; standardising latents needs at least one batch of training data.")
        n = count.to(first.device)
        self.mean.copy_(first / n)
        self.std.copy_((second / n - (first / n) ** 2).sqrt().clamp_min(1e-6))
