"""Distributions over latents and data: the diagonal Gaussian and the likelihoods that ship with the framework."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .tensors import Batch, event_sum

LOG_2PI = math.log(2 * math.pi)


@dataclass
class DiagonalGaussian:
    """N(mean, diag(std^2)) over latents.

    Attributes:
        mean: mu, shape [B, *E], latent units.
        std: sigma > 0, shape [B, *E], latent units.
        mask: True where an item is real, shape [B, N], or None. Masked items count nothing in any sum.
    """

    mean: Tensor
    std: Tensor
    mask: Tensor | None = None

    def rsample(self, eps: Tensor | None = None) -> Tensor:
        """Reparameterised sample z = mean + std * eps, shape [B, *E]."""
        return self.mean + self.std * (torch.randn_like(self.mean) if eps is None else eps)

    def log_prob(self, z: Tensor) -> Tensor:
        """ln N(z; mean, std^2) in nats, shape [B]."""
        squared = ((z - self.mean) / self.std) ** 2
        return event_sum(-0.5 * (squared + LOG_2PI) - self.std.log(), self.mask)

    def entropy(self) -> Tensor:
        """Differential entropy sum(1/2 ln(2 pi e std^2)) in nats, shape [B]."""
        return event_sum(0.5 * (1 + LOG_2PI) + self.std.log(), self.mask)

    def kl_to_normal(self, std: float = 1.0) -> Tensor:
        """KL(self || N(0, std^2 I)) in nats, shape [B]; closed form."""
        ratio = (self.std / std) ** 2
        return event_sum(0.5 * (ratio + (self.mean / std) ** 2 - 1 - ratio.log()), self.mask)


class Likelihood(Protocol):
    """p(x | z) for one batch of latents: what a decoder returns."""

    def log_prob(self, batch: Batch) -> Tensor:
        """ln p(x | z) in nats, shape [B]."""

    def sample(self) -> Batch:
        """One draw of the data for each latent."""

    def mode(self) -> Batch:
        """The most probable data for each latent (per element)."""


class NormalLikelihood:
    """Independent normal data x ~ N(mean, std^2), a tensor ``batch[key]`` of shape [B, *X].

    Args:
        mean: shape [B, *X], data units.
        std: one number for all data, or a tensor that broadcasts to ``mean`` (learned scale); data units.
        key: name of the data tensor in the batch.
        mask: True where an item is real, shape [B, N], or None. Masked items count nothing.
    """

    def __init__(self, mean: Tensor, std: Tensor | float, key: str = "x", mask: Tensor | None = None) -> None:
        self.mean, self.key, self.mask = mean, key, mask
        self.std = torch.as_tensor(std, dtype=mean.dtype, device=mean.device)

    def log_prob(self, batch: Batch) -> Tensor:
        """Sum of ln N(x; mean, std^2) over the data's axes, nats, shape [B]."""
        squared = ((batch[self.key] - self.mean) / self.std) ** 2
        return event_sum(-0.5 * (squared + LOG_2PI) - self.std.log(), self.mask)

    def sample(self) -> Batch:
        """Mean plus noise."""
        return self._batch(self.mean + self.std * torch.randn_like(self.mean))

    def mode(self) -> Batch:
        """The mean."""
        return self._batch(self.mean)

    def _batch(self, x: Tensor) -> Batch:
        return {self.key: x} if self.mask is None else {self.key: x, "mask": self.mask}


class BernoulliLikelihood:
    """Independent binary data with logits l: ln p(x) = x l - softplus(l); a tensor ``batch[key]`` in [0, 1].

    Args:
        logits: shape [B, *X].
        key: name of the data tensor in the batch.
    """

    def __init__(self, logits: Tensor, key: str = "x") -> None:
        self.logits, self.key = logits, key

    def log_prob(self, batch: Batch) -> Tensor:
        """Sum over the data's axes, nats, shape [B]."""
        x = batch[self.key].to(self.logits.dtype)
        return event_sum(x * self.logits - torch.nn.functional.softplus(self.logits))

    def sample(self) -> Batch:
        """Zeros and ones as floats."""
        return {self.key: torch.bernoulli(self.logits.sigmoid())}

    def mode(self) -> Batch:
        """One where the logit is positive."""
        return {self.key: (self.logits > 0).to(self.logits.dtype)}


def categorical_log_prob(logits: Tensor, target: Tensor) -> Tensor:
    """ln p(target) under softmax(logits), elementwise, in fp32 or better.

    Args:
        logits: shape [..., K].
        target: class numbers, int64, shape [...].

    Returns:
        Log-probabilities in nats, shape [...].
    """
    precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
    flat = precise.reshape(-1, logits.shape[-1])
    loss = torch.nn.functional.cross_entropy(flat, target.reshape(-1), reduction="none")
    return -loss.reshape(target.shape)
