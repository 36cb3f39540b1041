"""How the text benchmarks train: an autoencoder, then a score prior and a generator on its frozen latents."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from budget import trained_for, training_record

import latentgen
from latentgen import DDGAN, VAE, JointDDGAN, LatentDiffusion, Schedule
from latentgen.adversarial_recipe import REFINED
from modalities.text import Text

FIRST = 0.4
"""Share of the time for the autoencoder."""
RATES = {
    "lr": 2e-3, "autoencoder_lr": 1e-3, "generator_lr": 2e-4, "discriminator_lr": 2e-4, "warmup": 0.03,
    "batch_size": 64,
}


def rising(kl_weight: float) -> Schedule:
    """A weight that rises once sentences are reconstructed; from the beginning it would keep words out of latents."""
    return Schedule(1e-3, kl_weight, portion=0.8, begins=0.35)


def options(seed: int) -> latentgen.TrainingOptions:
    """Of every stage."""
    return latentgen.TrainingOptions(seed=seed, **RATES)  # type: ignore[arg-type]


def two_stage(
    minutes: float, text: Text, run: Path, seed: int, kl_weight: float, width: int = 128, depth: int = 4,
    share: float = FIRST,
) -> latentgen.LatentGenerativeModel:
    """A kept or new model: autoencoder first, then both priors, on sentences that are encoded once."""
    early = run.with_name(run.name + "-autoencoder")
    trained_for(minutes * share, lambda: VAE(rising(kl_weight)), text, early, options(seed))
    recipe = lambda: JointDDGAN(  # noqa: E731
        LatentDiffusion(str(early), width=width, depth=depth), DDGAN(4, **{**REFINED, "levels": (2.5, -2.0)}),
        begins=0.7,
    )
    later = replace(options(seed), cache_posteriors=True)
    return trained_for(minutes * (1 - share), recipe, text, run, later)


def spent(run: Path) -> str:
    """Steps and minutes of both stages, in words."""
    parts = [run.with_name(run.name + "-autoencoder"), run]
    records = [training_record(part) for part in parts if (part / "metrics.jsonl").exists()]
    steps = " + ".join(f"{record['steps']:.0f}" for record in records)
    return f"{steps} steps, {sum(record['CPU-minutes'] for record in records):.1f} CPU-minutes"
