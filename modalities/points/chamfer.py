r"""The Chamfer distance of point sets, CD(X, Y) = mean_x min_y |x - y|^2 + mean_y min_x |x - y|^2.

The sum of both means of squared distances, as in the tables of PointFlow (Yang et al. 2019) and after.
"""

from __future__ import annotations

import torch
from torch import Tensor
from tqdm import tqdm

SEARCH_ENTRIES = {"cpu": 2**23, "other": 2**27}
"""Distances that a search of nearest points holds at a time, by device."""
PAIR_ENTRIES = {"cpu": 2**20, "other": 2**27}
"""The same of many pairs of clouds; on a CPU they stay in its cache."""


def chamfer(x: Tensor, y: Tensor, mask_x: Tensor | None = None, mask_y: Tensor | None = None) -> Tensor:
    """Chamfer distance of corresponding clouds, differentiable in both.

    Nearest points are searched without gradients, a part of the distances at a time; value and gradient are those of
    the full matrix of distances, since the derivative of a minimum is that of its argument.

    Args:
        x: points, shape [B, N, D].
        y: points, shape [B, M, D].
        mask_x: True where a point of x is real, shape [B, N]; at least one in each cloud.
        mask_y: the same of y, shape [B, M].

    Returns:
        Shape [B], squared units of x.

    Raises:
        ValueError: if shapes do not agree.
    """
    _check(x, y, mask_x, mask_y)
    if len(x) != len(y):
        raise ValueError(f"x has {len(x)} clouds and y {len(y)}; give as many of both.")
    return _one_sided(x, y, mask_x, mask_y) + _one_sided(y, x, mask_y, mask_x)


def nearest(x: Tensor, y: Tensor, mask_y: Tensor | None = None) -> Tensor:
    """Number of the nearest point of y for every point of x.

    Args:
        x: points, shape [B, N, D].
        y: points, shape [B, M, D].
        mask_y: True where a point of y is real, shape [B, M].

    Returns:
        int64 [B, N].
    """
    with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        centre = _mean(y.detach(), mask_y).unsqueeze(1)
        left, right = _left(x.detach() - centre), _right(y.detach() - centre, mask_y)
        limit = _limit(SEARCH_ENTRIES, x)
        clouds, rows = max(1, limit // (x.shape[1] * y.shape[1])), max(1, limit // y.shape[1])
        pairs = zip(torch.split(left, clouds), torch.split(right, clouds), strict=True)
        return torch.cat([
            torch.cat([(some @ other).min(dim=2).indices for some in torch.split(part, rows, dim=1)], dim=1)
            for part, other in pairs
        ])


def pairwise_chamfer(
    a: Tensor,
    b: Tensor | None = None,
    mask_a: Tensor | None = None,
    mask_b: Tensor | None = None,
    progress: bool = False,
) -> Tensor:
    """Chamfer distances of all pairs of clouds; memory does not grow with the number of pairs.

    |x|^2 + |y|^2 - 2 xy is taken for |x - y|^2, on centred clouds: single squared distances of float32 clouds on a CPU
    are off by about 1e-7 of the clouds' squared size, and never below 0; elsewhere the search is in float64.

    Args:
        a: clouds, shape [N, P, D].
        b: clouds, shape [M, Q, D]; None takes a with itself, half of whose distances are copied.
        mask_a: True where a point is real, shape [N, P]; at least one in each cloud.
        mask_b: the same of b, shape [M, Q].
        progress: show a bar.

    Returns:
        Shape [N, M], squared units.

    Raises:
        ValueError: if shapes do not agree.
    """
    symmetric = b is None
    if b is None:
        b, mask_b = a, mask_a
    _check(a, b, mask_a, mask_b)
    found = a.new_zeros(len(a), len(b))
    with torch.no_grad(), torch.autocast(a.device.type, enabled=False):
        centre = _mean(b, mask_b).mean(dim=0)
        left, right = _left(a - centre, mask_a), _right(b - centre, mask_b)
        step = max(1, _limit(PAIR_ENTRIES, a) // (a.shape[1] * b.shape[1]))
        for row in tqdm(range(len(a)), disable=not progress, desc="Chamfer", leave=False):
            for start in range(row + 1 if symmetric else 0, len(b), step):
                part = slice(start, start + step)
                distance = left[row] @ right[part]
                there = distance.amin(dim=2).clamp_min_(0)
                back = distance.amin(dim=1).clamp_min_(0)
                of_row = None if mask_a is None else mask_a[row].expand(len(distance), -1)
                found[row, part] = _mean(there, of_row) + _mean(back, None if mask_b is None else mask_b[part])
    return found + found.T if symmetric else found


def _one_sided(x: Tensor, y: Tensor, mask_x: Tensor | None, mask_y: Tensor | None) -> Tensor:
    """Mean over x of the squared distance to the nearest y, shape [B]."""
    index = nearest(x, y, mask_y)
    partner = y.gather(1, index.unsqueeze(-1).expand(-1, -1, y.shape[2]))
    away = x - partner
    if mask_x is not None:
        away = away.masked_fill(~mask_x.unsqueeze(2), 0)
    return _mean(away.square().sum(dim=2), mask_x)


def _mean(value: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over real points of [B, N, *F], shape [B, *F]."""
    if mask is None:
        return value.mean(dim=1)
    wide = mask.reshape(*mask.shape, *([1] * (value.dim() - 2)))
    return torch.where(wide, value, torch.zeros_like(value)).sum(dim=1) / wide.sum(dim=1)


def _left(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """[x, |x|^2, 1], whose product with :func:`_right` is |x - y|^2, infinite at padding, shape [B, N, D + 2]."""
    x, squares = _wide(x, mask)
    return torch.cat([x, squares, torch.ones_like(squares)], dim=2)


def _right(y: Tensor, mask: Tensor | None = None) -> Tensor:
    """[-2 y, 1, |y|^2], transposed, shape [B, D + 2, M]."""
    y, squares = _wide(y, mask)
    return torch.cat([-2 * y, torch.ones_like(squares), squares], dim=2).mT


def _wide(x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Points, 0 at padding, and their squares, infinite at padding; on CUDA in float64, since float32 may mean TF32."""
    x = x.double() if x.device.type == "cuda" else x.to(torch.promote_types(x.dtype, torch.float32))
    squares = x.square().sum(dim=2, keepdim=True)
    if mask is None:
        return x, squares
    padding = ~mask.unsqueeze(2)
    return x.masked_fill(padding, 0), squares.masked_fill(padding, float("inf"))


def _limit(entries: dict[str, int], x: Tensor) -> int:
    return entries["cpu" if x.device.type == "cpu" else "other"]


def _check(x: Tensor, y: Tensor, mask_x: Tensor | None, mask_y: Tensor | None) -> None:
    shapes = f"clouds have shapes {tuple(x.shape)} and {tuple(y.shape)}"
    if x.dim() != 3 or y.dim() != 3 or x.shape[2] != y.shape[2]:
        raise ValueError(f"{shapes}; give [B, N, D] and [B, M, D].")
    if not x.shape[1] or not y.shape[1]:
        raise ValueError(f"{shapes}; a cloud has at least one point.")
    for name, mask, points in (("mask_x", mask_x, x), ("mask_y", mask_y, y)):
        if mask is not None and (mask.shape != points.shape[:2] or mask.dtype != torch.bool):
            given, wanted = f"{mask.dtype} of shape {tuple(mask.shape)}", tuple(points.shape[:2])
            raise ValueError(f"{name} is {given}; give truth values of shape {wanted}.")
