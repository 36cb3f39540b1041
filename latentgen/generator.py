r"""The generator of a denoising diffusion GAN: one draw of z_0 given z_t, multimodal through a noise vector."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .chain import Chain
from .denoiser import Denoiser, Prediction
from .latents import LatentSpec
from .matching import MomentMatching
from .nn.mapping import MappingNetwork
from .noise import NoiseStream, normal_like
from .tensors import item_mask, over


class GeneratorNoise(NamedTuple):
    """What makes a generator's draw random.

    Attributes:
        style: w, one vector a sample, shape [B, noise_dim], unit variance.
        event: u, noise of the latent's own shape, shape [B, *E], unit variance.
    """

    style: Tensor
    event: Tensor


class Generator(Denoiser):
    r"""z_0 = G(z_t, t, w, u) with normal w and u (Xiao, Kreis, Vahdat 2022, Section 3.2, started as a normal
    posterior).

    m = (alpha s^2 / v) z_t and r = sigma s / sqrt(v) with v = alpha^2 s^2 + sigma^2 are the mean and the standard
    deviation of z_0 given z_t if z_0 ~ N(0, s^2 I). With a gate g, c = m + g r u is a candidate and G = c + r F(z_t /
    sqrt(v), lambda, c / s, style(w)) corrects it. At g = 1, a network that starts at zero starts as the posterior of
    normal latents, spread and all; one that starts as the mean alone tends to learn one mode for each z_t.

    :meth:`refine` puts a trained or jointly trained denoiser's E[z_0 | z_t] in the place of m: a generator that starts
    as ancestral sampling in T calls and learns the rest. One function call then evaluates both networks.

    It is also a denoiser (of the started process of its chain) whose every prediction draws new noise.

    Args:
        network: F(z, log_snr, mask, condition, previous=c, style=...) -> [B, *E] with attributes ``style_dim`` > 0 and
            ``self_condition``: the input of self-conditioning takes c.
        chain: the T steps.
        noise_dim: size of w.
        mapping_depth: layers of the mapping network after its first.
        gate: start of g, which is learned for every step of the chain. At t_T, where z_t says nothing of z_0, it starts
            at 1 whatever is given: a smaller one would leave the whole chain with too little variance.
        latents: what the latent looks like; None is a generator whose chain cannot be matched
            (:meth:`DenoisingGANPrior.match`).

    Raises:
        ValueError: if the network takes no style vector or no second input.
    """

    def __init__(
        self,
        network: nn.Module,
        chain: Chain,
        noise_dim: int = 64,
        mapping_depth: int = 2,
        gate: float = 1.0,
        latents: LatentSpec | None = None,
    ) -> None:
        super().__init__(network, chain.process)
        style_dim = int(getattr(network, "style_dim", 0))
        if style_dim < 1 or not getattr(network, "self_condition", False):
            raise ValueError(
                f"network is a {type(network).__name__} with style_dim={style_dim}; a generator's takes a style and a "
                "second input: build it with style_dim=128 and self_condition=True, for example."
            )
        self.chain, self.noise_dim = chain, noise_dim
        self.mapping = MappingNetwork(noise_dim, style_dim, mapping_depth)
        self.gate = nn.Parameter(torch.tensor([float(gate)] * (chain.steps - 1) + [1.0]))
        self.matching = None if latents is None else MomentMatching(chain.steps, latents)
        # held outside of the module tree: its weights belong to, and are stored with, the score prior
        self._base: tuple[Denoiser, ...] = ()

    @property
    def self_condition(self) -> bool:
        """A generator takes no earlier prediction."""
        return False

    @property
    def refines(self) -> bool:
        """Whether it starts from a denoiser's mean."""
        return bool(self._base)

    @property
    def bases(self) -> tuple[Denoiser, ...]:
        """The denoiser that it starts from, or none."""
        return self._base

    def refine(self, denoiser: Denoiser) -> None:
        """Start from this denoiser's E[z_0 | z_t], which gets no gradient from here."""
        self._base = (denoiser,)

    def draw_noise(self, z_t: Tensor, noise: NoiseStream | None = None) -> GeneratorNoise:
        """w and u ~ N(0, I) for a batch like z_t [B, *E], from the samples' own streams or torch's global one."""
        like = z_t.new_empty((len(z_t), self.noise_dim))
        style = torch.randn_like(like) if noise is None else noise.normal((self.noise_dim,), like=like)
        return GeneratorNoise(style, normal_like(z_t, noise))

    def generate(
        self, z_t: Tensor, t: Tensor, w: GeneratorNoise, mask: Tensor | None = None, condition: Tensor | None = None
    ) -> Tensor:
        """Draw z_0 given z_t; in evaluation mode counts as one function call.

        Args:
            z_t: noisy latent, shape [B, *E], latent units.
            t: time of the chain, shape [B].
            w: what makes the draw random.
            mask: True where an item is real, shape [B, N], or None.
            condition: shape [B, F] or None.

        Returns:
            z_0, shape [B, *E], latent units.
        """
        if not self.training:
            self.calls += 1
        return self._clean(z_t, t, w, mask, condition)

    def matched(self, z_0: Tensor, k: int) -> Tensor:
        """The draw of step k as the chain takes it: put right by the measured moments, if there are, [B, *E]."""
        return z_0 if self.matching is None else self.matching(z_0, k)

    def spread(self, t: Tensor) -> Tensor:
        """sigma s / sqrt(alpha^2 s^2 + sigma^2): standard deviation of normal latents given z_t, shape [B]."""
        process, s = self.process, self.process.latent_std
        sigma = process.sigma(t)
        return sigma * s * ((process.alpha(t) * s) ** 2 + sigma**2).rsqrt()

    def _clean(
        self, z_t: Tensor, t: Tensor, w: GeneratorNoise, mask: Tensor | None, condition: Tensor | None
    ) -> Tensor:
        process, s = self.process, self.process.latent_std
        inverse = ((process.alpha(t) * s) ** 2 + process.sigma2(t)).rsqrt()
        spread = over(self.spread(t), z_t)
        step = torch.searchsorted(torch.tensor(self.chain.times[1:], device=t.device) + 1e-6, t.detach().float())
        candidate = self._mean(z_t, t, mask, condition) + over(self.gate[step], z_t) * spread * w.event
        candidate = candidate if mask is None else candidate * item_mask(mask, candidate)
        style = self.mapping(w.style.to(z_t.dtype))
        out: Tensor = self.network(
            over(inverse, z_t) * z_t, process.log_snr(t), mask, condition, candidate / s, style
        )
        return candidate + spread * out.to(z_t.dtype)

    def _mean(self, z_t: Tensor, t: Tensor, mask: Tensor | None, condition: Tensor | None) -> Tensor:
        """m, or E[z_0 | z_t] by the denoiser at its own time of the same log-SNR, shape [B, *E]."""
        process, s = self.process, self.process.latent_std
        alpha = process.alpha(t)
        if not self._base:
            return over(alpha * s**2 / ((alpha * s) ** 2 + process.sigma2(t)), z_t) * z_t
        (base,) = self._base
        with torch.no_grad():
            same = base.process.time_of_log_snr(process.log_snr(t)).clamp(base.process.t_min, 1.0)
            z_same = over(base.process.alpha(same) / alpha, z_t) * z_t
            eps = base.noise(z_same, same, mask, condition)
            return Prediction(z_same, eps, base.process.alpha(same), base.process.sigma(same)).mean

    def noise(
        self, z_t: Tensor, t: Tensor, mask: Tensor | None, condition: Tensor | None, previous: Tensor | None = None
    ) -> Tensor:
        """eps_hat = (z_t - alpha G) / sigma for a new w, shape [B, *E]."""
        clean = self._clean(z_t, t, self.draw_noise(z_t), mask, condition)
        return self.implied_noise(z_t, t, clean)

    def implied_noise(self, z_t: Tensor, t: Tensor, z_0: Tensor) -> Tensor:
        """(z_t - alpha z_0) / sigma, shape [B, *E]."""
        return (z_t - over(self.process.alpha(t), z_t) * z_0) / over(self.process.sigma(t), z_t)
