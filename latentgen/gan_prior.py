r"""The denoising-diffusion-GAN prior, and the prior that holds a score model and a generator of the same latents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .denoiser import Denoiser
from .evaluating import evaluating
from .generator import Generator
from .latents import LatentSpec
from .noise import NoiseStream
from .prior import Prior, ScorePrior
from .sampler import GANSampler, Sampler

_APART = 2**63
"""Sets the seeds of measurements apart from those of samples."""


class LatentBlock(NamedTuple):
    """Latents of some examples.

    Attributes:
        z_0: shape [B, *E], latent units.
        mask: True where an item is real, shape [B, N], or None.
        condition: shape [B, F] or None.
    """

    z_0: Tensor
    mask: Tensor | None = None
    condition: Tensor | None = None


class DenoisingGANPrior(Prior):
    r"""p(z_{0:T}) = N(z_T; 0, I) prod_k p(z_{k-1} | z_k), sampled in T function calls (Xiao, Kreis, Vahdat 2022).

    p(z_{k-1} | z_k) is the bridge q(z_{k-1} | z_k, z_0) at z_0 = G(z_k, t_k, w), w ~ N(0, I): an implicit, multimodal
    distribution. It has samples but no density.

    Args:
        latents: what the latent looks like.
        generator: G with its chain of T steps.
        condition_dropout: share of conditions replaced by NaN ("no condition") in its game, which samples without a
            condition need; 0.1 is usual.
    """

    def __init__(self, latents: LatentSpec, generator: Generator, condition_dropout: float = 0.0) -> None:
        super().__init__()
        self.latents, self.generator, self.condition_dropout = latents, generator, condition_dropout

    @property
    def steps(self) -> int:
        """T, the number of function calls of a sample."""
        return self.generator.chain.steps

    @property
    def samplers(self) -> tuple[str, ...]:
        """The sampler "gan" alone."""
        return ("gan",)

    @property
    def default_sampler(self) -> str:
        """The sampler "gan"."""
        return "gan"

    def denoiser_of(self, sampler: Sampler) -> Denoiser:
        """The generator."""
        return self.generator

    @property
    def has_likelihood(self) -> bool:
        """False: an implicit distribution has no density."""
        return False

    def sample(
        self,
        n: int,
        mask: Tensor | None = None,
        sampler: Sampler | None = None,
        noise: NoiseStream | None = None,
        condition: Tensor | None = None,
        guidance: float = 1.0,
    ) -> Tensor:
        """Start at N(0, terminal_std^2 I) and draw z_{T-1}, ..., z_0.

        Args:
            n: number of samples.
            mask: True where an item is real, shape [n, N], or None.
            sampler: a ``GANSampler`` or None.
            noise: the samples' own random streams; None draws from torch's global generator.
            condition: shape [n, F] or None.
            guidance: must be 1; guidance needs a score prior.

        Returns:
            z_0, shape [n, *E], latent units.

        Raises:
            ValueError: for another sampler or guidance.
        """
        chosen = sampler if sampler is not None else GANSampler()
        if not isinstance(chosen, GANSampler):
            raise ValueError(
                f"sampler is {type(chosen).__name__}; a denoising diffusion GAN is sampled by 'gan' alone, in its "
                f"{self.steps} calls."
            )
        if guidance != 1.0:
            raise ValueError(f"guidance is {guidance}; a denoising diffusion GAN has none, leave it at 1.")
        z_t = self._start(n, mask, noise) * self.generator.process.terminal_std
        return chosen(self.generator, z_t, mask=mask, condition=condition, noise=noise)

    @torch.no_grad()
    def match(self, blocks: Sequence[LatentBlock], seed: int = 0) -> None:
        r"""Put the chain's drift right: from here on z_{T-1}, ..., z_1 have the mean and the variance of q(z_k).

        Both are known, alpha_k E[z_0] and alpha_k^2 Var[z_0] + sigma_k^2, since all that the chain does to data is to
        add noise. One chain is run from noise for every example, with its mask and its condition; the draws of each
        step are shifted and scaled (:class:`MomentMatching`, within bounds) before the next step is measured. Examples
        of all conditions and sizes share one shift and scale. The last step, whose draw is the sample itself, stays as
        it was learned: what is left to be right at z_1 are means and variances, and the details are the generator's.

        Args:
            blocks: draws of the latents that the generator has learned to sample; of n examples a variance is known to
                a share of sqrt(2 / n), and so is what the chain makes of it.
            seed: of the chains' noise, whose streams are no sample's.

        Raises:
            ValueError: if the generator was made without latents, or there are fewer than two examples.
        """
        generator = self.generator
        chain, matching = generator.chain, generator.matching
        count = sum(len(block.z_0) for block in blocks)
        if matching is None:
            raise ValueError("the generator was made without latents; give them to Generator(latents=...) to match it.")
        if count < 2:
            raise ValueError(f"blocks hold {count} examples; give at least 2, better 1,000.")
        matching.reset()
        shape = self.latents.shape
        noises: list[NoiseStream] = []
        states: list[Tensor] = []
        for block in blocks:
            first = sum(map(len, noises))
            noises.append(NoiseStream(seed + _APART, range(first, first + len(block.z_0)), shape))
            states.append(noises[-1].normal_like(block.z_0) * generator.process.terminal_std)
        data = matching.moments((block.z_0, block.z_0, block.mask) for block in blocks)
        with evaluating(nn.ModuleList([self, *generator.bases])):
            for number in range(chain.steps, 1, -1):
                draws = []
                for z, block, noise in zip(states, blocks, noises, strict=True):
                    t = chain.time(torch.full((len(z),), number, device=z.device))
                    w = generator.draw_noise(z, noise)
                    draws.append(generator.generate(z, t, w, block.mask, block.condition))
                pairs = zip(states, draws, (block.mask for block in blocks), strict=True)
                time = chain.time(torch.tensor([number - 1]))
                alpha, sigma2 = float(chain.process.alpha(time)), float(chain.process.sigma2(time))
                wanted = alpha * data.mean_x, alpha**2 * data.variance_x + sigma2
                matching.fit(number, matching.moments(pairs), chain.bridge(number), *wanted)
                for place, (draw, noise) in enumerate(zip(draws, noises, strict=True)):
                    k = torch.full((len(draw),), number, device=draw.device)
                    q = chain.posterior(states[place], matching(draw, number), k)
                    states[place] = q.rsample(noise.normal_like(draw))

    def cross_entropy(self, z: Tensor, mask: Tensor | None = None, condition: Tensor | None = None) -> Tensor:
        """Not there.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "a denoising diffusion GAN has no likelihood; train a score prior on the same latents (recipe JointDDGAN) "
            "for one."
        )

    def log_prob(self, z: Tensor, mask: Tensor | None = None, condition: Tensor | None = None) -> Tensor:
        """Not there.

        Raises:
            ValueError: always.
        """
        return self.cross_entropy(z, mask, condition)


