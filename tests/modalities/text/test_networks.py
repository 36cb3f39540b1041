"""Autoencoders of sentences: padding is never read, caches change nothing, latents are used."""

from __future__ import annotations

import pytest
import torch

from modalities.text.likelihood import EOS, PAD
from modalities.text.networks import SentenceAutoencoder
from modalities.text.resampler import Resampler

V, L = 20, 7


def sentences(n: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(3, V, (n, L), generator=generator)
    for row in range(n):
        end = 1 + row % (L - 1)
        tokens[row, end] = EOS
        tokens[row, end + 1 :] = PAD
    return tokens


def small(decoder: str, **options) -> SentenceAutoencoder:
    torch.manual_seed(0)
    return SentenceAutoencoder(V, L, 3, 4, 16, 1, 2, decoder, **options).eval()


@pytest.mark.parametrize("decoder", ["parallel", "autoregressive"])
def test_shapes_limits_and_gradients(decoder) -> None:
    autoencoder, batch = small(decoder).train(), {"tokens": sentences()}
    q = autoencoder.encode(batch)
    assert q.mean.shape == q.std.shape == (6, 3, 4)
    assert float(q.std.min()) >= 0.02
    assert float(q.std.max()) <= 1
    loss = (-autoencoder.decode(q.rsample()).log_prob(batch) + q.kl_to_normal()).mean()
    torch.autograd.backward(loss)
    without = [n for n, p in autoencoder.named_parameters() if p.requires_grad and p.grad is None]
    assert without == [], "a weight without a gradient holds up a distributed run"


@pytest.mark.parametrize("decoder", ["parallel", "autoregressive"])
def test_a_sentence_does_not_depend_on_the_others(decoder) -> None:
    autoencoder, batch = small(decoder), {"tokens": sentences()}
    q = autoencoder.encode(batch)
    alone = autoencoder.encode({"tokens": batch["tokens"][2:3]})
    assert torch.allclose(q.mean[2:3], alone.mean, atol=1e-6)
    together = autoencoder.decode(q.mean).log_prob(batch)
    single = autoencoder.decode(q.mean[2:3]).log_prob({"tokens": batch["tokens"][2:3]})
    assert torch.allclose(together[2:3], single, atol=1e-5)


def test_steps_with_a_cache_are_those_without() -> None:
    autoencoder = small("autoregressive")
    z = torch.randn(6, 3, 4)
    likelihood = autoencoder.decode(z)
    tokens = sentences()
    whole = likelihood.decoder.logits(tokens)
    step = likelihood.decoder.steps()
    before = torch.cat([torch.ones(6, 1, dtype=torch.long), tokens[:, :-1]], dim=1)
    for place in range(L):
        assert torch.allclose(step(before[:, place]), whole[:, place], atol=1e-5)


def test_an_autoregressive_decoder_looks_back_alone() -> None:
    autoencoder = small("autoregressive")
    likelihood = autoencoder.decode(torch.randn(1, 3, 4))
    a, b = torch.tensor([[5, 6, 7, 8, 9, 10, EOS]]), torch.tensor([[5, 6, 7, 11, 12, 13, EOS]])
    assert torch.allclose(likelihood.decoder.logits(a)[:, :4], likelihood.decoder.logits(b)[:, :4], atol=1e-6)


def test_hidden_words_are_for_training() -> None:
    autoencoder, batch = small("parallel", token_dropout=0.9), {"tokens": sentences()}
    assert torch.equal(autoencoder.encode(batch).mean, autoencoder.encode(batch).mean)
    autoencoder.train()
    assert not torch.equal(autoencoder.encode(batch).mean, autoencoder.encode(batch).mean)
    dropped = autoencoder._dropped(batch["tokens"])
    assert torch.equal(dropped == EOS, batch["tokens"] == EOS)


def test_a_resampler_reads_what_is_real() -> None:
    torch.manual_seed(0)
    resampler = Resampler(8, 3, 16, 2, 2)
    x, mask = torch.randn(2, 5, 8), torch.tensor([[True] * 3 + [False] * 2, [True] * 5])
    y = x.clone()
    y[0, 3:] = 100.0
    assert torch.allclose(resampler(x, mask), resampler(y, mask), atol=1e-6)
    assert not torch.allclose(resampler(x, mask)[1], resampler(y + 1, mask)[1], atol=1e-3)


def test_another_decoder_is_refused() -> None:
    with pytest.raises(ValueError, match="choose parallel or autoregressive"):
        small("serial")
