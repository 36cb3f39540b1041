"""Stacked MNIST: three random digits on three channels, 1,000 modes; latent GANs with T = 1, 2, 4, 8 and a score prior.

All priors are trained on one frozen convolutional autoencoder, with equal numbers of steps. Modes are read by a digit
classifier that is trained here; 25,600 samples a model.
"""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from graphs import cpu_minutes
from harness import Rows, mean_spread
from torch import Tensor, nn

import latentgen
from latentgen import Autoencoder, Batch, DiagonalGaussian, LatentSpec, Modality
from latentgen.metrics import mode_statistics

SIZE, SAMPLES, TRIPLES = 32, 25_600, 120_000
LATENT = (8, 4, 4)
SETTINGS: dict[str, int | None] = {"T = 4": 4, "T = 1": 1, "T = 2": 2, "T = 8": 8, "score prior": None}


def read_digits(folder: Path, split: str) -> tuple[Tensor, Tensor]:
    """Pixels uint8 [N, 32, 32] (28 x 28, padded) and labels int64 [N] of the gzipped idx files."""
    stem = "train" if split == "train" else "t10k"
    with gzip.open(folder / f"{stem}-images-idx3-ubyte.gz") as file:
        pixels = torch.from_numpy(np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28).copy())
    with gzip.open(folder / f"{stem}-labels-idx1-ubyte.gz") as file:
        labels = torch.from_numpy(np.frombuffer(file.read(), np.uint8, offset=8).astype(np.int64))
    return nn.functional.pad(pixels, (2, 2, 2, 2)), labels


class Residual(nn.Module):
    """x + two convolutions with group norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        return x + torch.as_tensor(self.body(x))


class StackedAutoencoder(Autoencoder):
    """Convolutions from 3 x 32 x 32 to a grid of 8 x 4 x 4 and back; a Bernoulli likelihood of grey values."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        sizes = [width, 2 * width, 4 * width]
        down: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=2, padding=1)]
        up: list[nn.Module] = [nn.Conv2d(LATENT[0], sizes[-1], 3, padding=1), Residual(sizes[-1])]
        for a, b in itertools.pairwise(sizes):
            down += [Residual(a), nn.Conv2d(a, b, 4, stride=2, padding=1)]
        for a, b in itertools.pairwise(sizes[::-1]):
            up += [nn.Upsample(scale_factor=2), nn.Conv2d(a, b, 3, padding=1), Residual(b)]
        self.encoder = nn.Sequential(*down, Residual(sizes[-1]), nn.Conv2d(sizes[-1], 2 * LATENT[0], 3, padding=1))
        self.decoder = nn.Sequential(*up, nn.SiLU(), nn.ConvTranspose2d(width, 3, 4, stride=2, padding=1))

    def encode(self, batch: Batch) -> DiagonalGaussian:
        """q(z | x), mean and std [B, 8, 4, 4]."""
        mean, log_std = self.encoder(2 * batch["x"] - 1).chunk(2, dim=1)
        return DiagonalGaussian(mean, log_std.clamp(-6, 2).exp())

    def decode(self, z: Tensor, mask: Tensor | None = None) -> latentgen.BernoulliLikelihood:
        """p(x | z)."""
        return latentgen.BernoulliLikelihood(self.decoder(z))


class Triples:
    """Random triples of digits, a function of the seed; whole batches at a time."""

    def __init__(self, pixels: Tensor, count: int, seed: int) -> None:
        self.pixels = pixels
        self.chosen = torch.randint(len(pixels), (count, 3), generator=torch.Generator().manual_seed(seed))

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitems__(self, numbers: list[int]) -> Batch:
        return {"x": self.pixels[self.chosen[numbers]].float() / 255}

    def __getitem__(self, number: int) -> Batch:
        return {"x": self.__getitems__([number])["x"][0]}


class StackedDigits(Modality):
    """Stacked MNIST.

    Args:
        folder: the idx files of MNIST.
        seed: of the triples.
    """

    def __init__(self, folder: str | None = None, seed: int = 0) -> None:
        self.folder, self.seed = folder, seed
        self._digits: dict[str, Tensor] = {}

    @property
    def latents(self) -> LatentSpec:
        """A grid of 4 x 4 cells."""
        return LatentSpec(LATENT, "grid")

    def autoencoder(self) -> Autoencoder:
        """Convolutional."""
        return StackedAutoencoder()

    def dataset(self, split: str) -> Any:
        """120,000 training triples or 25,600 test triples."""
        if self.folder is None:
            raise ValueError("folder is None; give the folder of MNIST's idx files.")
        if split not in self._digits:
            self._digits[split] = read_digits(Path(self.folder), split)[0]
        count = TRIPLES if split == "train" else SAMPLES
        return Triples(self._digits[split], count, self.seed + (split != "train"))


