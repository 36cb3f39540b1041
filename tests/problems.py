"""Problems with known answers: a Gaussian mixture under any process, a linear-Gaussian VAE, processes of a user."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from latentgen.autoencoder import Autoencoder
from latentgen.chain import Chain
from latentgen.denoiser import Denoiser
from latentgen.distributions import LOG_2PI, DiagonalGaussian, NormalLikelihood
from latentgen.generator import Generator
from latentgen.process import VESDE, VPSDE, GeometricVPSDE, Process, SubVPSDE
from latentgen.tensors import Batch, event_sum
from latentgen.weighting import (
    LikelihoodWeighting,
    LogNormalWeighting,
    ReweightedWeighting,
    UnweightedWeighting,
    VelocityWeighting,
    Weighting,
)


class CosinePath(Process):
    """A user's process with the four formulas only: alpha = cos(c t), sigma = sin(c t), cut before alpha = 0."""

    latent_std = 1.0
    terminal_std = 1.0

    def __init__(self, end: float = 0.99, t_min: float = 1e-2) -> None:
        self.c, self.t_min = math.pi / 2 * end, t_min

    def log_alpha(self, t: Tensor) -> Tensor:
        return (self.c * t).cos().log()

    def sigma2(self, t: Tensor) -> Tensor:
        return (self.c * t).sin() ** 2

    def drift(self, t: Tensor) -> Tensor:
        return -self.c * (self.c * t).tan()

    def diffusion2(self, t: Tensor) -> Tensor:
        return 2 * self.c * (self.c * t).tan()


class LinearPath(Process):
    """A user's process with the four formulas only: the flow-matching path alpha = 1 - e t, sigma = e t."""

    terminal_std = 1.0

    def __init__(self, end: float = 0.999, t_min: float = 1e-2, latent_std: float = 1.0) -> None:
        self.end, self.t_min, self.latent_std = end, t_min, latent_std

    def log_alpha(self, t: Tensor) -> Tensor:
        return torch.log1p(-self.end * t)

    def sigma2(self, t: Tensor) -> Tensor:
        return (self.end * t) ** 2

    def drift(self, t: Tensor) -> Tensor:
        return -self.end / (1 - self.end * t)

    def diffusion2(self, t: Tensor) -> Tensor:
        return 2 * self.end**2 * t / (1 - self.end * t)


SHIPPED: dict[str, Process] = {
    "vp": VPSDE(),
    "geometric": GeometricVPSDE(),
    "sub-vp": SubVPSDE(),
    "ve": VESDE(),
}
"""The processes of the framework with their defaults."""

PROCESSES: dict[str, Process] = {
    **SHIPPED,
    "vp with an offset": VPSDE(sigma2_0=1e-3),
    "geometric from zero": GeometricVPSDE(sigma2_min=1e-4, sigma2_0=0.0, t_min=1e-5),
    "ve of small latents": VESDE(latent_std=0.3),
    "cosine": CosinePath(),
    "linear": LinearPath(),
}
"""The same with other settings, and two processes as a user would write them."""


WEIGHTINGS: list[Weighting] = [
    LikelihoodWeighting(),
    ReweightedWeighting(),
    UnweightedWeighting(),
    VelocityWeighting(),
    LogNormalWeighting(),
]
"""All weightings of the framework."""


