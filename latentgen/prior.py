"""Priors over latents: the standard normal and the score-based prior."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from .component import Component
from .conditions import dropped_condition
from .denoiser import Denoiser, guided
from .distributions import LOG_2PI, DiagonalGaussian
from .flow import flow_log_prob
from .latents import LatentSpec
from .noise import NoiseStream, normal_like
from .process import Process
from .sampler import SAMPLERS, Sampler, make_sampler
from .tensors import event_size, event_sum, item_mask, over
from .times import LogSNRTimes, TimeSampler
from .weighting import LikelihoodWeighting


class Prior(Component, nn.Module, ABC):
    """A distribution p(z) over latents.

    Attributes:
        latents: what the latent looks like.
    """

    latents: LatentSpec

    @property
    def samplers(self) -> tuple[str, ...]:
        """Short names of the samplers that it can be sampled by; none where it is sampled directly."""
        return ()

    @property
    def default_sampler(self) -> str:
        """Short name of the sampler that is used unless another is named."""
        return "dpm"

    def denoiser_of(self, sampler: Sampler) -> Denoiser:
        """The network that a sampler runs.

        Raises:
            ValueError: if this prior has none for it.
        """
        raise ValueError(f"{type(sampler).__name__} has nothing to run: {type(self).__name__} is sampled directly.")

    @property
    def has_likelihood(self) -> bool:
        """Whether :meth:`cross_entropy` and :meth:`log_prob` exist."""
        return True

    @property
    def score_prior(self) -> ScorePrior | None:
        """The score prior that it is or holds, with the flow that encodes, edits and interpolates."""
        return None

    @abstractmethod
    def sample(
        self,
        n: int,
        mask: Tensor | None = None,
        sampler: Sampler | None = None,
        noise: NoiseStream | None = None,
        condition: Tensor | None = None,
        guidance: float = 1.0,
    ) -> Tensor:
        """Draw n latents, shape [n, *E]; masked items are zero."""

    @abstractmethod
    def cross_entropy(self, z: Tensor, mask: Tensor | None = None, condition: Tensor | None = None) -> Tensor:
        """An unbiased estimate of an upper bound on -ln p(z), nats, shape [B]."""

    @abstractmethod
    def log_prob(self, z: Tensor, mask: Tensor | None = None, condition: Tensor | None = None) -> Tensor:
        """ln p(z), nats, shape [B]."""

    def _event(self, mask: Tensor | None) -> tuple[int, ...]:
        """Event shape of a batch, whose items may have been trimmed to its mask [B, n]."""
        return self.latents.shape if mask is None else (mask.shape[1], *self.latents.shape[1:])

    def _start(self, n: int, mask: Tensor | None, noise: NoiseStream | None) -> Tensor:
        """Standard normal latents [n, *E], zero at masked items, on the prior's device."""
        parameter = next(self.parameters(), torch.zeros(()))
        shape = self._event(mask)
        like = torch.empty((n, *shape), device=parameter.device)
        # full events are drawn and then trimmed, so that padding does not change a sample
        z = torch.randn_like(like) if noise is None else noise.normal(self.latents.shape, like=like)
        z = z[:, : shape[0]] if self.latents.masked else z
        return z if mask is None else z * item_mask(mask.to(z.device), z)


class NormalPrior(Prior):
    """p(z) = N(0, I): the prior of a plain VAE.

    Args:
        latents: what the latent looks like.
    """

    def __init__(self, latents: LatentSpec) -> None:
        super().__init__()
        self.latents = latents

    def sample(
        self,
        n: int,
        mask: Tensor | None = None,
        sampler: Sampler | None = None,
        noise: NoiseStream | None = None,
        condition: Tensor | None = None,
        guidance: float = 1.0,
    ) -> Tensor:
        """Standard normal noise; sampler, condition and guidance have no meaning here."""
        return self._start(n, mask, noise)

    def cross_entropy(self, z: Tensor, mask: Tensor | None = None, condition: Tensor | None = None) -> Tensor:
        """-ln N(z; 0, I), exact."""
        return event_sum(0.5 * (z**2 + LOG_2PI), mask)

    def log_prob(self, z: Tensor, mask: Tensor | None = None, condition: Tensor | None = None) -> Tensor:
        """ln N(z; 0, I)."""
        return -self.cross_entropy(z, mask)


