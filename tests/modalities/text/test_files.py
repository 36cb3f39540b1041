"""Files of sentences: line ends, quotes, columns, limits, and what is no file of sentences."""

from __future__ import annotations

import csv
import gzip
import json
import os
import tracemalloc
import zlib

import pytest

from modalities.text.files import LONGEST, read_file

BREAKS = "one\u2028two\u0085three\x0cfour\x1cfive\x1dsix\x1eseven\x0beight\u2029nine"
"""What ``str.splitlines`` splits at, besides ends of lines."""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_end_with_line_feeds_alone(tmp_path, end) -> None:
    table, text = tmp_path / "a.jsonl", tmp_path / "a.txt"
    lines = [json.dumps({"text": BREAKS}, ensure_ascii=False), json.dumps({"text": "b"})]
    table.write_bytes(end.join(lines).encode())
    text.write_bytes(end.join([BREAKS, "b"]).encode())
    assert read_file(table) == read_file(text) == [BREAKS, "b"]


def test_cells_keep_what_is_quoted(tmp_path) -> None:
    (tmp_path / "a.csv").write_bytes(b'id,text\r\n\r\n1,"say ""a"", b\nc"\r\n2,plain "d"\r\n3\r\n4,e,\r\n')
    assert read_file(tmp_path / "a.csv") == ['say "a", b\nc', 'plain "d"', "", "e"]


@pytest.mark.parametrize("quote", ["", '"'])
def test_cells_are_as_long_as_sentences(tmp_path, quote) -> None:
    before = csv.field_size_limit()
    (tmp_path / "a.csv").write_text(f"text\n{quote}{'a' * LONGEST}{quote}\nb\n")
    assert [len(line) for line in read_file(tmp_path / "a.csv")] == [LONGEST, 1]
    (tmp_path / "b.csv").write_text('text\n"a')
    with pytest.raises(ValueError, match="close its quotes"):
        read_file(tmp_path / "b.csv")
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ('text\n"unclosed\nb\nc\nd', "a.csv", r"a\.csv is no CSV up to line 5 .*close its quotes"),
        ('text\n"unclosed\nb\n"c\nd', "a.csv", r"a\.csv is no CSV up to line 4"),
        ("text\na\rb\n", "a.csv", r"a\.csv is no CSV up to line 2 .*line feeds"),
        ("text\n" + "a" * (LONGEST + 1), "a.csv", r"a\.csv is no CSV up to line 2 .*field limit .*split longer cells"),
        ("text\na\nb, c\n", "a.csv", r"a\.csv has 2 cells in line 3 and 1 names; quote commas"),
        ("text,text\na,b\n", "a.csv", r"column is 'text', and a\.csv has 2 of that name"),
        ('{"text": ' + "[" * 100_000, "a.jsonl", r"no JSON in line 1 \(RecursionError\)"),
        ('{"text": ' + "1" * 5000 + "}", "a.jsonl", r"no JSON in line 1 \(ValueError\)"),
        ('{"text": "a"}\n{"text": "a\\ud800"}', "a.jsonl", r"a\.jsonl, line 2 has half of a surrogate pair"),
        ("{}\n", "a.jsonl", "name one of them"),
        ("a\n" + "b" * (LONGEST + 1), "a.txt", r"a\.txt, line 2 has 1,048,577 characters"),
        ("a\rb\rc\r", "a.txt", "carriage returns alone"),
        ("a\n", "a.parquet", r"'a\.parquet', whose suffix is of no known format; give one of \.txt"),
        ("a\n", "a.zip", r"'a\.zip', whose suffix is of no known format"),
        ("a\n", "a.txt.zip", "of no known format"),
        ("a\n", "a", "of no known format"),
    ],
)
def test_what_is_damaged_is_named_by_file_and_line(tmp_path, content, name, message) -> None:
    (tmp_path / name).write_bytes(content.encode())
    with pytest.raises(ValueError, match=message):
        read_file(tmp_path / name)


def test_a_column_may_be_chosen_beside_two_of_another_name(tmp_path) -> None:
    (tmp_path / "a.csv").write_text("text,id,id\na,1,2\n")
    assert read_file(tmp_path / "a.csv") == ["a"]
    with pytest.raises(ValueError, match="column is 'id'"):
        read_file(tmp_path / "a.csv", "id")


def test_a_bomb_is_not_unpacked(tmp_path) -> None:
    """300 MB in 300 kB; what packs that well and is small, or packs as text does, is read."""
    path, packer = tmp_path / "a.txt.gz", zlib.compressobj(9, zlib.DEFLATED, 31)
    path.write_bytes(b"".join([packer.compress(b"a b\n" * 2**18) for _ in range(300)]) + packer.flush())
    tracemalloc.start()
    with pytest.raises(ValueError, match="decompression bomb does; unpack it yourself"):
        read_file(path)
    assert tracemalloc.get_traced_memory()[1] < 200e6
    tracemalloc.stop()
    path.write_bytes(gzip.compress(b"a b\n" * 2**18))
    assert len(read_file(path)) == 2**18 + 1


def test_damaged_deflate_data_are_named(tmp_path) -> None:
    packed = bytearray(gzip.compress(os.urandom(1000).hex().encode()))
    packed[40:60] = b"\xff" * 20
    (tmp_path / "a.txt.gz").write_bytes(packed)
    with pytest.raises(ValueError, match=r"a\.txt\.gz is no whole gzip file"):
        read_file(tmp_path / "a.txt.gz")
    (tmp_path / "b.TXT.GZ").write_bytes(gzip.compress(b"a"))
    assert read_file(tmp_path / "b.TXT.GZ") == ["a"]


@pytest.mark.parametrize("suffix", [".txt", ".txt.gz", ".csv"])
def test_what_is_no_regular_file_does_not_hang(tmp_path, suffix) -> None:
    os.mkfifo(tmp_path / f"a{suffix}")
    (tmp_path / f"b{suffix}").symlink_to("/dev/zero")
    (tmp_path / f"c{suffix}").mkdir()
    for name in "abc":
        with pytest.raises(ValueError, match="no regular file"):
            read_file(tmp_path / f"{name}{suffix}")
