"""The trilemma table of MNIST: pixel-space baselines and latent models, equal training time, one feature map."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from budget import trained_for, training_record
from harness import Rows, mean_spread
from images_likelihood import RATES, classifier_of

import latentgen
from latentgen import (
    DDGAN,
    DDIM,
    LSGM,
    AdaptiveProbability,
    Ancestral,
    DataDiffusion,
    GANSampler,
    GridAugmentation,
    JointDDGAN,
    PredictorCorrector,
    ProbabilityFlow,
    Recipe,
    Sampler,
    Schedule,
    UNetArchitecture,
)
from latentgen.adversarial_recipe import REFINED
from latentgen.evaluation import gather, select, subset
from latentgen.sampler import make_sampler
from modalities.images import Images

SAMPLES = 128
"""Images a set, in every row: as many as the slowest sampler makes in a quarter of an hour."""
SETS = 3
PIXEL_NETWORK = UNetArchitecture(16, (1, 2, 2), 1, (7,))


@dataclass(frozen=True)
class Setting:
    """A row: which model, by which sampler, and how many sets of samples."""

    name: str
    model: str
    sampler: Sampler
    sets: int = SETS


def recipes() -> dict[str, Callable[[], Recipe]]:
    """What is trained, each for the same time."""
    return {
        "pixel diffusion": lambda: DataDiffusion(network=PIXEL_NETWORK),
        "pixel DDGAN": lambda: DDGAN(
            4, network=PIXEL_NETWORK, spacing="time", width=64, r1=0.05, r1_interval=8, discriminator_depth=4
        ),
        "one-shot GAN": lambda: DDGAN(
            1, network=PIXEL_NETWORK, width=64, r1=0.5, r1_interval=8, discriminator_depth=4, minibatch_std=4,
            augmentation=GridAugmentation(flip=False, turn=False, luma_flip=False),
            control=AdaptiveProbability(images=50_000),
        ),
        # fewer, noisier levels than on graphs, and a mean held on to: the game alone made digits worse
        "latent": lambda: JointDDGAN(
            LSGM(kl_weight=Schedule(1e-3, 0.3), width=96, depth=3),
            DDGAN(**{**REFINED, "levels": (1.0, -3.0), "regression": 30.0}),
            begins=0.85,
        ),
    }


def settings() -> list[Setting]:
    """The rows of the table; samplers count their calls."""
    return [
        Setting("DDPM-1000", "pixel diffusion", Ancestral(1000, spacing="time"), 1),
        Setting("DDIM-50", "pixel diffusion", DDIM(50, spacing="time")),
        Setting("VP-PC-2000", "pixel diffusion", PredictorCorrector(1000, spacing="time"), 1),
        Setting("VP-ODE", "pixel diffusion", ProbabilityFlow(1e-4), 1),
        Setting("DDGAN-4", "pixel DDGAN", GANSampler()),
        Setting("one-shot GAN + ADA", "one-shot GAN", GANSampler()),
        Setting("LSGM-ODE", "latent", ProbabilityFlow(1e-3)),
        Setting("LSGM-DDIM-10", "latent", make_sampler("ddim", 10)),
        Setting("latent DDGAN-4", "latent", GANSampler()),
    ]


def seconds_for_100(model: latentgen.LatentGenerativeModel, sampler: Sampler) -> float:
    """Median seconds of five batches of 100 images, decoder included."""
    times: list[float] = []
    for seed in range(5):
        start = time.perf_counter()
        model.sample(100, sampler, seed=seed, batch_size=100)
        times.append(time.perf_counter() - start)
    return sorted(times)[2]


def trilemma(rows: Rows, data: Path, runs: Path, minutes: float) -> None:
    """Train what is not kept, and fill the table."""
    features = classifier_of(data, runs)
    images = {
        "latent": Images(data / "images" / "mnist", likelihood="normal", width=16, halvings=3, features=features),
        "pixels": Images(data / "images" / "mnist", layout="pixels", features=features),
    }
    models = {}
    for name, make in recipes().items():
        modality = images["latent" if name == "latent" else "pixels"]
        rates = {**RATES, "generator_lr": 4e-4, "discriminator_lr": 4e-4}
        if name == "latent":
            rates |= {"generator_lr": 1e-4, "discriminator_lr": 1e-4}
        options = latentgen.TrainingOptions(**rates)  # type: ignore[arg-type]
        run = runs / f"mnist-trilemma-{name.replace(' ', '-')}"
        models[name] = trained_for(minutes, make, modality, run, options)
        record = training_record(run)
        rows.add(f"MNIST trilemma, training of {name}: CPU-minutes", record["CPU-minutes"],
                 note=f"{record['steps']:.0f} steps")
    real, train = gather(models["latent"], "test"), gather(models["latent"], "train", 10_000)
    judge = images["latent"]
    label = judge.feature_map().name
    found: dict[str, dict[str, float]] = {}
    floors = [judge.evaluate(select(train, subset(10_000, SAMPLES, k)), real, train) for k in range(SETS)]
    rebuilt = [
        judge.evaluate(models["latent"].reconstruct(select(real, subset(10_000, SAMPLES, k))), real, train)
        for k in range(SETS)
    ]
    _report(rows, "real data", floors, label)
    _report(rows, "reconstruction", rebuilt, label)
    for setting in settings():
        model = models[setting.model]
        start, made = time.perf_counter(), []
        for k in range(setting.sets):
            made.append(model.sample(SAMPLES, setting.sampler, seed=k, batch_size=SAMPLES))
        once = (time.perf_counter() - start) / SAMPLES * 100
        sets, calls = [judge.evaluate(batch, real, train) for batch in made], model.calls
        # what takes minutes is timed as it is made; the rest again, warm, as a median
        seconds = once if setting.sets == 1 else seconds_for_100(model, setting.sampler)
        found[setting.name] = {
            **_report(rows, setting.name, sets, label, {"calls": float(calls), "seconds per 100 images": seconds})
        }
    _goals(rows, found)


def _report(
    rows: Rows, name: str, sets: list[dict[str, float]], label: str, more: dict[str, float] | None = None
) -> dict[str, float]:
    means = {}
    for key in sets[0]:
        means[key], spread = mean_spread([figures[key] for figures in sets])
        rows.add(f"MNIST trilemma, {name}: {key}", means[key], spread=spread if len(sets) > 1 else None,
                 note=f"{len(sets)} x {SAMPLES} images; {label}")
    for key, value in (more or {}).items():
        means[key] = value
        rows.add(f"MNIST trilemma, {name}: {key}", value)
    return means


def _goals(rows: Rows, found: dict[str, dict[str, float]]) -> None:
    ode, corrector, gan = found["LSGM-ODE"], found["VP-PC-2000"], found["latent DDGAN-4"]
    cost = "seconds per 100 images"
    rows.add("MNIST: Frechet distance of LSGM-ODE over that of pixel VP-PC", ode["frechet"] / corrector["frechet"],
             "<= 1")
    rows.add("MNIST: seconds of pixel VP-PC over those of LSGM-ODE", corrector[cost] / ode[cost], ">= 100")
    rows.add("MNIST: Frechet distance of latent DDGAN-4 over that of LSGM-ODE", gan["frechet"] / ode["frechet"],
             "<= 1.3")
    rows.add("MNIST: seconds of LSGM-ODE over those of latent DDGAN-4", ode[cost] / gan[cost], ">= 4")
