"""The contract of a modality: all that a data type must say, and nothing about training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from .autoencoder import Autoencoder
from .component import Component
from .latents import LatentSpec
from .metrics import FeatureMap, FlattenFeatures
from .tensors import Batch


class Metric(Protocol):
    """Compares generated with real data."""

    def update(self, real: Batch, generated: Batch) -> None:
        """Take in one pair of batches."""

    def compute(self) -> dict[str, float]:
        """The figures by name."""


class Dataset(Protocol):
    """A finite collection of examples by number."""

    def __len__(self) -> int:
        """Number of examples."""

    def __getitem__(self, index: int) -> Any:
        """One example, in whatever form ``collate`` takes."""


class Modality(Component, ABC):
    """A data type: its data, its latent, its autoencoder, its metrics, its pictures.

    Batches are dictionaries of tensors with the batch dimension first. Two keys have a meaning to the framework:
    ``mask`` [B, N] (True where an item is real, for masked latents) and ``condition`` [B, F] (what a conditional model
    is given).

    Attributes:
        condition_dim: size F of the condition, 0 for unconditional data.
        classes: names of the classes of a one-hot condition, in their order, where there are names.
        draws: whether generated and reconstructed data are drawn from the likelihood, instead of its mode, unless the
            caller says otherwise. Right where the likelihood is a law of its own and not a little noise on one answer:
            a random graph with few edges has none at all as its most probable one.
        held_out: whether tables have a row of test examples too, judged against the other test examples. Right where
            figures look for what was copied from training, by which training examples themselves cannot be judged.
    """

    condition_dim: int = 0
    classes: tuple[str, ...] = ()
    draws: bool = False
    held_out: bool = False

    @property
    @abstractmethod
    def latents(self) -> LatentSpec:
        """What the latent looks like."""

    @abstractmethod
    def dataset(self, split: str) -> Dataset:
        """The examples of "train" or "test"; the same on every call and on every process."""

    @abstractmethod
    def autoencoder(self) -> Autoencoder:
        """A new, untrained autoencoder."""

    def collate(self, items: Sequence[Any]) -> Batch:
        """Stack examples that are dictionaries of equally shaped tensors; override for anything else."""
        return {key: torch.stack([item[key] for item in items]) for key in items[0]}

    def sample_mask(self, u: Tensor) -> Tensor | None:
        """Draw the items' masks of new samples, for masked latents.

        Args:
            u: one uniform number in [0, 1) a sample, shape [n]; the mask is a function of it, so that sample i does
                not depend on how many others are drawn.

        Returns:
            Mask [n, N], or None where latents have no mask.
        """
        return None

    def conditional_mask(self, u: Tensor, condition: Tensor | None) -> Tensor | None:
        """:meth:`sample_mask` for samples under a condition, where sizes depend on it. Default: they do not.

        Args:
            u: as in :meth:`sample_mask`, shape [n].
            condition: shape [n, F], a row of NaN for no condition; None for an unconditional model.
        """
        return self.sample_mask(u)

    def evaluate(self, generated: Batch, reference: Batch, train: Batch) -> dict[str, float]:
        """Figures of generated data against reference data; ``train`` is there for novelty. Default: none."""
        return {}

    def notes(self) -> list[str]:
        """Sentences below every table of these figures, such as the network that they see with. Default: none."""
        return []

    def better(self) -> dict[str, str]:
        """For every figure of :meth:`evaluate`, "lower" or "higher"."""
        return {}

    def feature_map(self) -> FeatureMap:
        """What metrics on features see of a batch. Default: the batch's own tensors."""
        return FlattenFeatures(items=self.latents.shape[0] if self.latents.masked else None)

    def features_from(self, path: str | Path) -> FeatureMap:
        """A feature map whose network lies in a file, for those who ask for it by ``--features PATH``.

        Raises:
            ValueError: if the modality knows no such files.
        """
        raise ValueError(f"features is {str(path)!r}, and {type(self).__name__} reads no feature maps; leave it out.")

    def use_features(self, features: FeatureMap) -> None:
        """Let all figures be computed on this feature map. Default: :meth:`feature_map` gives it from now on."""
        self.__dict__["feature_map"] = lambda: features

    @property
    def dimensions(self) -> int | None:
        """Numbers an example is made of, for bits per dimension; None, the default, where that says nothing."""
        return None

    def axes(self) -> dict[str, str]:
        """Which figure, of :meth:`evaluate` or of ``latentgen.metrics.BETTER``, is "quality" and which "coverage"."""
        return {"quality": "frechet", "coverage": "coverage"}

    def render(self, batch: Batch, path: Path) -> None:
        """Draw a grid of examples as a PNG. Default: nothing."""

    def export(self, batch: Batch, folder: Path) -> list[Path]:
        """Write every example into a folder, as files of the data's own kind that :meth:`dataset` could read.

        ``latentgen sample`` writes its samples this way. Default: nothing.

        Args:
            batch: the examples.
            folder: exists already; files of an earlier export may be there and are replaced.

        Returns:
            What was written: a file, or a folder with a file for each example.
        """
        return []

    def state(self) -> dict[str, Tensor]:
        """What was learned from the data and must be stored with the model, such as sizes."""
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`state` gave."""
