"""Stacked MNIST: three random digits on three channels, 1,000 modes; latent GANs with T = 1, 2, 4, 8 and a score prior.

All priors are trained on one frozen convolutional autoencoder, with equal numbers of steps, or for equal times where
minutes are given. "T = 4" corrects the score prior of its own checkpoint (``JointDDGAN``), and "score prior" samples
that checkpoint by its flow; the others are the game alone. Modes are read by a digit classifier that is trained here;
25,600 samples a model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from budget import cpu_minutes, trained_for
from harness import Rows, mean_spread

import latentgen
from latentgen.adversarial_recipe import REFINED
from latentgen.metrics import mode_statistics
from modalities.images import Images, StackedDigits
from modalities.images.classifier import Classifier, save_classifier, train_classifier

SAMPLES = 25_600
JOINT = "T = 4"
SETTINGS: dict[str, int] = {JOINT: 4, "T = 1, alone": 1, "T = 2, alone": 2, "T = 4, alone": 4, "T = 8, alone": 8}
LEVELS = (1.5, -3.0)
FIRST = 0.35
"""Share of the minutes for the autoencoder."""
GPU, CPU = {"width": 32, "batch_size": 256}, {"width": 16, "batch_size": 64}
"""Width of the autoencoder and examples a step: what fits a GPU, and what fits minutes of one core."""


def digits_classifier(folder: Path, path: Path, device: torch.device) -> Classifier:
    """A classifier of single padded digits, trained once."""
    if not path.exists():
        single = Images(folder, pad=2)
        save_classifier(
            train_classifier(single.images("train"), single.images("test"), steps=1500, device=device), path
        )
    return StackedDigits(folder, classifier=path).classifier.to(device)


def options(
    steps: int, seed: int, joint: bool = False, batch_size: int = GPU["batch_size"]
) -> latentgen.TrainingOptions:
    """Training options of every stage; a generator that corrects a score prior takes smaller steps."""
    rate = 2e-4 if joint else 6e-4
    return latentgen.TrainingOptions(
        steps=steps, batch_size=batch_size, lr=2e-3, autoencoder_lr=1e-3, matrix_lr=0.01, generator_lr=rate,
        discriminator_lr=rate, seed=seed, warmup=0.03, log_every=100, checkpoint_every=0, keep=1,
    )


def train(
    modality: StackedDigits, make: Callable[[], latentgen.Recipe], run: Path, wanted: latentgen.TrainingOptions,
    minutes: float | None,
) -> None:
    """Train what is not kept: a number of steps, or for a CPU time."""
    if minutes is not None:
        trained_for(minutes, make, modality, run, wanted)
    elif not (run / "export" / "model.safetensors").exists():
        torch.manual_seed(wanted.seed)
        prepared = make().prepare(modality)
        latentgen.Trainer(prepared.model, prepared.objectives, run, wanted, quiet=True).fit()


def recipe_of(name: str, first: Path, width: int = 128) -> latentgen.Recipe:
    """The recipe of a setting on the frozen autoencoder in ``first``."""
    inner = latentgen.load(first).autoencoder
    if name != JOINT:
        return latentgen.DDGAN(SETTINGS[name], autoencoder=inner, width=width, levels=LEVELS)
    gan = latentgen.DDGAN(SETTINGS[name], **{**REFINED, "width": width, "depth": 4, "levels": LEVELS})
    return latentgen.JointDDGAN(latentgen.LatentDiffusion(inner, width=width), gan, begins=0.5)


def judge(
    model: latentgen.LatentGenerativeModel, modality: StackedDigits, seed: int, sampler: str, steps: int | None = None
) -> dict[str, float]:
    """Modes of 1,000 and KL of the modes' weights to the uniform ones, 25,600 samples."""
    batch = model.sample(SAMPLES, sampler, steps=steps, seed=seed, batch_size=1024)
    return {**mode_statistics(modality.modes(batch["x"]), 1000), "calls": float(model.calls)}


def stacked_mnist(
    rows: Rows,
    data: Path,
    runs: Path,
    seeds: range,
    first_steps: int = 1500,
    steps: int = 3000,
    only: tuple[str, ...] = tuple(SETTINGS),
    minutes: float | None = None,
) -> None:
    """Train what is not kept, and judge.

    Args:
        rows: where figures go.
        data: folder of benchmark data.
        runs: where trained runs are kept.
        seeds: of the trainings.
        first_steps: of the autoencoder.
        steps: of a prior.
        only: settings.
        minutes: CPU time of autoencoder and prior together, instead of steps.
    """
    folder = data / "images" / "mnist"
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    path = runs / "stacked-classifier.safetensors"
    classifier = digits_classifier(folder, path, device)
    size = GPU if minutes is None else CPU
    batch_size = size["batch_size"]
    modality = StackedDigits(folder, classifier=path, width=size["width"], halvings=3, latent=16)
    rows.add("Stacked MNIST: accuracy of the digit classifier on test digits", classifier.accuracy)
    real = modality.dataset("test").__getitems__(range(SAMPLES))["x"].to(device)
    for key, value in mode_statistics(modality.modes(real), 1000).items():
        rows.add(f"Stacked MNIST, real data: {key}", value)
    found: dict[str, dict[str, list[float]]] = {}
    for seed in seeds:
        first = runs / f"stacked-vae-seed{seed}"
        early, late = (None, None) if minutes is None else (minutes * FIRST, minutes * (1 - FIRST))
        vae = latentgen.VAE(kl_weight=latentgen.Schedule(1e-3, 0.3))
        train(modality, lambda v=vae: v, first, options(first_steps, seed, batch_size=batch_size), early)  # type: ignore[misc]
        for name in only:
            run = runs / f"stacked-{name.replace(' ', '').replace(',', '-')}-seed{seed}"
            make = lambda n=name, f=first: recipe_of(n, f)  # noqa: E731
            later = replace(options(steps, seed, name == JOINT, batch_size), cache_posteriors=True)
            train(modality, make, run, later, late)
            model = latentgen.load(run).to(device)
            model.modality = modality
            rebuilt = model.reconstruct(modality.dataset("test").__getitems__(range(SAMPLES // 10)))["x"]
            more = {
                "CPU-minutes": cpu_minutes(run) + cpu_minutes(first),
                "reconstructions read as their originals": float(
                    (modality.modes(rebuilt) == modality.modes(real[: SAMPLES // 10])).float().mean()
                ),
            }
            _note(found, name, {**judge(model, modality, seed, "gan"), **more})
            if name == JOINT:
                _note(found, "score prior", judge(model, modality, seed, "dpm", 25))
    report(rows, found, "" if minutes is None else f", {minutes:g} CPU-minutes")


def _note(found: dict[str, dict[str, list[float]]], name: str, figures: dict[str, float]) -> None:
    for key, value in figures.items():
        found.setdefault(name, {}).setdefault(key, []).append(value)


def report(rows: Rows, found: dict[str, dict[str, list[float]]], budget: str) -> None:
    """Rows, with goals for T = 4 and the budget in their names."""
    goals = {"modes": ">= 1000", "mode_kl": "<= 0.10"}
    for name, figures in found.items():
        for key, values in figures.items():
            mean, spread = mean_spread(values)
            rows.add(f"Stacked MNIST{budget}, {name}: {key}", mean, goals.get(key, "") if name == JOINT else "",
                     spread=spread, note=f"{len(values)} seeds")