class DigitClassifier(nn.Module):
    """A small convolutional classifier of single digits [B, 1, 32, 32]."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(),
            nn.MaxPool2d(2), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(1024, 128), nn.ReLU(), nn.Linear(128, 10),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, 10]."""
        return torch.as_tensor(self.body(x))

    @torch.no_grad()
    def modes(self, x: Tensor, batch: int = 1024) -> Tensor:
        """Mode number 0 .. 999 of images [B, 3, 32, 32]."""
        digits = [self(part.reshape(-1, 1, SIZE, SIZE)).argmax(1).reshape(-1, 3) for part in x.split(batch)]
        return (torch.cat(digits) * torch.tensor([100, 10, 1], device=x.device)).sum(1)


def train_classifier(folder: Path, device: torch.device, epochs: int = 3) -> tuple[DigitClassifier, float]:
    """A classifier trained on MNIST's training digits, and its accuracy on the test digits."""
    torch.manual_seed(0)
    (pixels, labels), (test, truth) = read_digits(folder, "train"), read_digits(folder, "test")
    x, y = pixels[:, None].to(device), labels.to(device)
    model = DigitClassifier().to(device)
    steps = epochs * (len(x) // 256)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(steps):
        pick = torch.randint(len(x), (256,), device=device)
        shifted = torch.roll(x[pick], tuple(torch.randint(-2, 3, (2,)).tolist()), (2, 3)).float() / 255
        loss = nn.functional.cross_entropy(model(shifted), y[pick])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model.eval()
    with torch.no_grad():
        right = [model(part[:, None].to(device).float() / 255).argmax(1).cpu() for part in test.split(1000)]
    return model, float((torch.cat(right) == truth).float().mean())


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
    inner = latentgen.load(first, trust_remote_code=True).autoencoder
    recipe: latentgen.Recipe
    if steps_t is None:
        recipe = latentgen.LatentDiffusion(inner, width=128)
    else:
        recipe = latentgen.DDGAN(steps_t, autoencoder=inner, width=128, levels=(1.5, -3.0))
    prepared = recipe.prepare(modality)
    latentgen.Trainer(prepared.model, prepared.objectives, run, options(steps, seed), quiet=True).fit()


def judge(model: latentgen.LatentGenerativeModel, classifier: DigitClassifier, seed: int) -> dict[str, float]:
    """Modes of 1,000 and KL of the modes' weights to the uniform ones, 25,600 samples."""
    steps = 25 if model.prior.default_sampler == "dpm" else None
    batch = model.sample(SAMPLES, steps=steps, seed=seed, batch_size=1024)
    return {**mode_statistics(classifier.modes(batch["x"]), 1000), "calls": float(model.calls)}


def stacked_mnist(
    rows: Rows, data: Path, runs: Path, seeds: range, first_steps: int = 1500, steps: int = 3000
) -> None:
    """Train what is not kept, and judge."""
    folder = data / "images" / "mnist"
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    modality = StackedDigits(str(folder))
    classifier, accuracy = train_classifier(folder, device)
    rows.add("Stacked MNIST: accuracy of the digit classifier on test digits", accuracy)
    real = modality.dataset("test").__getitems__(list(range(SAMPLES)))["x"].to(device)
    for key, value in mode_statistics(classifier.modes(real), 1000).items():
        rows.add(f"Stacked MNIST, real data: {key}", value)
    found: dict[str, dict[str, list[float]]] = {name: {} for name in SETTINGS}
    for seed in seeds:
        first = runs / f"stacked-vae-seed{seed}"
        if not (first / "export" / "model.safetensors").exists():
            train_autoencoder(modality, first, seed, first_steps)
        for name, steps_t in SETTINGS.items():
            run = runs / f"stacked-{name.replace(' ', '')}-seed{seed}"
            if not (run / "export" / "model.safetensors").exists():
                train_prior(modality, first, steps_t, run, seed, steps)
            model = latentgen.load(run, trust_remote_code=True).to(device)
            figures = {**judge(model, classifier, seed), "CPU-minutes": cpu_minutes(run) + cpu_minutes(first)}
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
