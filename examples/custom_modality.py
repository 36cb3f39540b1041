"""A modality of one's own in 60 lines: points on a plane, from a 5 x 5 grid of Gaussians.

accelerate launch examples/custom_modality.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor

import latentgen
from latentgen import MLP, VPSDE, Autoencoder, Batch, DiagonalGaussian, LatentSpec, LogNormalWeighting, Modality
from latentgen import NormalLikelihood as Normal


class PointAutoencoder(Autoencoder):
    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.encoder, self.decoder = MLP(2, width, width, 4), MLP(2, width, width, 2)

    def encode(self, batch: Batch) -> DiagonalGaussian:
        mean, log_std = self.encoder(batch["x"]).chunk(2, dim=-1)
        return DiagonalGaussian(mean, log_std.clamp(-5, 2).exp())

    def decode(self, z: Tensor, mask: Tensor | None = None) -> Normal:
        return Normal(self.decoder(z), std=0.05)


class Gaussians(Modality):
    latents = LatentSpec((2,))

    def dataset(self, split: str) -> list[Batch]:
        generator = torch.Generator().manual_seed(0 if split == "train" else 1)
        centers = torch.cartesian_prod(torch.arange(-2.0, 3.0), torch.arange(-2.0, 3.0))
        picked = centers[torch.randint(25, (5000,), generator=generator)]
        return [{"x": x} for x in picked + 0.05 * torch.randn(5000, 2, generator=generator)]

    def autoencoder(self) -> Autoencoder:
        return PointAutoencoder()

    def evaluate(self, generated: Batch, reference: Batch, train: Batch) -> dict[str, float]:
        offset = (generated["x"] - generated["x"].round().clamp(-2, 2)).norm(dim=1)
        modes = {tuple(row) for row in generated["x"][offset < 0.15].round().long().tolist()}
        return {"within 3 sigma": float((offset < 0.15).float().mean()), "modes": float(len(modes))}

    def render(self, batch: Batch, path: Path) -> None:
        from matplotlib.figure import Figure

        axes = (figure := Figure(figsize=(5, 5))).subplots()
        real = torch.stack([item["x"] for item in self.dataset("test")])
        for points, name in ((real, "data"), (batch["x"].cpu(), "samples")):
            axes.scatter(points[:, 0], points[:, 1], s=2, label=name)
        axes.legend()
        figure.savefig(path)


def main(steps: int = 2000, run: str = "runs/gaussians") -> None:
    modality = Gaussians()
    weighting = LogNormalWeighting(3.0, 2.0)
    recipe = latentgen.LSGM(VPSDE(t_min=1e-3), kl_weight=0.1, weighting=weighting, width=128, depth=3)
    prepared = recipe.prepare(modality)
    options = latentgen.TrainingOptions(steps=steps, batch_size=128, lr=2e-3)
    model = latentgen.Trainer(prepared.model, prepared.objectives, run, options).fit()
    (Path(run) / "samples").mkdir(parents=True, exist_ok=True)
    modality.render(model.sample(2000, batch_size=2000), Path(run) / "samples" / "generated.png")
    result = latentgen.evaluate(model, samples=2000, calls=(4, 10, 25), title="25 Gaussians")
    print(latentgen.format_table(result))


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    main(*(int(word) if word.isdigit() else word for word in sys.argv[1:]))
