"""Likelihoods of token sequences: all positions at once given the latents, or one after the other."""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor, nn

from latentgen.distributions import categorical_log_prob
from latentgen.tensors import Batch

PAD, BOS, EOS = 0, 1, 2
"""Token numbers that are no text: beyond the end, before the start, and the end itself."""
BLOCK = {True: 2**19, False: 2**26}
"""Logits of greedy decoding at a time, on a CPU and elsewhere."""


def until_end(tokens: Tensor) -> Tensor:
    """True up to and including the first end token, bool [B, L]."""
    ends = (tokens == EOS).long()
    return (ends.cumsum(dim=1) - ends) == 0


def ended(tokens: Tensor) -> Tensor:
    """The same tokens [B, L] with padding beyond the first end token."""
    return tokens.where(until_end(tokens), torch.full_like(tokens, PAD))


def without_specials(logits: Tensor) -> Tensor:
    """Logits [..., V] of padding and start at minus infinity: no sentence contains them."""
    logits = logits.float().clone()
    logits[..., [PAD, BOS]] = -torch.inf
    return logits


def draw(logits: Tensor, /, generator: torch.Generator | None = None) -> Tensor:
    """One token of each softmax, int64 [...], for logits [..., V]."""
    p = logits.softmax(dim=-1)
    return torch.multinomial(p.reshape(-1, p.shape[-1]), 1, generator=generator).reshape(p.shape[:-1])


class Choose(Protocol):
    """Picks tokens [...] from logits [..., V]."""

    def __call__(self, logits: Tensor, /) -> Tensor:
        """The tokens."""


class TokenLikelihood(Protocol):
    """What both likelihoods of tokens have beyond those of other data."""

    def log_prob(self, batch: Batch) -> Tensor:
        """ln p(x | z) in nats, shape [B]."""

    def sample(self) -> Batch:
        """One draw for each latent."""

    def mode(self) -> Batch:
        """Greedy decoding."""

    def run(self, choose: Choose) -> Batch:
        """Decoding with tokens picked by ``choose``."""

    def beam(self, width: int = 4) -> Batch:
        """The most probable sentences that a search finds."""


