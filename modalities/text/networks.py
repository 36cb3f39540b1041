"""Autoencoders of sentences, built on networks of Hugging Face's ``transformers``."""

from __future__ import annotations

import inspect
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from latentgen.autoencoder import Autoencoder
from latentgen.distributions import DiagonalGaussian, Likelihood
from latentgen.tensors import Batch

from .decoding import Decoded, Decoding
from .latent_noise import LatentNoise, read_through
from .likelihood import BOS, EOS, PAD, AutoregressiveTokens, ParallelTokens, Stepper, TokenLikelihood
from .posterior import PosteriorLimits
from .resampler import Resampler

DecoderName = Literal["parallel", "autoregressive"]
Table = TypeVar("Table", nn.Embedding, nn.Linear)


class SentenceAutoencoder(Autoencoder):
    r"""q(z | x) on K latent tokens and p(x | z) on text tokens, trained from scratch.

    Encoder: a bidirectional transformer (BERT's, small) and a Perceiver resampler of K queries. Decoder: another
    one over the latents and L position queries, which gives every token's distribution in one pass
    ("parallel"), or a causal one (GPT-2's, small) that has the latents as its prefix ("autoregressive").

    An autoregressive decoder can do without latents, and then their posterior collapses to the prior. ``token_dropout``
    takes words from what it sees while training, so that it needs them.

    Args:
        vocabulary: V, the number of tokens.
        length: L, the longest sentence in tokens, its end included.
        tokens: K, the number of latent tokens.
        channels: size of a latent token.
        width: of all networks.
        depth: layers of encoder and decoder.
        heads: attention heads.
        decoder: "parallel" or "autoregressive".
        token_dropout: share of the words before the current one that an autoregressive decoder does not see while
            training, and of the encoder's words in both.
        min_std: least standard deviation of the posterior, latent units.
        free_nats: floor of the rate, nats a latent dimension (``modalities.text.posterior``).
        decoding: how sentences are read off a likelihood; greedy unless given.
        latent_noise: share of the sentences whose latents the decoder reads through noise while training, so that a
            ``Decoding`` may have a ``noise`` (``modalities.text.latent_noise``); 0 is without.

    Raises:
        ValueError: if the decoder has another name.
    """

    def __init__(
        self,
        vocabulary: int,
        length: int,
        tokens: int = 8,
        channels: int = 16,
        width: int = 128,
        depth: int = 2,
        heads: int = 4,
        decoder: DecoderName = "parallel",
        token_dropout: float = 0.0,
        min_std: float = 0.02,
        free_nats: float = 0.0,
        decoding: Decoding | None = None,
        latent_noise: float = 0.0,
    ) -> None:
        super().__init__()
        if decoder not in ("parallel", "autoregressive"):
            raise ValueError(f"decoder is {decoder!r}; choose parallel or autoregressive.")
        self.vocabulary, self.length, self.kind = vocabulary, length, decoder
        self.token_dropout, self.decoding = token_dropout, decoding
        self.encoder = bidirectional(vocabulary, length, width, depth, heads)
        self.resampler = Resampler(width, tokens, width, 2, heads)
        self.to_latent = nn.Linear(width, 2 * channels)
        self.limits = PosteriorLimits(tokens * channels, min_std, free_nats)
        self.from_latent = nn.Linear(channels, width)
        self.noise = LatentNoise(width, latent_noise) if latent_noise else None
        if decoder == "parallel":
            self.queries = nn.Parameter(torch.randn(length, width) * 0.1)
            self.decoder = bidirectional(1, tokens + length, width, depth, heads)
            # its only word is never read: a gradient that never comes would hold up a distributed run
            self.decoder.get_input_embeddings().requires_grad_(False)
            self.head = embedding_like(nn.Linear(width, vocabulary))
        else:
            self.decoder = causal(vocabulary, tokens + length + 1, width, depth, heads)

    def encode(self, batch: Batch) -> DiagonalGaussian:
        """q(z | x) for ``tokens`` int64 [B, L]: mean and std [B, K, channels]."""
        tokens = batch["tokens"]
        real = tokens != PAD
        seen = self._dropped(tokens)
        hidden = self.encoder(input_ids=seen, attention_mask=real.long()).last_hidden_state
        mean, raw = self.to_latent(self.resampler(hidden, real)).chunk(2, dim=-1)
        return self.limits(mean, raw)  # type: ignore[no-any-return]

    def decode(self, z: Tensor, mask: Tensor | None = None) -> Likelihood:
        """p(x | z) for z [B, K, channels]; sentences' latents have no mask."""
        return Decoded.by(self.decoding, z, self)

    def likelihood(self, z: Tensor, noise: float = 0.0, generator: torch.Generator | None = None) -> TokenLikelihood:
        """p(x | z) without a decoding; outside training p(x | z_r) for ``noise`` r, drawn with a generator."""
        memory = read_through(self.noise, self.from_latent, z, noise, generator)
        if self.kind == "autoregressive":
            return AutoregressiveTokens(PrefixDecoder(self, memory), len(z), self.length, z.device)
        queries = self.queries.to(memory.dtype).expand(len(z), -1, -1)
        hidden = self.decoder(inputs_embeds=torch.cat([memory, queries], dim=1)).last_hidden_state
        return ParallelTokens(hidden[:, memory.shape[1] :], self.head)

    def _dropped(self, tokens: Tensor) -> Tensor:
        """Some words replaced by padding, while training."""
        if not self.training or self.token_dropout == 0:
            return tokens
        drop = torch.rand(tokens.shape, device=tokens.device) < self.token_dropout
        return tokens.masked_fill(drop & (tokens > EOS), PAD)


