"""A feature map of shapes that needs no training: distances of pairs of points, and moments of coordinates."""

from __future__ import annotations

import torch
from torch import Tensor

from latentgen.metrics import FeatureMap
from latentgen.tensors import Batch

CHUNK = 64
"""Shapes whose pairs are held at a time."""


class ShapeFeatures(FeatureMap):
    r"""Quantiles of the distances of pairs of points, the D2 shape distribution of Osada et al. (2002), which no
    rotation changes; and mean, square root of the second moments and quantiles of coordinates, which say how a shape
    stands.

    Pairs are those of every point with the ``partners`` that follow it at fixed strides, so that the map is a function
    of the batch. The order of points matters no more than another draw of pairs does. Features are in units of x.

    Args:
        quantiles: K, number of quantiles of distances, and of each coordinate.
        partners: pairs of each point.
    """

    def __init__(self, quantiles: int = 16, partners: int = 16) -> None:
        self.quantiles, self.partners = quantiles, partners

    @property
    def name(self) -> str:
        """With its sizes."""
        return f"{self.quantiles} quantiles of distances of points and of coordinates, and moments"

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Tensor:
        """Shape [B, 4 K + 9] for ``x`` [B, N, 3 + F] and ``mask`` [B, N]."""
        x = batch["x"][..., :3].float()
        mask = batch.get("mask")
        mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device) if mask is None else mask
        parts = zip(torch.split(x, CHUNK), torch.split(mask, CHUNK), strict=True)
        return torch.cat([self._features(some, real) for some, real in parts])

    def _features(self, x: Tensor, mask: Tensor) -> Tensor:
        count = mask.sum(dim=1)
        order = mask.to(torch.uint8).argsort(dim=1, descending=True, stable=True)
        x = x.gather(1, order.unsqueeze(-1).expand(-1, -1, 3))  # the real points first
        index, real = torch.arange(x.shape[1], device=x.device), mask.gather(1, order)
        distances = []
        for turn in range(self.partners):
            stride = 1 + (count - 1) * turn // self.partners
            partner = (index + stride[:, None]) % count[:, None]
            distances.append((x - x.gather(1, partner.unsqueeze(-1).expand(-1, -1, 3))).norm(dim=2))
        pairs = torch.cat(distances, dim=1)
        spread = [_quantiles(pairs, real.repeat(1, self.partners), self.quantiles)]
        spread += [_quantiles(x[..., axis], real, self.quantiles) for axis in range(3)]
        weights = (real / count[:, None]).unsqueeze(-1)
        mean = (x * weights).sum(dim=1)
        away = x - mean[:, None]
        second = torch.einsum("bni,bnj->bij", away * weights, away)
        rows, columns = torch.triu_indices(3, 3, device=x.device)
        moments = second[:, rows, columns]
        return torch.cat([*spread, mean, moments.sign() * moments.abs().sqrt()], dim=1)


def _quantiles(values: Tensor, mask: Tensor, count: int) -> Tensor:
    """Evenly spaced quantiles of the real ones of [B, N], linear between order statistics, shape [B, count]."""
    ordered = values.masked_fill(~mask, float("inf")).sort(dim=1).values
    share = (torch.arange(count, device=values.device) + 0.5) / count
    place = share * (mask.sum(dim=1, keepdim=True) - 1)
    low = place.floor().long()
    high = torch.minimum(low + 1, mask.sum(dim=1, keepdim=True) - 1)
    return torch.lerp(ordered.gather(1, low), ordered.gather(1, high), place - low)
