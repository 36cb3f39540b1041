"""Exported sentences are read back as they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from modalities.text import Text
from modalities.text.files import read_file
from modalities.text.render import write_sentences

SMALL = {"vocabulary": 300, "width": 16, "depth": 1, "heads": 2, "train_size": 60, "test_size": 20, "length": 60}


def back(path: Path) -> list[str]:
    return [sentence for sentence in read_file(path) if sentence]  # a file ends with a line feed


@pytest.mark.parametrize(
    ("sentences", "name"),
    [
        (["a b", "caf\u00e9 \u2014 \U0001f600", '"quoted", and {more}', "x" * 500], "sentences.txt"),
        (["a b", "two\nlines"], "sentences.jsonl"),
        (["a b", "one\u2028other"], "sentences.jsonl"),
        (["a b", " led by a blank"], "sentences.jsonl"),
        (["a\rb"], "sentences.jsonl"),
    ],
)
def test_sentences_come_back(tmp_path: Path, sentences: list[str], name: str) -> None:
    path = write_sentences(sentences, tmp_path)
    assert path.name == name and back(path) == sentences


def test_one_export_is_left(tmp_path: Path) -> None:
    write_sentences(["two\nlines"], tmp_path)
    write_sentences(["one"], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["sentences.txt"]


def test_all_sentences_of_a_batch_are_exported(tmp_path: Path) -> None:
    text = Text(**SMALL)
    wanted = text.sentences("test")
    (path,) = text.export(text.batch(wanted), tmp_path)
    assert len(wanted) == 20 and back(path) == wanted


def test_the_data_are_no_earlier_export(tmp_path: Path) -> None:
    """They were removed as one, or written over."""
    path = tmp_path / "sentences.jsonl"
    path.write_text('{"text": "a b"}\n' * 10)
    text = Text(data=str(path), **SMALL)
    with pytest.raises(ValueError, match=r"could be lost to sentences\.jsonl in it; give another folder"):
        text.export(text.batch(["a b"]), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["sentences.jsonl"]
