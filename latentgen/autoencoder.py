"""The interface between data and latents, and the wrapper that standardises latents."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from .component import Component
from .distributions import DiagonalGaussian, Likelihood, NormalLikelihood
from .evaluating import evaluating
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
        return NormalLikelihood(z, self.std, self.key, mask)


class StandardizedAutoencoder(Autoencoder):
    r"""An autoencoder whose latents are shifted and scaled to zero mean and unit variance, channel by channel.

    The variance is that of the aggregate posterior, Var(mean) + E[std^2], never that of the means alone: a channel
    that the encoder does not use has std near 1 and means near 0, and must stay as it is. The affine map counts as
    the encoder's last layer, so entropies and bounds stay exact.

    For a frozen autoencoder :meth:`fit` measures once. In end-to-end training ``momentum`` keeps running statistics,
    which fixes the scale of the latents that the likelihood weighting leaves free; no gradient flows through them.

    Args:
        autoencoder: the autoencoder inside.
        channels: size of the channel axis.
        channel_axis: the channel axis of a latent [B, *E]: -1 for vectors, sets and sequences, 1 for grids.
        momentum: share of a training batch's statistics in the running ones; 0 never changes them.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, autoencoder: Autoencoder, channels: int, channel_axis: int = -1, momentum: float = 0.0
    ) -> None:
        super().__init__()
        self.autoencoder, self.channel_axis, self.momentum = autoencoder, channel_axis, momentum
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))

    def encode(self, batch: Batch) -> DiagonalGaussian:
        """The inner posterior, standardised."""
        inner = self.autoencoder.encode(batch)
        if self.training and self.momentum > 0:
            self._follow(inner)
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
        sums = [self._sums(self.autoencoder.encode(batch)) for batch in batches]
        if not sums:
            raise ValueError("batches is empty; standardising latents needs at least one batch of training data.")
        first, second, count = (torch.stack(parts).sum(0) for parts in zip(*sums, strict=True))
        self.mean.copy_(first / count)
        self.std.copy_((second / count - (first / count) ** 2).sqrt().clamp_min(1e-6))

    def _sums(self, q: DiagonalGaussian) -> tuple[Tensor, Tensor, Tensor]:
        """Sums of mean [C] and of mean^2 + std^2 [C] over real items, and their count, in float64."""
        mean, std = (value.movedim(self.channel_axis, -1).double() for value in (q.mean, q.std))
        weight = torch.ones_like(mean) if q.mask is None else item_mask(q.mask, mean).expand_as(mean)
        axes = tuple(range(mean.dim() - 1))
        return (weight * mean).sum(axes), (weight * (mean**2 + std**2)).sum(axes), weight[..., 0].sum()

    @torch.no_grad()
    def _follow(self, q: DiagonalGaussian) -> None:
        """Move the running mean and second moment towards those of one batch, unless the batch is not finite."""
        first, second, count = _over_processes(self._sums(q))
        moment = (self.mean**2 + self.std**2).lerp((second / count).to(self.std.dtype), self.momentum)
        mean = self.mean.lerp((first / count).to(self.mean.dtype), self.momentum)
        std = (moment - mean**2).clamp_min(1e-6).sqrt()
        finite = mean.isfinite().all() & std.isfinite().all()
        self.mean.copy_(torch.where(finite, mean, self.mean))
        self.std.copy_(torch.where(finite, std, self.std))


@torch.no_grad()
def channel_divergences(autoencoder: Autoencoder, batches: Iterable[Batch], channel_axis: int = -1) -> Tensor:
    """KL(q(z | x) || N(0, I)) of every channel, nats an example: over all items or cells, mean over examples.

    Args:
        autoencoder: one that was trained with the prior N(0, I).
        batches: training data.
        channel_axis: as in :class:`StandardizedAutoencoder`.

    Returns:
        Shape [C], float64.

    Raises:
        ValueError: if there is no batch.
    """
    sums, count = [], 0
    with evaluating(autoencoder):
        for batch in batches:
            q = autoencoder.encode(batch)
            mean, std = (value.movedim(channel_axis, -1).double() for value in (q.mean, q.std))
            kl = 0.5 * (mean**2 + std**2 - 1) - std.log()
            kl = kl if q.mask is None else kl * item_mask(q.mask, kl)
            sums.append(kl.flatten(0, -2).sum(0))
            count += len(mean)
    if not sums:
        raise ValueError("batches is empty; measuring channels needs at least one batch of training data.")
    return torch.stack(sums).sum(0) / count


def _over_processes(sums: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Sums over all processes of a distributed run, so that every rank keeps the statistics of the joined batch."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return sums
    flat = torch.cat([value.reshape(-1) for value in sums])
    torch.distributed.all_reduce(flat)
    parts = torch.split(flat, [value.numel() for value in sums])
    return tuple(part.reshape(value.shape) for part, value in zip(parts, sums, strict=True))
