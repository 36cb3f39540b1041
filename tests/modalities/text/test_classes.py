"""Classes of sentences: read beside them, stored with the model, and what a conditional model makes."""

from __future__ import annotations

import json

import pytest
import torch

import latentgen
from latentgen.class_names import pack_names
from latentgen.cli import main
from latentgen.testing import check_modality
from modalities.text import Text
from modalities.text.classes import class_names, one_hot
from modalities.text.readers import read_labelled

SMALL = {"vocabulary": 300, "width": 32, "depth": 1, "heads": 2, "length": 8, "tokens": 2, "latent": 4}
ROWS = [("the inn is old .", "10"), ("a bar is new .", "9"), ("", "10"), ("two pubs .", "")] * 5


def table(folder, suffix=".csv"):
    path = folder / f"rows{suffix}"
    if suffix == ".csv":
        path.write_text("text,stars\n" + "".join(f"{text},{stars}\n" for text, stars in ROWS))
    else:
        rows = ({"text": text, "stars": int(stars) - 9 if stars else None} for text, stars in ROWS)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_classes_stay_with_their_sentences(tmp_path) -> None:
    right = {(text, stars) for text, stars in ROWS if text}
    pairs = [read_labelled(table(tmp_path), split, label="stars") for split in ("train", "test")]
    assert set(pairs[0]) | set(pairs[1]) == right
    assert sum(map(len, pairs)) == sum(bool(text) for text, _ in ROWS)


def test_a_batch_has_the_class_of_each_sentence_or_none(tmp_path) -> None:
    text = Text(data=table(tmp_path), label="stars", **SMALL)
    assert (text.classes, text.condition_dim) == (("9", "10"), 2)
    data = text.dataset("train")
    batch = data.__getitems__(range(len(data)))
    for sentence, row in zip(text.texts(batch), batch["condition"], strict=True):
        place = {"the inn is old .": 1, "a bar is new .": 0}.get(sentence)
        assert bool(row.isnan().all()) if place is None else row.tolist() == torch.eye(2)[place].tolist()
    assert torch.equal(data[0]["tokens"], batch["tokens"][0])
    assert [result for result in check_modality(text) if not result.passed] == []


def test_a_long_sentence_takes_its_class_along(tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,kind\n" + f"{'b ' * 30},a\nb,b\nc,a\n" * 10)
    text = Text(data={"train": path, "test": path}, label="kind", **SMALL)
    batch = text.dataset("train").__getitems__(range(20))
    assert text.texts(batch) == ["b", "c"] * 10
    assert batch["condition"].argmax(dim=1).tolist() == [1, 0] * 10


def test_zero_is_a_class_and_null_is_none(tmp_path) -> None:
    text = Text(data=table(tmp_path, ".jsonl"), label="stars", **SMALL)
    assert text.classes == ("0", "1")
    assert set(text.labels("train")) == {"0", "1", ""}


def test_a_data_set_gives_the_names_of_its_classes(tmp_path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "kind": datasets.ClassLabel(names=["good", "bad"])})
    rows = datasets.Dataset.from_dict({"text": ["a", "b", "c"] * 4, "kind": [0, 1, None] * 4}, features=features)
    rows.save_to_disk(tmp_path / "set")
    assert set(read_labelled(tmp_path / "set", "train", label="kind")) == {("a", "good"), ("b", "bad"), ("c", "")}
    with pytest.raises(ValueError, match=r"label is 'stars', and .* has text, kind; name one of them"):
        read_labelled(tmp_path / "set", "train", label="stars")
    unlabelled = datasets.Dataset.from_dict({"text": ["a", "b"], "kind": [-1, 1]}, features=features)
    both = datasets.DatasetDict({"train": rows, "test": unlabelled})
    assert read_labelled(both, "test", label="kind") == [("a", ""), ("b", "bad")]


def test_what_has_no_classes_is_refused(tmp_path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a\nb\n")
    for data, message in (
        (str(path), r"label is 'kind', and a\.txt has no columns"),
        (["a", "b"], "label is 'kind', and a list of strings has no columns"),
        ({"train": ["a"], "test": ["b"]}, "label is 'kind', and the part train has no columns"),
        ("grammar", "label is 'kind', and the grammar has no columns"),
        (table(tmp_path), r"label is 'kind', and rows\.csv has text, stars; name one of them"),
    ):
        with pytest.raises(ValueError, match=message):
            _ = Text(data=data, label="kind", **SMALL).condition_dim
    with pytest.raises(ValueError, match="label is 'id', a column of 1001 classes"):
        class_names([str(number) for number in range(1001)], "id")
    with pytest.raises(ValueError, match="labels has '7'; the classes are 9, 10, take those"):
        Text(data=table(tmp_path), label="stars", **SMALL).condition(["7"])
    assert one_hot(["b", "x"], ["a", "b"])[0].tolist() == [0, 1]


def test_stored_classes_are_checked(tmp_path) -> None:
    text = Text(data=table(tmp_path), label="stars", **SMALL)
    state = text.state()
    for names, message in (
        (None, "stored state of text is specials, tokenizer, not tokenizer and names and specials"),
        (torch.zeros(3), "stored names of text are torch.float32"),
        (torch.tensor([255, 0, 254], dtype=torch.uint8), "UTF-8"),
        (pack_names(["a", "a"]), "1 of 2, and must be 2 to 1000 different ones"),
    ):
        with pytest.raises(ValueError, match=message):
            text.load_state({key: value for key, value in {**state, "names": names}.items() if value is not None})


def test_a_model_speaks_the_class_that_it_is_asked_for(tmp_path) -> None:
    """Trained on two sentences of a class each, loaded without data, guided, from Python and from the shell."""
    path, colours = tmp_path / "a.csv", {"warm": "red sun .", "cold": "blue sea ."}
    path.write_text("text,kind\n" + "".join(f"{line},{kind}\n" for kind, line in colours.items()) * 40)
    torch.manual_seed(0)
    text = Text(data=str(path), label="kind", **SMALL)
    options = latentgen.TrainingOptions(steps=250, batch_size=32, lr=2e-3, autoencoder_lr=2e-3, ema=0.98)
    recipe = latentgen.LSGM(width=32, depth=1, heads=2, kl_weight=latentgen.Schedule(1e-3, 0.03, 0.8, begins=0.35))
    prepared = recipe.prepare(text)
    latentgen.Trainer(prepared.model, prepared.objectives, tmp_path / "run", options, quiet=True).fit()
    path.unlink()
    model = latentgen.load(tmp_path / "run")
    own = model.modality
    assert own.classes == ("cold", "warm")
    for kind, line in colours.items():
        asked = own.condition([kind] * 20)
        for guidance in (1.0, 2.0):
            assert own.texts(model.sample(20, steps=10, condition=asked, guidance=guidance)).count(line) >= 18
        words = ["sample", str(tmp_path / "run"), "--n", "16", "--steps", "10", "--out", str(tmp_path), "--label", kind]
        assert main([*words, "--guidance", "2"]) == 0
        assert (tmp_path / "samples.txt").read_text().count(line) >= 14
    other = own.batch([colours["cold"]] * 10, ["cold"] * 10)
    edited = model.edit(other, strength=1.0, condition=own.condition(["warm"] * 10))
    assert own.texts(edited).count(colours["warm"]) >= 8
