r"""Whether log_prob is the logarithm of the density that sample() draws from.

An x that was drawn from p_1 or p_2 with equal chances came from p_2 with probability
sigmoid(ln p_2(x) - ln p_1(x)) (Bayes). A log_prob that is c times the true one (bits, a mean over
dimensions, a dropped half) makes that sigmoid(r / c) of its own log-ratio r, so that a logistic
regression of the origin on r has the slope 1 / c: a consistent estimate for any two densities.
"""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor

from ..autoencoder import Autoencoder
from ..distributions import Likelihood
from ..tensors import over
from .result import require

VARIANCE = 1.0
DRAWS = 16384
SECONDS = 2.0
ALLOWED = 0.04


@torch.no_grad()
def nats(autoencoder: Autoencoder, batch: dict[str, Tensor]) -> str:
    """Check the unit of log_prob; the remark says what was found."""
    q = autoencoder.encode(batch)
    pair = _apart(autoencoder, q.mean, q.std * torch.randn_like(q.mean), q.mask)
    if pair is None:
        return "not tested: the untrained decoder does not depend on z"
    ratios = _ratios(*pair)
    if len(ratios) < 32:
        return "not tested: sample() is too slow"
    slope, error = _slope(ratios)
    allowed = ALLOWED + 4 * error / abs(slope)
    require(
        slope > 0 and abs(math.log(slope)) < allowed,
        f"log_prob is about {1 / slope:.3g} times the log-density of what sample() draws",
        "sum natural logarithms over all dimensions (no mean, no bits, no dropped factor), and "
        "let sample() draw from the same distribution",
    )
    return f"log_prob agrees with sample() to {allowed:.0%}"


def _log_ratio(p: Likelihood, q: Likelihood) -> Tensor:
    """The value ln q(x) - ln p(x) at one x ~ p, shape [B], float64."""
    x = p.sample()
    return q.log_prob(x).double() - p.log_prob(x).double()


def _apart(
    autoencoder: Autoencoder, z: Tensor, direction: Tensor, mask: Tensor | None
) -> tuple[Likelihood, Likelihood] | None:
    """Two likelihoods whose log-ratios have about the variance that tests best."""
    start, scale = autoencoder.decode(z, mask), torch.full((len(z),), 0.1, dtype=torch.float64)
    for _ in range(12):
        moved = autoencoder.decode(z + over(scale, z) * direction, mask)
        spread = torch.stack([_log_ratio(start, moved) for _ in range(12)]).var(0)
        spread = spread.nan_to_num(1e9, 1e9)
        if spread.median() > VARIANCE / 2 and spread.max() < 4 * VARIANCE:
            return start, moved
        scale = scale * (VARIANCE / spread.clamp_min(1e-12)).sqrt().clamp(0.05, 20.0)
        if not 1e-7 < float(scale.median()) < 1e4:
            return None
    return None


def _ratios(first: Likelihood, second: Likelihood) -> Tensor:
    """Log-ratios of many draws in both directions, shape [draws, 2, B]."""
    drawn: list[Tensor] = []
    begin = time.perf_counter()
    while time.perf_counter() - begin < SECONDS:
        drawn.append(torch.stack([_log_ratio(first, second), _log_ratio(second, first)]))
        if len(drawn) * drawn[0].numel() >= DRAWS:
            break
    return torch.stack(drawn)


def _slope(ratios: Tensor) -> tuple[float, float]:
    """Slope of the logistic regression of the other origin on ``ratios``, and its standard error.

    ``ratios`` [draws, 2, B] are of each draw's wrong origin to its right one: the loss
    sum softplus(s r) is convex in s, and sum r sigmoid(s r) = 0 at its least.
    """
    r = ratios.flatten(1).clamp(-1e4, 1e4)
    low, high = -1e6, 1e6
    for _ in range(80):
        slope = (low + high) / 2
        if float((r * (slope * r).sigmoid()).sum()) > 0:
            high = slope
        else:
            low = slope
    chance = (slope * r).sigmoid()
    curvature = (r.square() * chance * (1 - chance)).sum(1).mean()
    spread = (r * chance).sum(1).std() / math.sqrt(len(r))
    return slope, float(spread / curvature)
