"""Images as a data set: one tensor of bytes, whole batches by indexing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from latentgen.tensors import Batch

from .readers import ImageSet

REDRAWS = 64
"""Binarisations of one training image."""


class PixelData:
    """Images by number; ``__getitems__`` gives whole batches.

    With ``binarize`` every pixel is drawn, 255 with the probability of its grey value, else 0. Numbers beyond the
    count of images name further draws of the same images (number k is draw k // N of image k mod N), so that an example
    is a function of its number alone: the same on every process, in every worker, after every resume.

    Args:
        images: the images.
        classes: size of the one-hot condition; 0 for none.
        binarize: whether pixels are drawn.
        redraws: draws of each image.
        seed: of the draws.

    Raises:
        ValueError: if ``classes`` are asked of images without labels.
    """

    def __init__(
        self, images: ImageSet, classes: int = 0, binarize: bool = False, redraws: int = 1, seed: int = 0
    ) -> None:
        if classes and images.labels is None:
            raise ValueError(f"classes is {classes}, and the images have no labels; give 0, or images with labels.")
        self.images, self.classes, self.seed = images, classes, seed
        self.binarize, self.redraws = binarize, redraws if binarize else 1

    def __len__(self) -> int:
        return len(self.images) * self.redraws

    def __getitem__(self, number: int) -> Batch:
        """One example: ``x`` uint8 [C, H, W] and, with classes, ``condition`` float32 [K]."""
        if not -len(self) <= number < len(self):
            raise IndexError(f"number is {number} for {len(self)} images; correct it.")
        return {key: value[0] for key, value in self.__getitems__([number % len(self)]).items()}

    def __getitems__(self, numbers: Sequence[int]) -> Batch:
        """A batch: ``x`` uint8 [B, C, H, W] and, with classes, ``condition`` float32 [B, K], one-hot."""
        drawn = torch.as_tensor(numbers, dtype=torch.long)
        places = drawn % len(self.images)
        x = self.images.pixels[places]
        batch = {"x": binarized(x, drawn, self.seed) if self.binarize else x}
        if self.classes:
            assert self.images.labels is not None
            batch["condition"] = torch.nn.functional.one_hot(self.images.labels[places], self.classes).float()
        return batch


def binarized(x: Tensor, numbers: Tensor, seed: int = 0) -> Tensor:
    """Draw pixels: 255 with probability x / 255, else 0.

    Args:
        x: uint8, shape [B, *X].
        numbers: of the draws, int64, shape [B].
        seed: of all draws.

    Returns:
        uint8, shape [B, *X].
    """
    size = x[0].numel()
    counter = (numbers[:, None] * size + torch.arange(size)).numpy().astype(np.uint64)
    uniform = torch.from_numpy(splitmix(counter, seed)).reshape(x.shape)
    return (uniform * 255 < x).to(torch.uint8) * 255


def splitmix(counter: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.float32]:
    """Uniform numbers in [0, 1) as a function of counter and seed: SplitMix64 (Steele, Lea, Flood 2014)."""
    with np.errstate(over="ignore"):
        state = (counter + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + _start(seed)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return (state >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)


def _start(seed: int) -> np.uint64:
    """A place far from those of other seeds."""
    return np.uint64(np.random.SeedSequence(seed % 2**64).generate_state(1, np.uint64)[0])
