"""The 25 Gaussians on a grid."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from latentgen.autoencoder import Autoencoder, IdentityAutoencoder
from latentgen.latents import LatentSpec
from latentgen.metrics import mode_statistics
from latentgen.modality import Modality
from latentgen.tensors import Batch

TRAIN_SEED, TEST_SEED = 0, 1


class Points:
    """Points in the plane, whole batches at a time.

    Args:
        x: shape [N, 2].
    """

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def __len__(self) -> int:
        return len(self.x)

    def __getitems__(self, numbers: list[int]) -> Batch:
        """A batch by numbers."""
        return {"x": self.x[numbers]}

    def __getitem__(self, number: int) -> Batch:
        """One point."""
        return {"x": self.x[number]}


class GaussianGrid(Modality):
    """Equal Gaussians on a square grid, scaled to about unit variance; the data are the latents.

    With 5 x 5 modes at distance 1 and standard deviation 0.05 this is the usual toy problem of generative adversarial
    networks.

    Args:
        side: modes along an axis.
        std: standard deviation of a mode, as a share of the distance between modes.
        train_size: number of training points.
        test_size: number of test points.
    """

    def __init__(
        self, side: int = 5, std: float = 0.05, train_size: int = 20_000, test_size: int = 10_000
    ) -> None:
        if side < 2:
            raise ValueError(f"side is {side}; a grid has at least 2 modes along an axis.")
        if not 0 < std < 1 / 6:
            raise ValueError(f"std is {std}; give a number between 0 and 1/6, so that modes stay 3 sigma apart.")
        self.side, self.std, self.train_size, self.test_size = side, std, train_size, test_size
        # variance of side evenly spaced places at distance 1, plus that of a mode
        self.scale = ((side**2 - 1) / 12 + std**2) ** 0.5

    @property
    def latents(self) -> LatentSpec:
        """A vector of 2."""
        return LatentSpec((2,))

    def autoencoder(self) -> Autoencoder:
        """None: the identity with a noise floor of 1/50 of a mode's width."""
        return IdentityAutoencoder(std=self.std / self.scale / 50)

    def dataset(self, split: str) -> Points:
        """Points of "train" or "test", each from a seed of its own."""
        if split == "train":
            return Points(_draw(self.side, self.std, self.train_size, TRAIN_SEED) / self.scale)
        return Points(_draw(self.side, self.std, self.test_size, TEST_SEED) / self.scale)

    def modes(self, x: Tensor) -> Tensor:
        """Number of the mode within 3 sigma of each point [N, 2], or -1; shape [N]."""
        grid = x * self.scale + (self.side - 1) / 2
        nearest = grid.round().clamp(0, self.side - 1)
        near = (grid - nearest).norm(dim=1) < 3 * self.std
        number = (nearest[:, 0] * self.side + nearest[:, 1]).long()
        return torch.where(near, number, -torch.ones_like(number))

    def evaluate(self, generated: Batch, reference: Batch, train: Batch) -> dict[str, float]:
        """``modes`` hit, share ``within`` 3 sigma of one (98.9 % of real ones), ``mode_kl`` of their weights (nats)."""
        numbers = self.modes(generated["x"])
        return {"within": float((numbers >= 0).float().mean()), **mode_statistics(numbers, self.side**2)}

    def better(self) -> dict[str, str]:
        """Modes and share: higher; KL: lower."""
        return {"within": "higher", "modes": "higher", "mode_kl": "lower"}

    def axes(self) -> dict[str, str]:
        """Quality: the share within 3 sigma; coverage: the modes' weights."""
        return {"quality": "within", "coverage": "mode_kl"}

    def render(self, batch: Batch, path: Path) -> None:
        """Points over real ones."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(4, 4), layout="constrained")
        axes = figure.subplots()
        for x, color, name in ((self.dataset("test").x[:2000], "0.75", "data"), (batch["x"].cpu(), "C0", "shown")):
            axes.scatter(x[:, 0], x[:, 1], s=3, color=color, linewidths=0, label=name)
        axes.set(xlim=(-2.2, 2.2), ylim=(-2.2, 2.2), aspect="equal")
        axes.legend(loc="upper right", markerscale=3, fontsize="small")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110)


@cache
def _draw(side: int, std: float, count: int, seed: int) -> Tensor:
    """Points [count, 2] at mode distance 1, centred."""
    generator = torch.Generator().manual_seed(seed)
    place = torch.randint(side, (count, 2), generator=generator).float() - (side - 1) / 2
    return place + std * torch.randn(count, 2, generator=generator)
