"""The embedded default: the 1,797 handwritten digits that scikit-learn ships."""

from __future__ import annotations

import numpy as np
import torch

from modalities.images.readers.decoding import Decoding
from modalities.images.readers.image_set import ImageSet, Parts

LEVELS = 16
"""The largest of their grey values, which count the inked pixels of 4 x 4 blocks."""


def read_digits(decoding: Decoding) -> Parts:
    """Real digits of 8 x 8 cells with 17 grey values, spread over 0 to 255 (Alpaydin and Kaynak 1998).

    Raises:
        ImportError: if scikit-learn is missing.
    """

    def read() -> ImageSet:
        try:
            from sklearn.datasets import load_digits
        except ImportError as error:
            raise ImportError('data "digits" needs scikit-learn; pip install "latentgen[images]".') from error
        found = load_digits()
        pixels = np.round(found.images * (255 / LEVELS)).astype(np.uint8)[:, None]
        return ImageSet(decoding.array(pixels, "digits"), torch.from_numpy(found.target.astype(np.int64)))

    return {"": read}
