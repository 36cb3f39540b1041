"""Files of many examples: their names, and what an earlier export left."""

from __future__ import annotations

from pathlib import Path

import pytest

from latentgen.export import away_from_data, numbered_files


def test_a_shorter_export_leaves_nothing_of_a_longer_one(tmp_path: Path) -> None:
    for path in numbered_files(tmp_path / "images", 4, ".png"):
        path.write_text("old")
    others = ["sample_00009.txt", "photo_00003.png", "sample_00003.png.bak", "sample_3.png"]
    for name in others:
        (tmp_path / "images" / name).write_text("mine")
    new = numbered_files(tmp_path / "images", 2, ".png")
    assert [path.name for path in new] == ["sample_00000.png", "sample_00001.png"]
    found = {path.name for path in (tmp_path / "images").iterdir()}
    assert found == {"sample_00000.png", "sample_00001.png", *others}


def test_names_sort_as_numbers_do(tmp_path: Path) -> None:
    names = [path.name for path in numbered_files(tmp_path, 12_000, ".ply")]
    assert names == sorted(names)


def test_data_are_not_written_over(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    table = tmp_path / "molecules.csv"
    table.write_text("smiles\nC\n")
    (images / "0.png").write_text("mine")
    for path, data in (
        (table, str(table)), (table, {"test": table}), (table, tmp_path), (images, images), (images, images / "0.png"),
    ):
        with pytest.raises(ValueError, match=r"data, .*, could be lost to .* in it; give another folder"):
            away_from_data(path, data)
    for data in ("communities", None, [1, 2], table, images / "1.png", "x" * 5000):
        assert away_from_data(tmp_path / "out" / "molecules.csv", data).name == "molecules.csv"
        assert away_from_data(tmp_path / "graphs.jsonl", data).name == "graphs.jsonl"
