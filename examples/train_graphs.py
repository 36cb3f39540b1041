"""Train a latent score-based model of graphs end to end, measure it and write a report.

    accelerate launch examples/train_graphs.py                      # fresh community graphs, no file, no network
    accelerate launch examples/train_graphs.py --data mine.jsonl    # your own graphs

Run again with the same arguments, it goes on where it stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import latentgen
from latentgen.hooks import draw_samples, finish
from modalities.graphs import Graphs


def arguments() -> argparse.Namespace:
    """Command-line arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", default="communities", help="communities, planar, trees, sbm, grids, or the path of your graphs")
    add("--run", type=Path, default=None, help="run folder (default: runs/graphs-<data>)")
    add("--recipe", choices=("lsgm", "two-stage", "vae"), default="lsgm", help="what to train")
    add("--steps", type=int, default=1200, help="optimizer steps (of each stage)")
    add("--batch-size", type=int, default=64, help="graphs a step and process")
    add("--kl-weight", type=float, default=0.03, help="final weight of the latent terms")
    add("--draws", action="store_true", help="draw edges from their probabilities: for block models, whose edges are "
        "random given the blocks; the KL weight then rises late, and 0.3 is a good one")
    add("--corruption", type=float, default=0.0, help="largest probability with which the encoder sees a pair drawn "
        "anew in training: for models that mend the samples of others by model.reread")
    add("--condition", choices=("label",), default=None, help="train a class-conditional model, by graph_label")
    add("--protocol", choices=("spectre", "gdss", "molecules"), default="spectre", help="figures to compute")
    add("--valid", default="connected", help="validity rule: connected, planar, tree, sbm_lite, community")
    add("--samples", type=int, default=1000, help="graphs generated for each row of the table")
    add("--seed", type=int, default=0, help="of data order, noise and samples")
    add("--threads", type=int, default=1, help="CPU threads of a process; small models are fastest with one")
    add("--precision", choices=("no", "bf16"), default="no", help="fp32 or bf16 autocast")
    return parser.parse_args()


def main() -> None:
    """Train, evaluate, report."""
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    run = args.run or Path("runs") / f"graphs-{Path(args.data).stem}"
    graphs = Graphs(
        data=args.data, protocol=args.protocol, valid=args.valid, draws=args.draws, corruption=args.corruption,
        condition=args.condition,
    )
    for note in graphs.collection.notes:
        print(note)
    print(f"{len(graphs.dataset('train'))} training graphs of at most {graphs.latents.shape[0]} nodes; "
          f"{torch.get_num_threads()} CPU thread(s)")
    options = latentgen.TrainingOptions(
        steps=args.steps,
        batch_size=args.batch_size,
        lr=2e-3,
        autoencoder_lr=2e-3,
        warmup=0.03,
        seed=args.seed,
        precision=args.precision,
    )
    kl_weight = latentgen.Schedule(5e-4, args.kl_weight)
    if args.draws:
        kl_weight = latentgen.Schedule(1e-3, args.kl_weight, portion=0.8, begins=0.4)
    if args.recipe == "lsgm":
        recipe: latentgen.Recipe = latentgen.LSGM(kl_weight=kl_weight)
    else:
        recipe = latentgen.VAE(kl_weight=kl_weight)
    if args.recipe == "two-stage":
        first = recipe.prepare(graphs)
        latentgen.Trainer(first.model, first.objectives, run / "autoencoder", options).fit()
        recipe = latentgen.LatentDiffusion(str(run / "autoencoder"))
    prepared = recipe.prepare(graphs)
    trainer = latentgen.Trainer(
        prepared.model, prepared.objectives, run, options, hooks=[draw_samples(max(1, args.steps // 6))]
    )
    model = trainer.fit()
    if trainer.accelerator.is_main_process:
        finish(model, run, samples=args.samples, seed=args.seed, title=f"{args.recipe} on {args.data}")


if __name__ == "__main__":
    main()
