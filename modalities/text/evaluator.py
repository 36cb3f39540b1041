"""Evaluators: language models that judge generated sentences by their perplexity."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from .foreign import load_foreign, load_weights
from .kneser_ney import KneserNey
from .ngrams import words

Over = Literal["texts", "corpus"]


class Evaluator(ABC):
    """A distribution over sentences that was not trained on what it judges.

    Perplexities under different evaluators have nothing to do with one another, and a low one is no merit of its own:
    repetition has the lowest. Read it beside diversity and beside the same figure of held-out sentences.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """What it is, for the head of a table."""

    @abstractmethod
    def nats(self, sentences: Sequence[str]) -> tuple[Tensor, Tensor]:
        """-ln p of each text, nats, float64 [N], and the number of symbols that it was summed over, int64 [N]."""

    def perplexity(self, sentences: Sequence[str], over: Over = "texts") -> float:
        r"""Perplexity a symbol (a word, or a token of the evaluator).

        With -ln p(x_i) summed over the n_i symbols of text i, "texts" is the mean over texts of
        exp(-ln p(x_i) / n_i), the figure that papers on latent text models print, and "corpus" is
        exp(sum_i -ln p(x_i) / sum_i n_i), the classical one, which one bad sentence moves less. Texts without symbols
        count in neither.

        Args:
            sentences: the text.
            over: "texts" or "corpus".

        Raises:
            ValueError: if ``over`` has another name, or no text has a symbol.
        """
        if over not in ("texts", "corpus"):
            raise ValueError(f"over is {over!r}; choose texts or corpus.")
        nats, counts = self.nats(sentences)
        nats, counts = nats[counts > 0], counts[counts > 0].double()
        if not len(nats):
            raise ValueError(f"sentences has {len(sentences)} texts, all without symbols; give at least one with text.")
        return float((nats / counts).exp().mean() if over == "texts" else (nats.sum() / counts.sum()).exp())


class TrigramEvaluator(Evaluator):
    """A Kneser-Ney model of lower-case words and signs (``modalities.text.kneser_ney``); the end counts as a word.

    A word that training has not stands for the unknown word, whose probability is small and the same for all such
    words: made-up words cost, and cost alike.

    Args:
        sentences: the training split, and no other.
        order: longest n-grams.
    """

    def __init__(self, sentences: Sequence[str], order: int = 3) -> None:
        self.model = KneserNey((words(sentence) for sentence in sentences), order)
        self.count = len(sentences)

    @property
    def name(self) -> str:
        """With order and corpus."""
        return f"Kneser-Ney {self.model.order}-grams of {self.count} training sentences"

    def nats(self, sentences: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Over words and the end."""
        split = [words(sentence) for sentence in sentences]
        nats = torch.tensor([self.model.nats(sentence) for sentence in split], dtype=torch.float64)
        return nats, torch.tensor([len(sentence) + 1 for sentence in split])


class CausalEvaluator(Evaluator):
    """A pretrained causal language model of ``transformers`` such as GPT-2, by its name on the hub or its folder.

    The start token comes first and the end is not counted, as in the usual ``perplexity`` of Hugging Face's
    ``evaluate``. Weights are read as safetensors, and no code that comes with a model is run.

    Args:
        source: name or folder; a folder needs no network.
        length: longest text, tokens; more is cut.
        batch_size: texts at a time.
        device: where it runs; the CPU unless given.

    Raises:
        ValueError: if it needs code of its own, or its tokenizer has neither a start nor an end token to begin with.
    """

    def __init__(
        self, source: str | Path, length: int = 256, batch_size: int = 16, device: torch.device | str = "cpu"
    ) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.source, self.length, self.batch_size, self.device = str(source), length, batch_size, torch.device(device)
        self.tokenizer = load_foreign(AutoTokenizer, self.source, split_special_tokens=True)
        self.model = load_weights(AutoModelForCausalLM, self.source).to(self.device).eval()
        starts = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id)
        start = next((number for number in starts if number is not None), None)
        if start is None:
            raise ValueError(f"source is {self.source!r}, whose tokenizer has no start or end token; take another.")
        self.start = int(start)

    @property
    def name(self) -> str:
        """Its source."""
        return Path(self.source).name if Path(self.source).is_dir() else self.source

    @torch.no_grad()
    def nats(self, sentences: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Over the evaluator's own tokens."""
        encode = self.tokenizer.encode
        found = [encode(text, add_special_tokens=False)[: self.length] for text in sentences]
        parts = [self._batch(found[k : k + self.batch_size]) for k in range(0, len(found), self.batch_size)]
        nats = torch.cat([torch.zeros(0, dtype=torch.float64), *parts])
        return nats, torch.tensor([len(tokens) for tokens in found], dtype=torch.long)

    def _batch(self, found: Sequence[Sequence[int]]) -> Tensor:
        longest = max(len(tokens) for tokens in found)
        if longest == 0:
            return torch.zeros(len(found), dtype=torch.float64)
        tokens, real = torch.full((len(found), longest), self.start), torch.zeros(len(found), longest, dtype=torch.bool)
        for row, numbers in enumerate(found):
            tokens[row, : len(numbers)], real[row, : len(numbers)] = torch.tensor(numbers, dtype=torch.long), True
        tokens, real = tokens.to(self.device), real.to(self.device)
        given = torch.cat([torch.full_like(tokens[:, :1], self.start), tokens[:, :-1]], dim=1)
        log_p = self.model(input_ids=given).logits.float().log_softmax(dim=-1)
        chosen = log_p.gather(2, tokens[..., None])[..., 0]
        nats: Tensor = -(chosen * real).double().sum(dim=1).cpu()
        return nats
