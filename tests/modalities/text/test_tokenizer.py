"""The tokenizer gives every string back, and is stored as bytes."""

from __future__ import annotations

import copy

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from modalities.text import Text
from modalities.text.grammar import sentences
from modalities.text.likelihood import BOS, EOS, PAD
from modalities.text.tokenizer import Tokenizer

TRAINED = Tokenizer.train(sentences(500, 0), 400)
MARKED = ["hello </s> there <pad> x", "</s>", "<pad><s></s>", "</s", " <s>"]


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_string_comes_back(text) -> None:
    tokens = TRAINED.encode([text], 200)
    assert TRAINED.decode(tokens) == [text]
    assert int(tokens.max()) < len(TRAINED)


def test_ends_and_padding() -> None:
    tokens = TRAINED.encode(["the cafe serves pasta .", ""], 12)
    assert tokens.shape == (2, 12)
    assert tokens[1].tolist() == [EOS] + [PAD] * 11
    end = tokens[0].tolist().index(EOS)
    assert not set(tokens[0, :end].tolist()) & {PAD, BOS, EOS}
    assert set(tokens[0, end + 1 :].tolist()) <= {PAD}
    cut = TRAINED.encode(["the cafe serves pasta and fresh fish for about twenty pounds ."], 4)
    assert cut[0, -1] == EOS


def test_it_is_stored_as_bytes() -> None:
    again = Tokenizer.from_tensor(TRAINED.to_tensor())
    texts = sentences(20, 3)
    assert torch.equal(again.encode(texts, 30), TRAINED.encode(texts, 30))
    with pytest.raises(ValueError, match="stored tokenizer cannot be read"):
        Tokenizer.from_tensor(torch.randint(0, 256, (100,), dtype=torch.uint8))
    for wrong in (TRAINED.to_tensor().float(), TRAINED.to_tensor()[None], torch.zeros((), dtype=torch.uint8)):
        with pytest.raises(ValueError, match=r"must be bytes, uint8 \[n\]"):
            Tokenizer.from_tensor(wrong)


@pytest.mark.parametrize("corpus", [sentences(500, 0), MARKED * 50])
def test_special_tokens_in_a_sentence_are_text(corpus) -> None:
    """As trained, stored and read again, and copied, as for the workers of a loader."""
    own = Tokenizer.train(corpus, 400)
    for tokenizer in (own, Tokenizer.from_tensor(own.to_tensor()), copy.deepcopy(own)):
        tokens = tokenizer.encode(MARKED, 40)
        assert tokenizer.decode(tokens) == MARKED
        assert (tokens == EOS).sum(dim=1).tolist() == [1] * len(MARKED)
        assert not bool((tokens == BOS).any())


def test_half_of_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(ValueError, match=r"sentences\[1\] has half of a surrogate pair"):
        TRAINED.encode(["a", "\ud800"], 10)


@pytest.mark.parametrize("specials", [(1, 1, 1), (0, 1, 1), (-1, 1, 2), (0, 1, len(TRAINED) + 1), (0, 2**40, 2)])
def test_special_numbers_are_checked(specials) -> None:
    with pytest.raises(ValueError, match=r"specials is .*; give (three different )?numbers"):
        Tokenizer.from_tensor(TRAINED.to_tensor(), specials)


@pytest.mark.parametrize(
    ("names", "specials"),
    [
        ({"bos_token": "</s>", "eos_token": "</s>"}, (400, 401, 2)),  # as of GPT-2
        ({"eos_token": "</s>", "pad_token": "</s>", "bos_token": "<s>"}, (400, 1, 2)),
        ({"cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>"}, (0, 1, 2)),  # as of BERT
    ],
)
def test_a_pretrained_tokenizer_may_lack_special_tokens(tmp_path, names, specials) -> None:
    transformers.PreTrainedTokenizerFast(tokenizer_object=TRAINED.inner, **names).save_pretrained(tmp_path)
    found = Tokenizer.from_pretrained(str(tmp_path))
    assert len(TRAINED) == 400 and found.specials == specials
    texts = sentences(20, 3)
    for tokenizer in (found, Tokenizer.from_tensor(found.to_tensor(), found.specials)):
        tokens = tokenizer.encode(texts, 40)
        assert tokenizer.decode(tokens) == texts
        assert (tokens == EOS).sum(dim=1).tolist() == [1] * len(texts)
    text = Text(data=texts, tokenizer=str(tmp_path), width=16, depth=1, heads=2, length=40)
    batch = text.dataset("train").__getitems__(range(8))
    autoencoder = text.autoencoder()
    assert autoencoder.decode(autoencoder.encode(batch).mean).log_prob(batch).isfinite().all()


def test_a_pretrained_tokenizer_without_an_end_is_refused(tmp_path) -> None:
    transformers.PreTrainedTokenizerFast(tokenizer_object=TRAINED.inner, pad_token="<pad>").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="has no end token or no fast form; take another"):
        Tokenizer.from_pretrained(str(tmp_path))


def test_it_is_a_function_of_the_sentences() -> None:
    other = Tokenizer.train(sentences(500, 0), 400)
    assert torch.equal(other.to_tensor(), TRAINED.to_tensor())


@pytest.mark.parametrize(
    ("texts", "size", "message"), [([], 400, "at least one"), (["a"], 100, "every byte is a token")]
)
def test_what_cannot_be_trained_is_refused(texts, size, message) -> None:
    with pytest.raises(ValueError, match=message):
        Tokenizer.train(texts, size)


def test_specials_change_places() -> None:
    """A tokenizer whose padding, start and end have other numbers, as BART's, gives the same sentences."""
    moved = Tokenizer(TRAINED.inner, (1, 0, 5))
    texts = sentences(5, 3)
    tokens = moved.encode(texts, 40)
    assert set(tokens[:, -1].tolist()) <= {PAD, EOS}
    assert len(moved) == len(TRAINED)
    assert sorted(moved._to_own.tolist()) == list(range(len(moved)))
    assert moved._to_own[[1, 0, 5]].tolist() == [PAD, BOS, EOS]
