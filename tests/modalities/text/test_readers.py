"""Readers: every format, parts by name, damage named, nothing left out silently."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from modalities.text import Text
from modalities.text.parts import OTHER, closest
from modalities.text.readers import read_sentences

LINES = [f"sentence number {n} ." for n in range(10)]


def test_lines_are_cleaned_and_a_fifth_is_held_out(tmp_path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("\n".join(f"  {line.replace(' ', chr(9) + ' ')}\n" for line in LINES) + "\n\n")
    train, test = read_sentences(path, "train"), read_sentences(str(path), "test")
    assert sorted(train + test) == sorted(LINES)
    assert len(train) > len(test) > 0
    assert read_sentences(path, "test") == test


@pytest.mark.parametrize("suffix", [".txt", ".txt.gz", ".csv", ".csv.gz", ".jsonl"])
def test_every_format(tmp_path, suffix) -> None:
    if ".csv" in suffix:
        text = "mr,ref\n" + "".join(f'x,"{line}"\n' for line in LINES)
    elif suffix == ".jsonl":
        text = "".join(json.dumps({"id": 1, "text": line}) + "\n" for line in LINES)
    else:
        text = "\n".join(LINES)
    path = tmp_path / f"all{suffix}"
    path.write_bytes(gzip.compress(text.encode()) if suffix.endswith(".gz") else text.encode())
    assert sorted(read_sentences(path, "train") + read_sentences(path, "test")) == sorted(LINES)


def test_a_folder_names_its_parts(tmp_path) -> None:
    for name, line in (("train.en.txt", "a"), ("valid.en.txt", "b"), ("test_2016.txt", "c"), ("test_2017.txt", "d")):
        (tmp_path / name).write_text(line)
    assert [read_sentences(tmp_path, split) for split in ("train", "valid", "test")] == [["a"], ["b"], ["c", "d"]]


@pytest.mark.parametrize(
    ("names", "split", "read"),
    [
        ("train.txt trainer_state.json", "train", "train.txt"),
        ("train.txt train.log test.txt test_results.log", "test", "test.txt"),
        ("train.txt train.parquet test.txt", "train", "train.txt"),
        ("train.txt train_small.txt test.txt", "train", "train.txt"),
        ("train.txt train_2.txt test.txt", "train", "train.txt"),
        ("train_1.txt train-2.txt train_small.txt test.txt", "train", "train-2.txt train_1.txt"),
        ("train-00000-of-00002.csv train-00001-of-00002.csv", "train", "train-00000-of-00002.csv"),
        ("train_small.txt test.txt", "train", "train_small.txt"),
        ("train.txt validation.txt values.txt test.txt", "valid", "validation.txt"),
        ("train.txt validation_matched.txt validation_mismatched.txt test.txt", "train", "train.txt"),
        ("train.txt dev.txt valid.txt test.txt", "train", "train.txt"),
        ("train.txt test.txt test.txt.gz", "train", "train.txt"),
    ],
)
@pytest.mark.filterwarnings("ignore:.* alone is read")
def test_neighbours_in_a_folder_are_passed_over(tmp_path, names, split, read) -> None:
    for name in names.split():
        (tmp_path / name).write_text(f"text\n{name}\n")
    found = [line for line in read_sentences(tmp_path, split) if line != "text"]
    assert found == (read.split() if "of-" not in read else names.split())


def test_what_is_passed_over_or_put_together_is_named(tmp_path) -> None:
    for name in ("train.txt", "train_2.txt", "train_small.txt", "test_a.txt", "test_b.txt"):
        (tmp_path / name).write_text(name)
    with pytest.warns(UserWarning, match=r"^train\.txt alone is read for train, and not train_2\.txt, train_small"):
        assert read_sentences(tmp_path, "train") == ["train.txt"]
    with pytest.warns(UserWarning, match=r"^test_a\.txt, test_b\.txt are read one after another for test"):
        assert read_sentences(tmp_path, "test") == ["test_a.txt", "test_b.txt"]


def test_a_long_number_is_matched_at_once() -> None:
    assert closest({"a": "train" + "1" * 250 + "x"}, "train") == (OTHER, ["a"])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("train.txt", "training.txt"), "both 'train.txt' and 'training.txt'"),
        (("train_1.txt", "train_1.txt.gz"), "both 'train_1.txt' and 'train_1.txt.gz'"),
        (("train.txt", "test.txt.zip"), "has 'test.txt.zip' as a part"),
        (("train.txt", "train.txt.gz"), "both 'train.txt' and 'train.txt.gz'"),
        (("train.csv", "train.txt"), "both 'train.csv' and 'train.txt'"),
        (("train.txt", "test.parquet"), "has 'test.parquet' as a part"),
    ],
)
def test_a_folder_that_is_not_clear_is_refused(tmp_path, names, message) -> None:
    for name in names:
        (tmp_path / name).write_text("text\na\n")
    with pytest.raises(ValueError, match=message):
        read_sentences(tmp_path, "train")


def test_lists_and_mappings() -> None:
    assert read_sentences({"train": ["a"], "test": ["b"]}, "valid") == ["b"]
    assert read_sentences({"train": ["a"], "test": ["b"]}, "train") == ["a"]
    assert len(read_sentences(LINES, "train")) == 8
    for name in ("val", "validation", "dev", "Valid"):
        assert read_sentences({"train": ["a"], name: ["b"], "test": ["c"]}, "valid") == ["b"]
    assert read_sentences({"train": ["a"], "unsupervised": ["b"], "values": 3, "test": ["c"]}, "valid") == ["c"]
    twice = {"train": ["a"], "test_a": ["b"], "test_b": ["c"]}
    assert read_sentences(twice, "train") == ["a"]
    for parts, message in (
        (twice, "data has the parts test_a, test_b for test; give lists"),
        ({"a": ["a"], "b": ["b"]}, "the parts of data are a, b; name them train"),
        ({}, "the parts of data are none"),
    ):
        with pytest.raises(ValueError, match=message):
            read_sentences(parts, "test")


@pytest.mark.parametrize("given", [np.array, tuple, iter, set, dict.fromkeys], ids=str)
def test_strings_of_any_iterable(given) -> None:
    given = (lambda lines: dict.fromkeys(lines).keys()) if given == dict.fromkeys else given
    assert read_sentences({"train": given(LINES), "test": given(LINES)}, "train") == LINES
    assert len(read_sentences(given(LINES), "test")) == 2
    text = Text(data=given(LINES))
    assert sorted(text.sentences("train") + text.sentences("test")) == LINES
    assert text.axes()["quality"] == "mauve"


def test_series_are_strings_and_tables_are_not() -> None:
    pandas = pytest.importorskip("pandas")
    assert read_sentences({"train": pandas.Series(LINES), "test": ["a"]}, "train") == LINES
    for wrong in (pandas.DataFrame({"text": LINES}), np.array([LINES]), np.array("a"), b"a", {"a": "b"}):
        with pytest.raises(ValueError, match=r"the part train is a .*; give the path of a file, or strings\.$"):
            read_sentences({"train": wrong, "test": ["a"]}, "train")
    with pytest.raises(ValueError, match="the part train, sentence 1 is a dict"):
        read_sentences({"train": [{"text": "a"}], "test": ["a"]}, "train")


def test_files_of_no_part_are_named_where_a_part_is_held_out(tmp_path, recwarn) -> None:
    (tmp_path / "train_tok.txt").write_text("\n".join(LINES))
    (tmp_path / "testset_w_refs.csv").write_text("text\na\n")
    with pytest.warns(UserWarning, match=r"no file is called test, .* for it; testset_w_refs\.csv are not read"):
        assert len(read_sentences(tmp_path, "test")) == 2
    recwarn.clear()
    (tmp_path / "test.txt").write_text("a")
    assert read_sentences(tmp_path, "test") == ["a"]
    assert not recwarn


def test_a_mapping_of_files(tmp_path) -> None:
    (tmp_path / "a.csv").write_text("body\nb\n")
    (tmp_path / "b.txt").write_text("c\n")
    files = {"train": ["a"], "val": tmp_path / "a.csv", "test": str(tmp_path / "b.txt")}
    assert [read_sentences(files, split) for split in ("train", "valid", "test")] == [["a"], ["b"], ["c"]]
    with pytest.raises(ValueError, match="does not exist"):
        read_sentences({"train": "nothing.txt"}, "train")
    with pytest.raises(ValueError, match="the part train is 'hf:x/y', which does not exist; give a file, or strings"):
        read_sentences({"train": "hf:x/y"}, "train")
    with pytest.raises(ValueError, match="the part train is a int"):
        read_sentences({"train": 3}, "train")


def test_a_data_set_on_disk(tmp_path) -> None:
    datasets = pytest.importorskip("datasets")
    parts = {name: datasets.Dataset.from_dict({"text": LINES, "label": list(range(10))}) for name in ("train", "test")}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "set")
    assert read_sentences(tmp_path / "set", "test") == LINES
    assert read_sentences(datasets.DatasetDict(parts), "test") == LINES
    assert sorted(read_sentences(parts["train"], "train") + read_sentences(parts["train"], "test")) == LINES
    assert Text(data=datasets.DatasetDict(parts), label="label").labels("train") == list("0123456789")
    with pytest.raises(ValueError, match="name one of them"):
        read_sentences(tmp_path / "set", "train", "body")
    datasets.DatasetDict({"train": parts["train"], "test_a": parts["test"], "test_b": parts["test"]}).save_to_disk(
        tmp_path / "two"
    )
    pairs = datasets.Dataset.from_dict({"translation": [{"en": "a", "de": "b"}] * 5})
    with pytest.raises(ValueError, match="part train, sentence 1 is a dict; give strings"):
        read_sentences(pairs, "train")
    with pytest.raises(ValueError, match="the parts test_a, test_b"):
        read_sentences(tmp_path / "two", "test")
    assert read_sentences(tmp_path / "two", "train") == LINES


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"good\n\xff\xfe\n", "a.txt", "no UTF-8 in line 2"),
        (b"not gzip", "a.txt.gz", "no whole gzip file"),
        (b'{"text": 1}\n[]\n', "a.jsonl", "a list in line 2"),
        (b'{"text": \n', "a.jsonl", "no JSON in line 1"),
        (b"one,two\n1,2\n", "a.csv", "has one, two; name one of them"),
        (b"\n \n", "a.txt", "has no sentence"),
    ],
)
def test_damage_is_named(tmp_path, content, name, message) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_sentences(path, "train")


def test_what_is_not_there(tmp_path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        read_sentences("nothing.txt", "train")
    with pytest.raises(ValueError, match="name one so"):
        read_sentences(tmp_path, "train")
    with pytest.raises(ValueError, match="choose train, valid or test"):
        read_sentences(LINES, "all")
    with pytest.raises(ValueError, match="data is a int"):
        read_sentences(3, "train")
    for long in ("a" * 5000, "a/" * 5000 + "a.txt"):
        with pytest.raises(ValueError, match=r"data is 'a.*\.\.\., which cannot be read") as found:
            read_sentences(long, "train")
        assert len(str(found.value)) < 400
    with pytest.raises(ValueError, match=r"half of a surrogate pair") as found:
        read_sentences(["a", "b\ud800"], "train")
    assert "data, sentence 2" in str(found.value)
