"""Stacked MNIST: three random digits on three channels, 1,000 modes that a classifier of digits can count."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from latentgen.metrics import mode_statistics
from latentgen.tensors import Batch

from .classifier import Classifier, load_classifier
from .modality import Images, LatentName
from .networks import LikelihoodName
from .readers import ImageSet

STACKED = 3
TRAIN_TRIPLES, TEST_TRIPLES = 120_000, 25_600


class Triples:
    """Random triples of grey images on three channels, a function of the seed; whole batches at a time.

    Args:
        digits: grey images, [N, 1, H, W].
        count: number of triples.
        seed: of the triples.
    """

    def __init__(self, digits: ImageSet, count: int, seed: int) -> None:
        self.digits = digits
        self.chosen = torch.randint(len(digits), (count, STACKED), generator=torch.Generator().manual_seed(seed))

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitems__(self, numbers: Sequence[int]) -> Batch:
        """A batch: ``x`` uint8 [B, 3, H, W]."""
        return {"x": self.digits.pixels[self.chosen[list(numbers)], 0]}

    def __getitem__(self, number: int) -> Batch:
        """One triple: ``x`` uint8 [3, H, W]."""
        return {"x": self.digits.pixels[self.chosen[number], 0]}


class StackedDigits(Images):
    """Stacked MNIST (Metz et al. 2017): random triples of digits, padded to 32 x 32.

    Figures are the modes hit among 1,000 and the divergence of their frequencies from uniform ones, read by a
    classifier of single digits, and those of images on its features, channel by channel.

    Args:
        data: single grey digits with labels 0 to 9, as for :class:`Images`: the folder of MNIST's idx files.
        pad: rows and columns of zeros put on every side of a digit.
        size: height and width to resize digits to, before ``pad``.
        triples: number of training triples.
        test_triples: number of test triples, of test digits.
        classifier: file of a classifier of single digits (``modalities.images.classifier``); without it there are no
            figures.
        seed: of the triples.
        likelihood: of pixels.
        components: of a mixture.
        layout: of the latent.
        latent: of :class:`Images`.
        halvings: of :class:`Images`.
        width: of the autoencoder.
        depth: of the autoencoder.
    """

    def __init__(
        self,
        data: Any = None,
        pad: int = 2,
        size: int | None = None,
        triples: int = TRAIN_TRIPLES,
        test_triples: int = TEST_TRIPLES,
        classifier: str | Path | None = None,
        seed: int = 0,
        likelihood: LikelihoodName = "bernoulli",
        components: int = 5,
        layout: LatentName = "grid",
        latent: int = 8,
        halvings: int | None = None,
        width: int = 16,
        depth: int = 1,
    ) -> None:
        super().__init__(
            data, size, pad, 1, likelihood=likelihood, components=components, layout=layout, latent=latent,
            halvings=halvings, width=width, depth=depth, features=classifier, seed=seed,
        )
        self.triples, self.test_triples = triples, test_triples

    def _learned(self) -> dict[str, Tensor]:
        if not self._state:
            height, width = self.images("train").pixels.shape[2:]
            self._state = {"shape": torch.tensor([STACKED, height, width]), "classes": torch.tensor([0])}
        return self._state

    def dataset(self, split: str) -> Triples:  # type: ignore[override]
        """Triples of "train" or "test", each of the digits of that part."""
        train = split == "train"
        return Triples(self.images(split), self.triples if train else self.test_triples, 2 * self.seed + (not train))

    @cached_property
    def classifier(self) -> Classifier:
        """The classifier of single digits.

        Raises:
            ValueError: if none was given.
        """
        if self.features is None:
            raise ValueError("classifier is None; give the file of a classifier of single digits.")
        return load_classifier(self.features)

    def modes(self, x: Tensor) -> Tensor:
        """The number 0 ... 999 that the three digits of each image [B, 3, H, W] read, int64 [B]."""
        classifier = self.classifier.to(x.device)
        digits = classifier.predict(x.reshape(-1, 1, *x.shape[2:])).reshape(-1, STACKED)
        return (digits * torch.tensor([100, 10, 1], device=digits.device)).sum(1)

    def evaluate(self, generated: Batch, reference: Batch, train: Batch) -> dict[str, float]:
        """``modes`` hit, ``mode_kl`` (nats) of their weights, and the figures of images."""
        if self.features is None:
            return super().evaluate(generated, reference, train)
        return {**mode_statistics(self.modes(generated["x"]), 1000), **super().evaluate(generated, reference, train)}

    def better(self) -> dict[str, str]:
        """Modes: higher; divergence: lower; the rest as for images."""
        return {"modes": "higher", "mode_kl": "lower", **super().better()}

    def axes(self) -> dict[str, str]:
        """Quality: the Frechet distance; coverage: the modes' weights."""
        return {"quality": "frechet", "coverage": "coverage" if self.features is None else "mode_kl"}
