"""The generative learning trilemma on two kinds of data: score prior, few-step GAN and one-shot GAN side by side.

    accelerate launch examples/trilemma.py            # about ten minutes on one CPU core
    accelerate launch examples/trilemma.py --quick    # less than a minute, to see that it runs

With --data mixture and --data communities in two terminals it takes two cores and less time. Each kind of data
ends with a table and a page (trilemma.html) of quality, coverage and speed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import latentgen
from latentgen import DDGAN, LSGM, VPSDE, JointDDGAN, LogNormalWeighting, Modality, Recipe, Schedule, TrainingOptions
from modalities.graphs import Graphs
from modalities.mixtures import GaussianGrid


def train(
    modality: Modality, recipe: Recipe, run: Path, options: TrainingOptions
) -> latentgen.LatentGenerativeModel:
    """A trained model in a run folder; the same call goes on where it stopped."""
    torch.manual_seed(options.seed)
    prepared = recipe.prepare(modality)
    print(f"{run.name}: {type(recipe).__name__}, {options.steps} steps", flush=True)
    return latentgen.Trainer(prepared.model, prepared.objectives, run, options).fit()


def mixture(folder: Path, share: float) -> dict[str, latentgen.LatentGenerativeModel]:
    """25 Gaussians in the plane, without an autoencoder."""
    modality, models = GaussianGrid(), {}
    score = LSGM(VPSDE(t_min=1e-3), weighting=LogNormalWeighting(3.0, 2.0), depth=3, momentum=0)
    options = TrainingOptions(steps=int(800 * share), batch_size=128, lr=2e-3)
    models["score prior"] = train(modality, score, folder / "score", options)
    options = TrainingOptions(steps=int(1800 * share), batch_size=256, generator_lr=1e-3, discriminator_lr=1e-3)
    for name, steps in (("DDGAN, T = 4", 4), ("one-shot GAN", 1)):
        recipe = DDGAN(steps, r1=0.02, depth=3)
        models[name] = train(modality, recipe, folder / f"gan{steps}", options)
    return models


def communities(folder: Path, share: float) -> dict[str, latentgen.LatentGenerativeModel]:
    """Fresh community graphs: one checkpoint with a score prior and a generator, and a one-shot GAN on its latents."""
    sizes = {"train_size": 200, "test_size": 100} if share < 1 else {}
    modality, models = Graphs(data="communities", **sizes), {}
    rates = {"lr": 2e-3, "autoencoder_lr": 2e-3, "generator_lr": 2e-4, "discriminator_lr": 2e-4, "warmup": 0.03}
    recipe = JointDDGAN(LSGM(kl_weight=Schedule(5e-4, 0.03)))
    options = TrainingOptions(steps=int(400 * share), **rates)
    models["LSGM + DDGAN"] = train(modality, recipe, folder / "joint", options)
    frozen = models["LSGM + DDGAN"].autoencoder
    options = TrainingOptions(steps=int(250 * share), generator_lr=1e-3, discriminator_lr=5e-4)
    one_shot = DDGAN(1, autoencoder=frozen, width=96, depth=3, discriminator_depth=2)
    models["one-shot GAN"] = train(modality, one_shot, folder / "gan1", options)
    return models


def main() -> None:
    """Train, compare, write the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("runs/trilemma"), help="folder of runs and reports")
    parser.add_argument("--data", nargs="+", default=["mixture", "communities"], choices=["mixture", "communities"])
    parser.add_argument("--quick", action="store_true", help="a few steps only")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    share, repeats = (0.01, 1) if args.quick else (1.0, 5)
    kinds = {"mixture": (mixture, 1000), "communities": (communities, 500)}
    for name in args.data:
        make, samples = kinds[name]
        models = make(args.run / name, share)
        samples = 32 if args.quick else samples
        result = latentgen.compare(models, samples=samples, sets=2, repeats=repeats, nelbo=not args.quick)
        page = latentgen.write_comparison(result, args.run / name)
        print(f"{latentgen.format_comparison(result)}\nreport: {page}\n", flush=True)


if __name__ == "__main__":
    main()
