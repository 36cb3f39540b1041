r"""Denoisers: networks that predict the noise in z_t, and the views of one prediction that samplers use."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .component import Component
from .latents import LatentSpec
from .process import Process
from .tensors import over


@dataclass
class Prediction:
    """One prediction of a denoiser and its equivalent forms.

    Attributes:
        z_t: noisy latent, shape [B, *E], latent units.
        eps: predicted noise eps_hat, shape [B, *E], unit variance.
        alpha: alpha_t, shape [B].
        sigma: sigma_t, shape [B], latent units.
    """

    z_t: Tensor
    eps: Tensor
    alpha: Tensor
    sigma: Tensor

    @property
    def mean(self) -> Tensor:
        """E[z_0 | z_t] = (z_t - sigma eps_hat) / alpha (Tweedie), shape [B, *E]."""
        return (self.z_t - over(self.sigma, self.z_t) * self.eps) / over(self.alpha, self.z_t)

    @property
    def score(self) -> Tensor:
        """grad ln q(z_t) = -eps_hat / sigma, shape [B, *E], per latent unit."""
        return -self.eps / over(self.sigma, self.eps)

    @property
    def velocity(self) -> Tensor:
        """v = alpha eps_hat - sigma E[z_0 | z_t] (Salimans and Ho 2022), shape [B, *E]."""
        return over(self.alpha, self.eps) * self.eps - over(self.sigma, self.z_t) * self.mean


class Denoiser(Component, nn.Module, ABC):
    """Predicts the noise in z_t. In evaluation mode ``calls`` counts, so that every sampler's cost is measured.

    Args:
        network: F(z, log_snr, mask, condition) -> [B, *E], for example a ``Transformer``.
        process: the forward process.
    """

    def __init__(self, network: nn.Module, process: Process) -> None:
        super().__init__()
        self.network, self.process = network, process
        self.calls = 0

    @property
    def self_condition(self) -> bool:
        """Whether the network can take its own earlier prediction of z_0."""
        return bool(getattr(self.network, "self_condition", False))

    @property
    def cost(self) -> int:
        """Function calls that one prediction takes."""
        return 1

    @abstractmethod
    def noise(
        self, z_t: Tensor, t: Tensor, mask: Tensor | None, condition: Tensor | None, previous: Tensor | None = None
    ) -> Tensor:
        """eps_hat(z_t, t), shape [B, *E]."""

    def forward(
        self,
        z_t: Tensor,
        t: Tensor,
        mask: Tensor | None = None,
        condition: Tensor | None = None,
        previous: Tensor | None = None,
    ) -> Prediction:
        """Predict.

        Args:
            z_t: noisy latent, shape [B, *E], latent units.
            t: time, shape [B].
            mask: True where an item is real, shape [B, N], or None.
            condition: shape [B, F] or None.
            previous: earlier prediction of z_0, shape [B, *E], for a network with self-conditioning; else ignored.
        """
        if not self.training:
            self.calls += self.cost
        # without an earlier prediction zeros stand for it, so that every parameter always takes part
        extra = (torch.zeros_like(z_t) if previous is None else previous,) if self.self_condition else ()
        eps = self.noise(z_t, t, mask, condition, *extra)
        return Prediction(z_t, eps, self.process.alpha(t), self.process.sigma(t))

    def residual(
        self, z_t: Tensor, t: Tensor, mask: Tensor | None, condition: Tensor | None, previous: Tensor | None = None
    ) -> Tensor:
        """Network output at the unit-variance input z_t / sqrt(alpha^2 s^2 + sigma^2), shape [B, *E], fp32."""
        spread = self._spread2(t).rsqrt()
        extra = () if previous is None else (previous / self.process.latent_std,)
        out: Tensor = self.network(over(spread, z_t) * z_t, self.process.log_snr(t), mask, condition, *extra)
        return out.to(z_t.dtype)

    def normal_noise(self, z_t: Tensor, t: Tensor) -> Tensor:
        """The optimal prediction if z_0 ~ N(0, s^2 I): sigma z_t / (alpha^2 s^2 + sigma^2), shape [B, *E]."""
        return over(self.process.sigma(t) / self._spread2(t), z_t) * z_t

    def _spread2(self, t: Tensor) -> Tensor:
        return (self.process.alpha(t) * self.process.latent_std) ** 2 + self.process.sigma2(t)


class MixedDenoiser(Denoiser):
    r"""Mixed parameterisation: eps_hat = (1 - a) c(z_t, t) + a F(z_t, t) (Vahdat, Kreis, Kautz 2021, Section 3.2).

    c is the optimal prediction for a N(0, s^2 I) latent and a = sigmoid(logit) is learned for every channel. At a near
    0 the prior starts as that normal distribution.

    Args:
        network: F(z, log_snr, mask, condition) -> [B, *E].
        process: the forward process.
        latents: what the latent looks like.
        initial_logit: start of the mixing logits; -3 and -6 are the published ones.
        partial: whether channels can be left out: where the buffer ``active``, stored with the model, is False, the
            prediction is c alone, a prior N(0, s^2) that stays, and the network sees zeros.
    """

    active: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        process: Process,
        latents: LatentSpec,
        initial_logit: float = -3.0,
        partial: bool = False,
    ) -> None:
        super().__init__(network, process)
        trailing = len(latents.shape) - 1 if latents.layout == "grid" else 0
        shape = (latents.channels, *([1] * trailing))
        self.logit = nn.Parameter(torch.full(shape, float(initial_logit)))
        self.register_buffer("active", torch.ones(shape, dtype=torch.bool) if partial else None)

    def noise(
        self, z_t: Tensor, t: Tensor, mask: Tensor | None, condition: Tensor | None, previous: Tensor | None = None
    ) -> Tensor:
        """(1 - a) c + a F."""
        mix, seen = self.logit.sigmoid(), z_t
        if self.active is not None:
            mix, seen = mix * self.active, z_t * self.active
            previous = None if previous is None else previous * self.active
        return (1 - mix) * self.normal_noise(z_t, t) + mix * self.residual(seen, t, mask, condition, previous)


class VelocityDenoiser(Denoiser):
    r"""Mixed parameterisation with a mixing coefficient of time: eps_hat = c(z_t, t) + k(t) F(z_t, t).

    k = alpha s / sqrt(alpha^2 s^2 + sigma^2) gives the network's target unit variance at every t; for a
    variance-preserving process F is the velocity of Salimans and Ho 2022, and for every process it is the
    preconditioning of Karras et al. 2022. With a network that starts at zero, the prior starts as N(0, s^2 I).
    """

    def noise(
        self, z_t: Tensor, t: Tensor, mask: Tensor | None, condition: Tensor | None, previous: Tensor | None = None
    ) -> Tensor:
        """c + k F."""
        k = self.process.alpha(t) * self.process.latent_std * self._spread2(t).rsqrt()
        return self.normal_noise(z_t, t) + over(k, z_t) * self.residual(z_t, t, mask, condition, previous)


class NoiseDenoiser(Denoiser):
    """Plain parameterisation: the network predicts the noise itself (Ho et al. 2020)."""

    def noise(
        self, z_t: Tensor, t: Tensor, mask: Tensor | None, condition: Tensor | None, previous: Tensor | None = None
    ) -> Tensor:
        """F."""
        return self.residual(z_t, t, mask, condition, previous)


def guided(denoiser: Denoiser, guidance: float) -> Denoiser:
    """The denoiser with classifier-free guidance of weight w; itself for w = 1."""
    return denoiser if guidance == 1 else GuidedDenoiser(denoiser, guidance)


class GuidedDenoiser(Denoiser):
    r"""Classifier-free guidance around a denoiser: eps = eps_u + w (eps_c - eps_u) (Ho and Salimans 2021).

    Args:
        denoiser: a denoiser that was trained with dropped conditions.
        guidance: w; 1 is no guidance.
    """

    def __init__(self, denoiser: Denoiser, guidance: float) -> None:
        super().__init__(denoiser.network, denoiser.process)
        self.inner, self.guidance = denoiser, guidance
        self.train(denoiser.training)

    @property
    def cost(self) -> int:
        """Twice that of the denoiser."""
        return 2 * self.inner.cost

    def noise(
        self, z_t: Tensor, t: Tensor, mask: Tensor | None, condition: Tensor | None, previous: Tensor | None = None
    ) -> Tensor:
        """eps_u + w (eps_c - eps_u)."""
        unguided = self.inner.noise(z_t, t, mask, None, previous)
        return unguided + self.guidance * (self.inner.noise(z_t, t, mask, condition, previous) - unguided)
