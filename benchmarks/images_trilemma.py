"""The trilemma table of MNIST: pixel-space baselines and latent models, equal training time, one feature map."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from before_the_game import before_the_game
from budget import trained_for, training_record
from harness import Rows, mean_spread
from images_likelihood import RATES, classifier_of

import latentgen
from latentgen import (
    DDGAN,
    DDIM,
    LSGM,
    VAE,
    AdaptiveProbability,
    Ancestral,
    DataDiffusion,
    GANSampler,
    GridAugmentation,
    JointDDGAN,
    LatentDiffusion,
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
BEFORE = "latent DDGAN before its game"
PRIOR = {"width": 128, "depth": 4}
PIXEL_NETWORK = UNetArchitecture(16, (1, 2, 2), 1, (7,))


@dataclass(frozen=True)
class Setting:
    """A row: which model, by which sampler, how many sets of samples, and whether 100 take seconds, not minutes."""

    name: str
    model: str
    sampler: Sampler
    sets: int = SETS
    quick: bool = True


@dataclass(frozen=True)
class Stage:
    """A training on the way to a model.

    Attributes:
        name: of its run.
        share: of the model's time.
        make: its recipe, given the folder of runs.
        rate: factor of the learning rates.
        frozen: whether its autoencoder is, so that images are encoded once.
    """

    name: str
    share: float
    make: Callable[[Path], Recipe]
    rate: float = 1.0
    frozen: bool = False


FIRST = Stage("latent-autoencoder", 0.25, lambda runs: VAE(Schedule(1e-3, 0.3)))
"""Both latent models have this stage, and its time counts for both."""


def stages() -> dict[str, tuple[Stage, ...]]:
    """What is trained, each model for the same time in all."""
    inner = lambda runs: str(runs / "mnist-trilemma-latent-autoencoder")  # noqa: E731
    between = "latent-frozen"
    return {
        "pixel diffusion": (Stage("pixel-diffusion", 1, lambda runs: DataDiffusion(network=PIXEL_NETWORK)),),
        "pixel DDGAN": (Stage("pixel-DDGAN", 1, lambda runs: DDGAN(
            4, network=PIXEL_NETWORK, spacing="time", width=64, r1=0.05, r1_interval=8, discriminator_depth=4
        )),),
        "one-shot GAN": (Stage("one-shot-GAN", 1, lambda runs: DDGAN(
            1, network=PIXEL_NETWORK, width=64, r1=0.5, r1_interval=8, discriminator_depth=4, minibatch_std=4,
            augmentation=GridAugmentation(flip=False, turn=False, luma_flip=False),
            control=AdaptiveProbability(images=50_000),
        )),),
        # the autoencoder takes four fifths of an end-to-end step: most steps are made while it stands still
        "LSGM": (
            FIRST,
            Stage(between, 0.55, lambda runs: LatentDiffusion(inner(runs), **PRIOR), frozen=True),
            Stage("LSGM", 0.2, lambda runs: LSGM(
                kl_weight=0.3, autoencoder=inner(runs), prior=str(runs / f"mnist-trilemma-{between}")
            ), 0.35),
        ),
        # noisier levels than on graphs and a mean held on to: the game alone made digits worse; a shallow generator,
        # since most of a call is the score prior's already (levels and depth: chosen on training images)
        "latent DDGAN": (
            FIRST,
            Stage("latent-DDGAN", 0.75, lambda runs: JointDDGAN(
                LatentDiffusion(inner(runs), **PRIOR),
                DDGAN(**{**REFINED, "depth": 2, "levels": (2.0, -2.0), "regression": 30.0}),
                begins=0.75,
            ), frozen=True),
        ),
    }


def settings() -> list[Setting]:
    """The rows of the table; samplers count their calls."""
    return [
        Setting("DDPM-1000", "pixel diffusion", Ancestral(1000, spacing="time"), 1, quick=False),
        Setting("DDIM-50", "pixel diffusion", DDIM(50, spacing="time"), quick=False),
        Setting("VP-PC-2000", "pixel diffusion", PredictorCorrector(1000, spacing="time"), 1, quick=False),
        Setting("VP-ODE", "pixel diffusion", ProbabilityFlow(1e-4), 1, quick=False),
        Setting("DDGAN-4", "pixel DDGAN", GANSampler()),
        Setting("one-shot GAN + ADA", "one-shot GAN", GANSampler()),
        Setting("LSGM-ODE", "LSGM", ProbabilityFlow(1e-3)),
        Setting("LSGM-DDIM-10", "LSGM", make_sampler("ddim", 10)),
        Setting("latent DDGAN-4", "latent DDGAN", GANSampler()),
        Setting("latent DDGAN-4 before its game", BEFORE, GANSampler()),
    ]


def seconds_for_100(
    models: dict[str, latentgen.LatentGenerativeModel], fast: list[Setting], repeats: int = 9
) -> dict[str, float]:
    """Median seconds of batches of 100 images by row, decoder included, warm, the rows in turn."""
    times: dict[str, list[float]] = {setting.name: [] for setting in fast}
    for seed in range(repeats + 1):
        for setting in fast:
            start = time.perf_counter()
            models[setting.model].sample(100, setting.sampler, seed=seed, batch_size=100)
            times[setting.name].append(time.perf_counter() - start)
    return {name: sorted(values[1:])[repeats // 2] for name, values in times.items()}


def rates(name: str, factor: float) -> dict[str, float]:
    """Learning rates of a stage of a model."""
    # small steps of a generator that starts well: of 1e-4 and 3e-5 chosen on training images
    generator, discriminator = (3e-5, 1e-4) if name == "latent DDGAN" else (4e-4, 4e-4)
    scaled = {key: value * factor if key.endswith("lr") else value for key, value in RATES.items()}
    return {**scaled, "generator_lr": generator, "discriminator_lr": discriminator}


def trilemma(rows: Rows, data: Path, runs: Path, minutes: float) -> None:
    """Train what is not kept, and fill the table."""
    features = classifier_of(data, runs)
    images = {
        "latent": Images(data / "images" / "mnist", likelihood="normal", width=16, halvings=3, features=features),
        "pixels": Images(data / "images" / "mnist", layout="pixels", features=features),
    }
    models = {}
    for name, parts in stages().items():
        modality, records = images["pixels" if "pixel" in name or "one-shot" in name else "latent"], []
        for stage in parts:
            run = runs / f"mnist-trilemma-{stage.name}"
            options = latentgen.TrainingOptions(
                **rates(name, stage.rate), cache_posteriors=stage.frozen  # type: ignore[arg-type]
            )
            models[name] = trained_for(minutes * stage.share, lambda s=stage: s.make(runs), modality, run, options)
            records.append(training_record(run))
        rows.add(f"MNIST trilemma, training of {name}: CPU-minutes", sum(record["CPU-minutes"] for record in records),
                 note=" + ".join(f"{record['steps']:.0f}" for record in records) + " steps")
    models[BEFORE] = before_the_game(models["latent DDGAN"], stages()["latent DDGAN"][1].make(runs))
    real, train = gather(models["LSGM"], "test"), gather(models["LSGM"], "train", 10_000)
    judge = images["latent"]
    label = judge.feature_map().name
    found: dict[str, dict[str, float]] = {}
    floors = [judge.evaluate(select(train, subset(10_000, SAMPLES, k)), real, train) for k in range(SETS)]
    rebuilt = [
        judge.evaluate(models["LSGM"].reconstruct(select(real, subset(10_000, SAMPLES, k))), real, train)
        for k in range(SETS)
    ]
    _report(rows, "real data", floors, label)
    _report(rows, "reconstruction", rebuilt, label)
    # what takes minutes is timed as it is made; the rest again, warm, as medians
    quick = seconds_for_100(models, [setting for setting in settings() if setting.quick])
    for setting in settings():
        model = models[setting.model]
        start, made = time.perf_counter(), []
        for k in range(setting.sets):
            made.append(model.sample(SAMPLES, setting.sampler, seed=k, batch_size=SAMPLES))
        once = (time.perf_counter() - start) / SAMPLES / setting.sets * 100
        sets, calls = [judge.evaluate(batch, real, train) for batch in made], model.calls
        found[setting.name] = _report(rows, setting.name, sets, label, {
            "calls": float(calls), "seconds per 100 images": quick.get(setting.name, once),
        })
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
