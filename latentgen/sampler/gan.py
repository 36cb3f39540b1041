r"""Sampling a denoising diffusion GAN: the ancestral sampler with a generator inside."""

from __future__ import annotations

import torch
from torch import Tensor

from ..denoiser import Denoiser, Prediction
from ..generator import Generator
from ..noise import NoiseStream, normal_like
from .sampler import Observer, Predict, Sampler


class GANSampler(Sampler):
    r"""z_{k-1} ~ q(z_{k-1} | z_k, z_0 = G(z_k, t_k, w)) for k = T .. 1 (Xiao, Kreis, Vahdat 2022, Eq. 4): T calls.

    Draws of a chain whose moments were measured (:meth:`DenoisingGANPrior.match`) are put right by them.

    Args:
        steps: T, for a check; a generator is trained for one number of steps and has no other.
    """

    def __init__(self, steps: int | None = None) -> None:
        self.steps = steps

    def __call__(
        self,
        denoiser: Denoiser,
        z_1: Tensor,
        mask: Tensor | None = None,
        condition: Tensor | None = None,
        noise: NoiseStream | None = None,
        start: float = 1.0,
        observe: Observer | None = None,
    ) -> Tensor:
        """Sample, see :class:`Sampler`; ``start`` is rounded up to a time of the chain.

        Raises:
            ValueError: if the denoiser is no generator, or one of another number of steps.
        """
        if not isinstance(denoiser, Generator):
            raise ValueError(
                f"sampler 'gan' was given a {type(denoiser).__name__}; it needs a generator: train with a recipe that "
                "has one (DDGAN, JointDDGAN)."
            )
        self._condition, self._observe = condition, observe
        return super().__call__(denoiser, z_1, mask, condition, noise, start)

    def run(
        self,
        denoiser: Denoiser,
        predict: Predict,
        z: Tensor,
        mask: Tensor | None,
        condition: Tensor | None,
        noise: NoiseStream | None,
        start: float,
    ) -> Tensor:
        """The T draws."""
        assert isinstance(denoiser, Generator)
        chain = denoiser.chain
        if self.steps is not None and self.steps != chain.steps:
            raise ValueError(f"steps is {self.steps} for sampler 'gan'; this generator was trained for {chain.steps}.")
        first = next(k for k in range(1, chain.steps + 1) if chain.times[k] >= start - 1e-6)
        for number in range(first, 0, -1):
            k = torch.full((len(z),), number, dtype=torch.long, device=z.device)
            t = chain.time(k)
            z_0 = denoiser.matched(denoiser.generate(z, t, denoiser.draw_noise(z, noise), mask, condition), number)
            if self._observe is not None:
                process = denoiser.process
                eps = denoiser.implied_noise(z, t, z_0)
                self._observe(t[:1], Prediction(z, eps, process.alpha(t), process.sigma(t)))
            q = chain.posterior(z, z_0, k)
            z = z_0 if number == 1 else q.rsample(normal_like(z, noise))
        return z
