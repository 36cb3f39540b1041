"""The usual alternative to latents: a causal transformer over the same tokens, with its training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from latentgen.ema import EMA

from .decoding import sampled
from .likelihood import BOS, AutoregressiveTokens, Stepper, until_end
from .networks import PrefixStepper, causal


class LanguageModel(nn.Module):
    r"""p(x) = prod_i p(x_i | x_<i) over the tokens up to and including the end, by a small GPT-2.

    Args:
        vocabulary: V, the number of tokens.
        length: L, the longest sentence in tokens, its end included.
        width: of the transformer.
        depth: its layers.
        heads: its attention heads.
        dropout: share of activations that training drops.
    """

    def __init__(
        self, vocabulary: int, length: int, width: int = 128, depth: int = 4, heads: int = 4, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.vocabulary, self.length, self.width = vocabulary, length, width
        self.network = causal(vocabulary, length, width, depth, heads, dropout)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def likelihood(self, count: int, cache: bool = True) -> AutoregressiveTokens:
        """p of ``count`` sentences; ``cache`` says whether drawing remembers keys and values."""
        return AutoregressiveTokens(_Continuation(self, count, cache), count, self.length, self.device)

    def forward(self, tokens: Tensor) -> Tensor:
        """-ln p(x), nats, shape [B], for ``tokens`` int64 [B, L or less], gradients included."""
        return -self.likelihood(len(tokens)).log_prob({"tokens": tokens})

    @torch.no_grad()
    def nats(self, tokens: Tensor, batch_size: int = 256) -> Tensor:
        """-ln p(x), exact, nats, on the CPU, shape [N], for ``tokens`` int64 [N, L]; ends included."""
        self.eval()
        return torch.cat([self(_short(part).to(self.device)).cpu() for part in torch.split(tokens, batch_size)])

    @torch.no_grad()
    def sample(
        self,
        n: int,
        batch_size: int = 100,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: int = 0,
        cache: bool = True,
    ) -> Tensor:
        """Sentences token by token.

        Args:
            n: number of sentences.
            batch_size: made at a time.
            temperature: logits are divided by it.
            top_p: draws are from the most probable tokens whose probabilities reach this together.
            seed: of the draws.
            cache: remember keys and values; without it every step reads all tokens again.

        Returns:
            int64 [n, L], on the model's device.
        """
        self.eval()
        choose = sampled(temperature, top_p, seed)
        sizes = [min(batch_size, n - first) for first in range(0, n, batch_size)]
        return torch.cat([self.likelihood(size, cache).run(choose)["tokens"] for size in sizes])


class _Continuation:
    def __init__(self, model: LanguageModel, count: int, cache: bool) -> None:
        self.model, self.count, self.cache = model, count, cache

    def logits(self, tokens: Tensor) -> Tensor:
        """Of every position given those before it, [B, L, V]."""
        before = torch.cat([torch.full_like(tokens[:, :1], BOS), tokens[:, :-1]], dim=1)
        logits: Tensor = self.model.network(input_ids=before, use_cache=False).logits
        return logits

    def steps(self) -> Stepper:
        """A run that remembers keys and values, or one that reads everything again."""
        if not self.cache:
            return _Rereading(self.model)
        return PrefixStepper(self.model.network, torch.zeros(self.count, 0, self.model.width, device=self.model.device))


class _Rereading:
    def __init__(self, model: LanguageModel) -> None:
        self.model, self.tokens = model, torch.zeros(0)

    def __call__(self, last: Tensor) -> Tensor:
        """Logits [B, V] of the next token."""
        self.tokens = torch.cat([self.tokens, last[:, None]], dim=1) if self.tokens.numel() else last[:, None]
        logits: Tensor = self.model.network(input_ids=self.tokens, use_cache=False).logits[:, -1]
        return logits


def train_language_model(
    tokens: Tensor,
    vocabulary: int,
    width: int = 128,
    depth: int = 4,
    heads: int = 4,
    steps: int | None = None,
    minutes: float | None = None,
    batch_size: int = 64,
    lr: float = 1e-3,
    warmup: float = 0.03,
    weight_decay: float = 0.1,
    dropout: float = 0.0,
    decay: float = 0.999,
    valid: Tensor | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> LanguageModel:
    """Train a causal transformer by AdamW with warm-up and a cosine to 0, and keep the averaged weights.

    Args:
        tokens: training sentences, int64 [N, L], such as ``text.dataset("train").tokens``.
        vocabulary: V, ``len(text.tokenizer)``.
        width: of the transformer.
        depth: its layers.
        heads: its attention heads.
        steps: optimizer steps.
        minutes: of the process's CPU time, the validation included; with both, whichever ends first.
        batch_size: sentences a step.
        lr: greatest learning rate.
        warmup: share of training in which the rate rises.
        weight_decay: of matrices.
        dropout: share of activations that training drops.
        decay: of the exponential moving average of weights.
        valid: sentences that say at every tenth of training which weights are the best ones so far, int64 [M, L];
            None keeps the last ones.
        seed: of weights and order.
        device: where it trains.

    Returns:
        The model in evaluation mode.

    Raises:
        ValueError: if neither steps nor minutes is given, or there are no sentences.
    """
    if steps is None and minutes is None:
        raise ValueError("steps and minutes are None; give at least one of them, training must end.")
    if not len(tokens):
        raise ValueError("tokens has no sentences; give at least one.")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LanguageModel(vocabulary, tokens.shape[1], width, depth, heads, dropout).to(device)
        ema, best = EMA(model, decay), _Best(valid)
        optimizer = torch.optim.AdamW(_decayed(model, weight_decay), lr=lr, betas=(0.9, 0.95))
        batches, budget = _batches(tokens, batch_size), _Budget(steps, minutes)
        while (progress := budget.progress()) < 1:
            for group in optimizer.param_groups:
                group["lr"] = lr * min(1.0, (progress + 1e-3) / max(warmup, 1e-3)) * _cosine(progress)
            model.train()
            batch = _short(next(batches)).to(device)
            loss = model(batch).sum() / until_end(batch).sum()
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            ema.update(model)
            budget.done += 1
            best.look(model, ema, budget.progress())
        best.copy_to(model, ema)
    return model.eval()


class _Budget:
    def __init__(self, steps: int | None, minutes: float | None) -> None:
        self.steps, self.seconds = steps or math.inf, 60 * minutes if minutes is not None else math.inf
        self.done, self.began = 0, time.process_time()

    def progress(self) -> float:
        """Share of training done, 1 at the end."""
        return max(self.done / self.steps, (time.process_time() - self.began) / self.seconds)


class _Best:
    """The averaged weights with the least validation loss, looked at ten times."""

    def __init__(self, valid: Tensor | None, times: int = 10) -> None:
        self.valid, self.times, self.looked, self.nats = valid, times, 0, math.inf
        self.state: dict[str, Tensor] | None = None

    def look(self, model: LanguageModel, ema: EMA, progress: float) -> None:
        """Measure, if a tenth of training has passed since the last time."""
        if self.valid is None or progress * self.times < self.looked + 1:
            return
        self.looked = int(progress * self.times)
        with ema.applied_to(model):
            nats = float(model.nats(self.valid).double().mean())
        if nats < self.nats:
            self.nats, self.state = nats, {name: value.clone() for name, value in ema.state_dict().items()}

    def copy_to(self, model: LanguageModel, ema: EMA) -> None:
        """The best weights, or the last averages."""
        model.load_state_dict(self.state if self.state is not None else ema.state_dict())


def _cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def _short(tokens: Tensor) -> Tensor:
    """Without columns that are padding in every sentence."""
    return tokens[:, : int(until_end(tokens).sum(dim=1).max())]


def _batches(tokens: Tensor, batch_size: int) -> Iterator[Tensor]:
    """Shuffled epochs without end; the last batch of an epoch may be smaller."""
    while True:
        yield from torch.split(tokens[torch.randperm(len(tokens))], batch_size)


def _decayed(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Matrices with decay; norms, biases and tables without."""
    tables = {module.weight for module in model.modules() if isinstance(module, nn.Embedding)}
    every = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in every if parameter.dim() > 1 and parameter not in tables]
    others = [parameter for parameter in every if parameter.dim() < 2 or parameter in tables]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
