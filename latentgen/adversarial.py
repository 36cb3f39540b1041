r"""The two adversarial objectives of a denoising diffusion GAN: one updates the discriminator, one the generator.

Which gradient goes where: ``Discriminate`` touches the discriminator alone (latents and fakes are made without
gradient). ``Generate`` touches the generator and, if asked, encoder and decoder: the decoder gets the reconstruction;
the encoder gets the reconstruction, its entropy and, through the real pair (z_{k-1}, z_k), the discriminator's
estimate of how far the aggregate posterior is from the prior. The discriminator is frozen there.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from .autoencoder import Autoencoder
from .conditions import dropped_condition
from .distributions import LOG_2PI, DiagonalGaussian
from .encoded import posterior
from .evaluating import evaluating
from .gan_prior import DenoisingGANPrior, LatentBlock
from .nn.augmented_discriminator import ObservesReal
from .objective import Losses, Objective, Schedule, frozen, latent_statistics, schedule_value
from .tensors import Batch, event_size, event_sum, over

LARGEST_MATCHING = 2**26
"""Numbers of the latents on which a chain is matched at most: 256 MiB, held six times."""
FEWEST_CHAINS = 256
"""With fewer chains the error of the measurement (9 % of a variance at 256) would be that of a trained chain."""


class Discriminate(Objective):
    r"""softplus(-D(real)) + softplus(D(fake)) + R1, for pairs (z_{k-1}, z_k) with real or generated z_{k-1}.

    R1 = (gamma / 2) ||grad_{z_{k-1}} D(real)||^2 (Mescheder et al. 2018) is taken at every ``r1_interval``-th step,
    times the interval, and summed into the one backward pass. Real and fake go through one forward pass.

    Args:
        autoencoder: encodes the data; not updated.
        prior: its generator makes the fakes; not updated.
        discriminator: D(z_s, z_t, log_snr, mask, condition) -> logits [B]; one that has ``observe_real`` (see
            :class:`AugmentedDiscriminator`) is told the logits of real pairs, and its figures are logged.
        r1: gamma.
        r1_interval: steps between penalties, the same on every process.
        posterior_noise: rho; the latents are mean + rho std eps.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        prior: DenoisingGANPrior,
        discriminator: nn.Module,
        r1: float = 0.05,
        r1_interval: int = 4,
        posterior_noise: float = 1.0,
    ) -> None:
        super().__init__()
        self.posterior_noise = posterior_noise
        if r1_interval < 1:
            raise ValueError(f"r1_interval is {r1_interval}; it must be at least 1 step.")
        self.discriminator, self.r1, self.r1_interval = discriminator, r1, r1_interval
        # held outside of the module tree: a process group waits for the gradients of every parameter in it
        self._others = (autoencoder, prior)

    def groups(self) -> dict[str, nn.Module]:
        """The discriminator."""
        return {"discriminator": self.discriminator}

    def forward(self, batch: Batch) -> Losses:
        """Loss a sample; logits and penalty for the log."""
        autoencoder, prior = self._others
        chain, condition = prior.generator.chain, dropped_condition(batch.get("condition"), prior.condition_dropout)
        with torch.no_grad(), evaluating(autoencoder):
            q = posterior(autoencoder, batch)
            k, z_s, z_t = chain.draw(latents_of(q, self.posterior_noise))
            t = chain.time(k)
            z_0 = prior.generator.generate(z_t, t, prior.generator.draw_noise(z_t), q.mask, condition)
            fake = masked(chain.posterior(z_t, z_0, k).rsample(), q.mask)
            z_s, z_t = masked(z_s, q.mask), masked(z_t, q.mask)
        penalised = self.r1 > 0 and self.step % self.r1_interval == 0
        z_s = z_s.requires_grad_(penalised)
        real_logit, fake_logit = self._logits(z_s, fake, z_t, chain.process.log_snr(t), q.mask, condition)
        loss = (softplus(-real_logit) + softplus(fake_logit)).mean()
        figures = {
            "discriminator_loss": loss,
            "real_logit": real_logit.mean(),
            "fake_logit": fake_logit.mean(),
            "discriminator_accuracy": ((real_logit > 0).float().mean() + (fake_logit < 0).float().mean()) / 2,
        }
        if penalised:
            (gradient,) = torch.autograd.grad(real_logit.sum(), z_s, create_graph=True)
            penalty = event_sum(gradient.float() ** 2, q.mask).mean()
            loss = loss + 0.5 * self.r1 * self.r1_interval * penalty
            figures["r1"] = penalty
        if isinstance(self.discriminator, ObservesReal):
            figures |= self.discriminator.observe_real(real_logit.detach())
        return {"loss": loss, **{name: value.detach() for name, value in figures.items()}}


    def _logits(
        self, real: Tensor, fake: Tensor, z_t: Tensor, log_snr: Tensor, mask: Tensor | None, condition: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Logits of real and of fake samples, [B] each: in one pass, unless the discriminator compares samples.

        Statistics over a batch of both would be the same for both, and tell nothing.
        """
        if getattr(self.discriminator, "group", 0):
            apart = (self.discriminator(z, z_t, log_snr, mask, condition).float() for z in (real, fake))
            real_logit, fake_logit = apart
            return real_logit, fake_logit
        twice = (None if part is None else torch.cat([part, part]) for part in (mask, condition))
        both = torch.cat([real, fake]), torch.cat([z_t, z_t]), torch.cat([log_snr, log_snr])
        real_logit, fake_logit = self.discriminator(*both, *twice).float().chunk(2)
        return real_logit, fake_logit


class Generate(Objective):
    r"""softplus(-D(fake)) for the generator and, with ``train_autoencoder``, an estimate of -ELBO for encoder and
    decoder.

    An optimal discriminator's logit on a real pair is ln q(z_{k-1} | z_k) / p(z_{k-1} | z_k), so that T E[D(real)]
    estimates the KL of the aggregate posterior's chain to the prior's, which bounds KL(q(z) || p(z)). With latents of
    unit variance, q(z) has at most the entropy of N(0, I), and

    -ELBO <= -ln p(x | z) + beta (H(N(0, I)) - H(q(z | x)) + T E_k[D(z_{k-1}, z_k)]).

    The latents must be standardised (``StandardizedAutoencoder``): their scale is then fixed, the entropy term keeps
    the posterior from shrinking and the reconstruction keeps it from growing to the standard normal.

    Args:
        autoencoder: encodes the data.
        prior: its generator is updated.
        discriminator: D; frozen here.
        train_autoencoder: update encoder and decoder too.
        kl_weight: beta, or a schedule of it.
        adversarial_weight: weight of the discriminator's term in the encoder's loss; 1 is the estimate above.
        regression: weight of ||z_0 - G||^2 a dimension, in units of the normal posterior's variance. A little steadies
            the steps whose posterior has one mode; a large weight leaves a mean and no GAN.
        posterior_noise: rho; the latents are mean + rho std eps. Below 1 the generator learns to leave out what a
            decoder would have to remove; it must be 1 with ``train_autoencoder``, whose bound is one on draws.
        matching: number of chains, one for a training example, on which the moments are measured after training
            (:meth:`DenoisingGANPrior.match`), fewer where their latents have more than 2^26 numbers; below 256 the
            chain is left as it was learned.

    Raises:
        ValueError: if ``matching`` is negative, or ``posterior_noise`` is not 1 with ``train_autoencoder``.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        prior: DenoisingGANPrior,
        discriminator: nn.Module,
        train_autoencoder: bool = False,
        kl_weight: float | Schedule = 1.0,
        adversarial_weight: float = 1.0,
        posterior_noise: float = 1.0,
        regression: float = 0.0,
        matching: int = 2048,
    ) -> None:
        super().__init__()
        if matching < 0:
            raise ValueError(f"matching is {matching}; give a number of chains, or 0 for no matching.")
        if train_autoencoder and posterior_noise != 1:
            raise ValueError(f"posterior_noise is {posterior_noise}; it must be 1 where the autoencoder is trained.")
        self.posterior_noise, self.regression, self.matching = posterior_noise, regression, matching
        self.prior, self.train_autoencoder = prior, train_autoencoder
        self.kl_weight, self.adversarial_weight = kl_weight, adversarial_weight
        if train_autoencoder:
            self.autoencoder = autoencoder
        self._others = (autoencoder, discriminator)

    def groups(self) -> dict[str, nn.Module]:
        """The generator and, if trained, the autoencoder."""
        chosen: dict[str, nn.Module] = {"autoencoder": self.autoencoder} if self.train_autoencoder else {}
        return {**chosen, "generator": self.prior}

    def forward(self, batch: Batch) -> Losses:
        """The generator's loss a sample plus the autoencoder's per latent dimension."""
        autoencoder, discriminator = self._others
        generator = self.prior.generator
        chain, condition = generator.chain, dropped_condition(batch.get("condition"), self.prior.condition_dropout)
        if self.train_autoencoder:
            q = autoencoder.encode(batch)
            z = q.rsample()
        else:
            with torch.no_grad(), evaluating(autoencoder):
                q = posterior(autoencoder, batch)
                z = latents_of(q, self.posterior_noise)
        k, z_s, z_t = chain.draw(z)
        t, given = chain.time(k), masked(z_t.detach(), q.mask)
        log_snr = chain.process.log_snr(t)
        z_0 = generator.generate(given, t, generator.draw_noise(given), q.mask, condition)
        fake = masked(chain.posterior(given, z_0, k).rsample(), q.mask)
        with frozen(discriminator):
            logit = discriminator(fake, given, log_snr, q.mask, condition).float()
            loss = softplus(-logit).mean()
            figures = {"generator_loss": loss}
            if self.regression > 0:
                error = event_sum((over(1 / generator.spread(t), z) * (z_0 - z.detach())) ** 2, q.mask)
                figures["regression_error"] = (error / event_size(z, q.mask)).mean()
                loss = loss + self.regression * figures["regression_error"]
            if self.train_autoencoder:
                ratio = discriminator(masked(z_s, q.mask), masked(z_t, q.mask), log_snr, q.mask, condition).float()
                bound, more = self._negative_elbo(batch, q, z, chain.steps * ratio)
                loss, figures = loss + bound, {**figures, **more}
        logs = {name: value.detach().mean() for name, value in figures.items()}
        axis = 1 if self.prior.latents.layout == "grid" else -1
        return {"loss": loss, **logs, **latent_statistics(q, axis)}

    @torch.no_grad()
    def finish(self, examples: Iterable[Batch]) -> None:
        """Match the moments of the generator's chain: on draws of so many examples, or on several draws of fewer."""
        autoencoder, generator = self._others[0], self.prior.generator
        chains = min(self.matching, LARGEST_MATCHING // self.prior.latents.dims)
        if generator.matching is None or generator.chain.steps < 2 or chains < FEWEST_CHAINS:
            return
        found: list[tuple[DiagonalGaussian, Tensor | None]] = []
        left = chains
        with evaluating(autoencoder):
            for batch in examples:
                batch = {name: value[:left] for name, value in batch.items()}
                found.append((posterior(autoencoder, batch), batch.get("condition")))
                left -= len(found[-1][0].mean)
                if left <= 0:
                    break
        blocks, draws = [], round(chains / max(chains - left, 1))
        for q, condition in found:
            z = torch.cat([latents_of(q, self.posterior_noise) for _ in range(draws)])
            good = z.flatten(1).isfinite().all(1)
            parts = (None if part is None else torch.cat([part] * draws)[good] for part in (q.mask, condition))
            if good.any():
                blocks.append(LatentBlock(z[good], *parts))
        if blocks:
            self.prior.match(blocks)

    def _negative_elbo(
        self, batch: Batch, q: DiagonalGaussian, z: Tensor, ratio: Tensor
    ) -> tuple[Tensor, Losses]:
        """-ELBO per latent dimension, [], and its parts in nats, [B] each, given T D(real) [B]."""
        autoencoder, beta = self._others[0], schedule_value(self.kl_weight, self.progress)
        reconstruction = -autoencoder.decode(z, q.mask).log_prob(batch)
        entropy = q.entropy()
        largest = event_size(z, q.mask) * 0.5 * (1 + LOG_2PI)
        kl = largest - entropy + self.adversarial_weight * ratio
        figures = {"reconstruction": reconstruction, "entropy": entropy, "estimated_kl": kl}
        return (reconstruction + beta * kl).mean() / self.prior.latents.dims, figures


def latents_of(q: DiagonalGaussian, noise: float) -> Tensor:
    """mean + noise std eps, shape [B, *E]: a draw for noise = 1, the mean for noise = 0."""
    return DiagonalGaussian(q.mean, noise * q.std, q.mask).rsample()


def masked(z: Tensor, mask: Tensor | None) -> Tensor:
    """z [B, *E], zero at masked items."""
    return z if mask is None else z * mask.unsqueeze(-1).to(z.dtype)
