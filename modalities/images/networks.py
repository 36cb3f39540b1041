"""Autoencoders of images: a small convolutional one, and the identity for models in pixel space."""

from __future__ import annotations

import itertools
import math
from typing import Literal

import torch
from torch import Tensor, nn

from latentgen.autoencoder import Autoencoder, IdentityAutoencoder
from latentgen.distributions import DiagonalGaussian, Likelihood
from latentgen.tensors import Batch

from .likelihood import BernoulliPixels, LaplacePixels, NormalPixels, places
from .mixture import LogisticMixturePixels, mixture_size

LikelihoodName = Literal["bernoulli", "logistic_mixture", "normal", "laplace"]
LIKELIHOODS = ("bernoulli", "logistic_mixture", "normal", "laplace")
WIDEST = 4
"""Largest multiple of the first width."""
START_LOG_SCALE = -1.5


def halved(size: tuple[int, int], halvings: int) -> list[tuple[int, int]]:
    """The sizes of a grid that is halved, rounding up, from the image's on."""
    return [(-(-size[0] // 2**k), -(-size[1] // 2**k)) for k in range(halvings + 1)]


def places_of_images(x: Tensor, shape: tuple[int, ...] | None = None) -> Tensor:
    """The places of a batch's pixels, float32 [B, C, H, W].

    Args:
        x: uint8, shape [B, C, H, W].
        shape: C, H, W of the model's images; None takes any.

    Raises:
        ValueError: if ``x`` is something else: numbers in [0, 1] would pass for black images.
    """
    if x.dtype != torch.uint8 or x.dim() != 4 or (shape is not None and tuple(x.shape[1:]) != shape):
        expected = "C, H, W" if shape is None else ", ".join(map(str, shape))
        raise ValueError(f"x is {x.dtype} of shape {list(x.shape)}; give bytes (uint8) of shape [B, {expected}].")
    return places(x)


class ResidualBlock(nn.Module):
    """x + two convolutions, each behind a group norm and SiLU.

    Args:
        width: number of channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _norm(width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1),
            _norm(width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Shape [B, width, H, W]."""
        return x + torch.as_tensor(self.body(x))


class Enlarge(nn.Module):
    """Nearest-neighbour enlargement to a given size, then a convolution.

    Args:
        size_in: channels before.
        size_out: channels after.
        target: height and width after.
    """

    def __init__(self, size_in: int, size_out: int, target: tuple[int, int]) -> None:
        super().__init__()
        self.target, self.conv = target, nn.Conv2d(size_in, size_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """To [B, size_out, *target]."""
        doubled = nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
        return torch.as_tensor(self.conv(doubled[..., : self.target[0], : self.target[1]]))


class ImageAutoencoder(Autoencoder):
    r"""q(z | x) = N(mean, std^2) and p(x | z) by convolutions: residual blocks, strides down, repetition up.

    At the image's full size, where convolutions cost most, there are no residual blocks unless nothing is halved.

    Args:
        shape: C, H, W of the images.
        latent: channels of the grid, or size of the vector.
        layout: of the latent, "grid" or "vector".
        halvings: how often the image's size is halved (rounding up).
        width: channels at full size; they double with each halving, up to four times.
        depth: residual blocks at each size below the full one.
        likelihood: of pixels: "bernoulli", "logistic_mixture", "normal" or "laplace" (these two with one learned scale
            a channel).
        components: of the mixture.
        binary: whether the data are black and white.
        min_std: least standard deviation of the posterior, latent units.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        latent: int = 8,
        layout: Literal["grid", "vector"] = "grid",
        halvings: int = 2,
        width: int = 16,
        depth: int = 1,
        likelihood: LikelihoodName = "logistic_mixture",
        components: int = 5,
        binary: bool = False,
        min_std: float = 0.02,
    ) -> None:
        super().__init__()
        channels, self.grids = shape[0], halved((shape[1], shape[2]), halvings)
        self.shape, self.channels, self.components, self.min_std = tuple(shape), channels, components, min_std
        self.layout, self.likelihood, self.binary = layout, likelihood, binary
        widths = [width * min(2**k, WIDEST) for k in range(halvings + 1)]
        cells = math.prod(self.grids[-1])
        self.encoder = _encoder(channels, widths, depth)
        self.decoder = _decoder(widths, depth, self.grids, outputs_of(likelihood, channels, components))
        if layout == "grid":
            self.to_latent: nn.Module = nn.Conv2d(widths[-1], 2 * latent, 1)
            self.from_latent: nn.Module = nn.Conv2d(latent, widths[-1], 3, padding=1)
        else:
            self.to_latent = nn.Sequential(nn.Flatten(), nn.Linear(widths[-1] * cells, 2 * latent))
            self.from_latent = nn.Sequential(
                nn.Linear(latent, widths[-1] * cells), nn.Unflatten(1, (widths[-1], *self.grids[-1]))
            )
        self.log_scale = learned_scale(likelihood, channels)

    def encode(self, batch: Batch) -> DiagonalGaussian:
        """q(z | x) for ``x`` uint8 [B, C, H, W]: mean and std [B, C', h, w] or [B, d]."""
        mean, raw = self.to_latent(self.encoder(places_of_images(batch["x"], self.shape))).chunk(2, dim=1)
        # soft limits keep a bad batch from throwing latents far away: means in (-5, 5), std in (min_std, 1)
        std = self.min_std + (1 - self.min_std) * torch.sigmoid(raw.float())
        return DiagonalGaussian(5 * torch.tanh(mean.float() / 5), std)

    def decode(self, z: Tensor, mask: Tensor | None = None) -> Likelihood:
        """p(x | z) for z [B, C', h, w] or [B, d]. Images have no mask."""
        out = self.decoder(self.from_latent(z))
        return pixel_likelihood(out, self.likelihood, self.channels, self.components, self.binary, self.log_scale)


def pixel_likelihood(
    out: Tensor, kind: str, channels: int, components: int, binary: bool, log_scale: Tensor | None
) -> Likelihood:
    """p(x | z) from a decoder's output [B, outputs, H, W]; arguments as of :class:`ImageAutoencoder`."""
    if kind == "bernoulli":
        return BernoulliPixels(out, binary)
    if kind == "logistic_mixture":
        return LogisticMixturePixels(out, channels, components)
    assert log_scale is not None
    return (NormalPixels if kind == "normal" else LaplacePixels)(out, log_scale)


def learned_scale(kind: str, channels: int) -> nn.Parameter | None:
    """The log scale of each channel [C, 1, 1] for "normal" and "laplace", else None."""
    return nn.Parameter(torch.full((channels, 1, 1), START_LOG_SCALE)) if kind in ("normal", "laplace") else None


class PixelAutoencoder(IdentityAutoencoder):
    """No autoencoder: latents are the pixels' places in [-1, 1], for models in pixel space.

    q(z | x) = N(y(x), std^2), and p(x | z) is the discretised normal density at z with the same standard deviation, so
    that bounds on ln p(x) hold as they do for the others.

    Args:
        std: noise floor; half the distance of two levels unless given.
    """

    def __init__(self, std: float = 1 / 255) -> None:
        super().__init__("x", std)

    def encode(self, batch: Batch) -> DiagonalGaussian:
        """N(y(x), std^2)."""
        y = places_of_images(batch["x"])
        return DiagonalGaussian(y, torch.full_like(y, self.std))

    def decode(self, z: Tensor, mask: Tensor | None = None) -> Likelihood:
        """Discretised N(z, std^2)."""
        return NormalPixels(z, torch.full((), math.log(self.std), device=z.device))


def outputs_of(likelihood: str, channels: int, components: int) -> int:
    """Numbers a pixel that a decoder gives."""
    return mixture_size(channels, components) if likelihood == "logistic_mixture" else channels


def _encoder(channels: int, widths: list[int], depth: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 3, padding=1)]
    for number, (a, b) in enumerate(itertools.pairwise(widths)):
        layers += [ResidualBlock(a) for _ in range(depth if number else 0)]
        layers += [nn.Conv2d(a, b, 3, stride=2, padding=1)]
    layers += [*(ResidualBlock(widths[-1]) for _ in range(depth)), _norm(widths[-1]), nn.SiLU()]
    return nn.Sequential(*layers)


def _decoder(widths: list[int], depth: int, grids: list[tuple[int, int]], outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = [ResidualBlock(widths[-1]) for _ in range(depth)]
    for (a, b), target in zip(itertools.pairwise(widths[::-1]), grids[-2::-1], strict=True):
        layers += [Enlarge(a, b, target), *(ResidualBlock(b) for _ in range(depth if target != grids[0] else 0))]
    return nn.Sequential(*layers, _norm(widths[0]), nn.SiLU(), nn.Conv2d(widths[0], outputs, 3, padding=1))


def _norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(width, 8), width)
