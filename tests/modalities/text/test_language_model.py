"""The autoregressive baseline: it learns a source of known entropy, and its cache changes nothing."""

from __future__ import annotations

import itertools

import pytest
import torch

from modalities.text.language_model import LanguageModel, train_language_model
from modalities.text.likelihood import EOS, PAD, until_end

V, L = 6, 8
WORDS = (3, 4, 5)
START = torch.tensor([0.0, 0, 0, 0.5, 0.3, 0.2])
NEXT = torch.tensor([[0.0, 0, 0.2, 0.6, 0.1, 0.1], [0, 0, 0.3, 0.0, 0.1, 0.6], [0, 0, 0.1, 0.8, 0.05, 0.05]])


def markov(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Sentences [n, L] of a Markov chain, its end forced at L, and their -ln p [n]."""
    generator = torch.Generator().manual_seed(seed)
    tokens, nats = torch.full((n, L), PAD), torch.zeros(n)
    for row in range(n):
        p = START
        for place in range(L):
            if place == L - 1:
                p = torch.eye(V)[EOS]
            token = int(torch.multinomial(p, 1, generator=generator))
            tokens[row, place] = token
            nats[row] -= p[token].log()
            if token == EOS:
                break
            p = NEXT[token - 3]
    return tokens, nats


@pytest.fixture(scope="module")
def trained() -> LanguageModel:
    return train_language_model(markov(3000, 0)[0], V, 32, 2, 2, steps=250, batch_size=128, lr=3e-3, decay=0.98)


def test_it_learns_a_markov_source_to_its_entropy(trained) -> None:
    tokens, nats = markov(3000, 1)
    found, entropy = float(trained.nats(tokens).mean()), float(nats.mean())
    assert found > entropy - 1e-3, "no model is better than the source on many sentences"
    assert found < entropy + 0.05
    untrained = LanguageModel(V, L, 32, 2, 2)
    assert float(untrained.nats(tokens).mean()) > entropy + 0.5


def test_its_samples_come_from_the_source(trained) -> None:
    drawn, (real, _) = trained.sample(4000, batch_size=1000), markov(4000, 2)
    for word in (*WORDS, EOS):
        ours, theirs = ((tokens == word).sum(dim=1).float().mean() for tokens in (drawn, real))
        assert float(ours) == pytest.approx(float(theirs), abs=0.12)
    lengths = [until_end(tokens).sum(dim=1).float().mean() for tokens in (drawn, real)]
    assert float(lengths[0]) == pytest.approx(float(lengths[1]), abs=0.25)


def test_a_cache_changes_no_sample(trained) -> None:
    for given in ({}, {"temperature": 0.7, "top_p": 0.9}):
        with_cache, without = (trained.sample(60, 25, seed=3, cache=cache, **given) for cache in (True, False))
        assert torch.equal(with_cache, without)
    assert not torch.equal(with_cache, trained.sample(60, 25, seed=4, temperature=0.7, top_p=0.9))


def test_probabilities_sum_to_one_less_that_of_never_ending() -> None:
    torch.manual_seed(0)
    model = LanguageModel(V, 4, 16, 1, 2)
    texts = itertools.chain.from_iterable(itertools.product(WORDS, repeat=n) for n in range(4))
    ending = torch.tensor([[*text, EOS, *[PAD] * (3 - len(text))] for text in texts])
    going = torch.tensor(list(itertools.product(WORDS, repeat=4)))
    total = sum(model.nats(tokens).double().neg().exp().sum() for tokens in (ending, going))
    assert float(total) == pytest.approx(1, abs=1e-5)


def test_nats_do_not_depend_on_batches(trained) -> None:
    tokens, _ = markov(50, 3)
    assert torch.allclose(trained.nats(tokens, 7), trained.nats(tokens, 50), atol=1e-4)


def test_validation_keeps_the_best_weights() -> None:
    """Trained on other sentences than it is judged by, it is best early."""
    train, valid = markov(20, 0)[0], markov(300, 1)[0]
    given = {"width": 32, "depth": 1, "heads": 2, "steps": 300, "batch_size": 20, "lr": 3e-3, "decay": 0.9}
    last, best = train_language_model(train, V, **given), train_language_model(train, V, **given, valid=valid)
    assert float(best.nats(valid).mean()) < float(last.nats(valid).mean()) - 0.1


def test_time_ends_training_too() -> None:
    model = train_language_model(markov(20, 0)[0], V, 16, 1, 2, steps=10**9, minutes=0.01)
    assert not model.training
    with pytest.raises(ValueError, match="training must end"):
        train_language_model(torch.zeros(1, 2, dtype=torch.long), V)
    with pytest.raises(ValueError, match="no sentences"):
        train_language_model(torch.zeros(0, 2, dtype=torch.long), V, steps=1)
