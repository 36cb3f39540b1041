r"""The Earth mover's distance of point sets of one size, EMD(X, Y) = min over permutations of mean_i |x_i - y_pi(i)|.

Euclidean, mean over points: the definition of PointFlow (Yang et al. 2019). Columns of other papers that were made by
an approximate auction on squared distances do not compare with it.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

PAIR_ENTRIES = {"cpu": 2**20, "other": 2**26}
"""Costs held at a time, by device."""
Method = Literal["exact", "dual"]


def emd(x: Tensor, y: Tensor) -> Tensor:
    """Exact, by an optimal assignment (scipy's Jonker-Volgenant), on the CPU; no gradients.

    Args:
        x: points, shape [B, N, 3].
        y: points, shape [B, N, 3].

    Returns:
        Shape [B], units of x.

    Raises:
        ValueError: if the clouds are not of one shape.
    """
    from scipy.optimize import linear_sum_assignment

    costs = _costs(x, y)
    found = [float(cost[linear_sum_assignment(cost)].mean()) for cost in costs.cpu().numpy()]
    return torch.tensor(found, dtype=x.dtype, device=x.device)


@torch.no_grad()
def emd_bounds(
    x: Tensor, y: Tensor, finest: float = 0.005, levels: int = 8, iterations: int = 10
) -> tuple[Tensor, Tensor]:
    r"""Lower and upper bounds of the exact distance, batched, on any device: Sinkhorn's iterations (Cuturi 2013) with
    regularisations falling from 1 / 2 to ``finest`` times the mean cost.

    The lower bound is the dual value, mean f + mean g, of potentials made feasible by c-transforms, g_j = min_i (C_ij -
    f_i) and f_i = min_j (C_ij - g_j); the upper one is the cost of the plan rounded to its marginals (Altschuler et al.
    2017). Both hold whatever the iterations reach. As measured on procedural chairs, with the defaults, the lower bound
    is .3 % (128 points) to .6 % (512 and 2,048 points) below the exact distance of different shapes, .7 %, 3 % and 7 %
    below that of two samplings of one surface; the upper bound is 3 to 7 % and 7 to 33 % above.

    Args:
        x: points, shape [B, N, 3].
        y: points, shape [B, N, 3].
        finest: the last regularisation, in units of the mean cost.
        levels: number of regularisations.
        iterations: of each.

    Returns:
        Lower and upper bounds, shape [B], units of x.

    Raises:
        ValueError: if the clouds are not of one shape.
    """
    cost = _costs(x, y)
    mean = cost.mean(dim=(1, 2), keepdim=True).clamp_min(1e-12)
    f, g = cost.new_zeros(len(cost), cost.shape[1], 1), cost.new_zeros(len(cost), 1, cost.shape[2])
    plan = cost
    for level in range(levels):
        unit = mean * 0.5 * (2 * finest) ** (level / max(1, levels - 1))
        f = -unit * torch.logsumexp((g - cost) / unit, dim=2, keepdim=True)
        g = -unit * torch.logsumexp((f - cost) / unit, dim=1, keepdim=True)
        kernel, v = ((f + g - cost) / unit).exp(), torch.ones_like(f)
        u = v
        for _ in range(iterations):
            u = 1 / (kernel @ v).clamp_min(1e-30)
            v = 1 / (kernel.mT @ u).clamp_min(1e-30)
        f, g = f + unit * u.log(), g + unit * v.log().mT
        plan = u * kernel * v.mT
    return _dual(cost, f), _rounded(cost, plan)


@torch.no_grad()
def pairwise_emd(a: Tensor, b: Tensor | None = None, method: Method = "exact", progress: bool = False) -> Tensor:
    """Distances of all pairs of clouds; memory does not grow with their number.

    Args:
        a: clouds, shape [N, P, 3].
        b: clouds, shape [M, P, 3]; None takes a with itself, half of whose distances are copied.
        method: "exact", the faster one on a CPU, or "dual", the lower bound of :func:`emd_bounds`, for GPUs.
        progress: show a bar.

    Returns:
        Shape [N, M], units of a.

    Raises:
        ValueError: if the clouds are not of one shape, or the method is unknown.
    """
    if method not in ("exact", "dual"):
        raise ValueError(f"method is {method!r}; choose exact or dual.")
    symmetric, other = b is None, a if b is None else b
    found = a.new_zeros(len(a), len(other))
    entries = PAIR_ENTRIES["cpu" if a.device.type == "cpu" else "other"]
    step = max(1, entries // (a.shape[1] * other.shape[1]))
    for row in tqdm(range(len(a)), disable=not progress, desc="Earth mover", leave=False):
        for start in range(row + 1 if symmetric else 0, len(other), step):
            y = other[start : start + step]
            x = a[row].expand(len(y), -1, -1)
            found[row, start : start + step] = emd(x, y) if method == "exact" else emd_bounds(x, y)[0]
    return found + found.T if symmetric else found


def _costs(x: Tensor, y: Tensor) -> Tensor:
    """|x_i - y_j|, shape [B, N, N]."""
    if x.dim() != 3 or x.shape != y.shape:
        raise ValueError(
            f"clouds have shapes {tuple(x.shape)} and {tuple(y.shape)}; give as many points of both, [B, N, 3]."
        )
    dtype = torch.promote_types(x.dtype, torch.float32)
    exact = "donot_use_mm_for_euclid_dist"
    return torch.cdist(x.detach().to(dtype), y.detach().to(dtype), compute_mode=exact)


def _dual(cost: Tensor, f: Tensor) -> Tensor:
    g = (cost - f).amin(dim=1, keepdim=True)
    f = (cost - g).amin(dim=2, keepdim=True)
    return f.mean(dim=(1, 2)) + g.mean(dim=(1, 2))


def _rounded(cost: Tensor, plan: Tensor) -> Tensor:
    """Mean cost of a plan whose rows and columns should sum to 1, after what is over is cut and what is missing is sent
    from every row to every column in proportion.
    """
    plan = plan * (1 / plan.sum(dim=2, keepdim=True)).clamp(max=1)
    plan = plan * (1 / plan.sum(dim=1, keepdim=True)).clamp(max=1)
    rows, columns = (1 - plan.sum(dim=2)).clamp_min(0), (1 - plan.sum(dim=1)).clamp_min(0)
    rest = torch.einsum("bi,bij,bj->b", rows, cost, columns) / rows.sum(dim=1).clamp_min(1e-12)
    return ((plan * cost).sum(dim=(1, 2)) + rest) / cost.shape[1]


def subsets(clouds: Tensor, count: int, seed: int = 0) -> Tensor:
    """The same number of points of each cloud [B, N, D], drawn without repetition, [B, count, D].

    Raises:
        ValueError: if they have fewer.
    """
    if clouds.shape[1] < count:
        raise ValueError(f"clouds have {clouds.shape[1]} points; at most as many can be drawn, not {count}.")
    keys = torch.from_numpy(np.random.default_rng(seed).random(tuple(clouds.shape[:2])))
    chosen = keys.argsort(dim=1)[:, :count].to(clouds.device)
    return clouds.gather(1, chosen.unsqueeze(-1).expand(-1, -1, clouds.shape[2]))
