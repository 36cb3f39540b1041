"""Feature maps: what a metric sees of data, with a name and a hash, so that a table says exactly what measured it."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..component import Component, describe
from ..tensors import Batch


class FeatureMap(Component, ABC):
    """Maps a batch to features [B, F]."""

    @property
    def name(self) -> str:
        """What tables call it."""
        return type(self).__name__

    @property
    def hash(self) -> str:
        """First 16 hex digits of the SHA-256 of name, configuration and weights."""
        digest = hashlib.sha256(json.dumps([self.name, describe(self)], sort_keys=True).encode())
        for key, value in sorted(self.weights().items()):
            digest.update(key.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def weights(self) -> dict[str, Tensor]:
        """What the map learned, by name. Default: nothing."""
        return {}

    @abstractmethod
    def __call__(self, batch: Batch) -> Tensor:
        """Features [B, F], floating point."""


class FlattenFeatures(FeatureMap):
    """The batch's own tensors, flattened and joined; masked items are zero.

    Args:
        keys: names of the tensors; all but ``mask`` and ``condition`` unless given.
        items: number of items to which tensors with a mask are padded, so that trimmed batches compare.
    """

    def __init__(self, keys: tuple[str, ...] = (), items: int | None = None) -> None:
        self.keys, self.items = tuple(keys), items

    def __call__(self, batch: Batch) -> Tensor:
        """Join."""
        chosen = self.keys or tuple(sorted(key for key in batch if key not in ("mask", "condition")))
        return torch.cat([self._flat(batch[key], batch.get("mask")) for key in chosen], dim=1)

    def _flat(self, value: Tensor, mask: Tensor | None) -> Tensor:
        value = value.float()
        if mask is not None and value.shape[:2] == mask.shape:
            value = value * mask.reshape(*mask.shape, *([1] * (value.dim() - 2)))
            missing = (self.items or mask.shape[1]) - mask.shape[1]
            value = nn.functional.pad(value, [0, 0] * (value.dim() - 2) + [0, max(0, missing)])
        return value.flatten(1)


class NetworkFeatures(FeatureMap):
    """A network (or any function) of the batch as a feature map.

    Args:
        function: batch -> [B, F]; a module runs in evaluation mode.
        label: what tables call it.
    """

    def __init__(self, function: Callable[[Batch], Tensor], label: str) -> None:
        self.function, self.label = function, label

    @property
    def name(self) -> str:
        """The label."""
        return self.label

    def weights(self) -> dict[str, Tensor]:
        """The module's state."""
        return dict(self.function.state_dict()) if isinstance(self.function, nn.Module) else {}

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Tensor:
        """Run."""
        if isinstance(self.function, nn.Module):
            self.function.eval()
        features: Tensor = self.function(batch)
        return features


def checked(features: Tensor, name: str = "features") -> Tensor:
    """Features as they are, if they are finite and [N, F].

    Raises:
        ValueError: if not.
    """
    if features.dim() != 2:
        raise ValueError(f"{name} has shape {tuple(features.shape)}; give one row a sample, [N, F].")
    if not features.isfinite().all():
        bad = int((~features.isfinite()).any(dim=1).sum())
        raise ValueError(f"{name} has NaN or infinity in {bad} of {len(features)} samples; look for them in the data.")
    return features


def checked_pair(real: Tensor, generated: Tensor, least: int = 2) -> tuple[Tensor, Tensor]:
    """Both in float64 on one device, if they are finite, of equal width and at least ``least`` samples each.

    Raises:
        ValueError: if not.
    """
    x, y = checked(real, "real").double(), checked(generated, "generated").double().to(real.device)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"real has {x.shape[1]} features and generated {y.shape[1]}; use one feature map for both.")
    for name, value in (("real", x), ("generated", y)):
        if len(value) < least:
            raise ValueError(f"{name} has {len(value)} samples; this metric needs at least {least}.")
    return x, y
