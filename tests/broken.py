"""Masked sets of points on a plane, sound unless a flaw is named: each flaw breaks one rule of the contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from latentgen import Autoencoder, Batch, DiagonalGaussian, LatentSpec, Modality
from latentgen.tensors import event_sum

LARGEST = 6
LOG_2PI = 1.8378770664093453


class SetLikelihood:
    """Normal coordinates of real items."""

    def __init__(self, mean: Tensor, mask: Tensor, flaw: str, std: float) -> None:
        self.mean, self.mask, self.flaw, self.std = mean, mask, flaw, std

    def log_prob(self, batch: Batch) -> Tensor:
        squared = ((batch["x"] - self.mean) / self.std) ** 2
        density = -0.5 * (squared + LOG_2PI) - torch.tensor(self.std).log()
        log_prob = event_sum(density, self.mask)
        if self.flaw == "bits":
            return log_prob / 0.6931
        if self.flaw == "mean over items":
            return log_prob / self.mask.sum(1) / 2
        if self.flaw == "scalar log_prob":
            return log_prob.mean()
        if self.flaw == "infinite log_prob":
            return log_prob - float("inf")
        return log_prob

    def _batch(self, x: Tensor) -> Batch:
        x = x * self.mask.unsqueeze(-1)
        if self.flaw == "no mask in samples":
            return {"x": x}
        return {"x": x.double() if self.flaw == "samples are double" else x, "mask": self.mask}

    def sample(self) -> Batch:
        return self._batch(self.mean + self.std * torch.randn_like(self.mean))

    def mode(self) -> Batch:
        return self._batch(self.mean)


class SetAutoencoder(Autoencoder):
    def __init__(self, flaw: str = "") -> None:
        super().__init__()
        self.flaw = flaw
        self.encoder, self.context = nn.Linear(2, 4), nn.Linear(2, 4)
        self.decoder = nn.Linear(2, 2)
        self.norm = nn.BatchNorm1d(4) if flaw == "batch norm" else nn.Identity()
        self.unused = nn.Linear(2, 2) if flaw == "unused layer" else None
        self.secret = float(torch.rand(())) if flaw == "unsaved number" else 0.0
        self.evaluated = False

    def encode(self, batch: Batch) -> DiagonalGaussian:
        x, mask = batch["x"], batch["mask"]
        keep = mask.unsqueeze(-1).to(x.dtype)
        if self.flaw == "padding leaks":
            around = self.context(x).mean(1, keepdim=True)
        else:
            around = (self.context(x) * keep).sum(1, keepdim=True) / keep.sum(1, keepdim=True)
        if self.flaw == "batch mean":
            around = around.mean(0, keepdim=True)
        out = self.encoder(x) + around
        if self.flaw == "encode crashes":
            raise RuntimeError("the sky fell down")
        if self.flaw == "batch norm":
            out = self.norm(out.transpose(1, 2)).transpose(1, 2)
        if self.flaw == "numpy noise":
            out = out + float(np.random.default_rng().normal())
        mean, raw = out.chunk(2, dim=-1)
        std = torch.where(keep > 0, nn.functional.softplus(raw) + 1e-3, 1.0)
        return self._flawed(mean * keep, std, x, mask)

    def _flawed(self, mean: Tensor, std: Tensor, x: Tensor, mask: Tensor) -> DiagonalGaussian:
        if self.flaw == "std of zero":
            std = std * 0
        if self.flaw == "detached encoder":
            mean, std = mean.detach(), std.detach()
        self.evaluated = self.evaluated or not self.training
        if self.flaw == "stays in evaluation" and self.training and self.evaluated:
            mean, std = mean.detach(), std.detach()
        if self.flaw == "gradient of sqrt":
            mean = mean + (x**2).sum(-1, keepdim=True).mul(self.decoder.weight.sum() ** 2).sqrt() * 1e-3
        if self.flaw == "wrong width":
            mean, std = mean[..., :1], std[..., :1]
        return DiagonalGaussian(mean, std, None if self.flaw == "no mask in posterior" else mask)

    def decode(self, z: Tensor, mask: Tensor | None = None) -> SetLikelihood:
        keep = torch.ones(z.shape[:2], dtype=torch.bool) if mask is None else mask
        if self.flaw == "detached decoder":
            z = z.detach()
        mean = self.decoder(z) + self.secret
        if self.flaw == "decoder padding leaks":
            mean = mean + self.decoder(z + 1).mean(1, keepdim=True)
        if self.flaw == "decoder mixes":
            mean = mean + mean.mean(0, keepdim=True)
        return SetLikelihood(mean, keep, self.flaw, 0.3)


class LeadingAutoencoder(SetAutoencoder):
    """A global item before those of the set."""

    def encode(self, batch: Batch) -> DiagonalGaussian:
        q, mask = super().encode(batch), batch["mask"]
        size = q.mean.shape[1] if self.flaw == "global item counts padding" else mask.sum(1)[:, None, None]
        first = q.mean.sum(1, keepdim=True) / size
        whole = mask.new_ones(len(mask), 1)
        ends = (mask, whole) if self.flaw == "global item last in the mask" else (whole, mask)
        if self.flaw == "more items than promised":
            q, ends = DiagonalGaussian(q.mean.repeat(1, 2, 1), q.std.repeat(1, 2, 1)), (*ends, mask)
        std = torch.cat([q.std[:, :1], q.std], dim=1)
        return DiagonalGaussian(torch.cat([first, q.mean], dim=1), std, torch.cat(ends, dim=1))

    def decode(self, z: Tensor, mask: Tensor | None = None) -> SetLikelihood:
        return super().decode(z[:, 1:] + z[:, :1], None if mask is None else mask[:, 1:])


class Sets(Modality):
    """Args: flaw: what is wrong; payload: not a plain value."""

    def __init__(self, flaw: str = "", size: int = 24, payload: Any = None) -> None:
        self.flaw, self.size, self.payload = flaw, size, payload
        if flaw == "needs an object":
            payload.keys()
        self.condition_dim = 3 if flaw == "no condition" else 0
        self._sizes: Tensor | None = None

    @property
    def latents(self) -> LatentSpec:
        if self.flaw == "latents as a tuple":
            return (LARGEST, 2)  # type: ignore[return-value]
        items = int(self.sizes.max()) if self.flaw in ("reads data", "forgets sizes") else LARGEST
        return LatentSpec((5 if self.flaw == "too few items" else items, 2), "set", masked=True)

    @property
    def sizes(self) -> Tensor:
        if self._sizes is None:
            self._sizes = torch.tensor([len(item["x"]) for item in self._items("train")])
        return self._sizes

    def _items(self, split: str) -> list[Batch]:
        seed = int(split == "test")
        generator = torch.Generator().manual_seed(seed)
        if self.flaw == "unseeded data":
            generator.seed()
        sizes = torch.randint(2, LARGEST + 1, (self.size,), generator=generator)
        sizes[0] = LARGEST
        items = [{"x": torch.randn(int(n), 2, generator=generator) + 1} for n in sizes]
        if self.flaw == "nan in data":
            items[3]["x"][1] = float("nan")
        return items

    def dataset(self, split: str) -> list[Batch]:
        return [] if self.flaw == "no test data" and split == "test" else self._items(split)

    def collate(self, items: Sequence[Batch]) -> Any:
        longest = max(len(item["x"]) for item in items)
        x = torch.zeros(len(items), longest, 2)
        mask = torch.zeros(len(items), longest, dtype=torch.bool)
        for row, item in enumerate(items):
            x[row, : len(item["x"])], mask[row, : len(item["x"])] = item["x"], True
        if self.flaw == "list batch":
            return [x, mask]
        if self.flaw == "batch axis last":
            x = x.transpose(0, 1)
        if self.flaw == "double data":
            x = x.double()
        return {"x": x, "mask": mask.long() if self.flaw == "integer mask" else mask}

    def autoencoder(self) -> Autoencoder:
        if self.flaw == "no autoencoder":
            raise NotImplementedError("later")
        return SetAutoencoder(self.flaw)

    def sample_mask(self, u: Tensor) -> Tensor:
        n = self.latents.shape[0]
        if self.flaw == "random sizes":
            u = torch.rand(len(u))
        sizes = (2 + (u * (n - 1)).long()).clamp(max=n)
        if self.flaw == "empty samples":
            sizes = sizes - 2
        mask = torch.arange(n) < sizes.unsqueeze(1)
        return mask.flip(1) if self.flaw == "items at the end" else mask

    def state(self) -> dict[str, Tensor]:
        return {"sizes": self.sizes} if self.flaw == "" else {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        if "sizes" in state:
            self._sizes = state["sizes"]
        elif self.flaw == "forgets sizes":
            self._sizes = torch.tensor([3])
        elif self.flaw == "reads data":
            self._sizes = torch.tensor([len(item["x"]) for item in self.dataset("train")])

    def evaluate(self, generated: Batch, reference: Batch, train: Batch) -> dict[str, float]:
        center: Any = generated["x"].mean() - reference["x"].mean()
        return {"center": center if self.flaw == "tensor figures" else float(center)}

    def better(self) -> dict[str, str]:
        return {"center": "smaller" if self.flaw == "better in other words" else "lower"}

    def render(self, batch: Batch, path: Path) -> None:
        picture = b"GIF89a" if self.flaw == "no png" else b"\x89PNG\r\n\x1a\n..."
        path.write_bytes(picture)
