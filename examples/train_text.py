"""Train an autoencoder of sentences, then a score prior and a four-call generator on its latents; measure and report.

    accelerate launch examples/train_text.py                         # sentences of a small grammar, no network, no file
    accelerate launch examples/train_text.py --data captions.txt     # your own: a line a sentence, CSV, JSON lines
    accelerate launch examples/train_text.py --data reviews.csv --column text --vocabulary 4000
    accelerate launch examples/train_text.py --data reviews.csv --column text --label stars     # class-conditional

Run again with the same arguments, it goes on where it stopped.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

import latentgen
from latentgen.adversarial_recipe import REFINED
from latentgen.evaluation import gather
from latentgen.hooks import draw_samples, finish
from modalities.text import Text
from modalities.text.decoding import Decoding, use_decoding
from modalities.text.figures import reconstruction_figures


def arguments() -> argparse.Namespace:
    """Command-line arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", default="grammar", help="grammar, or the path (or hf:NAME) of your sentences")
    add("--column", default=None, help="of a table")
    add("--label", default=None, help="column of a table with the class of each sentence: a class-conditional model")
    add("--run", type=Path, default=None, help="run folder (default: runs/text-<data>)")
    add("--recipe", choices=("two-stage", "joint", "lsgm", "vae"), default="two-stage",
        help="two-stage (autoencoder, then both priors), joint (all three at once), lsgm (end to end), vae")
    add("--steps", type=int, default=3000, help="optimizer steps (of the priors, for two-stage)")
    add("--autoencoder-steps", type=int, default=1400, help="steps of the first of two stages")
    add("--batch-size", type=int, default=64, help="sentences a step and process")
    add("--kl-weight", type=float, default=0.03, help="final weight of the latent terms")
    add("--vocabulary", type=int, default=2000, help="size of the tokenizer that is trained on the data")
    add("--length", type=int, default=None, help="longest sentence in tokens (default: 20 for grammar, else 32)")
    add("--tokens", type=int, default=8, help="latent tokens of a sentence")
    add("--latent", type=int, default=16, help="size of a latent token")
    add("--width", type=int, default=96, help="of the autoencoder")
    add("--token-dropout", type=float, default=0.15, help="share of words hidden from the encoder in training")
    add("--passes", type=int, default=6, help="times that a generated sentence is encoded and read again")
    add("--latent-noise", type=float, default=None,
        help="share of sentences read through noise in training (default: 0.25 for autoregressive, 0 for parallel)")
    add("--noise", type=float, default=0.0, help="level of the noise that generated sentences are read through, 0 to 1")
    add("--decoder", choices=("parallel", "autoregressive"), default="parallel", help="how tokens are read off")
    add("--samples", type=int, default=500, help="sentences generated for each row of the table")
    add("--seed", type=int, default=0, help="of data order, noise and samples")
    add("--threads", type=int, default=1, help="CPU threads of a process; small models are fastest with one")
    add("--precision", choices=("no", "bf16"), default="no", help="fp32 or bf16 autocast")
    return parser.parse_args()


GAME = {**REFINED, "levels": (2.5, -2.0)}
"""Generator and discriminator: noise levels where sentences take their shape."""


def make_recipe(args: argparse.Namespace) -> latentgen.Recipe:
    """What ``--recipe`` names; the autoencoder alone for "two-stage"."""
    # a weight that rises only once sentences are reconstructed: earlier it keeps words out of the latents
    kl_weight = latentgen.Schedule(1e-3, args.kl_weight, portion=0.8, begins=0.35)
    if args.recipe in ("two-stage", "vae"):
        return latentgen.VAE(kl_weight)
    lsgm = latentgen.LSGM(kl_weight=kl_weight)
    return latentgen.JointDDGAN(lsgm, latentgen.DDGAN(4, **GAME)) if args.recipe == "joint" else lsgm


def main() -> None:
    """Train, evaluate, report."""
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    run = args.run or Path("runs") / f"text-{Path(args.data).stem}"
    length = args.length if args.length is not None else 20 if args.data == "grammar" else 32
    blurred = args.latent_noise if args.latent_noise is not None else 0.25 * (args.decoder == "autoregressive")
    text = Text(
        data=args.data, column=args.column, vocabulary=args.vocabulary, length=length, tokens=args.tokens,
        latent=args.latent, width=args.width, decoder=args.decoder, token_dropout=args.token_dropout,
        latent_noise=blurred, decoding=Decoding(passes=args.passes, noise=args.noise),
        label=args.label,
    )
    train = text.dataset("train")
    print(
        f"{len(train)} training sentences ({train.left_out} too long and left out), {len(text.tokenizer)} tokens, "
        f"latents {list(text.latents.shape)}; {torch.get_num_threads()} CPU thread(s)"
    )
    options = latentgen.TrainingOptions(
        steps=args.steps, batch_size=args.batch_size, lr=2e-3, autoencoder_lr=1e-3, generator_lr=2e-4,
        discriminator_lr=2e-4, warmup=0.03, seed=args.seed, precision=args.precision,
    )
    recipe = make_recipe(args)
    if args.recipe == "two-stage":
        first = recipe.prepare(text)
        early = replace(options, steps=args.autoencoder_steps)
        latentgen.Trainer(first.model, first.objectives, run / "autoencoder", early).fit()
        prior = latentgen.LatentDiffusion(str(run / "autoencoder"))
        recipe = latentgen.JointDDGAN(prior, latentgen.DDGAN(4, **GAME))
    prepared = recipe.prepare(text)
    trainer = latentgen.Trainer(
        prepared.model, prepared.objectives, run, options, hooks=[draw_samples(max(1, args.steps // 6))]
    )
    model = trainer.fit()
    if trainer.accelerator.is_main_process:
        test = gather(model, "test", 500)
        use_decoding(model, None)
        found = reconstruction_figures(text.texts(model.reconstruct(test)), text.texts(test))
        print(f"exact reconstructions of {len(test['tokens'])} test sentences: {100 * found['exact']:.1f} %, "
              f"BLEU {100 * found['bleu']:.1f}")
        use_decoding(model, text.decoding)
        finish(model, run, samples=args.samples, seed=args.seed, title=f"{args.recipe} on {args.data}")


if __name__ == "__main__":
    main()
