r"""Whether log_prob is the logarithm of the density that sample() draws from.

For x ~ p_1 and the log-ratio r = ln p_2(x) - ln p_1(x), E[exp r] = 1. To second order in a small
step from z_1 to z_2, and to third order when both directions are averaged, mean(r) = -var(r) / 2.
A log_prob that is c times the true one (bits, a mean over dimensions, a dropped half) multiplies
the mean by c and the variance by c^2, so that -2 mean / var estimates 1 / c.
"""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor

from ..autoencoder import Autoencoder
from ..distributions import Likelihood
from .result import require

VARIANCE = 0.3
DRAWS = 16384
SECONDS = 1.5


@torch.no_grad()
def nats(autoencoder: Autoencoder, batch: dict[str, Tensor]) -> str:
    """Check the unit of log_prob; a remark says what was found."""
    q = autoencoder.encode(batch)
    z, direction = q.mean, q.std * torch.randn_like(q.mean)
    pair = _apart(autoencoder, z, direction, q.mask)
    if pair is None:
        return "not tested: the untrained decoder does not depend on z"
    ratios = _ratios(*pair)
    if len(ratios) < 32:
        return "not tested: sample() is too slow"
    factors = torch.stack([_factor(part) for part in ratios.chunk(8)])
    factor = float(_factor(ratios))
    error = float((factors / factor).std()) / math.sqrt(8)
    require(
        factor > 0 and abs(math.log(factor)) < 0.15 + 4 * error,
        f"log_prob is about {1 / factor:.3g} times the log-density of what sample() draws",
        "sum natural logarithms over all dimensions (no mean, no bits, no dropped factor), and "
        "let sample() draw from the same distribution",
    )
    return f"factor {1 / factor:.2f} (1 expected, to about {0.15 + 4 * error:.0%})"


def _log_ratio(p: Likelihood, q: Likelihood) -> Tensor:
    """ln q(x) - ln p(x) at one x ~ p, shape [B], float64."""
    x = p.sample()
    return q.log_prob(x).double() - p.log_prob(x).double()


def _apart(
    autoencoder: Autoencoder, z: Tensor, direction: Tensor, mask: Tensor | None
) -> tuple[Likelihood, Likelihood] | None:
    """Two likelihoods whose log-ratio has about the variance that tests best."""
    start, scale = autoencoder.decode(z, mask), 0.1
    for _ in range(40):
        moved = autoencoder.decode(z + scale * direction, mask)
        spread = torch.stack([_log_ratio(start, moved) for _ in range(16)]).var(0).median()
        if VARIANCE / 2 < float(spread) < 2 * VARIANCE:
            return start, moved
        ratio = (VARIANCE / max(float(spread), 1e-12)) ** 0.5
        scale *= min(max(ratio, 0.05), 20.0) if math.isfinite(ratio) else 0.1
        if not 1e-6 < scale < 1e4:
            return None
    return None


def _ratios(first: Likelihood, second: Likelihood) -> Tensor:
    """Log-ratios of many draws in both directions, shape [draws, 2, B]."""
    drawn, begin = [], time.perf_counter()
    while len(drawn) * 2 * len(drawn[0][0] if drawn else [0]) < DRAWS:
        drawn.append(torch.stack([_log_ratio(first, second), _log_ratio(second, first)]))
        if time.perf_counter() - begin > SECONDS:
            break
    return torch.stack(drawn)


def _factor(ratios: Tensor) -> Tensor:
    """-2 mean / var over draws, pooled over examples and directions."""
    return -2 * ratios.mean(0).sum() / ratios.var(0).sum()
