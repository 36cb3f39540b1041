"""Files are whole or not there, and what is read is data."""

import io
import os
import pickle
import stat
import sys
from pathlib import Path

import pytest
import torch
from payload import Payload
from safetensors.torch import load_file, save_file

from latentgen import storage
from latentgen.storage import discard, export_safetensors, read_safetensors, replace_file

links = pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")


def test_weights_and_config_travel_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "export" / "model.safetensors"
    weights = torch.nn.Linear(2, 3)
    config = {"class_path": "latentgen.X", "init_args": {"ä": [1, 2.5, None, True, float("inf")]}}
    tensors = {"a": weights.weight, "b": weights.weight, "h": torch.ones(1).bfloat16()}
    export_safetensors(path, tensors, config)
    loaded, found = read_safetensors(path)
    assert found == config
    assert loaded.keys() == tensors.keys() == load_file(path).keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype and torch.equal(loaded[name], tensor)
        assert not loaded[name].requires_grad
    assert [entry.name for entry in path.parent.iterdir()] == ["model.safetensors"]


@pytest.mark.skipif(os.name == "nt", reason="file modes")
def test_export_follows_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        export_safetensors(tmp_path / "m.safetensors", {"w": torch.ones(1)}, {})
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "m.safetensors").stat().st_mode) == 0o644


@pytest.mark.parametrize("place", ["save_file", "replace", "fsync"])
def test_failed_export_keeps_the_old_file(tmp_path: Path, monkeypatch, place: str) -> None:
    path = tmp_path / "model.safetensors"
    export_safetensors(path, {"w": torch.ones(1)}, {"version": 1})

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage if place == "save_file" else os, place, fail)
    with pytest.raises(OSError, match="No space left"):
        export_safetensors(path, {"w": torch.zeros(1)}, {"version": 2})
    monkeypatch.undo()
    assert read_safetensors(path)[1] == {"version": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.safetensors"]


def test_config_must_be_json(tmp_path: Path) -> None:
    with pytest.raises(
        TypeError, match=r"config\['shape'\] is a tensor of layout .*expected JSON"
    ):
        export_safetensors(tmp_path / "m", {}, {"shape": torch.ones(1)})
    assert list(tmp_path.iterdir()) == []


def test_file_without_config_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"w": torch.ones(1)}, path)
    with pytest.raises(
        ValueError, match="no latentgen configuration; expected a file written by save"
    ):
        read_safetensors(path)
    save_file({"w": torch.ones(1)}, path, metadata={"latentgen": "[1]"})
    with pytest.raises(ValueError, match="configuration is not a mapping"):
        read_safetensors(path)
    save_file({"w": torch.ones(1)}, path, metadata={"latentgen": "{"})
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        read_safetensors(path)


@pytest.mark.parametrize("write", [lambda o, p: p.write_bytes(pickle.dumps(o)), torch.save])
def test_pickles_are_refused_with_the_way_out(tmp_path: Path, write) -> None:
    path, mark = tmp_path / "model.safetensors", tmp_path / "it ran"
    write({"w": Payload(mark)}, path)
    with pytest.raises(
        ValueError, match=r"looks like a pickle.*never loaded; convert it"
    ) as caught:
        read_safetensors(path)
    assert "weights_only=True" in str(caught.value) and "\n" not in str(caught.value)
    assert not mark.exists()
    data = path.read_bytes()
    torch.load(io.BytesIO(data), weights_only=False) if write is torch.save else pickle.loads(data)
    assert mark.exists(), "the payload is harmless, and the test proves nothing"


@pytest.mark.parametrize("data", [b"", b"\0" * 8, b"\xff" * 64, b"\x02\0\0\0\0\0\0\0{}"])
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"path is {path}"):
        read_safetensors(path)


@pytest.mark.parametrize("size", [0x80, 0x0280])
def test_a_damaged_file_is_no_pickle_whatever_its_header_is_long(tmp_path: Path, size: int) -> None:
    """A header of 128 bytes begins with the byte that pickles begin with."""
    header = b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'.ljust(size)
    path = tmp_path / "model.safetensors"
    path.write_bytes(size.to_bytes(8, "little") + header + bytes(7))
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        read_safetensors(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing.safetensors, which is not a file"):
        read_safetensors(tmp_path / "nothing.safetensors")


@links
def test_cached_links_are_followed(tmp_path: Path) -> None:
    """Download caches store a file under its hash and link to it."""
    export_safetensors(tmp_path / "blob", {"w": torch.ones(1)}, {"a": 1})
    (tmp_path / "model.safetensors").symlink_to(tmp_path / "blob")
    assert read_safetensors(tmp_path / "model.safetensors")[1] == {"a": 1}


def test_replace_file(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "LATEST"
    replace_file(path, b"one")
    replace_file(path, b"two")
    assert path.read_bytes() == b"two"
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(5, "broken")))
    with pytest.raises(OSError, match="broken"):
        replace_file(path, b"three")
    assert path.read_bytes() == b"two" and len(list(tmp_path.iterdir())) == 1


@links
def test_discard_removes_links_and_not_their_targets(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    for name in ("link", "broken", "absent"):
        discard(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    discard(tmp_path / "kept")
    assert list(tmp_path.iterdir()) == []
