r"""Objectives: one update of one set of parameters each, the unit that a trainer wraps, differentiates and clips."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from .autoencoder import Autoencoder
from .component import Component
from .distributions import DiagonalGaussian
from .encoded import posterior
from .latents import LatentSpec
from .nn.spectral import SpectralNorms, checked_weights, has_gains, largest_gains
from .prior import NormalPrior, ScorePrior
from .tensors import Batch, event_size, item_mask, over, scale_gradient
from .times import LogSNRTimes, TimeSampler, UniformTimes
from .weighting import LikelihoodWeighting, UnweightedWeighting, Weighting

Losses = dict[str, Tensor]
"""``loss`` (a scalar to differentiate) and detached figures to log, all scalars."""


class Schedule(Component):
    """A number that runs linearly from ``start``, at the share ``begins`` of training, to ``end``, at ``portion``.

    Args:
        start: value up to ``begins``.
        end: value from ``portion`` on.
        portion: share of training, in [0, 1].
        begins: share of training, in [0, portion]. A KL weight that rises late leaves time to learn what latents are
            for; latents that carry everything can then be made simple.
    """

    def __init__(self, start: float, end: float, portion: float = 0.3, begins: float = 0.0) -> None:
        if not 0 <= portion <= 1:
            raise ValueError(f"portion is {portion}; it is a share of training between 0 and 1.")
        if not 0 <= begins <= portion:
            raise ValueError(f"begins is {begins} with portion={portion}; give a share of training up to it.")
        if not (math.isfinite(start) and math.isfinite(end)):
            raise ValueError(f"start is {start} and end {end}; give finite numbers.")
        self.start, self.end, self.portion, self.begins = start, end, portion, begins

    def __call__(self, progress: Tensor) -> Tensor:
        """The value at a share of training in [0, 1]."""
        share = ((progress - self.begins) / max(self.portion - self.begins, 1e-9)).clamp(0.0, 1.0)
        return self.start + (self.end - self.start) * share


class Objective(Component, nn.Module, ABC):
    """A loss that is one wrapped module: calling it once is the whole forward pass of an update.

    Attributes:
        progress: share of training done, set by the trainer, shape [].
        step: number of the optimizer step, set by the trainer.
        begins: share of training, in [0, 1), before which a trainer leaves this objective out; its learning rates rise
            from there.
    """

    progress: Tensor
    step: int = 0
    begins: float = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("progress", torch.zeros(()), persistent=False)

    @abstractmethod
    def forward(self, batch: Batch) -> Losses:
        """The losses of one batch."""

    @abstractmethod
    def groups(self) -> dict[str, nn.Module]:
        """The modules whose parameters this objective updates, by the name of their learning rate."""

    def finish(self, examples: Iterable[Batch]) -> None:
        """What is left to do after the last step, on the averaged weights, in evaluation mode; nothing unless written.

        Every process does it on the same examples.

        Args:
            examples: batches of the training data, each example once, in an order of the seed.
        """


def latent_statistics(q: DiagonalGaussian, channel_axis: int = -1) -> Losses:
    """Signs of collapse: mean log variance of q, active units, and the aggregate's standard deviation.

    A unit (channel) is active when the variance of its mean exceeds 0.01 squared latent units (Burda et al. 2016).
    """
    mean, std = q.mean.detach(), q.std.detach()
    mean, std = mean.movedim(channel_axis, -1).flatten(0, -2), std.movedim(channel_axis, -1).flatten(0, -2)
    if q.mask is None:
        weight = torch.ones_like(mean[:, :1])
    else:
        weight = q.mask.reshape(-1, 1).to(mean.dtype)
    total = weight.sum()
    center = (weight * mean).sum(0) / total
    spread = (weight * (mean - center) ** 2).sum(0) / total
    return {
        "log_var": (weight * 2 * std.log()).sum() / (total * std.shape[1]),
        "active_units": (spread > 0.01).sum().float(),
        "latent_std": (spread + (weight * std**2).sum(0) / total).mean().sqrt(),
    }


class ELBO(Objective):
    r"""-ELBO = -ln p(x | z) + beta KL(q(z | x) || N(0, I)): a plain VAE (Kingma and Welling 2014).

    Args:
        autoencoder: encoder and decoder, both trained.
        prior: the standard normal.
        kl_weight: beta, or a schedule of it.
    """

    def __init__(self, autoencoder: Autoencoder, prior: NormalPrior, kl_weight: float | Schedule = 1.0) -> None:
        super().__init__()
        self.autoencoder, self.prior, self.kl_weight = autoencoder, prior, kl_weight

    def groups(self) -> dict[str, nn.Module]:
        """The autoencoder."""
        return {"autoencoder": self.autoencoder}

    def forward(self, batch: Batch) -> Losses:
        """Loss per latent dimension; figures in nats per example."""
        q = self.autoencoder.encode(batch)
        z = q.rsample()
        reconstruction = -self.autoencoder.decode(z, q.mask).log_prob(batch)
        kl = q.kl_to_normal()
        loss = reconstruction + schedule_value(self.kl_weight, self.progress) * kl
        entropy = q.entropy().detach()
        figures = {"reconstruction": reconstruction, "kl": kl, "entropy": entropy, "cross_entropy": kl + entropy}
        return _losses(loss, self.prior.latents, {**figures, "nelbo": reconstruction + kl}, q)


class JointELBO(Objective):
    r"""LSGM: autoencoder and score prior trained end to end in one forward and one backward pass.

    L = -ln p(x | z) + beta (cross-entropy bound - entropy of q) for encoder and decoder, with the likelihood weighting
    w_q, and w_p ||eps - eps_hat||^2 for the prior, with any positive weighting w_p (Vahdat, Kreis, Kautz 2021,
    Section 3). Both losses are multiples of one error, so w_p error is backpropagated once and the gradient that
    arrives at z_t of sample i is multiplied by beta w_q / w_p: the prior receives the w_p gradient and the encoder the
    w_q gradient, exactly. No layer of the network may mix samples.

    Args:
        autoencoder: encoder and decoder.
        prior: a score prior.
        weighting: w_p.
        times: proposal of t; of the encoder's and, unless ``prior_times`` is given, of the prior's.
        kl_weight: beta, or a schedule of it.
        prior_times: a separate proposal for the prior (disjoint mode): the prior then learns at its own times and
            noise on detached latents, and the encoder's pass leaves the prior's parameters alone.
        spectral: weight of the prior's spectral norms, added to the loss in nats an example (``SpectralNorms``: its
            convolutions, or a transformer's linear layers); 0 costs nothing.
        gains: weight of the largest gains of its norms (``largest_gains``); as ``spectral`` unless given.

    Raises:
        ValueError: if a weight is negative, or a prior has nothing that it weighs.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        prior: ScorePrior,
        weighting: Weighting | None = None,
        times: TimeSampler | None = None,
        kl_weight: float | Schedule = 1.0,
        prior_times: TimeSampler | None = None,
        spectral: float = 0.0,
        gains: float | None = None,
    ) -> None:
        super().__init__()
        self.spectral, self.gains = checked_weights(spectral, gains)
        if gains and not has_gains(prior):
            raise ValueError(f"gains is {gains} for a prior whose norms have none; leave it out or give 0.")
        self.norms = SpectralNorms(prior) if spectral > 0 else None
        self.autoencoder, self.prior, self.kl_weight = autoencoder, prior, kl_weight
        self.weighting = weighting if weighting is not None else UnweightedWeighting()
        self.times = times if times is not None else LogSNRTimes()
        self.prior_times = prior_times

    def groups(self) -> dict[str, nn.Module]:
        """The autoencoder and the prior."""
        return {"autoencoder": self.autoencoder, "prior": self.prior}

    def forward(self, batch: Batch) -> Losses:
        """Loss per latent dimension; figures in nats per example (``nelbo`` is a bound at beta = 1)."""
        q = self.autoencoder.encode(batch)
        z = q.rsample()
        reconstruction = -self.autoencoder.decode(z, q.mask).log_prob(batch)
        size, condition = event_size(z, q.mask), batch.get("condition")
        beta = schedule_value(self.kl_weight, self.progress)
        shared = self._shared if self.prior_times is None else self._disjoint
        prior_loss, encoder_loss, cross_entropy = shared(z, q.mask, condition, beta)
        fixed, entropy = self.prior.fixed_terms(z, q.mask), q.entropy()
        loss = reconstruction + beta * (fixed - entropy) + prior_loss + encoder_loss
        cross_entropy = cross_entropy + fixed
        figures = {
            "reconstruction": reconstruction,
            "cross_entropy": cross_entropy,
            "entropy": entropy,
            "nelbo": reconstruction + cross_entropy - entropy,
            "prior_error": prior_loss / size,
        }
        if self.spectral or self.gains:
            figures["norm_penalty"] = self._penalty()
            loss = loss + figures["norm_penalty"]
        return _losses(loss, self.prior.latents, figures, q)

    def _penalty(self) -> Tensor:
        """spectral sum sigma_max(W) + gains sum max |gamma| of the prior, shape []."""
        total = torch.zeros_like(self.progress) if self.norms is None else self.spectral * self.norms()
        return total + self.gains * largest_gains(self.prior) if self.gains else total

    def _noised(self, z: Tensor, times: TimeSampler) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """t [B], density r(t) [B], eps and z_t [B, *E]."""
        process = self.prior.process
        t, density = times(len(z), process, z.device)
        eps = torch.randn_like(z)
        return t, density, eps, over(process.alpha(t), z) * z + over(process.sigma(t), z) * eps

    def _shared(
        self, z: Tensor, mask: Tensor | None, condition: Tensor | None, beta: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Prior loss [B] whose gradient reaches z scaled, what is left for the encoder (nothing), and the detached
        integral of the cross-entropy [B].
        """
        process = self.prior.process
        t, density, eps, z_t = self._noised(z, self.times)
        w_q, w_p = LikelihoodWeighting()(process, t), self.weighting(process, t)
        z_t = scale_gradient(z_t, beta * w_q / w_p)
        error = _error(self.prior.predict(z_t, t, mask, condition), eps, mask)
        return w_p / density * error, torch.zeros_like(error), (w_q / density * error).detach()

    def _disjoint(
        self, z: Tensor, mask: Tensor | None, condition: Tensor | None, beta: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The same with a time and noise of its own for each side."""
        process = self.prior.process
        assert self.prior_times is not None
        t_q, density_q, eps_q, z_q = self._noised(z, self.times)
        t_p, density_p, eps_p, z_p = self._noised(z.detach(), self.prior_times)
        w_q, w_p = LikelihoodWeighting()(process, t_q), self.weighting(process, t_p)
        with frozen(self.prior):
            hat_q = self.prior.denoiser(z_q, t_q, mask, condition).eps
        error_q = _error(hat_q, eps_q, mask)
        error_p = _error(self.prior.predict(z_p, t_p, mask, condition), eps_p, mask)
        integral = w_q / density_q * error_q
        return w_p / density_p * error_p, beta * integral, integral.detach()


class ScoreMatching(Objective):
    r"""Latent diffusion: w_p ||eps - eps_hat||^2 for a prior on the latents of a frozen autoencoder.

    Args:
        autoencoder: frozen; put it into a ``StandardizedAutoencoder`` first. An untrained network's loss is then
            about 1 with the recipes' weighting.
        prior: a score prior.
        weighting: w_p.
        times: proposal of t.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        prior: ScorePrior,
        weighting: Weighting | None = None,
        times: TimeSampler | None = None,
    ) -> None:
        super().__init__()
        self.autoencoder, self.prior = autoencoder.requires_grad_(False), prior
        self.weighting = weighting if weighting is not None else UnweightedWeighting()
        self.times = times if times is not None else UniformTimes()

    def groups(self) -> dict[str, nn.Module]:
        """The prior."""
        return {"prior": self.prior}

    def forward(self, batch: Batch) -> Losses:
        """Loss per latent dimension."""
        process = self.prior.process
        self.autoencoder.eval()  # a trainer puts everything into training mode; frozen means dropout and statistics too
        with torch.no_grad():
            q = posterior(self.autoencoder, batch)
            z = q.rsample()
            entropy = q.entropy()
        t, density = self.times(len(z), process, z.device)
        error = self.prior.error(z, t, torch.randn_like(z), q.mask, batch.get("condition"))
        loss = self.weighting(process, t) / density * error
        cross_entropy = self.prior.bound(z, t, density, q.mask, error.detach())
        size = event_size(z, q.mask)
        figures = {"cross_entropy": cross_entropy, "entropy": entropy, "prior_error": loss / size}
        return _losses(loss, self.prior.latents, figures, q)


class frozen:
    """Within it, the module's parameters take no gradient."""

    def __init__(self, module: nn.Module) -> None:
        self.parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]

    def __enter__(self) -> None:
        for parameter in self.parameters:
            parameter.requires_grad_(False)

    def __exit__(self, *exception: object) -> None:
        for parameter in self.parameters:
            parameter.requires_grad_(True)


def _error(hat: Tensor, eps: Tensor, mask: Tensor | None) -> Tensor:
    squared = (hat - eps) ** 2
    if mask is not None:
        squared = squared * item_mask(mask, squared)
    return squared.flatten(1).sum(1)


def schedule_value(weight: float | Schedule, progress: Tensor) -> Tensor:
    """A fixed weight, or a schedule's value at a share of training, shape []."""
    return weight(progress) if isinstance(weight, Schedule) else torch.full_like(progress, weight)


def _losses(loss: Tensor, latents: LatentSpec, figures: Losses, q: DiagonalGaussian) -> Losses:
    logs = {name: value.detach().mean() for name, value in figures.items()}
    axis = 1 if latents.layout == "grid" else -1
    return {"loss": loss.mean() / latents.dims, **logs, **latent_statistics(q, axis)}
