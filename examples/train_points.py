"""Train an autoencoder of shapes, then a score prior and a four-call generator on its latents; measure and report.

    accelerate launch examples/train_points.py                          # procedural chairs, tables and lamps
    accelerate launch examples/train_points.py --data meshes/           # .off .obj .ply .stl .glb, .npy .npz .xyz, zip
    accelerate launch examples/train_points.py --kinds chair --points 2048 --condition label

Run again with the same arguments, it goes on where it stopped.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

import latentgen
from latentgen.hooks import draw_samples, finish
from modalities.points import Points
from modalities.points.gallery import draw_gallery
from modalities.points.hierarchical import PointArchitecture

LEVELS = (3.5, -1.0)
"""Log-SNRs of the generator's first and last time but one."""


def arguments() -> argparse.Namespace:
    """Command-line arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", default="furniture", help="furniture, or the path of your shapes")
    add("--kinds", nargs="+", default=["chair", "table", "lamp"], help="of furniture")
    add("--points", type=int, default=512, help="points of a shape, drawn anew at every visit")
    add("--normalisation", choices=("dataset", "sphere", "box", "none"), default="dataset")
    add("--condition", choices=("label",), default=None, help="train a class-conditional model")
    add("--encoder", choices=("tokens", "points"), default="tokens",
        help="a fixed number of latent tokens, or a latent for every point and global ones")
    add("--run", type=Path, default=None, help="run folder (default: runs/points-<data>)")
    add("--recipe", choices=("two-stage", "joint", "lsgm", "vae"), default="two-stage",
        help="two-stage (autoencoder, then both priors), joint (all three at once), lsgm (end to end), vae")
    add("--steps", type=int, default=320, help="optimizer steps (of the priors, for two-stage)")
    add("--autoencoder-steps", type=int, default=580, help="steps of the first of two stages")
    add("--batch-size", type=int, default=16, help="shapes a step and process (twice as many for the priors)")
    add("--kl-weight", type=float, default=1.0, help="final weight of the latent terms")
    add("--tokens", type=int, default=32, help="latent tokens (global ones for --encoder points)")
    add("--latent", type=int, default=8, help="size of a latent token")
    add("--width", type=int, default=96, help="of the autoencoder")
    add("--samples", type=int, default=64, help="shapes generated for each row of the table")
    add("--seed", type=int, default=0, help="of data order, noise and samples")
    add("--threads", type=int, default=1, help="CPU threads of a process; small models are fastest with one")
    add("--precision", choices=("no", "bf16"), default="no", help="fp32 or bf16 autocast")
    return parser.parse_args()


def main() -> None:
    """Train, evaluate, draw, report."""
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    run = args.run or Path("runs") / f"points-{Path(args.data).stem}"
    shapes = Points(
        data=args.data, kinds=args.kinds, points=args.points, normalisation=args.normalisation,
        condition=args.condition, encoder=args.encoder, tokens=args.tokens, latent=args.latent, width=args.width,
    )
    print(f"{len(shapes.shapes('train'))} training shapes, latents {list(shapes.latents.shape)}; "
          f"{torch.get_num_threads()} CPU thread(s)")
    options = latentgen.TrainingOptions(
        steps=args.steps, batch_size=args.batch_size, lr=2e-3, autoencoder_lr=2e-3, generator_lr=2e-4,
        discriminator_lr=2e-4, warmup=0.03, seed=args.seed, precision=args.precision,
    )
    network = PointArchitecture(args.tokens) if args.encoder == "points" else None
    kl_weight = latentgen.Schedule(1e-3, args.kl_weight, portion=0.5)
    game = latentgen.DDGAN(4, **{**latentgen.adversarial_recipe.REFINED, "levels": LEVELS, "network": network})
    recipe: latentgen.Recipe = latentgen.LSGM(kl_weight=kl_weight, network=network)
    if args.recipe == "joint":
        recipe = latentgen.JointDDGAN(latentgen.LSGM(kl_weight=kl_weight, network=network), game)
    elif args.recipe in ("two-stage", "vae"):
        recipe = latentgen.VAE(kl_weight)
    if args.recipe == "two-stage":
        first = recipe.prepare(shapes)
        early = replace(options, steps=args.autoencoder_steps)
        latentgen.Trainer(first.model, first.objectives, run / "autoencoder", early).fit()
        recipe = latentgen.JointDDGAN(latentgen.LatentDiffusion(str(run / "autoencoder"), network=network), game)
        options = replace(options, batch_size=2 * args.batch_size)
    prepared = recipe.prepare(shapes)
    trainer = latentgen.Trainer(
        prepared.model, prepared.objectives, run, options, hooks=[draw_samples(max(1, args.steps // 4), 12)]
    )
    model = trainer.fit()
    if trainer.accelerator.is_main_process:
        draw_gallery(model, run, seed=args.seed)
        title = f"{args.recipe} on {args.data}"
        finish(model, run, args.samples, calls=(4, 10, 25), seed=args.seed, title=title, nelbo_examples=64)


if __name__ == "__main__":
    main()
