"""Sets of points and rows of a table, sound unless a flaw is named: each flaw breaks one rule of the contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from latentgen import Autoencoder, Batch, DiagonalGaussian, LatentSpec, Modality, NormalLikelihood
from latentgen.tensors import event_sum, item_mask

LARGEST = 6
STRIDE = 3
UNMASKED = ("no mask in posterior", "mask of the data alone")
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
        if self.flaw == "crashes in latentgen":
            item_mask(mask, out[:, 1:])
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
        return DiagonalGaussian(mean, std, None if self.flaw in UNMASKED else mask)

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


class StridedLikelihood(SetLikelihood):
    """Three points an item."""

    def _batch(self, x: Tensor) -> Batch:
        return {"x": x * self.mask.unsqueeze(-1), "mask": self.mask[:, ::STRIDE]}


class StridedAutoencoder(Autoencoder):
    """One latent item for three points that follow each other."""

    def __init__(self, flaw: str = "") -> None:
        super().__init__()
        self.flaw = flaw
        self.encoder, self.decoder = nn.Linear(2 * STRIDE, 4), nn.Linear(2, 2 * STRIDE)

    def encode(self, batch: Batch) -> DiagonalGaussian:
        x, mask = batch["x"], batch["mask"]
        items = LARGEST if self.flaw == "fixed number of items" else mask.shape[1]
        x = x[:, : STRIDE * items] if self.flaw == "cuts x itself" else x
        out = self.encoder(x.reshape(len(x), items, -1))
        if self.flaw == "padding leaks":
            out = out + out.mean(1, keepdim=True)
        mean, raw = out.chunk(2, dim=-1)
        keep = mask.unsqueeze(-1)
        return DiagonalGaussian(mean * keep, torch.where(keep, raw.exp(), 1.0), mask)

    def decode(self, z: Tensor, mask: Tensor | None = None) -> SetLikelihood:
        keep = torch.ones(z.shape[:2], dtype=torch.bool) if mask is None else mask
        mean = self.decoder(z).reshape(len(z), -1, 2)
        return StridedLikelihood(mean, keep.repeat_interleave(STRIDE, 1), self.flaw, 0.3)


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
        masked = self.flaw not in ("masked is False", "mask of the data alone")
        return LatentSpec((5 if self.flaw == "too few items" else items, 2), "set", masked)

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
        if self.flaw == "samples are larger":
            sizes = sizes.clamp(max=4)
        items = [{"x": torch.randn(int(n), 2, generator=generator) + 1} for n in sizes]
        if self.flaw == "nan in data":
            items[3]["x"][1] = float("nan")
        if self.flaw == "nan in the last test example" and split == "test":
            items[-1]["x"][1] = float("nan")
        return items

    def dataset(self, split: str) -> list[Batch]:
        return [] if self.flaw == "no test data" and split == "test" else self._items(split)

    def collate(self, items: Sequence[Batch]) -> Any:
        longest = max(len(item["x"]) for item in items)
        x = torch.zeros(len(items), longest, 2)
        mask = torch.zeros(len(items), longest, dtype=torch.bool)
        for row, item in enumerate(items):
            x[row, : len(item["x"])], mask[row, : len(item["x"])] = item["x"], True
        if self.flaw == "items last in the data":
            x, mask = x.flip(1), mask.flip(1)
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

    def sample_mask(self, u: Tensor) -> Tensor | None:
        if self.flaw == "no sample_mask" or not self.latents.masked:
            return None
        n = self.latents.shape[0] - (self.flaw == "narrow sample_mask")
        if self.flaw == "random sizes":
            u = torch.rand(len(u))
        sizes = (2 + (u * (n - 1)).long()).clamp(max=n)
        if self.flaw == "empty samples":
            sizes = sizes - 2
        if self.flaw in ("samples are larger", "samples are large"):
            sizes = sizes.clamp(min=5)
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

    def export(self, batch: Batch, folder: Path) -> list[Path]:
        path = (folder.parent if self.flaw == "export elsewhere" else folder) / "rows.txt"
        if self.flaw != "no export":
            path.write_text(str(batch["x"].tolist()))
        return [path]


class RowLikelihood(NormalLikelihood):
    """Normal numbers, and the condition if it is decoded."""

    def __init__(self, out: Tensor, flaw: str) -> None:
        super().__init__(out[:, :2], 0.3)
        self.flaw, self.condition = flaw, out[:, 2:]

    def mode(self) -> Batch:
        return {**super().mode(), **({"condition": self.condition} if self.flaw == "decoded condition" else {})}

    def sample(self) -> Batch:
        return {**super().sample(), **({"condition": self.condition} if self.flaw == "decoded condition" else {})}


class RowAutoencoder(Autoencoder):
    def __init__(self, flaw: str = "") -> None:
        super().__init__()
        self.flaw = flaw
        self.conditional = flaw in ("encoder reads the condition", "encoder reads NaN", "decoded condition")
        self.encoder, self.decoder = nn.Linear(5 if self.conditional else 2, 4), nn.Linear(2, 2 + 3)

    def encode(self, batch: Batch) -> DiagonalGaussian:
        x = batch["x"]
        if self.conditional:
            condition = batch["condition"]
            x = torch.cat([x, condition if self.flaw == "encoder reads NaN" else condition.nan_to_num()], dim=1)
        mean, log_std = self.encoder(x).chunk(2, dim=-1)
        return DiagonalGaussian(mean, log_std.exp())

    def decode(self, z: Tensor, mask: Tensor | None = None) -> RowLikelihood:
        return RowLikelihood(self.decoder(z), self.flaw)


class Rows(Modality):
    """Two numbers under a condition of three, which one example in ten lacks. Args: flaw: what is wrong."""

    latents = LatentSpec((2,))
    condition_dim = 3

    def __init__(self, flaw: str = "", size: int = 200) -> None:
        self.flaw, self.size = flaw, size

    def dataset(self, split: str) -> Any:
        generator = torch.Generator().manual_seed(int(split == "test"))
        kind = torch.randint(3, (self.size,), generator=generator)
        condition = nn.functional.one_hot(kind, 3).float()
        x = torch.randn(self.size, 2, generator=generator) + condition[:, :2]
        condition[::10] = float("nan")
        if self.flaw == "partly NaN condition":
            condition[151, 1] = float("nan")
        if self.flaw == "infinite condition":
            condition[151] = float("inf")
        if self.flaw == "integer condition":
            condition = nn.functional.one_hot(kind, 3)
        if self.flaw == "kind as the condition":
            condition = kind
        if self.flaw in ("tensors by name", "loader", "tensor"):
            whole: Any = {"x": x, "condition": condition}
            return {"loader": DataLoader(x), "tensor": x}.get(self.flaw, whole)  # type: ignore[call-overload]
        rows: list[Any] = [{"x": a, "condition": b} for a, b in zip(x, condition, strict=True)]
        if self.flaw == "tuples":
            rows = [tuple(row.values()) for row in rows]
        if self.flaw == "arrays":
            rows = [{**row, "x": row["x"].numpy()} for row in rows]
        if self.flaw == "ragged":
            rows[150]["x"] = torch.zeros(3)
        if self.flaw == "keys of its own":
            rows[150]["y"] = torch.zeros(3)
        return rows

    def autoencoder(self) -> Autoencoder:
        return RowAutoencoder(self.flaw)
