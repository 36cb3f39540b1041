"""Proof that a sampler carries a normal distribution to the right one, and counts its calls."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from ..denoiser import Denoiser
from ..noise import NoiseStream
from ..process import VESDE, VPSDE, Process
from ..sampler import Sampler
from ..tensors import over
from .result import CheckResult, Checks, require

MEAN, STD = 0.7, 0.5
EVENT = (4, 2)


class NormalDenoiser(Denoiser):
    r"""The exact denoiser of latents z_0 ~ N(m, s^2 I): a known truth for samplers.

    eps_hat = sigma (z_t - alpha m) / (alpha^2 s^2 + sigma^2).

    Args:
        process: the forward process.
        mean: m, latent units.
        std: s, latent units.
    """

    def __init__(self, process: Process, mean: float = MEAN, std: float = STD) -> None:
        super().__init__(nn.Identity(), process)
        self.mean, self.std = mean, std
        self.evaluations = 0
        self.eval()

    def noise(
        self,
        z_t: Tensor,
        t: Tensor,
        mask: Tensor | None,
        condition: Tensor | None,
        previous: Tensor | None = None,
    ) -> Tensor:
        """The exact eps_hat, shape [B, *E]."""
        self.evaluations += 1
        alpha, sigma = self.process.alpha(t), self.process.sigma(t)
        spread2 = alpha**2 * self.std**2 + sigma**2
        return over(sigma / spread2, z_t) * (z_t - over(alpha, z_t) * self.mean)

    def at(self, t: float, n: int) -> Tensor:
        """Exact draws of z_t, shape [n, 4, 2], from torch's generator."""
        time = torch.full((n,), t)
        z_0 = self.mean + self.std * torch.randn(n, *EVENT)
        return self.process.marginal(z_0, time).rsample()


def check_sampler(
    sampler: Sampler, tolerance: float = 0.06, samples: int = 2048
) -> list[CheckResult]:
    """Check a sampler on the exact denoiser of N(m, s^2) under a VP and a VE process.

    Give it as many steps as it needs to be accurate to the tolerance (most need 100 to 200).

    Args:
        sampler: the sampler.
        tolerance: largest error of mean and standard deviation, as a share of s.
        samples: number of samples; mean and spread are taken over 8 of each.

    Returns:
        One result for each of: moments VP, moments VE, calls, mask, own noise, start.
    """
    checks = Checks()
    vp, ve = VPSDE(), VESDE()
    checks.run("moments VP", partial(_moments, sampler, vp, 1.0, tolerance, samples))
    checks.run("moments VE", partial(_moments, sampler, ve, 1.0, tolerance, samples))
    checks.run("calls", partial(_calls, sampler))
    checks.run("mask", partial(_mask, sampler))
    checks.run("own noise", partial(_own_noise, sampler))
    rule = partial(_moments, sampler, vp, 0.5, tolerance, samples)
    checks.run("start", rule, ("moments VP",))
    return checks.results


@torch.no_grad()
def _moments(
    sampler: Sampler, process: Process, start: float, tolerance: float, samples: int
) -> str:
    denoiser = NormalDenoiser(process)
    z = sampler(denoiser, denoiser.at(start, samples), start=start)
    require(
        z.shape == (samples, *EVENT) and bool(z.isfinite().all()),
        f"z_0 has shape {list(z.shape)} or entries that are not finite",
        "return finite latents of the shape of z_1",
    )
    mean, std = float(z.mean()), float(z.std())
    found = f"N({MEAN}, {STD}^2) came out as N({mean:.3f}, {std:.3f}^2)"
    wrong = max(abs(mean - MEAN), abs(std - STD)) / STD
    begin = "" if start == 1 else f" when it starts at t = {start}; begin the grid there"
    require(wrong < tolerance, found + begin, "correct the update, or give it more steps")
    return found


@torch.no_grad()
def _calls(sampler: Sampler) -> str:
    denoiser = NormalDenoiser(VPSDE())
    for _ in range(2):
        before = denoiser.evaluations
        sampler(denoiser, denoiser.at(1.0, 4))
        made = denoiser.evaluations - before
        require(
            sampler.calls == made,
            f"calls is {sampler.calls} after a run that evaluated the denoiser {made} times",
            "write the algorithm in run() and leave __call__ alone: it counts for each run",
        )
    return f"{sampler.calls} calls"


@torch.no_grad()
def _mask(sampler: Sampler) -> None:
    denoiser = NormalDenoiser(VPSDE())
    mask = torch.arange(EVENT[0]) < torch.tensor([[1], [2], [4]])
    z = sampler(denoiser, denoiser.at(1.0, 3), mask=mask)
    require(
        not z[~mask].any() and bool(z[mask].all()),
        "masked items of z_0 are not zero, or real ones are",
        "write the algorithm in run() and leave __call__ alone: it applies the mask",
    )


@torch.no_grad()
def _own_noise(sampler: Sampler) -> None:
    denoiser = NormalDenoiser(VPSDE())
    z_1 = denoiser.at(1.0, 6)
    both = [
        sampler(denoiser, z_1[:n], noise=NoiseStream(3, range(n)))[:4] for n in (6, 4)
    ]
    difference = float((both[0] - both[1]).abs().max())
    require(
        difference < 0.02 * STD,
        f"a sample changes by {difference:.3g} when more samples are drawn beside it",
        "draw noise with normal_like(z, noise), and let no step depend on other samples",
    )