@dataclass(frozen=True)
class GaussianMixture:
    """sum_k w_k N(m_k, S_k) over the last axis of z; further axes are independent items.

    Attributes:
        weights: w, shape [K].
        means: m, shape [K, d].
        covariances: S, shape [K, d, d].
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor

    def mean(self) -> Tensor:
        """Shape [d]."""
        return self.weights @ self.means

    def covariance(self) -> Tensor:
        """Shape [d, d]."""
        centred = self.means - self.mean()
        return torch.einsum("k,kde->de", self.weights, self.covariances + centred[:, :, None] * centred[:, None, :])

    def sample(self, *shape: int) -> Tensor:
        """Draws of shape [*shape, d]."""
        which = torch.multinomial(self.weights, math.prod(shape), replacement=True)
        factor = torch.linalg.cholesky(self.covariances)[which]
        eps = torch.randn(len(which), self.means.shape[1], dtype=self.means.dtype)
        return (self.means[which] + torch.einsum("nde,ne->nd", factor, eps)).reshape(*shape, -1)

    def components(self, z: Tensor, alpha: Tensor, sigma2: Tensor) -> tuple[Tensor, Tensor]:
        """ln w_k N(z; alpha m_k, alpha^2 S_k + sigma^2 I) [*, K] and its gradient [*, K, d]; alpha, sigma2: [B]."""
        alpha, sigma2 = (value.reshape(-1, *([1] * z.dim())).to(z.dtype) for value in (alpha, sigma2))
        spread, axes = (value.to(z.dtype) for value in self._eigen)
        centred = z.unsqueeze(-2) - alpha * self.means.to(z.dtype)
        turned = (centred.unsqueeze(-2) @ axes).squeeze(-2)
        variance = alpha**2 * spread + sigma2
        log_parts = self.weights.to(z.dtype).log() - 0.5 * (turned**2 / variance + variance.log() + LOG_2PI).sum(-1)
        return log_parts, -((turned / variance).unsqueeze(-2) @ axes.mT).squeeze(-2)

    @cached_property
    def _eigen(self) -> tuple[Tensor, Tensor]:
        spread, axes = torch.linalg.eigh(self.covariances)
        return spread, axes

    def log_prob(self, z: Tensor, process: Process | None = None, t: Tensor | None = None) -> Tensor:
        """ln q(z) of the data, or ln q(z_t) of the noised data, per item: shape [*]."""
        one = torch.ones(len(z), dtype=z.dtype)
        alpha, sigma2 = (one, 0 * one) if process is None or t is None else (process.alpha(t), process.sigma2(t))
        return self.components(z, alpha, sigma2)[0].logsumexp(-1)

    def shares(self, z: Tensor) -> Tensor:
        """Share of samples [n, d] that belong to each component, shape [K]."""
        one = torch.ones(len(z), dtype=z.dtype)
        which = self.components(z, one, 0 * one)[0].argmax(-1)
        return torch.bincount(which, minlength=len(self.weights)).to(z.dtype) / len(z)

    def denoised_covariance(self, process: Process) -> Tensor:
        """Covariance of E[z_0 | z_tmin], [d, d], for components that do not overlap."""
        t = torch.tensor([process.t_min], dtype=torch.float64)
        precision = torch.eye(self.means.shape[1], dtype=torch.float64) * process.log_snr(t).exp()
        left = torch.linalg.inv(torch.linalg.inv(self.covariances.double()) + precision)
        return self.covariance() - torch.einsum("k,kde->de", self.weights, left).to(self.weights.dtype)


class ExactDenoiser(Denoiser):
    """The optimal prediction for a mixture: eps_hat = -sigma grad ln q(z_t)."""

    def __init__(self, mixture: GaussianMixture, process: Process) -> None:
        super().__init__(nn.Identity(), process)
        self.mixture = mixture

    def noise(self, z_t: Tensor, t: Tensor, mask: Tensor | None, condition: Tensor | None) -> Tensor:
        log_parts, gradients = self.mixture.components(z_t, self.process.alpha(t), self.process.sigma2(t))
        score = (log_parts.softmax(-1).unsqueeze(-1) * gradients).sum(-2)
        return -self.process.sigma(t).reshape(-1, *([1] * (z_t.dim() - 1))).to(z_t.dtype) * score


class ExactGenerator(Generator):
    """Draws from the exact q(z_0 | z_t) of a mixture: w chooses a component for each item, u fills it.

    Args:
        mixture: law of z_0.
        chain: the T steps.
        items: largest number of items of an event.
    """

    def __init__(self, mixture: GaussianMixture, chain: Chain, items: int = 1) -> None:
        network = nn.Identity()
        network.style_dim, network.self_condition = 1, True
        super().__init__(network, chain, noise_dim=items)
        self.mixture = mixture

    def _clean(self, z_t, t, w, mask, condition):
        alpha, sigma2 = self.process.alpha(t), self.process.sigma2(t)
        share = self.mixture.components(z_t, alpha, sigma2)[0].softmax(-1)
        u = torch.special.ndtr(w.style)[:, : z_t[0, ..., 0].numel()].reshape(share.shape[:-1])
        which = (u.unsqueeze(-1) > share.cumsum(-1)).sum(-1).clamp(max=share.shape[-1] - 1)
        spread, axes = (value.to(z_t.dtype)[which] for value in self.mixture._eigen)
        mean = self.mixture.means.to(z_t.dtype)[which]
        alpha, sigma2 = (value.reshape(-1, *([1] * (z_t.dim() - 1))).to(z_t.dtype) for value in (alpha, sigma2))
        total = alpha**2 * spread + sigma2
        turned = ((z_t - alpha * mean).unsqueeze(-2) @ axes).squeeze(-2)
        inside = alpha * spread / total * turned + (spread * sigma2 / total).sqrt() * w.event
        return mean + (axes @ inside.unsqueeze(-1)).squeeze(-1)


def unequal_mixture() -> GaussianMixture:
    """A 2-D mixture of mean 0: unequal weights, different covariances, components about four deviations apart."""
    return GaussianMixture(
        torch.tensor([0.3, 0.7], dtype=torch.float64),
        torch.tensor([[1.4, -0.7], [-0.6, 0.3]], dtype=torch.float64),
        torch.tensor([[[0.05, 0.02], [0.02, 0.08]], [[0.10, -0.05], [-0.05, 0.06]]], dtype=torch.float64),
    )


def gaussian(*variances: float) -> GaussianMixture:
    """N(0, diag(variances)) as a mixture of one component."""
    spread = torch.tensor(variances, dtype=torch.float64)
    return GaussianMixture(
        torch.ones(1, dtype=torch.float64), torch.zeros(1, len(spread)).double(), spread.diag()[None]
    )


class ZeroNetwork(nn.Module):
    """F = 0: an untrained network."""

    def forward(self, z: Tensor, log_snr: Tensor, mask: Tensor | None, condition: Tensor | None) -> Tensor:
        return torch.zeros_like(z)


class Perceptron(nn.Module):
    """F(z, lambda, mask, condition), item by item along the last axis, with random weights everywhere.

    Args:
        d: size of the last axis of z.
        condition_dim: size of the condition vector.
    """

    def __init__(self, d: int, condition_dim: int = 0) -> None:
        super().__init__()
        self.condition_dim = condition_dim
        self.layers = nn.Sequential(nn.Linear(d + 1 + condition_dim, 16), nn.SiLU(), nn.Linear(16, d))

    def forward(self, z: Tensor, log_snr: Tensor, mask: Tensor | None, condition: Tensor | None) -> Tensor:
        features = [log_snr.unsqueeze(1) / 10]
        if self.condition_dim:
            absent = torch.zeros(len(z), self.condition_dim, dtype=z.dtype)
            features.append(absent if condition is None else condition)
        side = torch.cat(features, dim=1).reshape(len(z), *([1] * (z.dim() - 2)), -1).expand(*z.shape[:-1], -1)
        return self.layers(torch.cat([z, side.to(z.dtype)], dim=-1))


def randomize(module: nn.Module, scale: float = 0.2) -> nn.Module:
    """Give every parameter a random value: no layer stays at its start of zero."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(scale * torch.randn_like(parameter))
    return module


