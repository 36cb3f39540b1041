"""A one-shot GAN on small grids whose discriminator is augmented; trained by tests, also as a program.

Arguments of the program: run folder, steps. Every process writes p and the number of samples its control has seen.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch

import latentgen
from latentgen import (
    DDGAN,
    AdaptiveProbability,
    AugmentedDiscriminator,
    Discriminate,
    Generate,
    GridAugmentation,
    IdentityAutoencoder,
    LatentSpec,
    Modality,
)


class Grids(Modality):
    """Blots of 6 x 6 cells."""

    latents = LatentSpec((2, 6, 6), "grid")

    def dataset(self, split: str) -> list[dict[str, torch.Tensor]]:
        generator = torch.Generator().manual_seed(int(split == "test"))
        return [{"x": value.cumsum(1).cumsum(2) / 4} for value in torch.randn(32, 2, 6, 6, generator=generator)]

    def autoencoder(self) -> IdentityAutoencoder:
        return IdentityAutoencoder(std=1e-2)

    def evaluate(self, generated, reference, train):
        return {}


def parts(p: float = 0.3, **control):
    """Model, objectives and discriminator; the recipe's own with the discriminator wrapped."""
    torch.manual_seed(0)
    prepared = DDGAN(steps=1, width=16, depth=1, heads=2, discriminator_depth=1).prepare(Grids())
    model = prepared.model
    augmented = AugmentedDiscriminator(
        prepared.objectives[0].discriminator, GridAugmentation(p=p), AdaptiveProbability(**control)
    )
    objectives = [
        Discriminate(model.autoencoder, model.prior, augmented, r1=0.5, r1_interval=2),
        Generate(model.autoencoder, model.prior, augmented),
    ]
    return model, objectives, augmented


def fit(run: Path, steps: int, hooks=(), **control) -> AugmentedDiscriminator:
    """Train with checkpoints at every fourth step."""
    model, objectives, augmented = parts(**control)
    options = latentgen.TrainingOptions(steps=steps, batch_size=8, checkpoint_every=4, log_every=1)
    latentgen.Trainer(model, objectives, run, options, hooks, quiet=True).fit()
    return augmented


if __name__ == "__main__":
    torch.set_num_threads(1)
    done = fit(Path(sys.argv[1]), int(sys.argv[2]), target=-0.999, interval=2, images=1000)
    found = {"p": float(done.augmentation.p), "seen": float(done.control.seen), "sign": float(done.control.sign)}
    Path(sys.argv[1], f"rank-{os.environ.get('RANK', '0')}.json").write_text(json.dumps(found))
