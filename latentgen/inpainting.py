r"""Completing latents of which a part is known: the replacement method, and resampling against its bias.

At every call of the denoiser the known part of z_t is replaced by a draw of q(z_t | z_known) (Song et al. 2021,
Section 5 and appendix I.2). The rest then sees what is known, but what is known never sees the rest, so that plain
replacement draws from no conditional distribution: of two normal numbers of correlation 0.8 it moves the mean of one
only about 0.6 of the way that the value of the other demands, however many steps are made. Resampling (RePaint,
Lugmayr et al. 2022) goes back from z_s to z_t by q(z_t | z_s) and repeats the step; what is left of the bias falls as
one over the number of repetitions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .denoiser import Denoiser, GuidedDenoiser, Prediction
from .latents import LatentSpec
from .noise import NoiseStream, normal_like
from .prior import ScorePrior
from .process import Process
from .sampler import Ancestral, DPMSolver, GridSampler, Predict, ProbabilityFlow, Sampler, Step, make_sampler
from .tensors import over


class InpaintingDenoiser(Denoiser):
    r"""A denoiser that knows a part of z_0: there z_t is replaced by alpha_t z_known + sigma_t eps at every call.

    The prediction's ``z_t`` is the replaced one and its ``eps`` at known places is the noise drawn, so that its
    ``mean`` is z_known there and a sampler returns what is known up to rounding.

    Args:
        denoiser: any denoiser, guided or not.
        z_0: the known latents, shape [B, *E], latent units; what is not kept is never looked at.
        keep: True where ``z_0`` is known, broadcasts to [B, *E], see :func:`spread_keep`.
        noise: the samples' own random streams; None draws from torch's global generator.
        fresh: draw eps anew at every call, which resampling needs; False draws it once, as solvers of adaptive step
            size need, for which a prediction must be a function of z_t and t.
    """

    def __init__(
        self, denoiser: Denoiser, z_0: Tensor, keep: Tensor, noise: NoiseStream | None = None, fresh: bool = True
    ) -> None:
        super().__init__(denoiser.network, denoiser.process)
        self.inner, self.z_0, self.keep, self.streams = denoiser, z_0, keep, noise
        self.eps = None if fresh else normal_like(z_0, noise)
        self.train(denoiser.training)

    def forward(
        self,
        z_t: Tensor,
        t: Tensor,
        mask: Tensor | None = None,
        condition: Tensor | None = None,
        previous: Tensor | None = None,
    ) -> Prediction:
        """Replace and predict, see :class:`Denoiser`."""
        before = self.inner.calls
        eps = normal_like(self.z_0, self.streams) if self.eps is None else self.eps
        z_t = torch.where(self.keep, self.process.marginal(self.z_0, t).rsample(eps), z_t)
        prediction: Prediction = self.inner(z_t, t, mask, condition, previous)
        self.calls += self.inner.calls - before
        return Prediction(z_t, torch.where(self.keep, eps, prediction.eps), prediction.alpha, prediction.sigma)

    def noise(
        self, z_t: Tensor, t: Tensor, mask: Tensor | None, condition: Tensor | None, previous: Tensor | None = None
    ) -> Tensor:
        """eps_hat, with the drawn noise at known places."""
        prediction: Prediction = self(z_t, t, mask, condition, previous)
        return prediction.eps


class Resampled(GridSampler):
    r"""Repeats every step of a sampler (RePaint, Lugmayr et al. 2022, Algorithm 1, with jumps of one step).

    After a step to z_s, z_t ~ q(z_t | z_s) is drawn and the step is made again. Repetitions leave the marginals of an
    exact sampler as they are; what they change is how well an :class:`InpaintingDenoiser` makes both parts agree.

    Args:
        sampler: a sampler on a grid whose steps remember nothing: any but the multistep "dpm".
        resample: how often each step is made; 1 is the sampler itself.

    Raises:
        ValueError: if ``resample`` is below 1, or above 1 for a sampler that cannot repeat a step.
    """

    def __init__(self, sampler: Sampler, resample: int = 10) -> None:
        if resample < 1:
            raise ValueError(f"resample is {resample}; each step is made at least once.")
        if not isinstance(sampler, GridSampler) or isinstance(sampler, DPMSolver):
            raise ValueError(
                f"resample is {resample} for the sampler {type(sampler).__name__}, whose steps cannot be repeated; "
                "give resample=1, or the sampler ancestral, euler, pc, ddim or heun."
            )
        super().__init__(sampler.steps, sampler.spacing, sampler.end)
        self.sampler, self.resample = sampler, resample

    def stepper(
        self, process: Process, predict: Predict, mask: Tensor | None, noise: NoiseStream | None
    ) -> Step:
        """The sampler's step, ``resample`` times."""
        once = self.sampler.stepper(process, predict, mask, noise)

        def step(z: Tensor, t: Tensor, s: Tensor) -> Tensor:
            for _ in range(self.resample - 1):
                a, v = process.transition(s, t)
                z = over(a, z) * once(z, t, s) + over(v.sqrt(), z) * normal_like(z, noise)
            return once(z, t, s)

        return step


