"""Readers: every format, parts by name, damage named, nothing left out silently."""

from __future__ import annotations

import gzip
import json

import pytest

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
    ("names", "message"),
    [
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
    for other, message in (("unsupervised", "part 'unsupervised', which is none"), ("training", "beside 'train'")):
        with pytest.raises(ValueError, match=message):
            read_sentences({"train": ["a"], other: ["b"]}, "train")


def test_a_mapping_of_files(tmp_path) -> None:
    (tmp_path / "a.csv").write_text("body\nb\n")
    (tmp_path / "b.txt").write_text("c\n")
    files = {"train": ["a"], "val": tmp_path / "a.csv", "test": str(tmp_path / "b.txt")}
    assert [read_sentences(files, split) for split in ("train", "valid", "test")] == [["a"], ["b"], ["c"]]
    with pytest.raises(ValueError, match="does not exist"):
        read_sentences({"train": "nothing.txt"}, "train")
    with pytest.raises(ValueError, match="the part train is a int"):
        read_sentences({"train": 3}, "train")


def test_a_data_set_on_disk(tmp_path) -> None:
    datasets = pytest.importorskip("datasets")
    parts = {name: datasets.Dataset.from_dict({"text": LINES, "label": list(range(10))}) for name in ("train", "test")}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "set")
    assert read_sentences(tmp_path / "set", "test") == LINES
    with pytest.raises(ValueError, match="name one of them"):
        read_sentences(tmp_path / "set", "train", "body")
    datasets.DatasetDict({"train": parts["train"], "test_a": parts["test"], "test_b": parts["test"]}).save_to_disk(
        tmp_path / "two"
    )
    with pytest.raises(ValueError, match="the parts test_a, test_b"):
        read_sentences(tmp_path / "two", "test")


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
