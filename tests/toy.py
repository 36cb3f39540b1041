"""A small modality for tests: points on a plane, and masked sets of points."""

from __future__ import annotations

import torch
from torch import Tensor

from latentgen import MLP, Autoencoder, Batch, DiagonalGaussian, LatentSpec, Modality, NormalLikelihood


class ToyAutoencoder(Autoencoder):
    """A linear-ish encoder and decoder of points on a plane, with dropout so that randomness matters."""

    def __init__(self, width: int = 16, dropout: float = 0.1) -> None:
        super().__init__()
        self.encoder, self.decoder = MLP(2, width, 4), MLP(2, width, 2)
        self.dropout = torch.nn.Dropout(dropout)

    def encode(self, batch: Batch) -> DiagonalGaussian:
        mean, log_std = self.encoder(self.dropout(batch["x"])).chunk(2, dim=-1)
        return DiagonalGaussian(mean, log_std.clamp(-5, 2).exp())

    def decode(self, z: Tensor, mask: Tensor | None = None) -> NormalLikelihood:
        return NormalLikelihood(self.decoder(z), std=0.1)


class Toy(Modality):
    """Points of a ring."""

    latents = LatentSpec((2,))

    def __init__(self, size: int = 64, poison: int = -1, dropout: float = 0.1) -> None:
        self.size, self.poison, self.dropout = size, poison, dropout

    def dataset(self, split: str) -> list[Batch]:
        generator = torch.Generator().manual_seed(int(split == "test"))
        angle = 6.283 * torch.rand(self.size, generator=generator)
        points = torch.stack([angle.cos(), angle.sin()], dim=-1)
        if self.poison >= 0:
            points[self.poison] = float("nan")
        return [{"x": point} for point in points]

    def autoencoder(self) -> Autoencoder:
        return ToyAutoencoder(dropout=self.dropout)

    def evaluate(self, generated: Batch, reference: Batch, train: Batch) -> dict[str, float]:
        return {"radius error": float((generated["x"].norm(dim=1) - 1).abs().mean())}