class ScoreGANPrior(Prior):
    """One latent space, two samplers of it: a score prior with likelihoods and a generator that takes T calls.

    Args:
        score: the score prior; gives densities and every sampler but "gan".
        gan: the denoising diffusion GAN; sampler "gan".
        refine: whether the generator starts from the score prior's E[z_0 | z_t], see :class:`Generator`.
    """

    def __init__(self, score: ScorePrior, gan: DenoisingGANPrior, refine: bool = False) -> None:
        super().__init__()
        self.latents, self.score, self.gan = score.latents, score, gan
        if refine:
            gan.generator.refine(score.denoiser)

    @property
    def steps(self) -> int:
        """T of the generator."""
        return self.gan.steps

    @property
    def samplers(self) -> tuple[str, ...]:
        """Those of both."""
        return (*self.score.samplers, *self.gan.samplers)

    @property
    def score_prior(self) -> ScorePrior:
        """The score prior."""
        return self.score

    def denoiser_of(self, sampler: Sampler) -> Denoiser:
        """The generator for a ``GANSampler``, else the denoiser."""
        return self.gan.generator if isinstance(sampler, GANSampler) else self.score.denoiser

    def sample(
        self,
        n: int,
        mask: Tensor | None = None,
        sampler: Sampler | None = None,
        noise: NoiseStream | None = None,
        condition: Tensor | None = None,
        guidance: float = 1.0,
    ) -> Tensor:
        """By the generator for a ``GANSampler``, else by the score prior; shape [n, *E], latent units."""
        chosen: Prior = self.gan if isinstance(sampler, GANSampler) else self.score
        return chosen.sample(n, mask, sampler, noise, condition, guidance)

    def cross_entropy(self, z: Tensor, mask: Tensor | None = None, condition: Tensor | None = None) -> Tensor:
        """The score prior's bound on -ln p(z), nats, shape [B]."""
        return self.score.cross_entropy(z, mask, condition)

    def log_prob(self, z: Tensor, mask: Tensor | None = None, condition: Tensor | None = None) -> Tensor:
        """The score prior's ln p(z) by the probability flow, nats, shape [B]."""
        return self.score.log_prob(z, mask, condition)
