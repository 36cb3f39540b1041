"""Readers: every format, parts by name, damage named."""

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
    assert [read_sentences(tmp_path, split) for split in ("train", "valid", "test")] == [["a"], ["b"], ["c"]]


def test_lists_and_mappings() -> None:
    assert read_sentences({"train": ["a"], "test": ["b"]}, "valid") == ["b"]
    assert read_sentences({"train": ["a"], "test": ["b"]}, "train") == ["a"]
    assert len(read_sentences(LINES, "train")) == 8


def test_a_data_set_on_disk(tmp_path) -> None:
    datasets = pytest.importorskip("datasets")
    parts = {name: datasets.Dataset.from_dict({"text": LINES, "label": list(range(10))}) for name in ("train", "test")}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "set")
    assert read_sentences(tmp_path / "set", "test") == LINES
    with pytest.raises(ValueError, match="name one of them"):
        read_sentences(tmp_path / "set", "train", "body")


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
