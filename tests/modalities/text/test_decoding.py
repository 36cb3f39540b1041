"""Ways of decoding against enumeration and cases by hand."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

import latentgen
from modalities.text import Text
from modalities.text.decoding import Decoding, minimum_bayes_risk, restricted, sampled, use_decoding
from modalities.text.likelihood import EOS, PAD, AutoregressiveTokens, ParallelTokens
from modalities.text.ngrams import overlap, sentence_bleu

V, L = 8, 4
SMALL = {"vocabulary": 300, "width": 16, "depth": 1, "heads": 2, "train_size": 60, "test_size": 20, "length": 12}


def every_sentence(words: tuple[int, ...]) -> torch.Tensor:
    texts = itertools.chain.from_iterable(itertools.product(words, repeat=n) for n in range(L))
    return torch.tensor([[*text, EOS, *[PAD] * (L - len(text) - 1)] for text in texts])


def parallel(logits: torch.Tensor) -> ParallelTokens:
    """The likelihood of given logits: the head leaves them as they are."""
    head = nn.Linear(logits.shape[-1], logits.shape[-1], bias=False)
    head.weight = nn.Parameter(torch.eye(logits.shape[-1], dtype=logits.dtype), requires_grad=False)
    return ParallelTokens(logits, head)


class Bigram:
    def __init__(self, table: torch.Tensor) -> None:
        self.table = table

    def logits(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.table[torch.cat([torch.ones_like(tokens[:, :1]), tokens[:, :-1]], dim=1)]

    def steps(self):
        return lambda last: self.table[last]


def likelihoods(n: int):
    torch.manual_seed(0)
    yield parallel(torch.randn(1, L, V).expand(n, -1, -1))
    yield AutoregressiveTokens(Bigram(torch.randn(V, V)), n, L, torch.device("cpu"))


def test_the_search_of_a_parallel_decoder_is_exact() -> None:
    torch.manual_seed(0)
    sentences = every_sentence((3, 4, 5))
    differs = 0
    for logits in torch.randn(40, 1, L, 6):
        every = parallel(logits.expand(len(sentences), -1, -1))
        best = sentences[every.log_prob({"tokens": sentences}).argmax()]
        one = parallel(logits)
        assert torch.equal(one.beam()["tokens"][0], best)
        differs += int(not torch.equal(one.mode()["tokens"][0], best))
    assert differs > 0, "greedy decoding is not the search"


def test_the_nucleus_by_hand() -> None:
    p = torch.tensor([0.1, 0.5, 0.15, 0.25])
    for top_p, kept in ((0.4, {1}), (0.5, {1}), (0.6, {1, 3}), (0.8, {1, 2, 3}), (1.0, {0, 1, 2, 3})):
        found = restricted(p.log(), top_p=top_p).softmax(dim=-1)
        assert {k for k in range(4) if found[k] > 0} == kept, top_p
        assert torch.allclose(found, torch.where(found > 0, p, torch.zeros(4)) / sum(p[k] for k in kept))
    sharp = restricted(p.log(), temperature=0.5).softmax(dim=-1)
    assert torch.allclose(sharp, p**2 / (p**2).sum())


def test_draws_have_the_restricted_probabilities() -> None:
    n, logits = 20_000, torch.tensor([0.1, 0.5, 0.15, 0.25]).log()
    drawn = sampled(2.0, 0.8, seed=1)(logits.expand(n, -1))
    p = restricted(logits, 2.0, 0.8).softmax(dim=-1)
    share = torch.bincount(drawn, minlength=4) / n
    assert torch.allclose(share, p, atol=4 * 0.5 / math.sqrt(n))


def test_sampling_of_both_decoders_is_a_function_of_its_seed() -> None:
    for likelihood in likelihoods(50):
        a, b, c = (Decoding("sample", seed=seed)(likelihood)["tokens"] for seed in (0, 0, 1))
        assert torch.equal(a, b)
        assert not torch.equal(a, c)
        cold = Decoding("sample", temperature=1e-3)(likelihood)["tokens"]
        assert torch.equal(cold, likelihood.mode()["tokens"])
        assert torch.equal(Decoding("greedy")(likelihood)["tokens"], likelihood.mode()["tokens"])
        assert torch.equal(Decoding("beam", width=30)(likelihood)["tokens"], likelihood.beam(30)["tokens"])


def test_utilities_by_hand() -> None:
    assert overlap("abbc", "bbd") == 4 / 7
    assert overlap("", "") == 1
    assert sentence_bleu("abcde", "abcde") == pytest.approx(1)
    assert sentence_bleu("a", "a") == pytest.approx(1)
    assert sentence_bleu("xyz", "abc") == 0
    # precisions 2/3, (1 + 1)/(2 + 1), (0 + 1)/(1 + 1), (0 + 1)/(0 + 1); a penalty of exp(1 - 4/3)
    assert sentence_bleu("abx", "abcd") == pytest.approx(math.exp(-1 / 3) * (2 / 3 * 2 / 3 * 1 / 2) ** 0.25)


def test_the_least_risk_is_like_most_and_not_the_most_probable() -> None:
    """F1 over six draws: the repeated outlier gets 2; "abcd" gets 1 + .75 + .75 + .5, more than its neighbours."""
    candidates = ["wxyz", "abce", "wxyz", "abcd", "abfd", "gbhd"]
    gains = {y: sum(overlap(y, x) for x in candidates) for y in candidates}
    assert gains["wxyz"] == 2
    assert gains["abcd"] == 1 + 0.75 + 0.75 + 0.5
    assert candidates[minimum_bayes_risk(candidates, overlap)] == "abcd"
    assert minimum_bayes_risk(["b", "a", "a"]) == 1
    with pytest.raises(ValueError, match="at least one"):
        minimum_bayes_risk([])


@pytest.mark.parametrize("utility", ["bleu", "f1"])
def test_least_risk_decoding_of_a_made_up_distribution(utility) -> None:
    """The mode 3 6 END has 0.36; the others share a word: 4 5 END and 4 7 END have 0.32 each."""
    table = torch.full((V, V), -30.0)
    table[1, 3], table[1, 4] = math.log(0.36), math.log(0.64)
    table[3, 6], table[4, 5], table[4, 7] = 0.0, math.log(0.5), math.log(0.5)
    table[[5, 6, 7], EOS] = 0.0
    likelihood = AutoregressiveTokens(Bigram(table), 3, L, torch.device("cpu"))
    assert likelihood.beam(8)["tokens"][:, :2].tolist() == [[3, 6]] * 3
    found = Decoding("mbr", candidates=600, utility=utility)(likelihood)["tokens"]
    assert all(row[0] == 4 and row[2:] == [EOS, PAD] for row in found.tolist())


@pytest.mark.parametrize("decoder", ["parallel", "autoregressive"])
def test_a_model_decodes_as_its_modality_says(decoder, tmp_path) -> None:
    torch.manual_seed(0)
    text = Text(**SMALL, decoder=decoder, decoding=Decoding("mbr", candidates=3, utility="f1"))
    model = latentgen.LSGM(width=16, depth=1, heads=2).prepare(text).model
    z = torch.randn(2, *text.latents.shape)
    likelihood = model.decode(z)
    assert torch.equal(likelihood.mode()["tokens"], text.decoding(likelihood.likelihood)["tokens"])
    assert likelihood.log_prob(likelihood.mode()).shape == (2,)
    again = latentgen.load(model.save_pretrained(tmp_path))
    assert again.autoencoder.autoencoder.decoding.candidates == 3
    assert torch.equal(again.decode(z).mode()["tokens"], likelihood.mode()["tokens"])
    use_decoding(again, Decoding("beam", width=2))
    assert torch.equal(again.decode(z).mode()["tokens"], likelihood.likelihood.beam(2)["tokens"])
    use_decoding(again, None)
    assert torch.equal(again.decode(z).mode()["tokens"], likelihood.likelihood.mode()["tokens"])
    with pytest.raises(ValueError, match="no autoencoder of sentences"):
        use_decoding(torch.nn.Linear(1, 1), None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "best"}, "choose greedy"),
        ({"temperature": 0}, "must be positive"),
        ({"top_p": 0}, "above 0"),
        ({"candidates": 0}, "at least 1"),
        ({"utility": "rouge"}, "choose bleu or f1"),
    ],
)
def test_arguments_are_checked(given, message) -> None:
    with pytest.raises(ValueError, match=message):
        Decoding(**given)


@pytest.mark.parametrize("decoder", ["parallel", "autoregressive"])
def test_passes_encode_and_read_again(decoder: str) -> None:
    torch.manual_seed(0)
    text = Text(decoder=decoder, **SMALL)
    model = latentgen.VAE().prepare(text).model.eval()
    z = torch.randn(6, *text.latents.shape)
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        expected = model.decode(z).mode()
        for passes in range(3):
            use_decoding(model, Decoding(passes=passes))
            found = model.decode(z).mode()
            assert torch.equal(found["tokens"], expected["tokens"])
            assert torch.equal(model.decode(z[2:4]).mode()["tokens"], found["tokens"][2:4])
            use_decoding(model, None)
            q = model.encode(expected)
            expected = model.decode(q.mean + q.std * torch.randn(text.latents.shape, generator=noise)).mode()
    with pytest.raises(ValueError, match="passes is -1"):
        Decoding(passes=-1)
