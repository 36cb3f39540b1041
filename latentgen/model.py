"""What a user holds after training: one model that samples, encodes, edits and measures, for every modality alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .autoencoder import Autoencoder
from .conditions import checked_condition
from .denoiser import guided
from .distributions import DiagonalGaussian, Likelihood
from .evaluating import evaluating
from .inpainting import inpaint_latents, inpainting_sampler
from .interpolation import spherical_path
from .joining import checked_mask, join, trim
from .modality import Modality
from .noise import NoiseStream, normal_like
from .pretrained import PretrainedMixin
from .prior import NormalPrior, Prior, ScorePrior
from .reading import drawn
from .sampler import GANSampler, Sampler, make_sampler
from .tensors import Batch

Progress = Callable[[Iterable[int]], Iterable[int]]


@dataclass(frozen=True)
class Estimate:
    """A Monte Carlo mean.

    Attributes:
        mean: the mean over examples, nats.
        standard_error: its standard error, nats.
        count: number of examples.
    """

    mean: float
    standard_error: float
    count: int


class LatentGenerativeModel(PretrainedMixin, nn.Module):
    """A modality, its autoencoder and a prior over its latents.

    Args:
        modality: the data type.
        autoencoder: maps data to latents and back.
        prior: distribution over latents.
    """

    block = 128
    """Samples made at a time, unless asked otherwise."""

    def __init__(self, modality: Modality, autoencoder: Autoencoder, prior: Prior) -> None:
        super().__init__()
        self.modality, self.autoencoder, self.prior = modality, autoencoder, prior
        self.calls = 0

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters(), torch.zeros(())).device

    @torch.no_grad()
    def sample(
        self,
        n: int,
        sampler: str | Sampler | None = None,
        steps: int | None = None,
        seed: int = 0,
        condition: Tensor | None = None,
        guidance: float = 1.0,
        batch_size: int | None = None,
        tolerance: float | None = None,
        start: int = 0,
        mode: bool | None = None,
        mask: Tensor | None = None,
    ) -> Batch:
        """Generate data.

        Sample i depends on the seed and on i alone: not on the batch size nor (on CPU, in fp32, up to rounding) on
        how many are drawn; an adaptive solver adds differences within its tolerance.

        Args:
            n: number of samples.
            sampler: "ode", "heun", "dpm", "ddim", "ancestral", "euler", "pc", "gan", or a sampler; None takes the
                prior's own: "dpm" for a score prior, "gan" for a denoising diffusion GAN.
            steps: number of steps, for samplers on a grid.
            seed: of the samples' random streams.
            condition: shape [n, F], for conditional models.
            guidance: weight of classifier-free guidance.
            batch_size: samples made at a time, at least 1.
            tolerance: of the adaptive sampler.
            start: number of the first sample, to continue an earlier call.
            mode: True decodes to the most probable data, False draws from the likelihood, each sample by itself; None
                leaves it to the modality (:attr:`Modality.draws`).
            mask: the items that samples have, bool [n, N] with real ones first, or [1, N] for all alike; None draws
                numbers of items as the modality does.

        Returns:
            A batch of n examples on the model's device. ``model.calls`` tells the function calls of one batch.
        """
        if n < 1:
            raise ValueError(f"n is {n}; ask for at least 1 sample.")
        if start < 0 or (batch_size is not None and batch_size < 1):
            raise ValueError(f"start is {start} and batch_size {batch_size}; give numbers from 0 and from 1.")
        chosen = make_sampler(sampler or self.prior.default_sampler, steps, tolerance)
        # a generator takes no guidance at all, and says so itself
        condition = self._condition(condition, n, 1.0 if isinstance(chosen, GANSampler) else guidance)
        wanted = None if mask is None else checked_mask(mask, n, self.prior.latents)
        parts, size = [], batch_size or self.block
        with evaluating(self):
            for first in range(start, start + n, size):
                indices = range(first, min(first + size, start + n))
                noise = NoiseStream(seed, indices, self.prior.latents.shape)
                own = slice(indices.start - start, indices.stop - start)
                given = None if condition is None else condition[own]
                items = self.modality.conditional_mask(noise.uniform(), given) if wanted is None else wanted[own]
                items = items if items is None else trim(items).to(self.device)
                z = self.prior.sample(len(indices), items, chosen, noise, given, guidance)
                parts.append(self.read(z, items, noise, mode))
        self.calls = chosen.calls
        return join(parts)

    @torch.no_grad()
    def encode(self, batch: Batch) -> DiagonalGaussian:
        """q(z | x): mean and std of shape [B, *E], latent units."""
        with evaluating(self):
            return self.autoencoder.encode(self._here(batch))

    @torch.no_grad()
    def decode(self, z: Tensor, mask: Tensor | None = None) -> Likelihood:
        """p(x | z) for z [B, *E]; ``.mode()`` and ``.sample()`` give data."""
        with evaluating(self):
            return self.autoencoder.decode(z.to(self.device), None if mask is None else mask.to(self.device))

    @torch.no_grad()
    def read(self, z: Tensor, mask: Tensor | None, noise: NoiseStream, mode: bool | None = None) -> Batch:
        """The data of latents: the most probable, or a draw from the samples' own streams.

        Args:
            z: shape [B, *E].
            mask: True where an item is real, shape [B, N], or None.
            noise: the samples' streams, used by draws alone.
            mode: as in :meth:`sample`.
        """
        with evaluating(self):
            if self.modality.draws if mode is None else not mode:
                return drawn(self.autoencoder, z, mask, noise)
            return self.autoencoder.decode(z, mask).mode()

    @torch.no_grad()
    def reconstruct(self, batch: Batch) -> Batch:
        """Encode (a posterior sample) and decode (the mode, or a draw where the modality draws)."""
        q = self.encode(batch)
        likelihood = self.decode(q.rsample(), q.mask)
        return likelihood.sample() if self.modality.draws else likelihood.mode()

    @torch.no_grad()
    def reread(self, batch: Batch, passes: int = 6, seed: int = 0) -> Batch:
        """Encode, draw from the posterior, decode: :meth:`reconstruct`, again and again.

        The chain of a generalised denoising autoencoder (Bengio et al. 2013), which is drawn towards data: it mends
        what few calls of a sampler left between two examples. A pass costs an encoder and a decoder and no call of the
        prior. What was read again is no draw of p(x): likelihoods know nothing of passes.

        Args:
            batch: B examples, such as generated ones.
            passes: how often, 1 or more.
            seed: of all draws; they depend on the whole batch. The global generator is left as it was.
        """
        if passes < 1:
            raise ValueError(f"passes is {passes}; give how often to encode and decode again, 1 or more.")
        devices = [] if self.device.type == "cpu" else [self.device]
        with torch.random.fork_rng(devices, device_type=self.device.type):
            torch.manual_seed(seed)
            for _ in range(passes):
                batch = self.reconstruct(batch)
        return batch

    @torch.no_grad()
    def interpolate(self, a: Batch, b: Batch, n: int = 8, tolerance: float = 1e-4) -> list[Batch]:
        """A path from a to b: spherical in the noise space of the probability flow, which is a one-to-one code.

        Under a normal prior the path is spherical in the latents, which are noise themselves.
        Items that only one end has (its mask) are drawn as noise at the other end, and appear or vanish half-way.
        Where examples have a ``condition``, each end is encoded by its own, and points take that of the nearer end.

        Args:
            a: batch of B examples.
            b: batch of B examples.
            n: number of points, the ends included; at least 2.
            tolerance: of the flow's solver.

        Returns:
            n batches of B examples.
        """
        if n < 2:
            raise ValueError(f"n is {n}; a path has at least its 2 ends.")
        (q_a, q_b), path = (self.encode(a), self.encode(b)), []
        if len(q_a.mean) != len(q_b.mean):
            raise ValueError(f"a has {len(q_a.mean)} examples and b has {len(q_b.mean)}; give as many of both.")
        given = [self._condition(batch.get("condition"), len(q_a.mean)) for batch in (a, b)]
        prior = self.prior if isinstance(self.prior, NormalPrior) else self._score_prior("interpolate")
        for z, mask in spherical_path(prior, (q_a, q_b), given, n, tolerance):
            path.append(self.read(z, mask, NoiseStream(0, range(len(z)))))
        return path

    @torch.no_grad()
    def trajectory(
        self,
        n: int,
        sampler: str | Sampler | None = None,
        steps: int = 8,
        seed: int = 0,
        condition: Tensor | None = None,
        guidance: float = 1.0,
    ) -> list[Batch]:
        """The evolution of n samples: the decoded prediction of z_0 after every function call, from noise to data.

        Arguments as of :meth:`sample`; guidance is for the samplers of a score prior.
        """
        if n < 1:
            raise ValueError(f"n is {n}; ask for at least 1 sample.")
        condition = self._condition(condition, n, guidance)
        sampler, states = sampler or self.prior.default_sampler, []
        denoiser = self.prior.denoiser_of(make_sampler(sampler))
        noise = NoiseStream(seed, range(n), self.prior.latents.shape)
        mask = self.modality.conditional_mask(noise.uniform(), condition)
        mask = mask if mask is None else mask.to(self.device)
        with evaluating(self):
            z_1 = self.prior._start(n, mask, noise) * denoiser.process.terminal_std
            chosen = make_sampler(sampler, None if sampler in ("ode", "gan") else steps)
            observe = lambda t, prediction: states.append(prediction.mean)  # noqa: E731
            chosen(guided(denoiser, guidance), z_1, mask=mask, condition=condition, noise=noise, observe=observe)
            return [self.read(z, mask, NoiseStream(seed, range(n))) for z in states]

    @torch.no_grad()
    def edit(
        self,
        batch: Batch,
        strength: float = 0.5,
        sampler: str | Sampler | None = None,
        steps: int = 25,
        seed: int = 0,
        condition: Tensor | None = None,
        guidance: float = 1.0,
    ) -> Batch:
        """Noise the latents of given data up to t = strength and sample back (Meng et al. 2022, in latent space).

        Args:
            batch: B examples.
            strength: time t in (0, 1]: small keeps the example, 1 forgets it.
            sampler: as in :meth:`sample`.
            steps: as in :meth:`sample`.
            seed: of the noise.
            condition: shape [B, F], for conditional models: what to make of the examples; None takes the batch's own.
            guidance: weight of classifier-free guidance.
        """
        prior = self._score_prior("edit")
        if not prior.process.t_min < strength <= 1:
            raise ValueError(f"strength is {strength}; give a time between {prior.process.t_min} and 1.")
        count = len(next(iter(batch.values())))
        given = self._condition(batch.get("condition") if condition is None else condition, count, guidance)
        q, noise = self.encode(batch), NoiseStream(seed, range(count), prior.latents.shape)
        with evaluating(self):
            t = torch.full((len(q.mean),), float(strength), device=self.device)
            z_t = prior.process.marginal(q.mean, t).rsample(normal_like(q.mean, noise))
            chosen = make_sampler(sampler, None if sampler == "ode" else steps)
            denoiser = guided(prior.denoiser, guidance)
            z_0 = chosen(denoiser, z_t, mask=q.mask, condition=given, noise=noise, start=strength)
            return self.read(z_0, q.mask, noise)

    @torch.no_grad()
    def inpaint(
        self,
        batch: Batch,
        keep: Tensor,
        sampler: str | Sampler | None = None,
        steps: int = 25,
        seed: int = 0,
        resample: int = 10,
        condition: Tensor | None = None,
        guidance: float = 1.0,
    ) -> Batch:
        """Keep a part of the latents of given data and generate the rest (``latentgen.inpainting``).

        Args:
            batch: B examples; what is not kept may be anything, as far as the encoder does not mix it into the rest.
            keep: True where latents are known: [B, N] for sets and sequences, [B, *S] for grids, [B, d] for vectors.
            sampler: as in :meth:`sample`; None takes ancestral steps.
            steps: as in :meth:`sample`.
            seed: of the samples' random streams.
            resample: how often each step is made; 1 is plain replacement, whose results are biased.
            condition: shape [B, F], for conditional models; None takes the batch's own.
            guidance: weight of classifier-free guidance.

        Raises:
            ValueError: if ``keep`` has another shape, or the sampler's steps cannot be repeated.
        """
        prior, chosen = self._score_prior("inpaint"), inpainting_sampler(sampler, steps, resample)
        q = self.encode(batch)
        noise = NoiseStream(seed, range(len(q.mean)), prior.latents.shape)
        own = batch.get("condition") if condition is None else condition
        given = self._condition(own, len(q.mean), guidance)
        with evaluating(self):
            z_0 = inpaint_latents(prior, q.mean, keep, chosen, q.mask, noise, given, guidance)
            self.calls = chosen.calls
            return self.read(z_0, q.mask, noise)

    @torch.no_grad()
    def log_prob(self, batch: Batch, method: str = "ode", draws: int = 1, tolerance: float = 1e-4) -> Tensor:
        r"""A lower bound on ln p(x), nats, shape [B]: ln p(x | z) - ln q(z | x) + ln p(z) at z ~ q(z | x).

        Args:
            batch: B examples.
            method: ln p(z) by "ode" (the probability flow) or by "bound" (importance-sampled diffusion bound).
            draws: posterior samples averaged per example.
            tolerance: of the flow's solver.
        """
        if method not in ("ode", "bound"):
            raise ValueError(f"method is {method!r}; choose ode or bound.")
        if draws < 1:
            raise ValueError(f"draws is {draws}; give at least 1.")
        batch, totals = self._here(batch), []
        with evaluating(self):
            for _ in range(draws):
                q = self.autoencoder.encode(batch)
                z = q.rsample()
                given = batch.get("condition")
                if method == "ode" and self.prior.score_prior is not None:
                    log_prior = self.prior.score_prior.log_prob(z, q.mask, given, tolerance)
                else:
                    log_prior = -self.prior.cross_entropy(z, q.mask, given)
                totals.append(self.autoencoder.decode(z, q.mask).log_prob(batch) + q.entropy() + log_prior)
        return torch.stack(totals).mean(dim=0)

    def nelbo(self, batches: Iterable[Batch], method: str = "ode", draws: int = 1, tolerance: float = 1e-4) -> Estimate:
        """Mean of -log_prob over data with its standard error, nats per example."""
        values = torch.cat([-self.log_prob(batch, method, draws, tolerance).double().cpu() for batch in batches])
        error = float(values.std() / math.sqrt(len(values))) if len(values) > 1 else math.nan
        return Estimate(float(values.mean()), error, len(values))

    def _score_prior(self, what: str) -> ScorePrior:
        found = self.prior.score_prior
        if found is None:
            raise ValueError(
                f"{what} needs a score prior; this model's prior is {type(self.prior).__name__}: train one on its "
                "latents (recipes LatentDiffusion, LSGM, or JointDDGAN for both)."
            )
        return found

    def _condition(self, condition: Tensor | None, n: int, guidance: float = 1.0) -> Tensor | None:
        """A condition [n, F] on the model's device, or None."""
        found = checked_condition(condition, n, self.modality.condition_dim, guidance)
        return None if found is None else found.to(self.device)

    def _here(self, batch: Batch) -> Batch:
        return {key: value.to(self.device) for key, value in batch.items()}
