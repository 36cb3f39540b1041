"""Sentences read off a likelihood: greedy, sampled, the most probable by search, or with the least Bayes risk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from functools import cached_property
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from latentgen.component import Component
from latentgen.distributions import DiagonalGaussian, Likelihood
from latentgen.evaluating import evaluating
from latentgen.tensors import Batch

from .likelihood import EOS, PAD, Choose, TokenLikelihood, draw
from .ngrams import overlap, sentence_bleu

Method = Literal["greedy", "sample", "beam", "mbr"]
Utility = Callable[[Sequence[Hashable], Sequence[Hashable]], float]
UTILITIES: dict[str, Utility] = {"bleu": sentence_bleu, "f1": overlap}


class Decoding(Component):
    r"""How sentences are read off p(x | z), for both decoders.

    "greedy" takes the most probable (next) token, "sample" draws tokens, "beam" searches for the most probable
    sentence (for a parallel decoder the search is exact), "mbr" draws candidates and keeps the one with the greatest
    mean utility over all of them, argmax_y 1/C sum_c u(y, x_c): the least Bayes risk (Kumar and Byrne 2004). The most
    probable sentence can be unlike all others; that one is like most.

    With ``passes`` a sentence that was read off is encoded, a latent drawn from its posterior and read off again, so
    many times: the chain of Bengio et al. (2013), which an autoencoder that mends hidden words (``token_dropout``)
    draws towards sentences of the data. A parallel decoder reads tokens one by one from latents that a few calls of a
    sampler made, and may mix two sentences; a pass costs an encoder and a decoder, and no call of the prior. The noise
    of a pass is the same for all sentences, so that what is read is a function of the latent alone. Sentences that
    were read again are no draws of p(x): likelihoods know nothing of passes.

    With ``noise`` r the latent is read through noise, as z_r = sqrt(1 - r^2) z + r eps, by a decoder that learned to do
    so (``latent_noise`` of the autoencoder): the more noise, the less is the sentence the latent's and the more the
    decoder's own, which at 1 is a language model. Likelihoods are those of the latent without noise.

    Draws come from a generator of this object's seed, started anew at each call: the same latents in the same batch
    give the same sentences.

    Args:
        method: "greedy", "sample", "beam" or "mbr".
        temperature: logits are divided by it before drawing.
        top_p: draws are from the most probable tokens whose probabilities reach this together.
        width: of the beam.
        candidates: C, drawn for "mbr".
        utility: "bleu" (of a sentence, smoothed) or "f1" (of tokens as a bag).
        seed: of the draws.
        passes: times that a sentence is encoded and read off again.
        noise: r, in [0, 1].

    Raises:
        ValueError: if a name is unknown or a number out of range.
    """

    def __init__(
        self,
        method: Method = "greedy",
        temperature: float = 1.0,
        top_p: float = 1.0,
        width: int = 4,
        candidates: int = 16,
        utility: Literal["bleu", "f1"] = "bleu",
        seed: int = 0,
        passes: int = 0,
        noise: float = 0.0,
    ) -> None:
        if not 0 <= noise <= 1:
            raise ValueError(f"noise is {noise}; it is the noise's share of a latent's spread, from 0 to 1.")
        if passes < 0:
            raise ValueError(f"passes is {passes}; give how often a sentence is read again, 0 or more.")
        if method not in ("greedy", "sample", "beam", "mbr"):
            raise ValueError(f"method is {method!r}; choose greedy, sample, beam or mbr.")
        if not temperature > 0:
            raise ValueError(f"temperature is {temperature}; it must be positive, greedy is the limit at 0.")
        if not 0 < top_p <= 1:
            raise ValueError(f"top_p is {top_p}; it is a probability above 0, 1 keeps all tokens.")
        if width < 1 or candidates < 1:
            raise ValueError(f"width is {width} and candidates is {candidates}; both are at least 1.")
        if utility not in UTILITIES:
            raise ValueError(f"utility is {utility!r}; choose {' or '.join(UTILITIES)}.")
        self.method, self.temperature, self.top_p, self.width = method, temperature, top_p, width
        self.candidates, self.utility, self.seed, self.passes, self.noise = candidates, utility, seed, passes, noise

    def __call__(self, likelihood: TokenLikelihood) -> Batch:
        """``tokens`` int64 [B, L] of a likelihood's B sentences."""
        if self.method == "greedy":
            return likelihood.mode()
        if self.method == "beam":
            return likelihood.beam(self.width)
        choose = sampled(self.temperature, self.top_p, self.seed)
        if self.method == "sample":
            return likelihood.run(choose)
        drawn = torch.stack([likelihood.run(choose)["tokens"] for _ in range(self.candidates)], dim=1)
        rows = [minimum_bayes_risk([_text(row) for row in found], UTILITIES[self.utility]) for found in drawn.tolist()]
        return {"tokens": drawn[torch.arange(len(drawn)), torch.tensor(rows)]}


