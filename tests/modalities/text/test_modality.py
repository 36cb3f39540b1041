"""The modality's contract, its tokenizer in a stored model, its decoders end to end."""

from __future__ import annotations

import pytest
import torch

import latentgen
from latentgen.testing import check_modality
from modalities.text import Text
from modalities.text.grammar import accepts
from modalities.text.modality import exact_share, nats_a_token

SMALL = {"vocabulary": 300, "width": 16, "depth": 1, "heads": 2, "train_size": 200, "test_size": 60, "length": 40}


@pytest.mark.parametrize(
    "options",
    [{}, {"decoder": "autoregressive", "token_dropout": 0.3}, {"free_nats": 0.3}],
    ids=["one", "other", "floor"],
)
def test_it_keeps_the_contract(options) -> None:
    failed = [result for result in check_modality(Text(**SMALL, **options)) if not result.passed]
    assert failed == []


def test_a_stored_model_has_its_tokenizer_and_needs_no_data(tmp_path) -> None:
    torch.manual_seed(0)
    text = Text(**SMALL)
    prepared = latentgen.LSGM(width=16, depth=1, heads=2).prepare(text)
    options = latentgen.TrainingOptions(steps=2, batch_size=8)
    model = latentgen.Trainer(prepared.model, prepared.objectives, tmp_path, options, quiet=True).fit()
    again = latentgen.load(tmp_path)
    again.modality.data = None
    made = model.sample(3, steps=2)
    assert torch.equal(made["tokens"], again.sample(3, steps=2)["tokens"])
    assert again.modality.texts(made) == text.texts(made)
    with pytest.raises(ValueError, match="has no data"):
        again.modality.sentences("train")


def test_long_sentences_are_left_out_of_training_and_cut_elsewhere() -> None:
    lines = ["short one .", "b " * 60, "another ."] * 10
    text = Text(data={"train": lines, "test": lines}, **{**SMALL, "length": 10})
    assert (len(text.dataset("train")), text.dataset("train").left_out) == (20, 10)
    assert (len(text.dataset("test")), text.dataset("test").left_out) == (30, 10)
    with pytest.raises(ValueError, match="every one of 1 sentences is longer"):
        Text(data={"train": ["b " * 60], "test": ["b"]}, **{**SMALL, "length": 4}).dataset("train")


def test_figures_of_held_out_sentences_are_those_of_real_ones() -> None:
    text = Text(**{**SMALL, "length": 80})
    test, train = (text.dataset(split).__getitems__(range(60)) for split in ("test", "train"))
    figures = text.evaluate(test, test, train)
    assert figures["valid"] == 1
    assert text.evaluate(train, test, train)["novel"] == 0
    assert set(figures) == set(text.better())
    assert all(map(accepts, text.texts(test)))


def test_shares_and_units() -> None:
    a = {"tokens": torch.tensor([[5, 2, 0], [5, 6, 2]])}
    b = {"tokens": torch.tensor([[5, 2, 0], [5, 7, 2]])}
    assert exact_share(a, b) == 0.5
    assert nats_a_token(10.0, a) == 10 / 2.5


@pytest.mark.parametrize(
    ("options", "message"), [({"decoder": "serial"}, "choose parallel"), ({"length": 1}, "2 or more")]
)
def test_arguments_are_checked(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        Text(**options)
