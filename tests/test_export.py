"""Files of many examples: their names, and what an earlier export left."""

from __future__ import annotations

from pathlib import Path

from latentgen.export import numbered_files


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
