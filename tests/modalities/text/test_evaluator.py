"""Perplexities against their definition; a pretrained evaluator is read from a folder, without a network."""

from __future__ import annotations

import math
import socket

import pytest
import torch
from payload import Payload

from modalities.text.evaluator import CausalEvaluator, Evaluator, TrigramEvaluator
from modalities.text.grammar import sentences

pytest.importorskip("transformers")


class Known(Evaluator):
    """ln 2 a symbol for one text, ln 8 for another; a symbol is a letter."""

    name = "known"

    def nats(self, texts):
        each = {"aa": math.log(2), "bbbbbb": math.log(8), "": 0.0}
        counts = [len(text) for text in texts]
        return torch.tensor([each[t] * len(t) for t in texts], dtype=torch.float64), torch.tensor(counts)


def test_both_means_by_hand() -> None:
    texts = ["aa", "bbbbbb", ""]
    assert Known().perplexity(texts) == pytest.approx((2 + 8) / 2)
    assert Known().perplexity(texts, "corpus") == pytest.approx(math.exp((2 * math.log(2) + 6 * math.log(8)) / 8))
    with pytest.raises(ValueError, match="choose texts or corpus"):
        Known().perplexity(texts, "words")
    with pytest.raises(ValueError, match="all without symbols"):
        Known().perplexity([""])


def test_trigrams_tell_sentences_from_shuffled_words_and_unknown_ones() -> None:
    evaluator = TrigramEvaluator(sentences(500, 0))
    real = sentences(100, 1)
    shuffled = [" ".join(sorted(sentence.split())) for sentence in real]
    strange = ["qwrt " + sentence for sentence in real]
    for over in ("texts", "corpus"):
        figures = [evaluator.perplexity(texts, over) for texts in (real, strange, shuffled)]
        assert figures == sorted(figures)
        assert figures[2] > 5 * figures[0]
    nats, counts = evaluator.nats(["", "the"])
    assert counts.tolist() == [1, 2]
    assert bool((nats > 0).all())
    assert "3-grams of 500" in evaluator.name


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A random GPT-2 with a tokenizer of its own, as saved by ``transformers``."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import GPT2Config, GPT2LMHeadModel, GPT2TokenizerFast

    path = tmp_path_factory.mktemp("gpt2")
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(sentences(200, 0), vocab_size=300, special_tokens=["<|endoftext|>"])
    trained.save_model(str(path))
    tokenizer = GPT2TokenizerFast.from_pretrained(str(path))
    tokenizer.save_pretrained(str(path))
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=64, n_embd=16, n_layer=2, n_head=2)
    GPT2LMHeadModel(config).save_pretrained(str(path))
    return path


def test_a_pretrained_evaluator_from_a_folder(folder, monkeypatch) -> None:
    def refuse(*_given):
        raise OSError("no network here")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    evaluator = CausalEvaluator(folder, batch_size=3)
    texts = [*sentences(6, 1), ""]
    nats, counts = evaluator.nats(texts)
    for text, found, count in zip(texts[:-1], nats, counts, strict=False):
        ids = [evaluator.start, *evaluator.tokenizer.encode(text)]
        given = torch.tensor([ids])
        with torch.no_grad():
            loss = evaluator.model(input_ids=given, labels=given).loss  # the library's own mean over tokens
        assert int(count) == len(ids) - 1
        assert float(found) == pytest.approx(float(loss) * int(count), rel=1e-5)
    assert int(counts[-1]) == 0
    assert evaluator.perplexity(texts) == pytest.approx(float((nats / counts)[:-1].exp().mean()))
    assert evaluator.name == folder.name


def test_what_is_too_long_is_cut(folder) -> None:
    text = " ".join(sentences(5, 2))
    _, counts = CausalEvaluator(folder, length=10).nats([text, "the"])
    assert int(counts[0]) == 10


def test_special_tokens_in_a_sentence_are_text(folder) -> None:
    _, counts = CausalEvaluator(folder).nats(["<|endoftext|>", "the"])
    assert int(counts[0]) > 1, "that it was not one token"


def test_only_safetensors_are_read(folder, tmp_path) -> None:
    for file in folder.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save(Payload(tmp_path / "it ran"), tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        CausalEvaluator(tmp_path)
    assert not (tmp_path / "it ran").exists()