class PrefixDecoder:
    """A causal decoder behind a prefix of latents [B, K, width]."""

    def __init__(self, autoencoder: SentenceAutoencoder, memory: Tensor) -> None:
        self.autoencoder, self.memory = autoencoder, memory

    def logits(self, tokens: Tensor) -> Tensor:
        """Of every position given those before it, [B, L, V]."""
        own = self.autoencoder
        before = torch.cat([torch.full_like(tokens[:, :1], BOS), tokens[:, :-1]], dim=1)
        embedded = own.decoder.get_input_embeddings()(own._dropped(before))
        out = own.decoder(inputs_embeds=torch.cat([self.memory, embedded], dim=1), use_cache=False)
        logits: Tensor = out.logits[:, self.memory.shape[1] :]
        return logits

    def steps(self) -> Stepper:
        """A run that remembers keys and values."""
        return PrefixStepper(self.autoencoder.decoder, self.memory)


class PrefixStepper:
    """One token at a time, with a cache of keys and values."""

    def __init__(self, decoder: Any, memory: Tensor) -> None:
        self.decoder, self.memory = decoder, memory
        self.cache: Any = None

    def __call__(self, last: Tensor) -> Tensor:
        """Logits [B, V] of the next token."""
        embedded = self.decoder.get_input_embeddings()(last[:, None])
        given = embedded if self.cache is not None else torch.cat([self.memory, embedded], dim=1)
        name = cache_name(self.decoder)
        out = self.decoder(inputs_embeds=given, use_cache=True, **{name: self.cache})
        self.cache = out[name]
        logits: Tensor = out.logits[:, -1]
        return logits


def cache_name(decoder: Any) -> str:
    """What this release of ``transformers`` calls its keys and values."""
    return "cache" if "cache" in inspect.signature(decoder.forward).parameters else "past_key_values"


def bidirectional(vocabulary: int, positions: int, width: int, depth: int, heads: int) -> Any:
    """A small BERT without its pooling layer."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=vocabulary, hidden_size=width, num_hidden_layers=depth, num_attention_heads=heads,
        intermediate_size=2 * width, max_position_embeddings=positions, type_vocab_size=1, pad_token_id=PAD,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )
    model = BertModel(config, add_pooling_layer=False)
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            embedding_like(module)
    return model


def causal(vocabulary: int, positions: int, width: int, depth: int, heads: int, dropout: float = 0.0) -> Any:
    """A small GPT-2 with a head over the vocabulary."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=vocabulary, n_positions=positions, n_embd=width, n_layer=depth, n_head=heads, n_inner=2 * width,
        resid_pdrop=dropout, embd_pdrop=dropout, attn_pdrop=dropout, bos_token_id=BOS, eos_token_id=EOS,
        tie_word_embeddings=False, activation_function="gelu_pytorch_tanh",
    )
    model = GPT2LMHeadModel(config)
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            embedding_like(module)
    embedding_like(model.lm_head)
    return model


def embedding_like(layer: Table) -> Table:
    """Marks a table of tokens: its rows belong to tokens, so that Muon leaves it to AdamW."""
    layer.weight.is_gate = True  # type: ignore[attr-defined]
    return layer
