"""Stacked MNIST: three random digits on three channels, 1,000 modes; latent GANs with T = 1, 2, 4, 8 and a score prior.

All priors are trained on one frozen convolutional autoencoder, with equal numbers of steps. Modes are read by a digit
classifier that is trained here; 25,600 samples a model.
"""

from __future__ import annotations

from pathlib import Path

import torch
from graphs import cpu_minutes
from harness import Rows, mean_spread

import latentgen
from latentgen.metrics import mode_statistics
from modalities.images import Images, StackedDigits
from modalities.images.classifier import Classifier, save_classifier, train_classifier

SAMPLES = 25_600
SETTINGS: dict[str, int | None] = {"T = 4": 4, "T = 1": 1, "T = 2": 2, "T = 8": 8, "score prior": None}


def digits_classifier(folder: Path, path: Path, device: torch.device) -> Classifier:
    """A classifier of single padded digits, trained once."""
    if not path.exists():
        single = Images(folder, pad=2)
        save_classifier(
            train_classifier(single.images("train"), single.images("test"), steps=1500, device=device), path
        )
    return StackedDigits(folder, classifier=path).classifier.to(device)


def options(steps: int, seed: int) -> latentgen.TrainingOptions:
    """Training options of every stage."""
    return latentgen.TrainingOptions(
        steps=steps, batch_size=256, lr=2e-3, autoencoder_lr=1e-3, matrix_lr=0.01, generator_lr=6e-4,
        discriminator_lr=6e-4, seed=seed, warmup=0.03, log_every=100, checkpoint_every=0, keep=1,
    )


def train_autoencoder(modality: StackedDigits, run: Path, seed: int, steps: int) -> None:
    """The autoencoder that all priors share."""
    torch.manual_seed(seed)
    prepared = latentgen.VAE(kl_weight=latentgen.Schedule(1e-3, 0.1)).prepare(modality)
    latentgen.Trainer(prepared.model, prepared.objectives, run, options(steps, seed), quiet=True).fit()


def train_prior(modality: StackedDigits, first: Path, steps_t: int | None, run: Path, seed: int, steps: int) -> None:
    """A prior with T steps on the frozen autoencoder in ``first``, or the score prior."""
    torch.manual_seed(seed)
    inner = latentgen.load(first).autoencoder
    recipe: latentgen.Recipe
    if steps_t is None:
        recipe = latentgen.LatentDiffusion(inner, width=128)
    else:
        recipe = latentgen.DDGAN(steps_t, autoencoder=inner, width=128, levels=(1.5, -3.0))
    prepared = recipe.prepare(modality)
    latentgen.Trainer(prepared.model, prepared.objectives, run, options(steps, seed), quiet=True).fit()


def judge(model: latentgen.LatentGenerativeModel, modality: StackedDigits, seed: int) -> dict[str, float]:
    """Modes of 1,000 and KL of the modes' weights to the uniform ones, 25,600 samples."""
    steps = 25 if model.prior.default_sampler == "dpm" else None
    batch = model.sample(SAMPLES, steps=steps, seed=seed, batch_size=1024)
    return {**mode_statistics(modality.modes(batch["x"]), 1000), "calls": float(model.calls)}


def stacked_mnist(
    rows: Rows,
    data: Path,
    runs: Path,
    seeds: range,
    first_steps: int = 1500,
    steps: int = 3000,
    only: tuple[str, ...] = tuple(SETTINGS),
) -> None:
    """Train what is not kept, and judge."""
    folder = data / "images" / "mnist"
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    path = runs / "stacked-classifier.safetensors"
    classifier = digits_classifier(folder, path, device)
    modality = StackedDigits(folder, classifier=path, width=32)
    rows.add("Stacked MNIST: accuracy of the digit classifier on test digits", classifier.accuracy)
    real = modality.dataset("test").__getitems__(range(SAMPLES))["x"].to(device)
    for key, value in mode_statistics(modality.modes(real), 1000).items():
        rows.add(f"Stacked MNIST, real data: {key}", value)
    found: dict[str, dict[str, list[float]]] = {name: {} for name in only}
    for seed in seeds:
        first = runs / f"stacked-vae-seed{seed}"
        if not (first / "export" / "model.safetensors").exists():
            train_autoencoder(modality, first, seed, first_steps)
        for name in only:
            run = runs / f"stacked-{name.replace(' ', '')}-seed{seed}"
            if not (run / "export" / "model.safetensors").exists():
                train_prior(modality, first, SETTINGS[name], run, seed, steps)
            model = latentgen.load(run).to(device)
            model.modality = modality
            rebuilt = model.reconstruct(modality.dataset("test").__getitems__(range(SAMPLES // 10)))["x"]
            figures = {
                **judge(model, modality, seed),
                "CPU-minutes": cpu_minutes(run) + cpu_minutes(first),
                "reconstructions read as their originals": float(
                    (modality.modes(rebuilt) == modality.modes(real[: SAMPLES // 10])).float().mean()
                ),
            }
            for key, value in figures.items():
                found[name].setdefault(key, []).append(value)
    report(rows, found)


def report(rows: Rows, found: dict[str, dict[str, list[float]]]) -> None:
    """Rows, with goals for T = 4."""
    goals = {"modes": ">= 1000", "mode_kl": "<= 0.10"}
    for name, figures in found.items():
        for key, values in figures.items():
            mean, spread = mean_spread(values)
            rows.add(f"Stacked MNIST, {name}: {key}", mean, goals.get(key, "") if name == "T = 4" else "",
                     spread=spread, note=f"{len(values)} seeds")
