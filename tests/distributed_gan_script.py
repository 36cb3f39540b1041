"""Trains [Discriminate, Generate] on the toy modality with noise that is a function of the data; used as a program.

Arguments: run folder, batch size of a process. Two processes with half of the batch each must do what one process does
with all of it.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import torch
from torch import Tensor
from toy import Toy, ToyAutoencoder

import latentgen
from latentgen import chain, distributions, noise


class Draws:
    """The examples of the current forward pass, and how many random tensors it has drawn."""

    batch: Tensor
    count = 0


class Watched(ToyAutoencoder):
    """Tells the current batch; encoding is the first thing of a forward pass."""

    def encode(self, batch):
        Draws.batch, Draws.count = batch["x"], 0
        return super().encode(batch)


def number() -> Tensor:
    """A number for each example and draw, shape [B, 1]."""
    Draws.count += 1
    return 911.0 * Draws.batch[:, :1] + 377.0 * Draws.batch[:, 1:] + 1.7 * Draws.count


class Patched:
    """The torch package with random numbers that depend on the example alone."""

    def __getattr__(self, name: str) -> object:
        return {"randn_like": self.normal, "randint": self.whole}.get(name) or getattr(torch, name)

    @staticmethod
    def normal(z: Tensor) -> Tensor:
        """A rough standard normal."""
        return 1.4 * torch.sin(number() + torch.arange(z.shape[1]))

    @staticmethod
    def whole(low: int, high: int, size: tuple[int, ...], device: object = None) -> Tensor:
        """Whole numbers from low to high - 1."""
        return low + (torch.sin(number()[:, 0]) ** 2 * (high - low)).long().clamp(max=high - low - 1)


class Data(Toy):
    """The toy with the watched autoencoder."""

    def autoencoder(self) -> Watched:
        return Watched(dropout=0.0)


def main(run: str, batch_size: int) -> None:
    """Train eight steps, two of them with the gradient penalty."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sizes = {"width": 16, "depth": 1, "discriminator_depth": 1, "noise_dim": 8}
    recipe = latentgen.DDGAN(3, r1=0.5, r1_interval=4, kl_weight=0.3, **sizes)
    prepared = recipe.prepare(Data())
    with torch.no_grad():
        for parameter in prepared.model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    generator = latentgen.generator
    for module in (distributions, chain, noise, generator):
        module.torch = Patched()
    options = latentgen.TrainingOptions(steps=8, batch_size=batch_size, warmup=0.0, optimizer="adamw", log_every=1)
    latentgen.Trainer(prepared.model, prepared.objectives, run, options, quiet=True).fit()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
