"""A feature map of sentences that needs no download: hashed word n-grams, projected."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from latentgen.metrics import FeatureMap
from latentgen.tensors import Batch

from .ngrams import grams, words

BUCKETS = 4096


class NGramFeatures:
    """ln(1 + count) of hashed 1-, 2- and 3-grams of words, times a fixed random matrix; and the number of words.

    Args:
        size: F, the number of features.
    """

    def __init__(self, size: int = 128) -> None:
        self.size = size
        generator = torch.Generator().manual_seed(0)
        self.matrix = torch.randn(BUCKETS, size - 1, generator=generator) / math.sqrt(size)

    def vectors(self, sentences: Sequence[str]) -> Tensor:
        """Shape [B, F]."""
        found = torch.zeros(len(sentences), self.size)
        for row, sentence in enumerate(sentences):
            tokens = words(sentence)
            counts = torch.zeros(BUCKETS)
            for n in (1, 2, 3):
                for gram in grams(tokens, n):
                    counts[_bucket(" ".join(gram))] += 1
            found[row, :-1] = torch.log1p(counts) @ self.matrix
            found[row, -1] = len(tokens) / 10
        return found


def _bucket(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") % BUCKETS


class SentenceFeatures(FeatureMap):
    """A function of strings as a feature map of batches.

    Args:
        features: makes vectors of strings.
        texts: makes strings of a batch.
    """

    def __init__(self, features: NGramFeatures, texts: Callable[[Batch], list[str]]) -> None:
        self.features, self.texts = features, texts

    @property
    def name(self) -> str:
        """With its sizes."""
        return f"{self.features.size} projections of hashed word 1- to 3-grams"

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Tensor:
        """Shape [B, F] for ``tokens`` int64 [B, L]."""
        return self.features.vectors(self.texts(batch))
