"""An autoencoder of sentences around a pretrained encoder-decoder: BART, T5, FLAN-T5 and their like."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from latentgen.autoencoder import Autoencoder
from latentgen.distributions import DiagonalGaussian, Likelihood
from latentgen.tensors import Batch

from .decoding import Decoded, Decoding
from .foreign import load_weights, network_of
from .latent_noise import LatentNoise, read_through
from .likelihood import EOS, PAD, AutoregressiveTokens, ParallelTokens, Stepper, TokenLikelihood
from .networks import DecoderName, bidirectional, cache_name, embedding_like
from .posterior import PosteriorLimits
from .resampler import Resampler
from .tied import store_tied_once
from .tokenizer import Tokenizer, renumbering


class PretrainedAutoencoder(Autoencoder):
    r"""q(z | x) and p(x | z) on the features of a pretrained encoder-decoder of ``transformers``.

    Encoder: the pretrained one, and a Perceiver resampler of K queries on its features. Decoder: a transformer turns
    the latents into K pseudo encoder states, which the pretrained decoder attends to ("autoregressive"; the layout of
    Lovelace et al. 2023), or the latents feed a new one over L position queries, which gives every token's
    distribution in one pass ("parallel"; the pretrained decoder is then left out). Both have an exact likelihood over
    the model's own tokens; padding, the start, and numbers without a token have no probability, and what the model
    always begins with (BART's ``<s>``) is given, not predicted.

    The constructor builds the networks with random weights from a configuration, so that a stored model, which holds
    all weights (frozen ones too, tied ones once), is loaded without the network; :meth:`from_pretrained` is how one
    starts. Only safetensors are read, and no code that comes with a model is run.

    Args:
        architecture: the configuration of ``transformers`` as JSON, ``model_type`` included.
        vocabulary: V, ``len`` of the tokenizer.
        specials: the model's numbers of padding, start and end, as of the tokenizer.
        begin: the model's numbers that stand before every sentence.
        length: L, the longest sentence in tokens, its end included.
        tokens: K, the number of latent tokens.
        channels: size of a latent token.
        width: of the resampler and of the transformer behind the latents.
        depth: layers of that transformer.
        heads: attention heads of both.
        decoder: "parallel" or "autoregressive".
        freeze: keep the pretrained weights as they are, without dropout; False trains them with the rest, by AdamW.
        token_dropout: share of words hidden while training, from the encoder and before an autoregressive decoder's.
        min_std: least standard deviation of the posterior, latent units.
        free_nats: floor of the rate, nats a latent dimension (``modalities.text.posterior``).
        decoding: how sentences are read off a likelihood; greedy unless given.
        latent_noise: share of the sentences whose latents the decoder reads through noise while training, so that a
            ``Decoding`` may have a ``noise`` (``modalities.text.latent_noise``); 0 is without.

    Raises:
        ValueError: if the decoder has another name, the architecture is none (``modalities.text.foreign``), or the
            model has fewer tokens than the tokenizer.
    """

    to_inner: Tensor

    def __init__(
        self,
        architecture: str,
        vocabulary: int,
        specials: Sequence[int],
        begin: Sequence[int],
        length: int,
        tokens: int = 8,
        channels: int = 16,
        width: int = 128,
        depth: int = 2,
        heads: int = 4,
        decoder: DecoderName = "autoregressive",
        freeze: bool = True,
        token_dropout: float = 0.0,
        min_std: float = 0.02,
        free_nats: float = 0.0,
        decoding: Decoding | None = None,
        latent_noise: float = 0.0,
    ) -> None:
        super().__init__()
        if decoder not in ("parallel", "autoregressive"):
            raise ValueError(f"decoder is {decoder!r}; choose parallel or autoregressive.")
        self.kind, self.length, self.freeze, self.token_dropout = decoder, length, freeze, token_dropout
        self.decoding, self.begin = decoding, list(begin)
        self.register_buffer("to_inner", renumbering(vocabulary, (specials[0], specials[1], specials[2])))
        whole = network_of(architecture)
        self.start, size, known = _sizes(whole.config)
        _check_vocabulary(self.to_inner, specials[1], known)
        # the parallel decoder is a new one: weights that get no gradient would hold up a distributed run
        self.network = whole if decoder == "autoregressive" else whole.get_encoder()
        store_tied_once(self.network)
        for parameter in self.network.parameters():
            parameter.requires_grad_(not freeze)
            parameter.is_gate = True  # what is pretrained is left to AdamW
        self.resampler = Resampler(size, tokens, width, 2, heads)
        self.to_latent = nn.Linear(width, 2 * channels)
        self.limits = PosteriorLimits(tokens * channels, min_std, free_nats)
        self.from_latent = nn.Linear(channels, width)
        self.noise = LatentNoise(width, latent_noise) if latent_noise else None
        positions = tokens if decoder == "autoregressive" else tokens + length
        self.transformer = bidirectional(1, positions, width, depth, heads)
        self.transformer.get_input_embeddings().requires_grad_(False)
        if decoder == "autoregressive":
            self.to_states = nn.Linear(width, size)
        else:
            self.queries = nn.Parameter(torch.randn(length, width) * 0.1)
            self.head = embedding_like(nn.Linear(width, vocabulary))

    @classmethod
    def from_pretrained(cls, source: str | Path, tokenizer: Tokenizer, length: int, **options: Any) -> Self:
        """With the weights of a name on the hub, or of a folder, which needs no network.

        Args:
            source: name or folder of an encoder-decoder.
            tokenizer: that of the same model.
            length: L.
            options: further arguments of the class.
        """
        from transformers import AutoModelForSeq2SeqLM

        found = load_weights(AutoModelForSeq2SeqLM, source)
        begin = tokenizer.begin()
        own = cls(found.config.to_json_string(), len(tokenizer), list(tokenizer.specials), begin, length, **options)
        weights = found if own.kind == "autoregressive" else found.get_encoder()
        own.network.load_state_dict(weights.state_dict())
        return own

    def train(self, mode: bool = True) -> Self:
        """Training mode, without dropout in what is frozen."""
        super().train(mode)
        if self.freeze:
            self.network.eval()
        return self

    def encode(self, batch: Batch) -> DiagonalGaussian:
        """q(z | x) for ``tokens`` int64 [B, L]: mean and std [B, K, channels]."""
        tokens = batch["tokens"]
        given = self._begun(self.to_inner[tokens], self.begin)
        real = self._begun(self._dropped(tokens) != PAD, [1] * len(self.begin))
        encoder = self.network.get_encoder() if self.kind == "autoregressive" else self.network
        with torch.no_grad() if self.freeze else nullcontext():
            hidden = encoder(input_ids=given, attention_mask=real.long()).last_hidden_state
        mean, raw = self.to_latent(self.resampler(hidden, real)).chunk(2, dim=-1)
        return self.limits(mean, raw)  # type: ignore[no-any-return]

    def decode(self, z: Tensor, mask: Tensor | None = None) -> Likelihood:
        """p(x | z) for z [B, K, channels]; sentences' latents have no mask."""
        return Decoded.by(self.decoding, z, self)

    def likelihood(self, z: Tensor, noise: float = 0.0, generator: torch.Generator | None = None) -> TokenLikelihood:
        """p(x | z) without a decoding; outside training p(x | z_r) for ``noise`` r, drawn with a generator."""
        memory = read_through(self.noise, self.from_latent, z, noise, generator)
        if self.kind == "autoregressive":
            states = self.to_states(self.transformer(inputs_embeds=memory).last_hidden_state)
            return AutoregressiveTokens(StateDecoder(self, states), len(z), self.length, z.device)
        queries = self.queries.to(memory.dtype).expand(len(z), -1, -1)
        hidden = self.transformer(inputs_embeds=torch.cat([memory, queries], dim=1)).last_hidden_state
        return ParallelTokens(hidden[:, memory.shape[1] :], self.head)

    def _begun(self, tokens: Tensor, begin: Sequence[int]) -> Tensor:
        first = torch.tensor(begin, device=tokens.device).to(tokens.dtype)
        return torch.cat([first.expand(len(tokens), -1), tokens], dim=1)

    def _dropped(self, tokens: Tensor) -> Tensor:
        """Some words replaced by padding, while training."""
        if not self.training or self.token_dropout == 0:
            return tokens
        drop = torch.rand(tokens.shape, device=tokens.device) < self.token_dropout
        return tokens.masked_fill(drop & (tokens > EOS), PAD)


class StateDecoder:
    """The pretrained decoder with pseudo encoder states [B, K, d] to attend to."""

    def __init__(self, autoencoder: PretrainedAutoencoder, states: Tensor) -> None:
        self.autoencoder, self.states = autoencoder, states

    def logits(self, tokens: Tensor) -> Tensor:
        """Of every position given those before it, [B, L, V]."""
        own = self.autoencoder
        first = [own.start, *own.begin]
        given = own._begun(own.to_inner[own._dropped(tokens[:, :-1])], first)
        return self.own_numbers(self.call(given).logits[:, len(first) - 1 :])

    def call(self, given: Tensor, **cache: Any) -> Any:
        """The pretrained model on its own numbers [B, M]."""
        from transformers.modeling_outputs import BaseModelOutput

        outputs = BaseModelOutput(last_hidden_state=self.states)
        options = {"use_cache": False, **cache}
        return self.autoencoder.network(encoder_outputs=outputs, decoder_input_ids=given, **options)

    def own_numbers(self, logits: Tensor) -> Tensor:
        """Logits [..., V] by the numbers of the tokenizer; a start that the model has not is never read."""
        return logits[..., self.autoencoder.to_inner.clamp(max=logits.shape[-1] - 1)]

    def steps(self) -> Stepper:
        """A run that remembers keys and values."""
        return StateStepper(self)


class StateStepper:
    """One token at a time, with a cache of keys and values."""

    def __init__(self, decoder: StateDecoder) -> None:
        self.decoder, self.cache = decoder, None

    def __call__(self, last: Tensor) -> Tensor:
        """Logits [B, V] of the next token."""
        own = self.decoder.autoencoder
        if self.cache is None:
            given = own._begun(last[:, None][:, :0], [own.start, *own.begin])
        else:
            given = own.to_inner[last[:, None]]
        name = cache_name(own.network)
        out = self.decoder.call(given, use_cache=True, **{name: self.cache})
        self.cache = out[name]
        return self.decoder.own_numbers(out.logits[:, -1])


def _sizes(config: Any) -> tuple[int, int, int]:
    """Number of the decoder's first token, size of the features, number of tokens."""
    names = ("decoder_start_token_id", "d_model", "vocab_size")
    start, size, known = (getattr(config, name, None) for name in names)
    if not (isinstance(start, int) and isinstance(size, int) and isinstance(known, int)):
        raise ValueError(f"architecture has {names} {(start, size, known)}, and all three must be whole; give T5's.")
    return start, size, known


def _check_vocabulary(to_inner: Tensor, start: int, known: int) -> None:
    """Refuse a tokenizer with more tokens than the model; a start may be made up, as it is never read."""
    most = int(to_inner[to_inner != start].max())
    if most >= known:
        raise ValueError(f"the tokenizer has token {most} and the model knows {known}; take the model's own tokenizer.")
