"""Maximum mean discrepancies: the kernel distance and the Gaussian kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from .features import checked_pair


def kernel_distance(real: Tensor, generated: Tensor) -> float:
    """Unbiased MMD^2 with the kernel (x . y / F + 1)^3 (KID: Binkowski et al. 2018), on all samples.

    Args:
        real: features [N, F].
        generated: features [M, F].

    Raises:
        ValueError: if features are not finite, not [N, F], of different widths, or fewer than two.
    """
    x, y = checked_pair(real, generated)
    width = x.shape[1]
    xx, yy, xy = ((a @ b.T / width + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    return _mmd2(xx, yy, xy, unbiased=True)


def mmd(real: Tensor, generated: Tensor, bandwidth: float | None = None, unbiased: bool = False) -> float:
    """MMD^2 with the kernel exp(-|x - y|^2 / (2 h^2)) (Gretton et al. 2012).

    Args:
        real: features [N, F].
        generated: features [M, F].
        bandwidth: h; the median distance between real samples unless given.
        unbiased: leave out the diagonal; the value can then be negative.

    Raises:
        ValueError: if features are not finite, not [N, F], of different widths, or fewer than two.
    """
    x, y = checked_pair(real, generated)
    if bandwidth is None:
        inner = torch.cdist(x, x)
        bandwidth = float(inner[~torch.eye(len(x), dtype=torch.bool, device=x.device)].median()) or 1.0
    xx, yy, xy = (torch.exp(-(torch.cdist(a, b) ** 2) / (2 * bandwidth**2)) for a, b in ((x, x), (y, y), (x, y)))
    return _mmd2(xx, yy, xy, unbiased=unbiased)


def _mmd2(xx: Tensor, yy: Tensor, xy: Tensor, unbiased: bool) -> float:
    parts = []
    for kernel in (xx, yy):
        n = len(kernel)
        if unbiased:
            parts.append((kernel.sum() - kernel.diagonal().sum()) / (n * (n - 1)))
        else:
            parts.append(kernel.mean())
    return float(parts[0] + parts[1] - 2 * xy.mean())
