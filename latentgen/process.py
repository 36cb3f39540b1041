r"""Forward diffusion processes dz = f(t) z dt + g(t) dW, each stated by four closed forms of t.

The kernel is q(z_t | z_0) = N(alpha_t z_0, sigma_t^2 I) with t in [t_min, 1]: 0 is data and 1 is noise (users of flow
matching: their time runs the other way). Everything else is derived once, in :class:`Process`. The four forms must
satisfy f = d ln(alpha)/dt and g^2 = d(sigma^2)/dt - 2 f sigma^2; ``latentgen.testing.check_process`` proves it for
the processes here and for a user's own. Formulas: Song et al. 2021; Vahdat, Kreis, Kautz 2021, appendix.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from .component import Component
from .distributions import DiagonalGaussian
from .tensors import bisect, over


class Process(Component, ABC):
    """A linear diffusion process. A subclass states four formulas; ``time_of_log_snr`` may get a closed form.

    Attributes:
        t_min: where training and sampling stop, dimensionless; sigma(t_min) must be well below the smallest posterior
            standard deviation that a decoder needs.
        latent_std: s, the standard deviation of z_0 assumed by importance sampling and by the Normal part of
            denoisers, latent units.
        terminal_std: standard deviation of p(z_1) = N(0, terminal_std^2 I), latent units.
    """

    t_min: float
    latent_std: float
    terminal_std: float

    @abstractmethod
    def log_alpha(self, t: Tensor) -> Tensor:
        """ln alpha_t, shape [B]."""

    @abstractmethod
    def sigma2(self, t: Tensor) -> Tensor:
        """sigma_t^2, shape [B], squared latent units."""

    @abstractmethod
    def drift(self, t: Tensor) -> Tensor:
        """f(t), shape [B], per unit of t."""

    @abstractmethod
    def diffusion2(self, t: Tensor) -> Tensor:
        """g(t)^2, shape [B], squared latent units per unit of t."""

    def time_of_log_snr(self, log_snr: Tensor) -> Tensor:
        """The inverse of :meth:`log_snr`, shape [B]. By bisection, unless a process states its closed form."""
        return bisect(self.log_snr, log_snr, 0.0, 1.0)

    def alpha(self, t: Tensor) -> Tensor:
        """Mean coefficient alpha_t, shape [B]."""
        return self.log_alpha(t).exp()

    def sigma(self, t: Tensor) -> Tensor:
        """Standard deviation sigma_t, shape [B], latent units."""
        return self.sigma2(t).sqrt()

    def log_snr(self, t: Tensor) -> Tensor:
        """lambda_t = ln(alpha_t^2 / sigma_t^2), shape [B]; falls strictly with t."""
        return 2 * self.log_alpha(t) - self.sigma2(t).log()

    def marginal(self, z_0: Tensor, t: Tensor) -> DiagonalGaussian:
        """q(z_t | z_0) for z_0 [B, *E] and t [B]."""
        return DiagonalGaussian(over(self.alpha(t), z_0) * z_0, over(self.sigma(t), z_0).expand_as(z_0))

    def transition(self, s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """q(z_t | z_s) = N(a z_s, v I) for s < t: a = alpha_t / alpha_s, v = sigma_t^2 - a^2 sigma_s^2; each [B]."""
        a = (self.log_alpha(t) - self.log_alpha(s)).exp()
        return a, (self.sigma2(t) - a**2 * self.sigma2(s)).clamp_min(0.0)

    def bridge(self, z_t: Tensor, z_0: Tensor, s: Tensor, t: Tensor) -> DiagonalGaussian:
        """q(z_s | z_t, z_0) for s < t (Ho et al. 2020, Eq. 7, for any linear process).

        Mean (a sigma_s^2 / sigma_t^2) z_t + (alpha_s v / sigma_t^2) z_0 and variance v sigma_s^2 / sigma_t^2, with
        (a, v) of :meth:`transition`.

        Args:
            z_t: shape [B, *E], latent units.
            z_0: shape [B, *E], latent units.
            s: earlier time, shape [B].
            t: later time, shape [B].
        """
        a, v = self.transition(s, t)
        var_s, var_t = self.sigma2(s), self.sigma2(t)
        mean = over(a * var_s / var_t, z_t) * z_t + over(self.alpha(s) * v / var_t, z_0) * z_0
        return DiagonalGaussian(mean, over((v * var_s / var_t).sqrt(), z_t).expand_as(z_t))

    def ends(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """The times t_min and 1 as tensors of shape [1]."""
        return like.new_full((1,), self.t_min), like.new_ones(1)


def _check(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} is {value}; it must be a positive finite number.")


def _check_below_one(**values: float) -> None:
    for name, value in values.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name} is {value}; it must lie in [0, 1).")


class VPSDE(Process):
    r"""Variance-preserving process with beta(t) = beta_min + (beta_max - beta_min) t (Song et al. 2021, Eq. 32).

    B(t) = beta_min t + (beta_max - beta_min) t^2 / 2, alpha^2 = exp(-B), sigma^2 = 1 - (1 - sigma2_0) exp(-B).

    Args:
        beta_min: beta(0).
        beta_max: beta(1).
        sigma2_0: sigma^2(0), 0 for exact variance preservation.
        t_min: cut-off of time.
    """

    latent_std = 1.0
    terminal_std = 1.0

    def __init__(
        self, beta_min: float = 0.1, beta_max: float = 20.0, sigma2_0: float = 0.0, t_min: float = 1e-2
    ) -> None:
        _check(beta_min=beta_min, beta_max=beta_max, t_min=t_min)
        _check_below_one(sigma2_0=sigma2_0, t_min=t_min)
        self.beta_min, self.beta_max, self.sigma2_0, self.t_min = beta_min, beta_max, sigma2_0, t_min

    def _integral(self, t: Tensor) -> Tensor:
        return self.beta_min * t + 0.5 * (self.beta_max - self.beta_min) * t**2

    def log_alpha(self, t: Tensor) -> Tensor:
        """-B(t) / 2."""
        return -0.5 * self._integral(t)

    def sigma2(self, t: Tensor) -> Tensor:
        """1 - (1 - sigma2_0) exp(-B)."""
        return -torch.expm1(-self._integral(t)) + self.sigma2_0 * torch.exp(-self._integral(t))

    def drift(self, t: Tensor) -> Tensor:
        """-beta(t) / 2."""
        return -0.5 * self.diffusion2(t)

    def diffusion2(self, t: Tensor) -> Tensor:
        """beta(t)."""
        return self.beta_min + (self.beta_max - self.beta_min) * t

    def time_of_log_snr(self, log_snr: Tensor) -> Tensor:
        """B = softplus(-(lambda + c)) + c with c = ln(1 - sigma2_0), then the root of the quadratic in t."""
        c = math.log1p(-self.sigma2_0)
        return _linear_time(torch.nn.functional.softplus(-(log_snr + c)) + c, self.beta_min, self.beta_max)


def _linear_time(integral: Tensor, beta_min: float, beta_max: float) -> Tensor:
    """Solve beta_min t + (beta_max - beta_min) t^2 / 2 = B in the form without cancellation."""
    root = (beta_min**2 + 2 * (beta_max - beta_min) * integral).sqrt()
    return 2 * integral / (beta_min + root)


class SubVPSDE(Process):
    r"""Sub-variance-preserving process: alpha^2 = exp(-B), sigma^2 = (1 - exp(-B))^2 (Song et al. 2021, Eq. 35).

    Args:
        beta_min: beta(0).
        beta_max: beta(1).
        t_min: cut-off of time.
    """

    latent_std = 1.0
    terminal_std = 1.0

    def __init__(self, beta_min: float = 0.1, beta_max: float = 20.0, t_min: float = 1e-2) -> None:
        _check(beta_min=beta_min, beta_max=beta_max, t_min=t_min)
        _check_below_one(t_min=t_min)
        self.beta_min, self.beta_max, self.t_min = beta_min, beta_max, t_min

    def _integral(self, t: Tensor) -> Tensor:
        return self.beta_min * t + 0.5 * (self.beta_max - self.beta_min) * t**2

    def log_alpha(self, t: Tensor) -> Tensor:
        """-B(t) / 2."""
        return -0.5 * self._integral(t)

    def sigma2(self, t: Tensor) -> Tensor:
        """(1 - exp(-B))^2."""
        return torch.expm1(-self._integral(t)) ** 2

    def drift(self, t: Tensor) -> Tensor:
        """-beta(t) / 2."""
        return -0.5 * (self.beta_min + (self.beta_max - self.beta_min) * t)

    def diffusion2(self, t: Tensor) -> Tensor:
        """beta(t) (1 - exp(-2 B))."""
        return 2 * self.drift(t) * torch.expm1(-2 * self._integral(t))

    def time_of_log_snr(self, log_snr: Tensor) -> Tensor:
        """q = 1 - exp(-B) solves e^lambda q^2 + q - 1 = 0, so q = 2 / (1 + sqrt(1 + 4 e^lambda))."""
        q = 2 / (1 + (1 + 4 * log_snr.exp()).sqrt())
        return _linear_time(-torch.log1p(-q), self.beta_min, self.beta_max)


def _geometric(t: Tensor, low: float, high: float) -> Tensor:
    """low (high / low)^t."""
    return low * torch.exp(t * math.log(high / low))


class GeometricVPSDE(Process):
    r"""Variance-preserving process whose variance grows geometrically (Vahdat, Kreis, Kautz 2021, appendix).

    sigma^2 = sigma2_min R^t - sigma2_min + sigma2_0 with R = sigma2_max / sigma2_min, alpha^2 = (1 - sigma^2) /
    (1 - sigma2_0). With sigma2_0 = sigma2_min, uniform times are the optimal proposal of the likelihood weighting.

    Args:
        sigma2_min: least variance of the geometric curve.
        sigma2_max: largest variance, below 1.
        sigma2_0: sigma^2(0); None means sigma2_min.
        t_min: cut-off of time; 0 is allowed when sigma2_0 > 0.
    """

    latent_std = 1.0
    terminal_std = 1.0

    def __init__(
        self, sigma2_min: float = 3e-5, sigma2_max: float = 0.999, sigma2_0: float | None = None, t_min: float = 0.0
    ) -> None:
        _check(sigma2_min=sigma2_min, sigma2_max=sigma2_max)
        if not sigma2_min < sigma2_max < 1:
            raise ValueError(f"sigma2_max is {sigma2_max}; it must lie between sigma2_min={sigma2_min} and 1.")
        self.sigma2_min, self.sigma2_max, self.t_min = sigma2_min, sigma2_max, t_min
        self.sigma2_0 = sigma2_min if sigma2_0 is None else sigma2_0
        _check_below_one(sigma2_0=self.sigma2_0, t_min=t_min)
        if not sigma2_max - sigma2_min + self.sigma2_0 < 1:
            raise ValueError(
                f"sigma2_0 is {self.sigma2_0}, with which sigma^2(1) = sigma2_max - sigma2_min + sigma2_0 reaches 1; "
                "lower it or sigma2_max."
            )
        if t_min == 0 and self.sigma2_0 == 0:
            raise ValueError("t_min is 0 while sigma2_0 is 0; give one of them a positive value.")

    def log_alpha(self, t: Tensor) -> Tensor:
        """ln((1 - sigma^2) / (1 - sigma2_0)) / 2."""
        return 0.5 * torch.log1p(-(self.sigma2(t) - self.sigma2_0) / (1 - self.sigma2_0))

    def sigma2(self, t: Tensor) -> Tensor:
        """sigma2_min R^t - sigma2_min + sigma2_0."""
        # expm1 keeps the digits of R^t - 1 at small t
        return self.sigma2_min * torch.expm1(t * math.log(self.sigma2_max / self.sigma2_min)) + self.sigma2_0

    def drift(self, t: Tensor) -> Tensor:
        """-beta(t) / 2."""
        return -0.5 * self.diffusion2(t)

    def diffusion2(self, t: Tensor) -> Tensor:
        """beta(t) = (d sigma^2 / dt) / (1 - sigma^2)."""
        growth = _geometric(t, self.sigma2_min, self.sigma2_max)
        return growth * math.log(self.sigma2_max / self.sigma2_min) / (1 - self.sigma2(t))

    def time_of_log_snr(self, log_snr: Tensor) -> Tensor:
        """sigma^2 = 1 / (1 + (1 - sigma2_0) e^lambda), then t = ln((sigma^2 + sigma2_min - sigma2_0) / ...) / ln R."""
        sigma2 = torch.sigmoid(-(log_snr + math.log1p(-self.sigma2_0)))
        ratio = (sigma2 + self.sigma2_min - self.sigma2_0) / self.sigma2_min
        return ratio.log() / math.log(self.sigma2_max / self.sigma2_min)


class VESDE(Process):
    r"""Variance-exploding process: alpha = 1, sigma^2 = sigma2_min R^t (Song et al. 2021, Eq. 31).

    Args:
        sigma2_min: sigma^2(0).
        sigma2_max: sigma^2(1); take about the largest squared distance between two latents.
        latent_std: s, the spread of the latents that importance sampling assumes.
        t_min: cut-off of time.
    """

    def __init__(
        self, sigma2_min: float = 1e-4, sigma2_max: float = 2500.0, latent_std: float = 1.0, t_min: float = 1e-3
    ) -> None:
        _check(sigma2_min=sigma2_min, sigma2_max=sigma2_max, latent_std=latent_std)
        _check_below_one(t_min=t_min)
        if sigma2_max <= sigma2_min:
            raise ValueError(f"sigma2_max is {sigma2_max}; it must be larger than sigma2_min={sigma2_min}.")
        self.sigma2_min, self.sigma2_max, self.t_min = sigma2_min, sigma2_max, t_min
        self.latent_std, self.terminal_std = latent_std, math.sqrt(sigma2_max)

    def log_alpha(self, t: Tensor) -> Tensor:
        """0."""
        return torch.zeros_like(t)

    def sigma2(self, t: Tensor) -> Tensor:
        """sigma2_min R^t."""
        return _geometric(t, self.sigma2_min, self.sigma2_max)

    def drift(self, t: Tensor) -> Tensor:
        """0."""
        return torch.zeros_like(t)

    def diffusion2(self, t: Tensor) -> Tensor:
        """sigma^2 ln R."""
        return self.sigma2(t) * math.log(self.sigma2_max / self.sigma2_min)

    def time_of_log_snr(self, log_snr: Tensor) -> Tensor:
        """t = ln(e^-lambda / sigma2_min) / ln R."""
        return (-log_snr - math.log(self.sigma2_min)) / math.log(self.sigma2_max / self.sigma2_min)
