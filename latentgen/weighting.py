r"""Weights w(t) of the noise-prediction error ||eps - eps_hat(z_t, t)||^2.

For every linear process g^2 / sigma^2 = -d lambda / dt, so each weighting is a statement about the log-SNR lambda.
Names follow Vahdat, Kreis, Kautz 2021, Section 3.3.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from .component import Component
from .process import Process


class Weighting(Component, ABC):
    """A positive weight of time."""

    @abstractmethod
    def __call__(self, process: Process, t: Tensor) -> Tensor:
        """w(t) for t [B] in [t_min, 1]; shape [B], nats per unit of t and per unit of squared noise error."""


class LikelihoodWeighting(Weighting):
    """w_ll = g^2 / (2 sigma^2): the only weighting that makes the error a bound on the cross-entropy."""

    def __call__(self, process: Process, t: Tensor) -> Tensor:
        """g^2 / (2 sigma^2)."""
        return process.diffusion2(t) / (2 * process.sigma2(t))


class ReweightedWeighting(Weighting):
    """w_re = g^2 / 2: the likelihood weighting without 1 / sigma^2; favours sample quality."""

    def __call__(self, process: Process, t: Tensor) -> Tensor:
        """g^2 / 2."""
        return process.diffusion2(t) / 2


class UnweightedWeighting(Weighting):
    """w_un = 1: the plain noise-prediction error of DDPM."""

    def __call__(self, process: Process, t: Tensor) -> Tensor:
        """1."""
        return torch.ones_like(t)


class VelocityWeighting(Weighting):
    r"""w_v = (alpha^2 s^2 + sigma^2) / (alpha^2 s^2): the error of a network that predicts the velocity.

    Its importance-sampled times are uniform in t (Salimans and Ho 2022, for s = 1).
    """

    def __call__(self, process: Process, t: Tensor) -> Tensor:
        """1 / sigmoid(lambda + ln s^2)."""
        return 1 / torch.sigmoid(process.log_snr(t) + 2 * math.log(process.latent_std))


class LogNormalWeighting(Weighting):
    r"""Weights such that importance-sampled times have a normal log-SNR, mixed with the likelihood's proposal.

    The density of lambda is (1 - floor) N(mean, std^2) + floor sigmoid(lambda + ln s^2) / Z: the first part puts the
    effort where samples are decided, the second keeps w_ll / r times the ideal error below Z / floor, as an encoder
    trained at the same times needs. The noise levels of Karras et al. 2022 (ln sigma ~ N(-1.2, 1.2^2)) are mean 2.4 and
    std 2.4.

    Args:
        mean: mean of the log-SNR lambda.
        std: standard deviation of lambda.
        floor: share of the likelihood's proposal.
    """

    def __init__(self, mean: float = 2.0, std: float = 1.5, floor: float = 0.2) -> None:
        if not std > 0:
            raise ValueError(f"std is {std}; it must be positive.")
        if not 0 <= floor <= 1:
            raise ValueError(f"floor is {floor}; it is a share between 0 and 1.")
        self.mean, self.std, self.floor = mean, std, floor

    def __call__(self, process: Process, t: Tensor) -> Tensor:
        """Density of lambda times |d lambda / dt| / sigmoid(lambda + ln s^2)."""
        log_snr, shift = process.log_snr(t), 2 * math.log(process.latent_std)
        normal = torch.exp(-0.5 * ((log_snr - self.mean) / self.std) ** 2) / (self.std * math.sqrt(2 * math.pi))
        start, end = (torch.nn.functional.softplus(process.log_snr(edge) + shift) for edge in process.ends(t))
        slope = process.diffusion2(t) / process.sigma2(t)
        return slope * ((1 - self.floor) * normal / torch.sigmoid(log_snr + shift) + self.floor / (start - end))
