"""Trains the toy modality with noise that is a function of the data; used by tests as a program.

Arguments: run folder, batch size of a process. The sampled numbers do not depend on how examples are dealt to
processes, so two processes with half of the batch each must do what one process does with all of it.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import torch
from torch import Tensor
from toy import Toy

import latentgen
from latentgen import autoencoder, distributions, objective
from latentgen.objective import JointELBO, Losses


class FromData(latentgen.TimeSampler):
    """Uniform times read off the examples of the current batch."""

    batch: Tensor

    def quantile(self, process, rho):
        return latentgen.UniformTimes().quantile(process, rho)

    def __call__(self, n, process, device=None):
        return self.quantile(process, (self.batch[:, 0] * 57.3).sin() ** 2)


TIMES = FromData()


class Fixed(JointELBO):
    """The joint objective that tells the current batch."""

    def forward(self, batch) -> Losses:
        TIMES.batch = batch["x"]
        return super().forward(batch)


def noise(z: Tensor) -> Tensor:
    """A rough standard normal that depends on the example alone."""
    return 1.4 * torch.sin(911.0 * TIMES.batch + torch.arange(2))


class Patched:
    """The torch package with other normal noise."""

    def __getattr__(self, name: str) -> object:
        return noise if name == "randn_like" else getattr(torch, name)


def main(run: str, batch_size: int) -> None:
    """Train eight steps."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for module in (distributions, objective, autoencoder):
        module.torch = Patched()
    modality = Toy(dropout=0.0)
    prepared = latentgen.LSGM(width=32, depth=1, heads=2).prepare(modality)
    model = prepared.model
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    joint = Fixed(model.autoencoder, model.prior, latentgen.UnweightedWeighting(), TIMES, 0.5, spectral=0.1)
    options = latentgen.TrainingOptions(steps=8, batch_size=batch_size, warmup=0.0, optimizer="adamw")
    latentgen.Trainer(model, [joint], run, options, quiet=True).fit()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
