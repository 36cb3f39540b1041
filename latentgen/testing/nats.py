r"""Whether log_prob is the logarithm of the density that sample() draws from.

For x ~ p_1 the log-ratio r = ln p_2(x) - ln p_1(x) has E[exp r] = 1, hence mean(r) = -var(r) / 2
for a normal r, and to third order for any r when both directions are averaged. A log_prob that is
c times the true one (bits, a mean over dimensions, a dropped half) multiplies the mean by c and
the variance by c^2, so that -2 mean / var estimates 1 / c.
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
ALLOWED = 0.08


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
    factor = float(_factor(ratios))
    parts = torch.stack([_factor(part) for part in ratios.chunk(8)])
    allowed = ALLOWED + 4 * float((parts / factor).std()) / math.sqrt(len(parts))
    require(
        factor > 0 and abs(math.log(factor)) < allowed,
        f"log_prob is about {1 / factor:.3g} times the log-density of what sample() draws",
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


def _factor(ratios: Tensor) -> Tensor:
    """-2 mean / var over draws, pooled over examples and directions."""
    return -2 * ratios.mean(0).sum() / ratios.var(0).sum()
