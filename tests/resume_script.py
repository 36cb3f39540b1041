"""Trains the toy modality; used by tests as a program.

Arguments: run folder, steps, step at which to kill (or -1), and "lsgm", "gan" or "joint".
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import torch
from toy import Toy

import latentgen


def recipe(kind: str) -> latentgen.Recipe:
    """A small recipe: a score prior, a denoising diffusion GAN that trains its autoencoder, or both."""
    lsgm = latentgen.LSGM(width=16, depth=1, heads=2, kl_weight=0.1)
    gan = latentgen.DDGAN(2, width=16, depth=1, discriminator_depth=1, r1_interval=3)
    return {"lsgm": lsgm, "gan": gan, "joint": latentgen.JointDDGAN(lsgm, gan, begins=0.2)}[kind]


def main(run: str, steps: int, kill_at: int, kind: str) -> None:
    """Train; at the given step all processes of the group are killed without warning."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    prepared = recipe(kind).prepare(Toy())
    options = latentgen.TrainingOptions(
        steps=steps, batch_size=8, checkpoint_every=5, log_every=2, accumulation=2, workers=0
    )

    def kill(trainer: latentgen.Trainer) -> None:
        if trainer.step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    latentgen.Trainer(prepared.model, prepared.objectives, run, options, hooks=[kill], quiet=True).fit()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
