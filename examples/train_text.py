"""Train a latent score-based model of sentences end to end, measure it and write a report.

    accelerate launch examples/train_text.py                         # sentences of a small grammar, no network, no file
    accelerate launch examples/train_text.py --data captions.txt     # your own: a line a sentence, CSV, JSON lines
    accelerate launch examples/train_text.py --data reviews.csv --column text --vocabulary 4000

Run again with the same arguments, it goes on where it stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import latentgen
from latentgen.evaluation import gather
from latentgen.hooks import draw_samples, finish
from modalities.text import Text
from modalities.text.modality import exact_share


def arguments() -> argparse.Namespace:
    """Command-line arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", default="grammar", help="grammar, or the path (or hf:NAME) of your sentences")
    add("--column", default=None, help="of a table")
    add("--run", type=Path, default=None, help="run folder (default: runs/text-<data>)")
    add("--recipe", choices=("lsgm", "joint", "two-stage", "vae"), default="lsgm",
        help="lsgm, joint (with a four-call generator), two-stage (latent diffusion), or the autoencoder alone")
    add("--steps", type=int, default=3000, help="optimizer steps (of each stage)")
    add("--batch-size", type=int, default=64, help="sentences a step and process")
    add("--kl-weight", type=float, default=0.03, help="final weight of the latent terms")
    add("--vocabulary", type=int, default=2000, help="size of the tokenizer that is trained on the data")
    add("--length", type=int, default=32, help="longest sentence in tokens")
    add("--tokens", type=int, default=8, help="latent tokens of a sentence")
    add("--latent", type=int, default=16, help="size of a latent token")
    add("--width", type=int, default=128, help="of the autoencoder")
    add("--decoder", choices=("parallel", "autoregressive"), default="parallel", help="how tokens are read off")
    add("--samples", type=int, default=500, help="sentences generated for each row of the table")
    add("--seed", type=int, default=0, help="of data order, noise and samples")
    add("--threads", type=int, default=1, help="CPU threads of a process; small models are fastest with one")
    add("--precision", choices=("no", "bf16"), default="no", help="fp32 or bf16 autocast")
    return parser.parse_args()


def make_recipe(args: argparse.Namespace) -> latentgen.Recipe:
    """What ``--recipe`` names; the autoencoder alone for "two-stage"."""
    kl_weight = latentgen.Schedule(1e-4, args.kl_weight)
    if args.recipe in ("two-stage", "vae"):
        return latentgen.VAE(kl_weight)
    lsgm = latentgen.LSGM(kl_weight=kl_weight)
    return latentgen.JointDDGAN(lsgm) if args.recipe == "joint" else lsgm


def main() -> None:
    """Train, evaluate, report."""
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    run = args.run or Path("runs") / f"text-{Path(args.data).stem}"
    text = Text(
        data=args.data, column=args.column, vocabulary=args.vocabulary, length=args.length, tokens=args.tokens,
        latent=args.latent, width=args.width, decoder=args.decoder,
    )
    train = text.dataset("train")
    print(
        f"{len(train)} training sentences ({train.left_out} too long and left out), {len(text.tokenizer)} tokens, "
        f"latents {list(text.latents.shape)}; {torch.get_num_threads()} CPU thread(s)"
    )
    options = latentgen.TrainingOptions(
        steps=args.steps, batch_size=args.batch_size, lr=2e-3, autoencoder_lr=1e-3, generator_lr=2e-4,
        discriminator_lr=1e-4, warmup=0.03, seed=args.seed, precision=args.precision,
    )
    recipe = make_recipe(args)
    if args.recipe == "two-stage":
        first = recipe.prepare(text)
        latentgen.Trainer(first.model, first.objectives, run / "autoencoder", options).fit()
        recipe = latentgen.LatentDiffusion(str(run / "autoencoder"))
    prepared = recipe.prepare(text)
    trainer = latentgen.Trainer(
        prepared.model, prepared.objectives, run, options, hooks=[draw_samples(max(1, args.steps // 6))]
    )
    model = trainer.fit()
    if trainer.accelerator.is_main_process:
        test = gather(model, "test", 500)
        print(f"exact reconstructions of {len(test['tokens'])} test sentences: "
              f"{100 * exact_share(model.reconstruct(test), test):.1f} %")
        finish(model, run, samples=args.samples, seed=args.seed, title=f"{args.recipe} on {args.data}")


if __name__ == "__main__":
    main()