def restricted(logits: Tensor, temperature: float = 1.0, top_p: float = 1.0) -> Tensor:
    """Logits [..., V] over a temperature, those outside the nucleus at minus infinity (Holtzman et al. 2020).

    The nucleus is the smallest set of most probable tokens whose probabilities sum to ``top_p`` or more.
    """
    logits = logits / temperature
    if top_p >= 1:
        return logits
    p, order = logits.softmax(dim=-1).sort(dim=-1, descending=True)
    outside = (p.cumsum(dim=-1) - p >= top_p).gather(-1, order.argsort(dim=-1))
    return logits.masked_fill(outside, -torch.inf)


def sampled(temperature: float = 1.0, top_p: float = 1.0, seed: int | None = None) -> Choose:
    """Draws tokens by their restricted probabilities.

    Args:
        temperature: of :func:`restricted`.
        top_p: of :func:`restricted`.
        seed: of a generator that all draws share; None takes torch's global one.
    """
    generators: dict[torch.device, torch.Generator] = {}

    def choose(logits: Tensor, /) -> Tensor:
        if seed is not None and logits.device not in generators:
            generators[logits.device] = torch.Generator(logits.device).manual_seed(seed)
        return draw(restricted(logits, temperature, top_p), generators.get(logits.device))

    return choose


def minimum_bayes_risk(candidates: Sequence[Sequence[Hashable]], utility: Utility = sentence_bleu) -> int:
    """Number of the candidate y with the greatest sum over c of u(y, x_c), the first of equal ones.

    Args:
        candidates: symbols of draws from a distribution, equal ones as often as they were drawn.
        utility: u(y, x) of a guess y where x is right.

    Raises:
        ValueError: if there are none.
    """
    if not candidates:
        raise ValueError("candidates is empty; the least risk is that of at least one.")
    counts = Counter(tuple(candidate) for candidate in candidates)
    gains = {guess: sum(n * utility(guess, right) for right, n in counts.items()) for guess in counts}
    best = max(counts, key=lambda guess: gains[guess])
    return next(number for number, candidate in enumerate(candidates) if tuple(candidate) == best)


def _text(tokens: Sequence[int]) -> list[int]:
    kept = tokens[: tokens.index(EOS)] if EOS in tokens else tokens
    return [token for token in kept if token != PAD]


class Rereader(Protocol):
    """An autoencoder that encodes sentences and gives their likelihood, without a decoding."""

    def encode(self, batch: Batch, /) -> DiagonalGaussian:
        """q(z | x)."""

    def likelihood(self, z: Tensor, /, noise: float = 0.0, generator: torch.Generator | None = None) -> TokenLikelihood:
        """p(x | z), or p(x | z_r) for a noise r."""


class Decoded:
    """A likelihood whose mode is read off by a decoding; all else is the likelihood's own.

    Args:
        decoding: of the mode.
        z: the latents, [B, K, C].
        autoencoder: gives likelihoods of latents, and encodes to read again.
    """

    def __init__(self, decoding: Decoding, z: Tensor, autoencoder: Rereader) -> None:
        assert isinstance(autoencoder, nn.Module)
        self.decoding, self.z, self.autoencoder = decoding, z, autoencoder

    @cached_property
    def likelihood(self) -> TokenLikelihood:
        """p(x | z), without noise."""
        return self.autoencoder.likelihood(self.z)

    def log_prob(self, batch: Batch) -> Tensor:
        """ln p(x | z) in nats, shape [B]."""
        return self.likelihood.log_prob(batch)

    def sample(self) -> Batch:
        """One draw for each latent."""
        return self.likelihood.sample()

    def mode(self) -> Batch:
        """``tokens`` int64 [B, L], through the decoding's noise, read again as often as it says; in evaluation mode."""
        generator = torch.Generator().manual_seed(self.decoding.seed)
        with evaluating(self.autoencoder), torch.no_grad():
            found = self._read(self.z, generator)
            for _ in range(self.decoding.passes):
                q = self.autoencoder.encode(found)
                noise = torch.randn(q.mean.shape[1:], generator=generator).to(q.mean)
                found = self._read(q.mean + q.std * noise, generator)
        return found

    def _read(self, z: Tensor, generator: torch.Generator) -> Batch:
        if self.decoding.noise == 0:
            return self.decoding(self.autoencoder.likelihood(z))
        return self.decoding(self.autoencoder.likelihood(z, self.decoding.noise, generator))

    @classmethod
    def by(cls, decoding: Decoding | None, z: Tensor, autoencoder: Rereader) -> Likelihood:
        """The likelihood as it is without a decoding, or with a greedy one that reads once and without noise."""
        if decoding is None or (decoding.method == "greedy" and decoding.passes == 0 and decoding.noise == 0):
            return autoencoder.likelihood(z)
        return cls(decoding, z, autoencoder)


def use_decoding(model: nn.Module, decoding: Decoding | None) -> None:
    """Change how a trained model's sentences are read off; what is stored with the model stays as it was.

    Args:
        model: a latent generative model of sentences, or its autoencoder.
        decoding: the new one; None is greedy.

    Raises:
        ValueError: if nothing in the model has a decoding.
    """
    found = [module for module in model.modules() if hasattr(module, "decoding")]
    if not found:
        raise ValueError("model has no autoencoder of sentences; give one that was made for modalities.text.")
    for module in found:
        module.decoding = decoding  # type: ignore[assignment]