class LinearGaussianVAE(Autoencoder):
    """x ~ N(W z, noise^2 I) with z ~ N(0, I), and q(z | x) = N(A x, diag(std^2)).

    Args:
        weight: W, shape [x, d], with orthogonal columns: the exact posterior is then diagonal.
        noise: standard deviation of x given z.
    """

    def __init__(self, weight: Tensor, noise: float) -> None:
        super().__init__()
        self.weight, self.noise = weight, noise
        precision = (weight**2).sum(0) / noise**2 + 1
        self.encoder = nn.Parameter((weight / noise**2).T / precision.unsqueeze(1))
        self.log_std = nn.Parameter(-0.5 * precision.log())

    def encode(self, batch: Batch) -> DiagonalGaussian:
        mean = batch["x"] @ self.encoder.T
        return DiagonalGaussian(mean, self.log_std.exp().expand_as(mean))

    def decode(self, z: Tensor, mask: Tensor | None = None) -> NormalLikelihood:
        return NormalLikelihood(z @ self.weight.T, self.noise)

    def evidence(self, x: Tensor) -> Tensor:
        """ln p(x) = ln N(x; 0, W W^T + noise^2 I), shape [B]."""
        covariance = self.weight @ self.weight.T + self.noise**2 * torch.eye(len(self.weight), dtype=x.dtype)
        return torch.distributions.MultivariateNormal(torch.zeros(len(self.weight)).to(x), covariance).log_prob(x)


class MaskedNormal(NormalLikelihood):
    """Normal data whose masked items count nothing."""

    def __init__(self, mean: Tensor, std: float, mask: Tensor | None) -> None:
        super().__init__(mean, std)
        self.mask = mask

    def log_prob(self, batch: Batch) -> Tensor:
        squared = ((batch["x"] - self.mean) / self.std) ** 2
        return event_sum(-0.5 * (squared + LOG_2PI) - self.std.log(), self.mask)


class ItemAutoencoder(Autoencoder):
    """A small nonlinear autoencoder that acts along the last axis: vectors [B, x] or masked sets [B, N, x].

    Args:
        x: size of a data item.
        d: size of a latent item.
    """

    def __init__(self, x: int, d: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(x, 8), nn.Tanh(), nn.Linear(8, 2 * d))
        self.decoder = nn.Sequential(nn.Linear(d, 8), nn.Tanh(), nn.Linear(8, x))

    def encode(self, batch: Batch) -> DiagonalGaussian:
        mean, log_std = self.encoder(batch["x"]).chunk(2, dim=-1)
        return DiagonalGaussian(mean, log_std.exp(), batch.get("mask"))

    def decode(self, z: Tensor, mask: Tensor | None = None) -> MaskedNormal:
        return MaskedNormal(self.decoder(z), 0.5, mask)
