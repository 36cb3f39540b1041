"""The modality's contract, its tokenizer in a stored model, its decoders end to end."""

from __future__ import annotations

import pytest
import torch

import latentgen
from latentgen.storage import export_safetensors
from latentgen.testing import check_modality
from modalities.text import Text
from modalities.text.grammar import accepts
from modalities.text.modality import exact_share, nats_a_token
from modalities.text.tokenizer import Tokenizer

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


STATE = Text(**SMALL).state()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokenizer": None}, "stored state of text is specials, not tokenizer and specials"),
        ({"tokenizer": None, "specials": None}, "is nothing, not tokenizer"),
        ({"other": torch.zeros(1)}, "is other, specials, tokenizer, not"),
        ({"specials": torch.tensor([1, 1, 1])}, r"specials is \(1, 1, 1\); give three different"),
        ({"specials": torch.tensor([-1, 1, 2])}, r"specials is \(-1, 1, 2\)"),
        ({"specials": torch.tensor([0, 1, 301])}, "or 300 for one that it lacks"),
        ({"specials": torch.tensor([0, 1])}, r"specials are torch\.int64 \[2\]"),
        ({"specials": torch.tensor([0.0, 1.0, 2.0])}, r"specials are torch\.float32 \[3\]"),
        ({"tokenizer": torch.zeros(3)}, r"stored tokenizer is torch\.float32 \[3\]"),
        ({"tokenizer": torch.zeros(3, dtype=torch.uint8)}, "stored tokenizer cannot be read"),
    ],
)
def test_a_state_that_is_none_is_refused(changes, message) -> None:
    text = Text(**SMALL)
    before = text.tokenizer
    with pytest.raises(ValueError, match=message):
        text.load_state({name: value for name, value in {**STATE, **changes}.items() if value is not None})
    assert text.tokenizer is before
    text.load_state({"tokenizer": STATE["tokenizer"]})
    assert text.tokenizer.specials == (0, 1, 2)


class Scaled(Text):
    """A state of its own beside that of text."""

    scale = torch.ones(1)

    def state(self) -> dict[str, torch.Tensor]:
        return {**super().state(), "scale": self.scale}

    def load_state(self, state) -> None:
        super().load_state(state)
        self.scale = state["scale"]


def test_a_class_with_more_state_takes_it_back() -> None:
    text = Scaled(**SMALL)
    text.load_state({**STATE, "scale": torch.full((1,), 3.0)})
    assert text.scale.item() == 3
    assert torch.equal(text.state()["tokenizer"], STATE["tokenizer"])
    with pytest.raises(ValueError, match="stored state of text is scale, specials, not"):
        text.load_state({name: value for name, value in text.state().items() if name != "tokenizer"})


def test_a_stored_model_without_its_tokenizer_asks_nobody_for_one(tmp_path, monkeypatch) -> None:
    """Neither a hub, nor the data that the configuration names."""
    lines = tmp_path / "lines.txt"
    lines.write_text("one .\n" * 20)
    for source in ({"tokenizer": "somebody/model"}, {"data": str(lines)}):
        text = Text(**{**SMALL, **source})
        text.load_state(STATE)
        model = latentgen.LSGM(width=16, depth=1, heads=2).prepare(text).model
        tensors = {name: value for name, value in model.tensors().items() if not name.startswith("modality.")}
        export_safetensors(tmp_path / "model.safetensors", tensors, model.config())
        monkeypatch.setattr(Tokenizer, "from_pretrained", lambda name: pytest.fail(f"{name} is asked for"))
        monkeypatch.setattr(Tokenizer, "train", lambda *_given: pytest.fail("the data are read"))
        with pytest.raises(ValueError, match="stored state of text is nothing"):
            latentgen.load(tmp_path)
        monkeypatch.undo()


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


def test_tables_have_a_row_of_human_sentences_that_nothing_has_read() -> None:
    torch.manual_seed(0)
    model = latentgen.LSGM(width=16, depth=1, heads=2).prepare(Text(**{**SMALL, "length": 80})).model
    table = latentgen.evaluate(model, samples=30, calls=(2,), nelbo=False)
    compared = latentgen.compare({"run": model}, samples=30, sets=1, repeats=1, nelbo=False)
    for result in (table, compared):
        assert any("under Kneser-Ney 3-grams of 200 training sentences; mauve: on 128" in n for n in result["notes"])
        assert sum(note.startswith("held-out data: test examples") for note in result["notes"]) == 1
        rows = {row["name"]: row["values"] for row in result["rows"]}
        assert rows["real data"]["memorised"] == 1
        assert rows["held-out data"]["memorised"] < 0.9
        assert rows["held-out data"]["novel"] > 0.5
        assert rows["held-out data"]["perplexity"] > 1.5 * rows["real data"]["perplexity"]


def test_shares_and_units() -> None:
    a = {"tokens": torch.tensor([[5, 2, 0], [5, 6, 2]])}
    b = {"tokens": torch.tensor([[5, 2, 0], [5, 7, 2]])}
    assert exact_share(a, b) == 0.5
    assert nats_a_token(10.0, a) == 10 / 2.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decoder": "serial"}, "choose parallel"),
        ({"length": 1}, "2 or more"),
        ({"vocabulary": 258}, "vocabulary is 258; give at least 259, every byte is a token"),
        ({"tokens": 0}, "tokens is 0; give 1 or more"),
        ({"limit": -1}, "limit is -1; give 1 or more"),
        ({"train_size": 0}, "train_size is 0; give 1 or more"),
        ({"token_dropout": 1.5}, "token_dropout is 1.5; it is a share"),
    ],
)
def test_arguments_are_checked(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        Text(**options)
