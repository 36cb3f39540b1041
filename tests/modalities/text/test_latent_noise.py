"""Reading latents through noise: the channel, what a decoder learns of it, and how a decoding uses it."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import softplus

from latentgen.evaluating import evaluating
from modalities.text import Text
from modalities.text.decoding import Decoding, use_decoding
from modalities.text.latent_noise import LatentNoise
from modalities.text.likelihood import EOS
from modalities.text.networks import SentenceAutoencoder


def test_the_channel_keeps_the_variance_and_hides_its_share() -> None:
    torch.manual_seed(0)
    z, noise = torch.randn(50_000, 1, 2), LatentNoise(8, 0.5).eval()
    for level in (0.3, 0.8, 1.0):
        seen, _ = noise(z, level)
        assert float(seen.var()) == pytest.approx(1, abs=0.02)
        correlation = float((seen * z).mean() / (seen.std() * z.std()))
        assert correlation == pytest.approx(math.sqrt(1 - level**2), abs=0.01)
    clear, told = noise(z)
    assert torch.equal(clear, z)
    assert told.shape == (50_000, 1, 8)
    assert not torch.allclose(told[:1], noise(z, 0.5)[1][:1]), "the decoder is told the level"


def test_a_share_of_the_sentences_is_noised_in_training_alone() -> None:
    torch.manual_seed(0)
    z, noise = torch.ones(20_000, 3, 2), LatentNoise(8, 0.4).train()
    touched = (noise(z)[0] != z).flatten(1).any(dim=1).double().mean()
    assert float(touched) == pytest.approx(0.4, abs=0.02)
    assert torch.equal(noise.eval()(z)[0], z)


def binary_entropy(level: float) -> float:
    """H(A | z_r) in nats for z = 1 or -1 with equal odds: E softplus(-2 a y / r^2) with y = a + r eps."""
    a, eps = math.sqrt(1 - level**2), torch.linspace(-8, 8, 4001, dtype=torch.float64)
    weight = torch.exp(-(eps**2) / 2)
    values = softplus(-2 * a * (a + level * eps) / level**2)
    return float((weight * values).sum() / weight.sum())


@pytest.mark.parametrize("decoder", ["parallel", "autoregressive"])
def test_a_decoder_learns_what_is_left_of_a_sentence(decoder: str) -> None:
    torch.manual_seed(0)
    autoencoder = SentenceAutoencoder(6, 2, 1, 1, 16, 1, 2, decoder, latent_noise=0.8).train()
    tokens = torch.tensor([[3, EOS], [4, EOS]]).repeat(64, 1)
    z = torch.tensor([1.0, -1.0]).repeat(64)[:, None, None]
    optimizer = torch.optim.Adam(autoencoder.parameters(), 3e-3)
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, 1200)
    for _ in range(1200):
        loss = -autoencoder.decode(z).log_prob({"tokens": tokens}).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        decay.step()
    many = {"tokens": tokens.repeat(40, 1)}
    with evaluating(autoencoder), torch.no_grad():
        clear = -autoencoder.decode(z).log_prob({"tokens": tokens}).mean()
        assert float(clear) < 0.03
        for level in (0.6, 0.85, 0.95):
            nats = -autoencoder.likelihood(z.repeat(40, 1, 1), level).log_prob(many).mean()
            assert float(nats) == pytest.approx(binary_entropy(level), abs=0.05)
    assert binary_entropy(1.0) == pytest.approx(math.log(2))


@pytest.mark.parametrize("decoder", ["parallel", "autoregressive"])
def test_a_decoding_reads_through_noise(decoder: str) -> None:
    torch.manual_seed(0)
    autoencoder = SentenceAutoencoder(20, 7, 3, 4, 16, 1, 2, decoder, latent_noise=0.4).eval()
    z, other = torch.randn(2, 6, 3, 4)
    with torch.no_grad():
        plain = autoencoder.decode(z)
        nats, expected = plain.log_prob(plain.mode()), plain.mode()
        use_decoding(autoencoder, Decoding(noise=1.0))
        blind = autoencoder.decode(z).mode()["tokens"]
        assert torch.equal(blind, autoencoder.decode(other).mode()["tokens"]), "at 1 nothing is known of the latent"
        assert torch.equal(autoencoder.decode(z).log_prob(expected), nats), "likelihoods are without noise"
        use_decoding(autoencoder, Decoding(noise=0.5, seed=3))
        seen = autoencoder.likelihood(z, 0.5, torch.Generator().manual_seed(3)).mode()["tokens"]
        assert torch.equal(autoencoder.decode(z).mode()["tokens"], seen)
        assert torch.equal(autoencoder.train().decode(z).mode()["tokens"], seen), "reading is evaluation"
        assert autoencoder.training
        autoencoder.eval()
        use_decoding(autoencoder, Decoding(noise=0.0))
        assert torch.equal(autoencoder.decode(z).mode()["tokens"], expected["tokens"])


def test_levels_and_decoders_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"share is 1\.0"):
        LatentNoise(8, 1.0)
    with pytest.raises(ValueError, match=r"level is 1\.5"):
        LatentNoise(8)(torch.zeros(1, 1, 1), 1.5)
    with pytest.raises(ValueError, match=r"noise is -0\.1"):
        Decoding(noise=-0.1)
    with pytest.raises(ValueError, match=r"latent_noise is 1\.5"):
        Text(latent_noise=1.5)
    without = SentenceAutoencoder(20, 7, 3, 4, 16, 1, 2, decoding=Decoding(noise=0.5)).eval()
    with pytest.raises(ValueError, match="never read through any"):
        without.decode(torch.zeros(1, 3, 4)).mode()