def spread_keep(keep: Tensor, latents: LatentSpec, z: Tensor) -> Tensor:
    """Give a mask over items the axes of latents.

    Args:
        keep: True where latents are known: shape [B, N] for sets and sequences, [B, *S] for grids, [B, d] for vectors.
        latents: what the latent looks like.
        z: latents, shape [B, *E].

    Returns:
        Boolean, shape [B, N, 1], [B, 1, *S] or [B, d], on the device of ``z``.

    Raises:
        ValueError: if ``keep`` is not boolean or not of that shape.
    """
    grid, items = latents.layout == "grid", latents.layout in ("set", "sequence")
    expected = (len(z), *z.shape[2:]) if grid else tuple(z.shape[:2])
    if keep.dtype != torch.bool or tuple(keep.shape) != expected:
        raise ValueError(
            f"keep has shape {tuple(keep.shape)} and dtype {keep.dtype} for latents of layout {latents.layout!r}; give "
            f"booleans of shape {expected}."
        )
    keep = keep.to(z.device)
    return keep.unsqueeze(1) if grid else keep.unsqueeze(-1) if items else keep


def inpaint_latents(
    prior: ScorePrior,
    z_0: Tensor,
    keep: Tensor,
    sampler: Sampler,
    mask: Tensor | None = None,
    noise: NoiseStream | None = None,
    condition: Tensor | None = None,
    guidance: float = 1.0,
) -> Tensor:
    """Keep a part of latents and draw the rest.

    Args:
        prior: the score prior.
        z_0: latents, shape [B, *E], latent units.
        keep: True where they are known, see :func:`spread_keep`.
        sampler: any sampler of score priors, see :func:`inpainting_sampler`.
        mask: True where an item is real, shape [B, N], or None.
        noise: the samples' own random streams.
        condition: shape [B, F] or None.
        guidance: weight of classifier-free guidance.

    Returns:
        z_0, shape [B, *E]: as given where it is kept; zero at masked items.
    """
    known = spread_keep(keep, prior.latents, z_0)
    z_1 = normal_like(z_0, noise) * prior.process.terminal_std
    inner = prior.denoiser if guidance == 1.0 else GuidedDenoiser(prior.denoiser, guidance)
    denoiser = InpaintingDenoiser(inner, z_0, known, noise, fresh=not isinstance(sampler, ProbabilityFlow))
    z = sampler(denoiser, z_1, mask=mask, condition=condition, noise=noise)
    return torch.where(known if mask is None else known & mask.unsqueeze(-1), z_0, z)


def inpainting_sampler(sampler: str | Sampler | None, steps: int, resample: int) -> Sampler:
    """The sampler of completions: ancestral steps with the transition's variance, each made ``resample`` times.

    That variance, the larger of the two of Ho et al. 2020, is the one whose repetitions keep the spread of the rest.

    Args:
        sampler: a name, a sampler, or None for the ancestral one.
        steps: number of steps, for samplers on a grid that are given by name.
        resample: how often each step is made; calls are about ``steps * resample``.

    Raises:
        ValueError: if the name is unknown or its steps cannot be repeated.
    """
    if sampler is None or sampler == "ancestral":
        chosen: Sampler = Ancestral(steps, "large", "normal")
    else:
        chosen = make_sampler(sampler, None if sampler == "ode" else steps)
    return chosen if resample == 1 else Resampled(chosen, resample)
