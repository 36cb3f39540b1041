"""The text modality: sentences, a tokenizer, latents, figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from latentgen.autoencoder import Autoencoder
from latentgen.latents import LatentSpec
from latentgen.metrics import FeatureMap
from latentgen.modality import Modality
from latentgen.tensors import Batch

from .dataset import TokenData
from .decoding import Decoding
from .evaluator import CausalEvaluator, Evaluator, TrigramEvaluator
from .features import NGramFeatures, SentenceFeatures
from .figures import BETTER, text_figures
from .grammar import accepts
from .networks import DecoderName, SentenceAutoencoder
from .readers import read_sentences
from .tokenizer import Tokenizer


class Text(Modality):
    """Sentences of at most ``length`` tokens. A batch has ``tokens``, int64 [B, L]: text, an end token, padding.

    Args:
        data: "grammar" (embedded), a path, ``hf:NAME``, or lists of strings (see ``modalities.text.readers``).
        column: of a table.
        tokenizer: name or path of a pretrained one for ``transformers``; None trains a byte-level BPE on the data.
        vocabulary: size of a trained tokenizer.
        length: L, the longest sentence in tokens, its end included; longer ones are left out of training, and cut in
            the other parts.
        limit: use at most this many training sentences.
        train_size: sentences that "grammar" draws for training.
        test_size: sentences that "grammar" draws for testing.
        tokens: K, the number of latent tokens.
        latent: size of a latent token.
        width: of the autoencoder.
        depth: layers of encoder and decoder.
        heads: attention heads of the autoencoder.
        decoder: "parallel" or "autoregressive".
        token_dropout: share of words that are hidden in training.
        evaluator: name or path of a causal language model for ``transformers`` that measures perplexity; None takes a
            Kneser-Ney trigram model of the training sentences.
        decoding: how sentences are read off a decoder: greedy unless given, or sampled, by beam search, or with the
            least Bayes risk (``modalities.text.decoding``).
    """

    def __init__(
        self,
        data: Any = "grammar",
        column: str | None = None,
        tokenizer: str | None = None,
        vocabulary: int = 2000,
        length: int = 32,
        limit: int | None = None,
        train_size: int = 20_000,
        test_size: int = 2000,
        tokens: int = 8,
        latent: int = 16,
        width: int = 128,
        depth: int = 2,
        heads: int = 4,
        decoder: DecoderName = "parallel",
        token_dropout: float = 0.0,
        evaluator: str | None = None,
        decoding: Decoding | None = None,
    ) -> None:
        if decoder not in ("parallel", "autoregressive"):
            raise ValueError(f"decoder is {decoder!r}; choose parallel or autoregressive.")
        if length < 2:
            raise ValueError(f"length is {length}; a sentence has at least a token and its end, give 2 or more.")
        self.data, self.column, self.length, self.limit = data, column, length, limit
        self.pretrained, self.vocabulary = tokenizer, vocabulary
        self.train_size, self.test_size = train_size, test_size
        self.tokens, self.latent, self.width, self.depth, self.heads = tokens, latent, width, depth, heads
        self.decoder: DecoderName = decoder
        self.token_dropout = token_dropout
        self.evaluator, self.decoding = evaluator, decoding
        self._judges: dict[int, Evaluator] = {}
        self._state: dict[str, Tensor] = {}
        self._sentences: dict[str, list[str]] = {}
        self._sets: dict[str, TokenData] = {}

    def sentences(self, split: str) -> list[str]:
        """The sentences of "train", "valid" or "test", as read."""
        if self.data is None:
            raise ValueError("data is None; a model loaded from a file has no data: build Text(data=...) for that.")
        if split not in self._sentences:
            self._sentences[split] = self._read(split)
        return self._sentences[split]

    def _read(self, split: str) -> list[str]:
        if isinstance(self.data, str) and self.data == "grammar":
            from .grammar import sentences

            size, seed = (self.train_size, 0) if split == "train" else (self.test_size, 1 if split == "test" else 2)
            return sentences(size, seed)
        found = read_sentences(self.data, split, self.column)
        return found[: self.limit] if split == "train" and self.limit else found

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """Trained on the training sentences, loaded by name, or taken from a stored model."""
        if self.pretrained is not None:
            return Tokenizer.from_pretrained(self.pretrained)
        if "tokenizer" in self._state:
            return Tokenizer.from_tensor(self._state["tokenizer"])
        return Tokenizer.train(self.sentences("train"), self.vocabulary)

    @property
    def latents(self) -> LatentSpec:
        """A sequence of K tokens."""
        return LatentSpec((self.tokens, self.latent), "sequence")

    def state(self) -> dict[str, Tensor]:
        """``tokenizer``, its JSON as bytes, unless it is a pretrained one."""
        return {} if self.pretrained is not None else {"tokenizer": self.tokenizer.to_tensor()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`state` gave."""
        self._state = dict(state)
        self.__dict__.pop("tokenizer", None)

    def dataset(self, split: str) -> TokenData:
        """Tokens of "train", "valid" or "test"."""
        if split not in self._sets:
            self._sets[split] = TokenData(self.sentences(split), self.tokenizer, self.length, split == "train")
        return self._sets[split]

    def autoencoder(self) -> Autoencoder:
        """Transformers around a Perceiver resampler."""
        return SentenceAutoencoder(
            len(self.tokenizer), self.length, self.tokens, self.latent, self.width, self.depth, self.heads,
            self.decoder, self.token_dropout, decoding=self.decoding,
        )

    def texts(self, batch: Batch) -> list[str]:
        """The sentences of a batch."""
        return self.tokenizer.decode(batch["tokens"].cpu())

    def batch(self, sentences: Sequence[str]) -> Batch:
        """A batch of given sentences; longer ones than L tokens are cut."""
        return {"tokens": self.tokenizer.encode(list(sentences), self.length)}

    def feature_map(self) -> FeatureMap:
        """Hashed word n-grams."""
        return SentenceFeatures(NGramFeatures(), self.texts)

    def evaluate(self, generated: Batch, reference: Batch, train: Batch) -> dict[str, float]:
        """Figures of text; with "grammar" also the share of sentences that the grammar accepts."""
        made = self.texts(generated)
        known = self.sentences("train") if self.data is not None else self.texts(train)
        figures = text_figures(made, self.texts(reference), known, self.judge(known))
        if self.data == "grammar":
            figures = {"valid": sum(map(accepts, made)) / len(made), **figures}
        return figures

    def judge(self, train: Sequence[str]) -> Evaluator:
        """The evaluator of perplexity; a trigram model is trained once for the same sentences."""
        key = 0 if self.evaluator is not None else hash(tuple(train))
        if key not in self._judges:
            causal = self.evaluator
            self._judges[key] = CausalEvaluator(causal) if causal is not None else TrigramEvaluator(train)
        return self._judges[key]

    def better(self) -> dict[str, str]:
        """Valid, unique and new sentences: higher; the rest as for text."""
        return {"valid": "higher", **BETTER}

    def axes(self) -> dict[str, str]:
        """Quality: validity, or the divergence frontier; coverage: that of features."""
        return {"quality": "valid" if self.data == "grammar" else "mauve", "coverage": "coverage"}

    def render(self, batch: Batch, path: Path) -> None:
        """Write the first 16 sentences as a picture."""
        from .render import draw_sentences

        draw_sentences(self.texts(batch)[:16], path)


def exact_share(a: Batch, b: Batch) -> float:
    """Share of sentences that are equal, token by token, in two batches of ``tokens`` [B, L]."""
    return float((a["tokens"].cpu() == b["tokens"].cpu()).all(dim=1).double().mean())


def nats_a_token(nats: float, batch: Batch) -> float:
    """Nats a sentence over the mean number of tokens, ends included."""
    from .likelihood import until_end

    return nats / float(until_end(torch.as_tensor(batch["tokens"])).sum(dim=1).double().mean())
