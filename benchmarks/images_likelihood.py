"""Binarised images: bounds on -ln p(x) of LSGM and of a VAE, and what each of LSGM's ingredients is worth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from budget import trained_for, training_record
from harness import Rows, mean_spread

import latentgen
from latentgen import LSGM, VAE, LatentDiffusion, Recipe, Schedule
from latentgen.evaluation import gather
from latentgen.stream import batches
from latentgen.tensors import Batch
from modalities.images import Images
from modalities.images.classifier import save_classifier, train_classifier

PRIOR = {"width": 96, "depth": 3}
RATES = {"lr": 2e-3, "autoencoder_lr": 2e-3, "matrix_lr": 0.01, "warmup": 0.03, "batch_size": 64}


def binarised(data: Path, name: str, classifier: Path | None = None) -> Images:
    """MNIST or OMNIGLOT, dynamically binarised, with the autoencoder of all rows."""
    folder = data / "images" / name
    return Images(folder, likelihood="bernoulli", binarize="dynamic", width=16, halvings=3, features=classifier)


def weight() -> Schedule:
    """From nothing to the bound itself over the first third of training."""
    return Schedule(1e-3, 1.0)


def lsgm(**options: object) -> LSGM:
    """LSGM for likelihoods, with one choice changed."""
    return LSGM(kl_weight=weight(), **{**PRIOR, **options})  # type: ignore[arg-type]


def nats(model: latentgen.LatentGenerativeModel, limit: int, draws: int = 20) -> latentgen.Estimate:
    """The bound of test images (exact KL for a VAE, importance-sampled for a score prior)."""
    torch.manual_seed(0)
    return model.nelbo(batches(model.modality, model.modality.dataset("test"), limit=limit), "bound", draws=draws)


def against_vae(rows: Rows, data: Path, name: str, runs: Path, minutes: float, seeds: range) -> None:
    """LSGM against a VAE of the same autoencoder and the same time."""
    images = binarised(data, name)
    recipes: dict[str, Callable[[], Recipe]] = {"VAE": lambda: VAE(weight()), "LSGM": lsgm}
    bounds: dict[str, list[latentgen.Estimate]] = {key: [] for key in recipes}
    for seed in seeds:
        for key, make in recipes.items():
            options = latentgen.TrainingOptions(seed=seed, **RATES)  # type: ignore[arg-type]
            run = runs / f"{name}-nats-{key.lower()}-seed{seed}"
            model = trained_for(minutes, make, images, run, options)
            found = nats(model, limit=10_000, draws=5)
            bounds[key].append(found)
            record = training_record(run)
            rows.add(f"{name}, binarised, {key}, seed {seed}: NELBO (nats)", found.mean, spread=found.standard_error,
                     note=f"{found.count} test images, bound; spread: standard error; {record['steps']:.0f} steps, "
                          f"{record['CPU-minutes']:.1f} CPU-minutes")
            if key == "LSGM":
                torch.manual_seed(0)
                flow = model.nelbo(batches(images, images.dataset("test"), limit=256), "ode", tolerance=1e-4)
                rows.add(f"{name}, binarised, LSGM, seed {seed}: NELBO by the flow (nats)", flow.mean,
                         spread=flow.standard_error, note=f"{flow.count} test images")
    gain = [a.mean - b.mean for a, b in zip(bounds["VAE"], bounds["LSGM"], strict=True)]
    mean, spread = mean_spread(gain)
    rows.add(f"{name}: nats by which LSGM is better than the VAE", mean, ">= 2", spread=spread,
             note=f"{minutes:g} CPU-minutes each, {len(gain)} seed(s)")


def classifier_of(data: Path, runs: Path) -> Path:
    """A classifier of MNIST, trained once."""
    path = runs / "mnist-classifier.safetensors"
    if not path.exists():
        images = Images(data / "images" / "mnist")
        model = train_classifier(images.images("train"), images.images("test"), steps=1500)
        save_classifier(model, path)
    return path


def drawn(model: latentgen.LatentGenerativeModel, n: int, seed: int) -> Batch:
    """Black and white samples: pixels are drawn, as those of the data are."""
    return model.sample(n, "dpm", steps=25, seed=seed, batch_size=250, mode=False)


def ablation(rows: Rows, data: Path, runs: Path, minutes: float, seeds: range) -> None:
    """The choices of the talk, one changed at a time, at equal CPU time."""
    images = binarised(data, "mnist", classifier_of(data, runs))
    real, train = gather_once(images)
    variants: dict[str, Callable[[Path], Recipe]] = {
        "default (velocity, importance sampling, end to end)": lambda run: lsgm(),
        "mixed, learned coefficient": lambda run: lsgm(parameterisation="mixed"),
        "plain noise prediction": lambda run: lsgm(parameterisation="noise"),
        "uniform t": lambda run: lsgm(times=latentgen.UniformTimes()),
        "frozen autoencoder": lambda run: LatentDiffusion(str(run), **PRIOR),  # type: ignore[arg-type]
    }
    for name, make in variants.items():
        found: dict[str, list[float]] = {"NELBO (nats)": [], "Frechet distance": []}
        for seed in seeds:
            options = latentgen.TrainingOptions(seed=seed, **RATES)  # type: ignore[arg-type]
            stem = name.split(" (")[0].replace(", ", "-").replace(" ", "-")
            run, spent = runs / f"mnist-ablation-{stem}-seed{seed}", minutes
            first = runs / f"mnist-ablation-vae-seed{seed}"
            if name == "frozen autoencoder":
                spent = minutes / 2
                trained_for(spent, lambda: VAE(Schedule(1e-3, 1.0)), images, first, options)
            model = trained_for(spent, lambda make=make, first=first: make(first), images, run, options)
            found["NELBO (nats)"].append(nats(model, limit=1000, draws=5).mean)
            figures = images.evaluate(drawn(model, 1000, seed), real, train)
            found["Frechet distance"].append(figures["frechet"])
        for key, values in found.items():
            mean, spread = mean_spread(values)
            rows.add(f"MNIST ablation, {name}: {key}", mean, spread=spread,
                     note=f"{minutes:g} CPU-minutes, {len(values)} seeds")


def gather_once(images: Images) -> tuple[Batch, Batch]:
    """Test images, and some training images, as batches."""
    model = latentgen.LatentGenerativeModel(images, images.autoencoder(), latentgen.NormalPrior(images.latents))
    return gather(model, "test"), gather(model, "train", 1000)