class ScorePrior(Prior):
    r"""A score-based prior: the reverse of a diffusion process with a learned denoiser (Vahdat et al. 2021).

    Args:
        latents: what the latent looks like.
        denoiser: predicts the noise; holds the process and the network.
        condition_dropout: share of conditions replaced by NaN ("no condition") in training, which guidance needs; 0.1
            is usual.
    """

    def __init__(self, latents: LatentSpec, denoiser: Denoiser, condition_dropout: float = 0.0) -> None:
        super().__init__()
        self.latents, self.denoiser, self.condition_dropout = latents, denoiser, condition_dropout

    @property
    def process(self) -> Process:
        """The forward process."""
        return self.denoiser.process

    @property
    def samplers(self) -> tuple[str, ...]:
        """Every one but "gan"."""
        return tuple(name for name in SAMPLERS if name != "gan")

    @property
    def score_prior(self) -> ScorePrior:
        """Itself."""
        return self

    def denoiser_of(self, sampler: Sampler) -> Denoiser:
        """The denoiser."""
        return self.denoiser

    def sample(
        self,
        n: int,
        mask: Tensor | None = None,
        sampler: Sampler | None = None,
        noise: NoiseStream | None = None,
        condition: Tensor | None = None,
        guidance: float = 1.0,
    ) -> Tensor:
        """Start at N(0, terminal_std^2 I) and run a sampler ("dpm" with 25 calls unless given).

        Args:
            n: number of samples.
            mask: True where an item is real, shape [n, N], or None.
            sampler: any ``Sampler``.
            noise: the samples' own random streams; None draws from torch's global generator.
            condition: shape [n, F] or None.
            guidance: weight w of classifier-free guidance; 1 is none.

        Returns:
            z_0, shape [n, *E], latent units.
        """
        z_1 = self._start(n, mask, noise) * self.process.terminal_std
        denoiser = guided(self.denoiser, guidance)
        return make_sampler(sampler)(denoiser, z_1, mask=mask, condition=condition, noise=noise)

    def bound(self, z: Tensor, t: Tensor, density: Tensor, mask: Tensor | None, error: Tensor) -> Tensor:
        r"""Upper bound on -ln p(z) from one noise-prediction error a sample.

        terminal KL + w_ll(t) / r(t) ||eps - eps_hat||^2 + D/2 ln(2 pi e sigma^2(t_min)) - D ln alpha(t_min)

        (Kingma et al. 2021, with a Gaussian p(z_0 | z_tmin); the third term with the terminal KL is the bound of
        Vahdat et al. 2021, Theorem 1, on the density of z_tmin.)

        Args:
            z: clean latent z_0, shape [B, *E].
            t: times, shape [B], drawn with density r(t).
            density: r(t), shape [B].
            mask: True where an item is real, shape [B, N], or None.
            error: ||eps - eps_hat(z_t, t)||^2, shape [B].

        Returns:
            Nats, shape [B].
        """
        weight = LikelihoodWeighting()(self.process, t) / density
        return self.fixed_terms(z, mask) + weight * error

    def fixed_terms(self, z: Tensor, mask: Tensor | None) -> Tensor:
        """Terminal KL(q(z_1 | z_0) || p(z_1)) plus the constants of :meth:`bound`, nats, shape [B]."""
        start, end = self.process.ends(z)
        q = DiagonalGaussian(self.process.alpha(end) * z, self.process.sigma(end).expand_as(z), mask)
        terminal = q.kl_to_normal(self.process.terminal_std)
        constant = 0.5 * (1 + LOG_2PI + self.process.sigma2(start).log()) - self.process.log_alpha(start)
        return terminal + event_size(z, mask) * constant

    def predict(self, z_t: Tensor, t: Tensor, mask: Tensor | None, condition: Tensor | None) -> Tensor:
        """Training prediction eps_hat [B, *E]; with self-conditioning, every other batch first predicts z_0.

        The first prediction takes no gradient and is given back to the network as an input.
        """
        previous = None
        if self.training:
            condition = dropped_condition(condition, self.condition_dropout)
        if self.training and self.denoiser.self_condition and bool(torch.rand(()) < 0.5):
            with torch.no_grad():
                previous = self.denoiser(z_t, t, mask, condition).mean
        eps: Tensor = self.denoiser(z_t, t, mask, condition, previous).eps
        return eps

    def error(
        self, z: Tensor, t: Tensor, eps: Tensor, mask: Tensor | None = None, condition: Tensor | None = None
    ) -> Tensor:
        """||eps - eps_hat(z_t, t)||^2 over real items at z_t = alpha z + sigma eps, shape [B]."""
        z_t = over(self.process.alpha(t), z) * z + over(self.process.sigma(t), z) * eps
        return event_sum((self.predict(z_t, t, mask, condition) - eps) ** 2, mask)

    def cross_entropy(
        self,
        z: Tensor,
        mask: Tensor | None = None,
        condition: Tensor | None = None,
        times: TimeSampler | None = None,
        draws: int = 1,
    ) -> Tensor:
        """The importance-sampled bound on -ln p(z), averaged over ``draws`` times, nats, shape [B]."""
        times = times if times is not None else LogSNRTimes()
        total = torch.zeros(len(z), device=z.device)
        for _ in range(draws):
            t, density = times(len(z), self.process, z.device)
            total = total + self.bound(z, t, density, mask, self.error(z, t, torch.randn_like(z), mask, condition))
        return total / draws

    def log_prob(
        self,
        z: Tensor,
        mask: Tensor | None = None,
        condition: Tensor | None = None,
        tolerance: float = 1e-5,
        exact: bool | None = None,
        noise: NoiseStream | None = None,
    ) -> Tensor:
        r"""ln p(z) by the probability-flow ODE, nats, shape [B].

        z_tmin = alpha z + sigma eps is drawn once and its flow density is taken; the Gaussian step from z_tmin to z
        adds D ln alpha, so that -log_prob is an upper bound on -ln p(z) in expectation, and exact as t_min -> 0.

        Args:
            z: shape [B, *E].
            mask: True where an item is real, shape [B, N], or None.
            condition: shape [B, F] or None.
            tolerance: relative and absolute tolerance of the adaptive solver.
            exact: exact divergence instead of Hutchinson's estimate; None: exact up to 16 dimensions.
            noise: the samples' own random streams.
        """
        t = self.process.ends(z)[0].expand(len(z))
        z_t = self.process.marginal(z, t).rsample(normal_like(z, noise))
        exact = self.latents.dims <= 16 if exact is None else exact
        log_density = flow_log_prob(self.denoiser, z_t, mask, condition, tolerance, exact, noise)
        return log_density + event_size(z, mask) * self.process.log_alpha(t)
