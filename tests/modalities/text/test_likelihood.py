"""Token likelihoods: probabilities of all sentences sum to one, and decoding finds what it should."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from modalities.text.likelihood import BOS, EOS, PAD, AutoregressiveTokens, ParallelTokens, ended, until_end

V, L = 5, 4
WORDS = (3, 4)


def all_sentences() -> torch.Tensor:
    """Every sentence over two words with its end within L tokens, padded, int64 [N, L]."""
    rows = []
    for words in range(L):
        for text in itertools.product(WORDS, repeat=words):
            rows.append([*text, EOS, *[PAD] * (L - words - 1)])
    return torch.tensor(rows)


def parallel(logits: torch.Tensor) -> ParallelTokens:
    """The likelihood of given logits: the head leaves them as they are."""
    head = nn.Linear(logits.shape[-1], logits.shape[-1], bias=False)
    head.weight = nn.Parameter(torch.eye(logits.shape[-1], dtype=logits.dtype), requires_grad=False)
    return ParallelTokens(logits, head)


class Bigram:
    """Next-token logits that depend on the last token: a decoder in closed form."""

    def __init__(self, table: torch.Tensor) -> None:
        self.table = table

    def logits(self, tokens: torch.Tensor) -> torch.Tensor:
        before = torch.cat([torch.full_like(tokens[:, :1], BOS), tokens[:, :-1]], dim=1)
        return self.table[before]

    def steps(self):
        return lambda last: self.table[last]


def test_the_end_is_part_of_a_sentence() -> None:
    tokens = torch.tensor([[3, 4, EOS, PAD], [EOS, 3, EOS, 4], [3, 3, 3, 3]])
    assert until_end(tokens).tolist() == [[True] * 3 + [False], [True] + [False] * 3, [True] * 4]
    assert ended(tokens).tolist() == [[3, 4, EOS, PAD], [EOS, PAD, PAD, PAD], [3, 3, 3, 3]]


def test_parallel_probabilities_sum_to_one_less_that_of_never_ending() -> None:
    torch.manual_seed(0)
    logits = torch.randn(1, L, V, dtype=torch.float64)
    sentences = all_sentences()
    likelihood = parallel(logits.expand(len(sentences), -1, -1))
    total = likelihood.log_prob({"tokens": sentences}).exp().sum()
    p = torch.softmax(logits[0][:, [EOS, *WORDS]], dim=-1)
    never = (1 - p[:, 0]).prod()
    assert float(total) == pytest.approx(1 - float(never), abs=1e-6)


def test_autoregressive_probabilities_sum_to_one_less_that_of_never_ending() -> None:
    torch.manual_seed(1)
    table = torch.randn(V, V)
    sentences = all_sentences()
    likelihood = AutoregressiveTokens(Bigram(table), len(sentences), L, torch.device("cpu"))
    total = likelihood.log_prob({"tokens": sentences}).double().exp().sum()
    p = torch.zeros(V, V).double()
    p[:, [EOS, *WORDS]] = torch.softmax(table[:, [EOS, *WORDS]].double(), dim=-1)
    going = p[:, list(WORDS)][list(WORDS)]
    never = p[BOS, list(WORDS)] @ torch.linalg.matrix_power(going, L - 1) @ torch.ones(2).double()
    assert float(total) == pytest.approx(1 - float(never), abs=1e-5)


def test_words_after_the_end_count_nothing() -> None:
    torch.manual_seed(2)
    likelihood = parallel(torch.randn(1, L, V))
    a, b = torch.tensor([[3, EOS, PAD, PAD]]), torch.tensor([[3, EOS, 4, 3]])
    assert torch.equal(likelihood.log_prob({"tokens": a}), likelihood.log_prob({"tokens": b}))


@pytest.mark.parametrize("kind", ["parallel", "autoregressive"])
def test_samples_have_their_probabilities(kind) -> None:
    torch.manual_seed(3)
    n = 20_000
    if kind == "parallel":
        likelihood = parallel(torch.randn(1, L, V).expand(n, -1, -1))
    else:
        likelihood = AutoregressiveTokens(Bigram(torch.randn(V, V)), n, L, torch.device("cpu"))
    drawn = likelihood.sample()["tokens"]
    assert set(drawn.unique().tolist()) <= {PAD, EOS, *WORDS}
    for sentence in all_sentences()[:7]:
        same = (drawn == sentence).all(dim=1).float().mean()
        p = float(likelihood.log_prob({"tokens": sentence.expand(n, -1)})[0].exp())
        assert float(same) == pytest.approx(p, abs=4 * math.sqrt(p / n) + 1e-4)


def test_the_mode_is_the_most_probable_token_everywhere() -> None:
    logits = torch.full((1, L, V), -5.0)
    for place, token in enumerate((4, 3, EOS, 3)):
        logits[0, place, token] = 5.0
    logits[0, 0, PAD] = 9.0  # never chosen
    assert parallel(logits).mode()["tokens"].tolist() == [[4, 3, EOS, PAD]]


def test_a_wide_beam_finds_the_best_sentence_where_greedy_does_not() -> None:
    """The greedy first word leads to a flat choice; the other one to a certain one."""
    table = torch.full((V, V), -20.0)
    table[BOS, 3], table[BOS, 4] = math.log(0.6), math.log(0.4)
    table[3, [3, 4, EOS]] = torch.tensor([math.log(0.3), math.log(0.3), math.log(0.4)])
    table[4, EOS] = 0.0
    likelihood = AutoregressiveTokens(Bigram(table), 2, L, torch.device("cpu"))
    assert likelihood.mode()["tokens"][0].tolist() == [3, EOS, PAD, PAD]
    assert likelihood.beam(4)["tokens"].tolist() == [[4, EOS, PAD, PAD]] * 2
    sentences = all_sentences()
    every = AutoregressiveTokens(Bigram(table), len(sentences), L, torch.device("cpu"))
    best = sentences[every.log_prob({"tokens": sentences}).argmax()]
    assert best.tolist() == [4, EOS, PAD, PAD]


def test_a_beam_of_one_is_greedy() -> None:
    torch.manual_seed(4)
    likelihood = AutoregressiveTokens(Bigram(torch.randn(V, V)), 3, L, torch.device("cpu"))
    assert torch.equal(likelihood.beam(1)["tokens"], likelihood.mode()["tokens"])
    with pytest.raises(ValueError, match="at least 1 sentence"):
        likelihood.beam(0)


def test_greedy_decoding_in_blocks_is_that_of_all_logits(monkeypatch) -> None:
    torch.manual_seed(4)
    hidden, head = torch.randn(3, L, 2), nn.Linear(2, V)
    whole = ParallelTokens(hidden, head)
    want = ended(whole.logits.argmax(dim=-1))
    assert len(want.unique()) > 2
    for block in (1, 2 * V, 5 * V, 100 * V):
        monkeypatch.setattr("modalities.text.likelihood.BLOCK", {True: block, False: block})
        assert torch.equal(whole.mode()["tokens"], want)


def test_greedy_decoding_never_holds_all_logits(monkeypatch) -> None:
    sizes = []
    head = nn.Linear(2, V)
    head.register_forward_hook(lambda _head, _given, made: sizes.append(made.numel()))
    monkeypatch.setattr("modalities.text.likelihood.BLOCK", {True: 3 * V, False: 3 * V})
    ParallelTokens(torch.randn(4, L, 2), head).mode()
    assert max(sizes) == 3 * V and sum(sizes) == 4 * L * V


def test_a_likelihood_outside_of_the_context_that_made_it() -> None:
    head, tokens = nn.Linear(2, V), torch.tensor([[3, EOS, PAD, PAD]])
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        likelihood = ParallelTokens(nn.Linear(2, 2)(torch.randn(1, L, 2)), head)
    assert not likelihood.log_prob({"tokens": tokens}).requires_grad
    assert likelihood.mode()["tokens"].shape == (1, L)
    assert ParallelTokens(torch.randn(1, L, 2), head).log_prob({"tokens": tokens}).requires_grad
