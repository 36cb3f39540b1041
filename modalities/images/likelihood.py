r"""Likelihoods of pixels x = 0, 1, ..., L - 1, all normalised exactly over them.

A discretised density gives level x the mass of its bin, F(b) - F(a), with the bins' edges half-way between the levels'
places y(x) = 2 x / (L - 1) - 1 in [-1, 1] and the outermost bins open (Salimans et al. 2017).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from latentgen.tensors import Batch, event_sum

LEVELS = 256
WHITE = 255


def bits_per_dimension(nats: float, dimensions: int) -> float:
    """Nats of an image as bits of one of its D = C H W numbers."""
    return nats / (dimensions * math.log(2))


def places(x: Tensor, levels: int = LEVELS, dtype: torch.dtype = torch.float32) -> Tensor:
    """y(x) = 2 x / (L - 1) - 1 of whole numbers x of any shape."""
    return 2 * x.to(dtype) / (levels - 1) - 1


def nearest_level(y: Tensor, levels: int = LEVELS) -> Tensor:
    """The level x whose place is nearest to y, as a float."""
    return ((y + 1) * ((levels - 1) / 2)).round().clamp(0, levels - 1)


def log1mexp(x: Tensor) -> Tensor:
    """ln(1 - exp(-x)) for x > 0, without loss of digits."""
    middle = math.log(2)  # each formula sees its own range alone, so that the other's gradient is no NaN
    large, small = torch.log1p(-torch.exp(-x.clamp_min(middle))), torch.log(-torch.expm1(-x.clamp_max(middle)))
    return torch.where(x > middle, large, small)


def logistic_log_mass(a: Tensor, b: Tensor) -> Tensor:
    r"""ln(sigmoid(b) - sigmoid(a)) for a < b: sigmoid(b) sigmoid(-a) (1 - e^{a - b}), exact everywhere."""
    return logsigmoid(b) + logsigmoid(-a) + log1mexp(b - a)


def laplace_log_mass(a: Tensor, b: Tensor) -> Tensor:
    """ln(F(b) - F(a)) of the standard Laplace density exp(-|u|) / 2 for a < b."""
    a, b = torch.where(a > 0, -b, a), torch.where(a > 0, -a, b)  # symmetric: bins right of 0 are turned round
    left = b.clamp(max=0) - math.log(2) + log1mexp(b - a)
    across = torch.log((-torch.expm1(a.clamp(max=0)) - torch.expm1(-b.clamp(min=1e-12))) / 2)
    return torch.where(b <= 0, left, across)


def normal_log_mass(a: Tensor, b: Tensor) -> Tensor:
    """ln(F(b) - F(a)) of the standard normal density for a < b."""
    a, b = torch.where(a > 0, -b, a), torch.where(a > 0, -a, b)
    upper: Tensor = torch.special.log_ndtr(b)
    return upper + log1mexp((upper - torch.special.log_ndtr(a)).clamp_min(1e-12))


class BernoulliPixels:
    """Independent black and white pixels: ln p(x) = x l / 255 - softplus(l) for x = 0 or 255.

    Grey values in between count as the share of white draws, which is what a likelihood of binarised images gives on
    average; they are no outcomes, and the masses of all 256 do not sum to 1.

    Args:
        logits: l, shape [B, C, H, W].
        binary: whether the data are binarised; then the mode is black or white, else the grey mean.
    """

    def __init__(self, logits: Tensor, binary: bool = True) -> None:
        self.logits, self.binary = logits, binary

    def log_prob(self, batch: Batch) -> Tensor:
        """Nats, shape [B]."""
        logits = self.logits.float() if self.logits.dtype in (torch.bfloat16, torch.float16) else self.logits
        return event_sum(batch["x"].to(logits.dtype) / WHITE * logits - softplus(logits))

    def sample(self) -> Batch:
        """Black and white images."""
        return {"x": torch.bernoulli(self.logits.float().sigmoid()).to(torch.uint8) * WHITE}

    def mode(self) -> Batch:
        """The likelier colour, or the mean for grey data."""
        if self.binary:
            return {"x": (self.logits > 0).to(torch.uint8) * WHITE}
        return {"x": (self.logits.float().sigmoid() * WHITE).round().to(torch.uint8)}


class DiscretizedPixels(ABC):
    """Independent pixels with a discretised density of one location and scale.

    Args:
        location: in places y, shape [B, C, H, W].
        log_scale: ln s, broadcasts to it.
        levels: L.
    """

    def __init__(self, location: Tensor, log_scale: Tensor, levels: int = LEVELS) -> None:
        precise = torch.promote_types(location.dtype, torch.float32)
        self.location, self.log_scale, self.levels = location.to(precise), log_scale.to(precise), levels

    @abstractmethod
    def log_mass(self, a: Tensor, b: Tensor) -> Tensor:
        """ln(F(b) - F(a)) of the standard density."""

    @abstractmethod
    def noise(self) -> Tensor:
        """Draws of the standard density like ``location``."""

    def log_prob(self, batch: Batch) -> Tensor:
        """Nats, shape [B]."""
        lower, upper = edges(batch["x"], self.levels, self.location.dtype)
        inverse = torch.exp(-self.log_scale)
        return event_sum(self.log_mass((lower - self.location) * inverse, (upper - self.location) * inverse))

    def sample(self) -> Batch:
        """Location plus noise, at the nearest level."""
        return {"x": nearest_level(self.location + self.log_scale.exp() * self.noise(), self.levels).to(torch.uint8)}

    def mode(self) -> Batch:
        """The level nearest to the location."""
        return {"x": nearest_level(self.location, self.levels).to(torch.uint8)}


class NormalPixels(DiscretizedPixels):
    """Discretised normal densities."""

    def log_mass(self, a: Tensor, b: Tensor) -> Tensor:
        """See :func:`normal_log_mass`."""
        return normal_log_mass(a, b)

    def noise(self) -> Tensor:
        """Standard normal."""
        return torch.randn_like(self.location)


class LaplacePixels(DiscretizedPixels):
    """Discretised Laplace densities."""

    def log_mass(self, a: Tensor, b: Tensor) -> Tensor:
        """See :func:`laplace_log_mass`."""
        return laplace_log_mass(a, b)

    def noise(self) -> Tensor:
        """By the inverse distribution function."""
        u = torch.rand_like(self.location) - 0.5
        return -u.sign() * torch.log1p(-2 * u.abs().clamp(max=0.5 - 1e-7))


OPEN = 1e4
"""In the place of infinity: so many scales away nothing is left, and gradients stay finite."""


def edges(x: Tensor, levels: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Lower and upper edge of the bins of levels x, in places y; a bin's upper edge is exactly the next one's lower."""
    twice = 2 * x.to(dtype)
    lower, upper = ((twice + side) / (levels - 1) - 1 for side in (-1, 1))
    return lower.masked_fill(x <= 0, -OPEN), upper.masked_fill(x >= levels - 1, OPEN)