class ParallelTokens:
    r"""p(x | z) = prod_i p_i(x_i | z) over the tokens up to and including the end; one pass gives all positions.

    Padding and start have no probability at any position, so that the probabilities of all sentences sum to 1 minus
    that of never ending within L positions: a bound made with it is a bound on ln p(x).

    Greedy decoding takes the logits of a block of positions at a time, which stays in a processor's cache: those of all
    positions at once are the largest tensor of sampling by far, and writing it takes longer than computing it.

    Args:
        hidden: features of every position, shape [B, L, width].
        head: gives their logits, shape [B, L, V].
    """

    def __init__(self, hidden: Tensor, head: nn.Linear) -> None:
        self.hidden, self.head = hidden, head
        self._graph = torch.is_grad_enabled()

    @cached_property
    def logits(self) -> Tensor:
        """Of every position, float32 [B, L, V], padding and start at minus infinity."""
        return without_specials(self._logits(self.hidden))

    def log_prob(self, batch: Batch) -> Tensor:
        """ln p(x | z), nats, shape [B], for ``tokens`` int64 [B, L]."""
        tokens = batch["tokens"]
        real = until_end(tokens)
        target = tokens.where(real, torch.full_like(tokens, EOS))
        return (categorical_log_prob(self.logits, target) * real).sum(dim=1)

    def sample(self) -> Batch:
        """One draw for each latent, ``tokens`` int64 [B, L]."""
        return self.run(draw)

    def mode(self) -> Batch:
        """The most probable token at every position, padding and start left out."""
        block = max(1, BLOCK[self.hidden.device.type == "cpu"] // self.head.out_features)
        with torch.no_grad():
            rows = torch.split(self.hidden.flatten(0, 1), block)
            best = [self._logits(part)[:, EOS:].float().argmax(dim=-1) + EOS for part in rows]
        return {"tokens": ended(torch.cat(best).view(self.hidden.shape[:2]))}

    def run(self, choose: Choose) -> Batch:
        """All positions picked at once by ``choose``, padding beyond the first end."""
        return {"tokens": ended(choose(self.logits))}

    def _logits(self, hidden: Tensor) -> Tensor:
        """With the graph, and in the precision, of whoever made this likelihood."""
        with torch.set_grad_enabled(self._graph and torch.is_grad_enabled()):
            logits: Tensor = self.head(hidden.to(self.head.weight.dtype))
        return logits

    def beam(self, width: int = 4) -> Batch:
        """The most probable sentence that ends within L tokens, exactly and whatever the width.

        It is the best of L: the most probable words up to some position, and the end there. Greedy decoding differs
        where the end is likely at several positions and the most probable token at none, or at a late one.

        Args:
            width: as of the other likelihood; not needed here.
        """
        log_p = self.logits.log_softmax(dim=-1)
        end = log_p[..., EOS]
        words = log_p.clone()
        words[..., EOS] = -torch.inf
        best, tokens = words.max(dim=-1)
        total = best.cumsum(dim=1) - best + end
        tokens = tokens.scatter(1, total.argmax(dim=1, keepdim=True), EOS)
        return {"tokens": ended(tokens)}


class Continuation(Protocol):
    """The next token's logits, one position after the other."""

    def logits(self, tokens: Tensor) -> Tensor:
        """Logits of every position given those before it, [B, L, V], for tokens [B, L] (teacher forcing)."""

    def steps(self) -> Stepper:
        """A new run from the start."""


class Stepper(Protocol):
    """A run of an autoregressive decoder, with whatever it remembers."""

    def __call__(self, last: Tensor) -> Tensor:
        """Logits [B, V] of the next token after the last one [B]."""


class AutoregressiveTokens:
    r"""p(x | z) = prod_i p(x_i | x_<i, z) over the tokens up to and including the end.

    Args:
        decoder: gives logits.
        count: B, the number of sentences.
        length: L, the longest sentence in tokens, its end included.
        device: where tokens are made.
    """

    def __init__(self, decoder: Continuation, count: int, length: int, device: torch.device) -> None:
        self.decoder, self.count, self.length, self.device = decoder, count, length, device

    def log_prob(self, batch: Batch) -> Tensor:
        """ln p(x | z), nats, shape [B], for ``tokens`` int64 [B, L]."""
        tokens = batch["tokens"]
        real = until_end(tokens)
        logits = without_specials(self.decoder.logits(tokens))
        target = tokens.where(real, torch.full_like(tokens, EOS))
        return (categorical_log_prob(logits, target) * real).sum(dim=1)

    def sample(self) -> Batch:
        """One draw for each latent, token by token."""
        return self.run(draw)

    def mode(self) -> Batch:
        """Greedy decoding: the most probable next token at every step."""
        return self.run(lambda logits: logits.argmax(dim=-1))

    def beam(self, width: int = 4) -> Batch:
        """The best of ``width`` beams by total log-probability.

        Args:
            width: sentences kept a step.
        """
        if width < 1:
            raise ValueError(f"width is {width}; a beam search keeps at least 1 sentence.")
        return {"tokens": _beam_search(self.decoder, self.count, self.length, width, self.device)}

    def run(self, choose: Choose) -> Batch:
        """Tokens picked by ``choose`` one after the other, until all sentences have ended."""
        step, made = self.decoder.steps(), []
        last = torch.full((self.count,), BOS, device=self.device)
        running = torch.ones(self.count, dtype=torch.bool, device=self.device)
        for _ in range(self.length):
            last = torch.where(running, choose(without_specials(step(last))), torch.full_like(last, PAD))
            made.append(last)
            running = running & (last != EOS)
            if not bool(running.any()):
                break
        made += [torch.full_like(last, PAD)] * (self.length - len(made))
        return {"tokens": torch.stack(made, dim=1)}


def _beam_search(decoder: Continuation, count: int, length: int, width: int, device: torch.device) -> Tensor:
    """Tokens [B, L]; prefixes are scored afresh at each step, which needs nothing of the decoder but teacher forcing.

    Beams of one sentence are candidates for it alone. A beam that has ended stays with its score.
    """
    tokens = torch.full((count, 1, length), PAD, device=device)
    scores = torch.zeros(count, 1, device=device)
    for position in range(length):
        beams = tokens.shape[1]
        logits = torch.stack([decoder.logits(tokens[:, k])[:, position] for k in range(beams)], dim=1)
        log_p = without_specials(logits).log_softmax(dim=-1)
        done = (tokens == EOS).any(dim=2)
        stay = torch.full_like(log_p, -torch.inf)
        stay[..., PAD] = 0.0
        total = scores[..., None] + torch.where(done[..., None], stay, log_p)
        best, place = total.flatten(1).topk(min(width, total[0].numel()), dim=1)
        vocabulary = log_p.shape[-1]
        tokens = tokens.gather(1, (place // vocabulary)[..., None].expand(-1, -1, length)).clone()
        tokens[..., position] = place % vocabulary
        scores = best
        if bool((tokens == EOS).any(dim=2).all()):
            break
    return tokens[torch.arange(count, device=device), scores.argmax(dim=1)]
