"""Damaged, edited and hostile checkpoints are refused by name, and the run falls back."""

import hashlib
import json
import os
import pickle
import struct
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from payload import Payload

from latentgen.checkpoint import (
    CheckpointError,
    latest_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from latentgen.manifest import read_manifest

links = pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    for step in (1, 2):
        weights = torch.arange(500.0) + step
        save_checkpoint(
            tmp_path, step, {"model": {"w": weights}, "ema": {"w": weights}}, {"n": step}
        )
    return tmp_path


def newest(run: Path) -> Path:
    return run / "checkpoints" / "step_00000002"


def rewrite(folder: Path, change: Callable[[dict], object]) -> None:
    """Edit a manifest as somebody would who knows the format: its own digest is right again."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    del content["digest"]
    change(content)
    text = json.dumps(content, sort_keys=True)
    content["digest"] = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps(content))


def assert_refused(run: Path, *words: str) -> None:
    """The newest is refused with these words, nothing of it is loaded, step 1 takes its place."""
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(newest(run))
    with pytest.warns(UserWarning) as warned:
        found = latest_checkpoint(run)
    assert len(warned) == 1 and "step_00000002 is skipped" in str(warned[0].message)
    for word in words:
        assert word in str(caught.value) and word in str(warned[0].message)
    assert found is not None and found.name == "step_00000001"
    assert torch.equal(load_checkpoint(found)[0]["model"]["w"], torch.arange(500.0) + 1)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


FILES = ["model.safetensors", "ema.safetensors", "state.json", "manifest.json"]


@pytest.mark.parametrize("damage", [truncate, empty, flip, Path.unlink])
@pytest.mark.parametrize("name", FILES)
def test_damage_is_found_and_named(run: Path, name: str, damage: Callable[[Path], None]) -> None:
    damage(newest(run) / name)
    assert_refused(run, name)


@pytest.mark.parametrize("name", FILES)
def test_every_single_bit_matters(run: Path, name: str) -> None:
    path = newest(run) / name
    original = path.read_bytes()
    for position in range(0, len(original), max(1, len(original) // 40)):
        data = bytearray(original)
        data[position] ^= 1 << position % 8
        path.write_bytes(data)
        with pytest.raises(CheckpointError):
            load_checkpoint(newest(run))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda m: m.update(step=3), "edited or damaged"),
        (lambda m: m["files"].pop("ema.safetensors"), "edited or damaged"),
        (lambda m: m["files"]["state.json"].update(size=1), "edited or damaged"),
        (lambda m: m.update(note="harmless"), "edited or damaged"),
        (lambda m: m.update(format=99), "format 99, this version reads 1: upgrade latentgen"),
        (lambda m: m.update(format="1"), "edited or damaged"),
    ],
)
def test_edited_manifest(run: Path, change: Callable[[dict], object], word: str) -> None:
    path = newest(run) / "manifest.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    assert_refused(run, "manifest.json", word)


@pytest.mark.parametrize(
    "name",
    [
        "../step_00000001/model.safetensors",
        "..",
        "/etc/passwd",
        "/etc/x.safetensors",
        "C:\\x.safetensors",
        "a/b.safetensors",
        "a\\b.safetensors",
        ".hidden.safetensors",
        "model.safetensors\0.safetensors",
        "model.safetensors\n",
        "custom_checkpoint_0.pkl",
        "optimizer.bin",
        "",
    ],
)
def test_names_never_leave_the_folder(run: Path, name: str) -> None:
    entry = {"size": 1, "sha256": "0" * 64}
    rewrite(newest(run), lambda m: m["files"].update({name: entry}))
    assert_refused(run, repr(name), "which no checkpoint holds")


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(files=[]),
        lambda m: m.update(files={}),
        lambda m: m.update(step="2"),
        lambda m: m.update(step=True),
        lambda m: m.update(serial=None),
        lambda m: m["files"].update({"state.json": None}),
        lambda m: m["files"]["state.json"].update(size="9"),
        lambda m: m["files"]["state.json"].update(sha256=5),
        lambda m: m.update(step=7),
    ],
)
def test_wrong_types_are_refused(run: Path, change: Callable[[dict], object]) -> None:
    rewrite(newest(run), change)
    assert_refused(run, "manifest.json")


@pytest.mark.parametrize(
    "text", [b"\xff\xfe", b"[1]", b"null", b"{", b"[" * 100_000, b"9" * 9_999, b" " * (5 * 2**20)]
)
def test_manifest_that_is_no_manifest(run: Path, text: bytes) -> None:
    (newest(run) / "manifest.json").write_bytes(text)
    assert_refused(run, "manifest.json")


@links
@pytest.mark.parametrize("name", FILES)
def test_links_are_not_followed(run: Path, name: str) -> None:
    path = newest(run) / name
    path.rename(run / "elsewhere")
    path.symlink_to(run / "elsewhere")
    assert_refused(run, f"{name} is a link")


@links
def test_linked_folder_is_refused(run: Path) -> None:
    newest(run).rename(run / "elsewhere")
    newest(run).symlink_to(run / "elsewhere")
    assert_refused(run, "is a link")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_pipe_does_not_hang(run: Path) -> None:
    (newest(run) / "state.json").unlink()
    os.mkfifo(newest(run) / "state.json")
    assert_refused(run, "state.json")


@pytest.mark.parametrize("maker", ["pickle", "torch"])
@pytest.mark.parametrize("name", ["model.safetensors", "state.json"])
def test_pickles_never_run(run: Path, name: str, maker: str) -> None:
    path, mark = newest(run) / name, run / "it ran"
    if maker == "pickle":
        path.write_bytes(pickle.dumps(Payload(mark)))
    else:
        torch.save(Payload(mark), path)
    data = path.read_bytes()
    entry = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    rewrite(newest(run), lambda m: m["files"].update({name: entry}))
    with pytest.raises(CheckpointError, match=f"{name} is not"):
        load_checkpoint(newest(run))
    assert not mark.exists()


def test_pickles_that_lie_about_are_ignored(run: Path) -> None:
    (newest(run) / "custom_checkpoint_0.pkl").write_bytes(pickle.dumps(Payload(run / "it ran")))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert latest_checkpoint(run) == newest(run)
    load_checkpoint(newest(run))
    assert not (run / "it ran").exists()


@pytest.mark.parametrize(
    "header",
    [
        {"w": {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 4]}},
        {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}},
        {"w": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}},
        {"w": {"dtype": "F32", "shape": [-1], "data_offsets": [4, 0]}},
        {"w": 1},
    ],
)
def test_lying_tensor_header_is_refused(run: Path, header: dict) -> None:
    text = json.dumps(header).encode()
    data = struct.pack("<Q", len(text)) + text + b"\0" * 4
    (newest(run) / "model.safetensors").write_bytes(data)
    entry = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    rewrite(newest(run), lambda m: m["files"].update({"model.safetensors": entry}))
    with pytest.raises(CheckpointError, match=r"model.safetensors is not a well-formed"):
        load_checkpoint(newest(run))


def test_all_broken_means_none(run: Path) -> None:
    for step in (1, 2):
        empty(run / "checkpoints" / f"step_0000000{step}" / "state.json")
    with pytest.warns(UserWarning, match="state.json has 0 bytes, the manifest says"):
        assert latest_checkpoint(run) is None


def test_not_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is a link or not a folder; use another one"):
        load_checkpoint(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"manifest.json is missing"):
        load_checkpoint(tmp_path)


def test_a_copied_checkpoint_loads_under_any_name(run: Path) -> None:
    newest(run).rename(run / "best")
    assert load_checkpoint(run / "best")[1] == {"n": 2}
    assert read_manifest(run / "best").serial == 2
