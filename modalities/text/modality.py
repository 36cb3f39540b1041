"""The text modality: sentences, a tokenizer, latents, figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from latentgen.autoencoder import Autoencoder
from latentgen.class_names import PACKED, pack_names
from latentgen.export import away_from_data
from latentgen.latents import LatentSpec
from latentgen.metrics import FeatureMap
from latentgen.modality import Modality
from latentgen.tensors import Batch

from .classes import class_names, one_hot, stored_names
from .dataset import TokenData
from .decoding import Decoding
from .evaluator import CausalEvaluator, Evaluator, TrigramEvaluator
from .features import NGramFeatures, SentenceFeatures
from .figures import BETTER, text_figures
from .grammar import accepts
from .likelihood import BOS, EOS, PAD, until_end
from .networks import DecoderName, SentenceAutoencoder
from .readers import kept, read_labelled
from .tokenizer import LEAST, Tokenizer


class Text(Modality):
    """Sentences of at most ``length`` tokens. A batch has ``tokens``, int64 [B, L]: text, an end token, padding.

    Args:
        data: "grammar" (embedded), a path, ``hf:NAME``, or strings (see ``modalities.text.readers``).
        column: of a table.
        tokenizer: name or path of a pretrained one for ``transformers``; None takes that of ``pretrained``, or trains
            a byte-level BPE on the data.
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
        latent_noise: share of the sentences whose latents the decoder reads through noise in training, so that a
            ``Decoding`` may have a ``noise``; .25 serves an autoregressive decoder well, 0 is without.
        free_nats: floor of the rate, nats a latent dimension, against posterior collapse (``PosteriorLimits``).
        pretrained: name or path of an encoder-decoder for ``transformers`` (BART, T5, FLAN-T5) to build on, instead of
            small networks from scratch; ``depth`` then counts the layers behind the latents.
        freeze: leave the pretrained weights as they are.
        evaluator: name or path of a causal language model for ``transformers`` that measures perplexity; None takes a
            Kneser-Ney trigram model of the training sentences.
        decoding: how sentences are read off a decoder: greedy unless given, or sampled, by beam search, or with the
            least Bayes risk (``modalities.text.decoding``).
        label: column of a table with the class of each sentence, which trains a class-conditional model; batches then
            have its one-hot ``condition`` [B, K]. A sentence without a class, or of one that training has not, has no
            condition (a row of NaN).
    """

    held_out = True  # training sentences are all memorised, and the evaluator of perplexity knows them

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
        latent_noise: float = 0.0,
        free_nats: float = 0.0,
        pretrained: str | None = None,
        freeze: bool = True,
        evaluator: str | None = None,
        decoding: Decoding | None = None,
        label: str | None = None,
    ) -> None:
        if decoder not in ("parallel", "autoregressive"):
            raise ValueError(f"decoder is {decoder!r}; choose parallel or autoregressive.")
        sizes = {"limit": limit, "train_size": train_size, "test_size": test_size, "tokens": tokens, "latent": latent,
                 "width": width, "depth": depth, "heads": heads}
        wrong = next((name for name, size in sizes.items() if size is not None and size < 1), None)
        if wrong is not None:
            raise ValueError(f"{wrong} is {sizes[wrong]}; give 1 or more.")
        if vocabulary < LEAST and tokenizer is None and pretrained is None:
            raise ValueError(f"vocabulary is {vocabulary}; give at least {LEAST}, every byte is a token.")
        if not 0 <= token_dropout < 1:
            raise ValueError(f"token_dropout is {token_dropout}; it is a share of the words, 0 or more and below 1.")
        if length < 2:
            raise ValueError(f"length is {length}; a sentence has at least a token and its end, give 2 or more.")
        if not 0 <= latent_noise < 1:
            raise ValueError(f"latent_noise is {latent_noise}; it is a share of the sentences, 0 or more and below 1.")
        self.data, self.column, self.length, self.limit = data, column, length, limit
        self.tokenizer_source, self.vocabulary = tokenizer if tokenizer is not None else pretrained, vocabulary
        self.train_size, self.test_size = train_size, test_size
        self.tokens, self.latent, self.width, self.depth, self.heads = tokens, latent, width, depth, heads
        self.decoder: DecoderName = decoder
        self.token_dropout, self.latent_noise = token_dropout, latent_noise
        self.free_nats, self.pretrained, self.freeze = free_nats, pretrained, freeze
        self.evaluator, self.decoding, self.label = evaluator, decoding, label
        self._judges: dict[int, Evaluator] = {}
        self._pairs: dict[str, list[tuple[str, str]]] = {}
        self._classes: tuple[str, ...] = ()
        self._sets: dict[str, TokenData] = {}

    def sentences(self, split: str) -> list[str]:
        """The sentences of "train", "valid" or "test", as read."""
        return [sentence for sentence, _ in self._read(split)]

    def labels(self, split: str) -> list[str]:
        """The class of each of those sentences, "" where it has none."""
        return [name for _, name in self._read(split)]

    def _read(self, split: str) -> list[tuple[str, str]]:
        if self.data is None:
            raise ValueError("data is None; a model loaded from a file has no data: build Text(data=...) for that.")
        if split not in self._pairs:
            found = self._found(split)
            self._pairs[split] = found[: self.limit] if split == "train" and self.limit else found
        return self._pairs[split]

    @property
    def _grammar(self) -> bool:
        return isinstance(self.data, str) and self.data == "grammar"

    def _found(self, split: str) -> list[tuple[str, str]]:
        if self._grammar:
            from .grammar import sentences

            if self.label is not None:
                raise ValueError(f"label is {self.label!r}, and the grammar has no columns; give a table as data.")
            size, seed = (self.train_size, 0) if split == "train" else (self.test_size, 1 if split == "test" else 2)
            return [(sentence, "") for sentence in sentences(size, seed)]
        self.data = kept(self.data)
        return read_labelled(self.data, split, self.column, self.label)

    @property
    def classes(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the classes, those of training or of a stored model; () without a label."""
        if self.label is not None and not self._classes:
            self._classes = class_names(self.labels("train"), self.label)
        return self._classes

    @property
    def condition_dim(self) -> int:  # type: ignore[override]
        """K, the number of classes, 0 without a label."""
        return len(self.classes)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """Loaded by name, or trained on the training sentences; :meth:`load_state` puts a stored one in its place."""
        if self.tokenizer_source is not None:
            return Tokenizer.from_pretrained(self.tokenizer_source)
        return Tokenizer.train(self.sentences("train"), self.vocabulary)

    @property
    def latents(self) -> LatentSpec:
        """A sequence of K tokens."""
        return LatentSpec((self.tokens, self.latent), "sequence")

    def state(self) -> dict[str, Tensor]:
        """``tokenizer``, its JSON as bytes, ``specials``, int64 [3], its numbers of padding, start and end; and
        ``names`` of the classes, with a label (``latentgen.class_names``).
        """
        own = self.tokenizer
        found = {"tokenizer": own.to_tensor(), "specials": torch.tensor(own.specials)}
        return found if self.label is None else {**found, PACKED: pack_names(self.classes)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`state` gave; a file without ``specials`` has those of a trained tokenizer.

        A class that overrides :meth:`state` may have more in it, which is its own to take back.

        Raises:
            ValueError: if it is anything else; the tokenizer that was there is kept then.
        """
        needed = ("tokenizer",) if self.label is None else ("tokenizer", PACKED)
        unknown = state.keys() - {*needed, "specials"}
        if not set(needed) <= state.keys() or (unknown and type(self).state is Text.state):
            found, wanted = ", ".join(sorted(state)) or "nothing", " and ".join((*needed, "specials"))
            raise ValueError(f"the stored state of text is {found}, not {wanted}; load another file.")
        specials = state.get("specials", torch.tensor([PAD, BOS, EOS]))
        if specials.dtype != torch.int64 or specials.shape != (3,):
            given = f"{specials.dtype} {list(specials.shape)}"
            raise ValueError(f"the stored specials are {given}, and must be int64 [3]; load another file.")
        classes = () if self.label is None else stored_names(state[PACKED])
        pad, start, end = specials.tolist()
        self.__dict__["tokenizer"] = Tokenizer.from_tensor(state["tokenizer"], (pad, start, end))
        self._classes = classes

    def dataset(self, split: str) -> TokenData:
        """Tokens of "train", "valid" or "test"."""
        if split not in self._sets:
            condition = None if self.label is None else one_hot(self.labels(split), self.classes)
            sentences = self.sentences(split)
            self._sets[split] = TokenData(sentences, self.tokenizer, self.length, split == "train", condition)
        return self._sets[split]

    def autoencoder(self) -> Autoencoder:
        """Transformers around a Perceiver resampler, from scratch or pretrained."""
        options: dict[str, Any] = {
            "tokens": self.tokens, "channels": self.latent, "width": self.width, "depth": self.depth,
            "heads": self.heads, "decoder": self.decoder, "token_dropout": self.token_dropout,
            "free_nats": self.free_nats, "decoding": self.decoding,
            "latent_noise": self.latent_noise,
        }
        if self.pretrained is None:
            return SentenceAutoencoder(len(self.tokenizer), self.length, **options)
        from .pretrained import PretrainedAutoencoder

        return PretrainedAutoencoder.from_pretrained(
            self.pretrained, self.tokenizer, self.length, freeze=self.freeze, **options
        )

    def texts(self, batch: Batch) -> list[str]:
        """The sentences of a batch."""
        return self.tokenizer.decode(batch["tokens"].cpu())

    def batch(self, sentences: Sequence[str], labels: Sequence[str] | None = None) -> Batch:
        """A batch of given sentences, perhaps with their classes; longer ones than L tokens are cut."""
        batch = {"tokens": self.tokenizer.encode(list(sentences), self.length)}
        return batch if labels is None else {**batch, "condition": self.condition(labels)}

    def condition(self, labels: Sequence[str]) -> Tensor:
        """The one-hot condition [B, K] of classes, for samples and edits.

        Raises:
            ValueError: if one is no class of the model.
        """
        wrong = next((name for name in labels if name not in self.classes), None)
        if wrong is not None:
            raise ValueError(f"labels has {wrong!r}; the classes are {', '.join(self.classes) or 'none'}, take those.")
        return one_hot(labels, self.classes)

    def feature_map(self) -> FeatureMap:
        """Hashed word n-grams."""
        return SentenceFeatures(NGramFeatures(), self.texts)

    def evaluate(self, generated: Batch, reference: Batch, train: Batch) -> dict[str, float]:
        """Figures of text; with "grammar" also the share of sentences that the grammar accepts."""
        made = self.texts(generated)
        known = self.sentences("train") if self.data is not None else self.texts(train)
        figures = text_figures(made, self.texts(reference), known, self.judge(known))
        if self._grammar:
            figures = {"valid": sum(map(accepts, made)) / len(made), **figures}
        return figures

    def judge(self, train: Sequence[str]) -> Evaluator:
        """The evaluator of perplexity; a trigram model is trained once for the same sentences."""
        key = 0 if self.evaluator is not None else hash(tuple(train))
        if key not in self._judges:
            causal = self.evaluator
            self._judges[key] = CausalEvaluator(causal) if causal is not None else TrigramEvaluator(train)
        return self._judges[key]

    def notes(self) -> list[str]:
        """Which model the perplexity is of, and what the divergence frontier sees."""
        judges = ", ".join(judge.name for judge in self._judges.values())
        seen = self.feature_map().name
        return [f"perplexity: mean over sentences under {judges}; mauve: on {seen}."] if judges else []

    def better(self) -> dict[str, str]:
        """Valid, unique and new sentences: higher; the rest as for text."""
        return {"valid": "higher", **BETTER}

    def axes(self) -> dict[str, str]:
        """Quality: validity, or the divergence frontier; coverage: that of features."""
        return {"quality": "valid" if self._grammar else "mauve", "coverage": "coverage"}

    def render(self, batch: Batch, path: Path) -> None:
        """Write the first 16 sentences as a picture."""
        from .render import draw_sentences

        draw_sentences(self.texts(batch)[:16], path)

    def export(self, batch: Batch, folder: Path) -> list[Path]:
        """All sentences: ``sentences.txt``, a line each, or ``sentences.jsonl`` where one has several lines or none."""
        from .render import NAMES, write_sentences

        for name in NAMES:
            away_from_data(folder / name, self.data)
        return [write_sentences(self.texts(batch), folder)]


def exact_share(a: Batch, b: Batch) -> float:
    """Share of sentences that are equal, token by token, in two batches of ``tokens`` [B, L]."""
    return float((a["tokens"].cpu() == b["tokens"].cpu()).all(dim=1).double().mean())


def nats_a_token(nats: float, batch: Batch) -> float:
    """Nats a sentence over the mean number of tokens, ends included."""
    return nats / float(until_end(torch.as_tensor(batch["tokens"])).sum(dim=1).double().mean())
