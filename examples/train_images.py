"""Train a latent score-based model of images end to end, measure it and write a report.

    accelerate launch examples/train_images.py                        # scikit-learn's 1,797 digits, no network
    accelerate launch examples/train_images.py --data folder/         # your own images, classes by folder
    accelerate launch examples/train_images.py --data mnist/ --pad 2  # a folder with MNIST's idx files

Run again with the same arguments, it goes on where it stopped. Where images have classes, a small classifier is trained
first and its hidden layer is the feature map of all figures.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

import latentgen
from latentgen.hooks import draw_samples, finish
from modalities.images import Images
from modalities.images.classifier import save_classifier, train_classifier
from modalities.images.gallery import draw_gallery

LATENT, PIXELS = ("lsgm", "joint", "two-stage", "vae"), ("ddpm", "ddgan", "gan")


def make_recipe(args: argparse.Namespace) -> latentgen.Recipe:
    """What ``--recipe`` names; the autoencoder alone for "two-stage"."""
    kl_weight = latentgen.Schedule(1e-3, args.kl_weight)
    unet = latentgen.UNetArchitecture(32, (1, 2, 2), 1, (8,))
    if args.recipe == "lsgm":
        return latentgen.LSGM(kl_weight=kl_weight)
    if args.recipe == "joint":
        # noisier levels than on graphs, and a mean held on to: measured on MNIST, benchmarks/images_trilemma.py
        gan = latentgen.DDGAN(4, levels=(1.0, -3.0), width=96, depth=3, discriminator_depth=2, regression=30.0)
        return latentgen.JointDDGAN(latentgen.LSGM(kl_weight=kl_weight), gan, begins=0.85)
    if args.recipe == "ddpm":
        return latentgen.DataDiffusion(network=unet)
    if args.recipe == "ddgan":
        return latentgen.DDGAN(4, network=unet, spacing="time", width=64)
    if args.recipe == "gan":
        control = latentgen.AdaptiveProbability(images=50_000)
        augmentation = latentgen.GridAugmentation(flip=False, turn=False, luma_flip=False)
        return latentgen.DDGAN(
            1, network=unet, width=64, r1=0.5, minibatch_std=4, augmentation=augmentation, control=control
        )
    return latentgen.VAE(kl_weight=kl_weight)


def arguments() -> argparse.Namespace:
    """Command-line arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", default="digits", help="digits, or the path (or hf:NAME) of your images")
    add("--run", type=Path, default=None, help="run folder (default: runs/images-<data>)")
    add("--recipe", choices=(*LATENT, *PIXELS), default="lsgm",
        help="latent models: lsgm, joint (with a four-call generator), two-stage, vae; models of the pixels: ddpm, "
             "ddgan (four calls), gan (one call)")
    add("--steps", type=int, default=2200, help="optimizer steps (of each stage)")
    add("--batch-size", type=int, default=64, help="images a step and process")
    add("--kl-weight", type=float, default=0.3, help="final weight of the latent terms")
    add("--size", type=int, default=None, help="edge to cut and resize to (default: as they are)")
    add("--pad", type=int, default=0, help="zeros put on every side")
    add("--channels", type=int, choices=(1, 3), default=None, help="grey or colour (default: as they are)")
    add("--likelihood", choices=("logistic_mixture", "bernoulli", "normal", "laplace"), default="logistic_mixture")
    add("--binarize", action="store_true", help="draw black and white pixels; takes --likelihood bernoulli")
    add("--condition", choices=("label",), default=None, help="train a class-conditional model")
    add("--width", type=int, default=16, help="channels of the autoencoder at full size")
    add("--samples", type=int, default=1000, help="images generated for each row of the table")
    add("--seed", type=int, default=0, help="of data order, noise and samples")
    add("--threads", type=int, default=1, help="CPU threads of a process; small models are fastest with one")
    add("--precision", choices=("no", "bf16"), default="no", help="fp32 or bf16 autocast")
    add("--no-gallery", action="store_true", help="draw no pictures of editing, completion and the like")
    return parser.parse_args()


def feature_classifier(options: dict[str, Any], run: Path, seed: int) -> Path | None:
    """The file of a classifier trained on the data, or None where they have no classes."""
    images, path = Images(**options), run / "classifier.safetensors"
    train, test = images.images("train"), images.images("test")
    if train.labels is None or test.labels is None:
        return None
    if not path.exists():
        classifier = train_classifier(train, test, seed)
        save_classifier(classifier, path)
        print(f"feature map: {classifier.label}")
    return path


def main() -> None:
    """Train, evaluate, report."""
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    run = args.run or Path("runs") / f"images-{Path(args.data).stem}"
    reading = {"data": args.data, "size": args.size, "pad": args.pad, "channels": args.channels}
    images = Images(
        **reading,
        likelihood="bernoulli" if args.binarize else args.likelihood,
        binarize="dynamic" if args.binarize else None,
        condition=args.condition,
        width=args.width,
        layout="pixels" if args.recipe in PIXELS else "grid",
        features=feature_classifier(reading, run, args.seed),
    )
    for note in images.images("train").notes:
        print(note)
    print(f"{len(images.images('train'))} training images {list(images.shape)}, latents {list(images.latents.shape)}; "
          f"{torch.get_num_threads()} CPU thread(s)")
    options = latentgen.TrainingOptions(
        steps=args.steps,
        batch_size=args.batch_size,
        lr=2e-3,
        autoencoder_lr=2e-3,
        generator_lr=1e-4 if args.recipe == "joint" else 4e-4,
        discriminator_lr=1e-4 if args.recipe == "joint" else 4e-4,
        warmup=0.03,
        seed=args.seed,
        precision=args.precision,
    )
    recipe = make_recipe(args)
    if args.recipe == "two-stage":
        first = recipe.prepare(images)
        latentgen.Trainer(first.model, first.objectives, run / "autoencoder", options).fit()
        recipe = latentgen.LatentDiffusion(str(run / "autoencoder"))
    prepared = recipe.prepare(images)
    trainer = latentgen.Trainer(
        prepared.model, prepared.objectives, run, options, hooks=[draw_samples(max(1, args.steps // 6))]
    )
    model = trainer.fit()
    if trainer.accelerator.is_main_process:
        if not args.no_gallery:
            draw_gallery(model, run / "plots", seed=args.seed)
        finish(model, run, samples=args.samples, seed=args.seed, title=f"{args.recipe} on {args.data}")


if __name__ == "__main__":
    main()
