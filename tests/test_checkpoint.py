"""A checkpoint is complete or not there, whatever happens while it is written."""

import builtins
import errno
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from latentgen import checkpoint, storage
from latentgen.checkpoint import (
    flatten_optimizer,
    latest_checkpoint,
    load_checkpoint,
    save_checkpoint,
    unflatten_optimizer,
)


def contents(step: int, salt: float = 0.0) -> dict[str, dict[str, torch.Tensor]]:
    """Tensors that say which save they belong to."""
    value = step + salt
    return {
        "model": {"weight": torch.full((3, 2), value), "count": torch.tensor(step)},
        "ema": {"weight": torch.full((3, 2), value / 3, dtype=torch.float64)},
        "optimizer": {"state.0.step": torch.tensor(value), "half": torch.ones(2).bfloat16()},
    }


def save(folder: Path, step: int, salt: float = 0.0, keep: int = 2) -> Path:
    return save_checkpoint(folder, step, contents(step, salt), {"step": step, "salt": salt}, keep)


def names(folder: Path) -> set[str]:
    return {path.name for path in (folder / "checkpoints").iterdir()}


def assert_complete(path: Path | None) -> tuple[int, float]:
    """Load and compare every value with what the save of that step was given."""
    assert path is not None
    tensors, state = load_checkpoint(path)
    expected = contents(state["step"], state["salt"])
    assert {group: set(entries) for group, entries in tensors.items()} == {
        group: set(entries) for group, entries in expected.items()
    }
    for group, entries in expected.items():
        for name, tensor in entries.items():
            assert tensors[group][name].dtype == tensor.dtype
            assert torch.equal(tensors[group][name], tensor)
    return state["step"], state["salt"]


def test_round_trip_layout_and_pruning(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path) is None
    for step in (5, 10, 15, 20):
        save_checkpoint(tmp_path, step, contents(step), {"step": step, "salt": 0.0}, 2, (5,))
    assert names(tmp_path) == {"step_00000005", "step_00000015", "step_00000020", "LATEST"}
    assert (tmp_path / "checkpoints" / "LATEST").read_text() == "step_00000020\n"
    latest = latest_checkpoint(tmp_path)
    assert latest == tmp_path / "checkpoints" / "step_00000020"
    assert assert_complete(latest) == (20, 0.0)
    assert {path.name for path in latest.iterdir()} == {
        "model.safetensors",
        "ema.safetensors",
        "optimizer.safetensors",
        "state.json",
        "manifest.json",
    }


def test_odd_tensors_survive(tmp_path: Path) -> None:
    shared = torch.arange(6.0)
    tensors = {
        "model": {
            "tied_a": shared,
            "tied_b": shared,
            "view": shared[2:4],
            "transposed": torch.arange(6.0).reshape(2, 3).T,
            "empty": torch.zeros(0, 4),
            "scalar": torch.tensor(-0.0),
            "flag": torch.tensor([True, False]),
            "wide": torch.tensor(2**62),
            "grown": torch.ones(2, requires_grad=True),
        },
        "nothing": {},
        "optimizer": {"bad_but_not_a_weight": torch.tensor([float("nan"), float("inf")])},
    }
    loaded, _ = load_checkpoint(save_checkpoint(tmp_path, 0, tensors, {}))
    assert loaded["nothing"] == {}
    for group in ("model", "optimizer"):
        for name, tensor in tensors[group].items():
            assert loaded[group][name].dtype == tensor.dtype
            assert torch.equal(loaded[group][name].nan_to_num(7), tensor.detach().nan_to_num(7))
    assert torch.signbit(loaded["model"]["scalar"])


def test_state_is_exact_json(tmp_path: Path) -> None:
    state = {
        "seed": 2**63 + 1,
        "rate": 0.1 + 0.2,
        "best": float("inf"),
        "names": ["ä", None, True],
    }
    assert load_checkpoint(save_checkpoint(tmp_path, 1, {}, state))[1] == state


@pytest.mark.parametrize("group", ["model", "ema", "ema_slow"])
@pytest.mark.parametrize("bad", [float("nan"), float("-inf")])
def test_non_finite_weights_are_refused(tmp_path: Path, group: str, bad: float) -> None:
    save(tmp_path, 1)
    weights = {"first": torch.zeros(2), "layer.weight": torch.tensor([0.0, bad])}
    with pytest.raises(ValueError, match=rf"tensors\['{group}'\]\['layer.weight'\] holds NaN"):
        save_checkpoint(tmp_path, 2, {group: weights}, {})
    assert names(tmp_path) == {"step_00000001", "LATEST"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": -1}, "step is -1; expected an integer >= 0"),
        ({"keep": 0}, "keep is 0; expected at least 1"),
        ({"tensors": {"../model": {}}}, "tensors has the name '../model'"),
        ({"tensors": {".hidden": {}}}, "tensors has the name '.hidden'"),
        ({"tensors": {"a\0b": {}}}, "tensors has the name"),
        ({"tensors": {"Model": {}, "model": {}}}, "differ by case only"),
        ({"state": {"rng": {3: "x"}}}, r"state\['rng'\] has the key 3; expected text"),
        ({"state": {"a": [torch.ones(1)]}}, r"state\['a'\]\[0\] is a tensor .* expected JSON"),
        ({"tensors": {"rng": {"x": 1.0}}}, r"tensors\['x'\] is of type float; expected a dense"),
        ({"tensors": {"x": {"s": torch.eye(2).to_sparse()}}}, "layout torch.sparse_coo; expected"),
    ],
)
def test_bad_requests_leave_nothing_behind(tmp_path: Path, change: dict, message: str) -> None:
    request = {"step": 1, "tensors": {}, "state": {}, "keep": 1} | change
    with pytest.raises((ValueError, TypeError), match=message):
        save_checkpoint(tmp_path, **request)
    assert not (tmp_path / "checkpoints").exists() or names(tmp_path) == set()


def test_same_step_again_replaces_it(tmp_path: Path) -> None:
    save(tmp_path, 1)
    save(tmp_path, 1, salt=0.5)
    assert names(tmp_path) == {"step_00000001", "LATEST"}
    assert assert_complete(latest_checkpoint(tmp_path)) == (1, 0.5)


def test_after_going_back_the_new_branch_is_the_latest(tmp_path: Path) -> None:
    for step in (10, 20, 30):
        save(tmp_path, step, keep=9)
    save(tmp_path, 15, keep=9)
    assert assert_complete(latest_checkpoint(tmp_path)) == (15, 0.0)
    save(tmp_path, 25, keep=2)
    assert names(tmp_path) == {"step_00000015", "step_00000025", "LATEST"}


def test_broken_checkpoints_do_not_count_as_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save(tmp_path, step)
    for step in (2, 3):
        (tmp_path / "checkpoints" / f"step_0000000{step}" / "ema.safetensors").write_bytes(b"")
    save(tmp_path, 4)
    assert {"step_00000002", "step_00000003"} <= names(tmp_path)
    save(tmp_path, 5)
    assert names(tmp_path) == {"step_00000004", "step_00000005", "LATEST"}


def test_leftovers_of_dead_processes_go_and_of_living_ones_stay(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    root = tmp_path / "checkpoints"
    parent = os.getppid()
    for name in (f".tmp-7-{child.pid}", f".tmp-7-{os.getpid()}", f".trash-3-{child.pid}"):
        (root / name).mkdir(parents=True)
        (root / name / "model.safetensors").write_bytes(b"half")
    (root / f".tmp-9-{parent}").mkdir()
    (root / f".LATEST.tmp-{child.pid}").write_text("x")
    (root / "notes").mkdir()
    save(tmp_path, 8)
    assert names(tmp_path) == {f".tmp-9-{parent}", "notes", "step_00000008", "LATEST"}


class Killed(BaseException):
    """Stands for SIGKILL: no handler of the library catches it, and nothing runs after it."""


class Faults:
    """Lets `after` file operations happen; then the process is dead, or one operation fails."""

    def __init__(self, patch: pytest.MonkeyPatch, after: int, kill: bool) -> None:
        self.after, self.kill, self.done = after, kill, 0
        for name in ("mkdir", "replace", "rename", "unlink", "remove", "rmdir", "fsync", "chmod"):
            patch.setattr(os, name, self.wrap(getattr(os, name)))
        self.save_file, self.open = storage.save_file, builtins.open
        patch.setattr(storage, "save_file", self.torn_save_file)
        patch.setattr(checkpoint, "write_synced", self.torn_write)
        patch.setattr(storage, "write_synced", self.torn_write)

    def tick(self) -> None:
        self.done += 1
        if self.done == self.after or (self.kill and self.done > self.after):
            raise Killed if self.kill else OSError(errno.EIO, "Input/output error")

    def wrap(self, operation):
        def wrapped(*args, **kwargs):
            if self.kill and self.done >= self.after:
                raise Killed
            result = operation(*args, **kwargs)
            self.tick()
            return result

        return wrapped

    def torn_save_file(self, tensors, path, metadata=None) -> None:
        self.save_file(tensors, path, metadata=metadata)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        self.tick()
        path.write_bytes(whole)
        self.tick()

    def torn_write(self, path: Path, data: bytes) -> None:
        for end in (0, len(data) // 2, len(data)):
            with self.open(path, "wb") as handle:
                handle.write(data[:end])
            self.tick()

    @property
    def struck(self) -> bool:
        return self.done >= self.after


@pytest.mark.parametrize("kill", [True, False], ids=["kill", "error"])
@pytest.mark.parametrize("again", [True, False], ids=["same-step", "next-step"])
def test_a_fault_after_any_file_operation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill: bool, again: bool
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # still counted, only not slow
    step = 2 if again else 3
    save(tmp_path / "start", 1)
    save(tmp_path / "start", 2)
    for after in range(1, 500):
        folder = shutil.copytree(tmp_path / "start", tmp_path / str(after))
        published = None
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pruning that fails warns: the checkpoint stands
            faults = Faults(patch, after, kill)
            try:
                published = save(folder, step, salt=0.5)
            except Killed:
                assert kill
            except OSError as error:
                assert not kill and f"checkpoint of step {step} was not written" in str(error)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what was interrupted is invisible, not just refused
            found = assert_complete(latest_checkpoint(folder))
        assert found in {(2, 0.0), (step, 0.5)}
        if published is not None:
            assert found == (step, 0.5)
        if not kill and published is None:
            assert not any(name.startswith((".tmp-3", ".tmp-2")) for name in names(folder))
        save(folder, 4)
        assert names(folder) == {f"step_0000000{found[0]}", "step_00000004", "LATEST"}
        if not faults.struck:
            break
    assert not faults.struck
    assert after > 30  # the walk really went through the whole save


@pytest.mark.skipif(not hasattr(signal, "SIGKILL") or sys.platform == "darwin", reason="forks")
def test_killed_for_real(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    last = 0
    for trial in range(15):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_save_forever, args=(tmp_path, last + 1, sender))
        process.start()
        sender.close()
        told = receiver.recv()
        time.sleep(0.0007 * trial)
        process.kill()
        process.join()
        while True:
            try:
                told = receiver.recv()
            except EOFError:
                break
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            last, _ = assert_complete(latest_checkpoint(tmp_path))
        assert last >= told
    save(tmp_path, last + 1)
    assert len(names(tmp_path)) <= 3


def _save_forever(folder: Path, step: int, sender) -> None:
    while True:
        save(folder, step)
        sender.send(step)
        step += 1


@pytest.mark.parametrize("where", ["save_file", "fsync", "mkdir"])
def test_disk_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    save(tmp_path, 1)
    before = names(tmp_path)

    def full(*args, **kwargs):
        if where == "save_file":
            raise SafetensorError("I/O error: No space left on device (os error 28)")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(storage if where == "save_file" else os, where, full)
    with pytest.raises(OSError, match=r"step 2 was not written .*No space left") as caught:
        save(tmp_path, 2)
    monkeypatch.undo()
    assert caught.value.errno == errno.ENOSPC
    assert "\n" not in str(caught.value)
    assert "earlier checkpoints are untouched: make room" in str(caught.value)
    assert names(tmp_path) == before
    assert assert_complete(latest_checkpoint(tmp_path)) == (1, 0.0)


def test_file_size_limit_of_the_system(tmp_path: Path) -> None:
    """A refusal by the kernel, not by a patch."""
    resource = pytest.importorskip("resource")
    save(tmp_path, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match="was not written") as caught:
            save_checkpoint(tmp_path, 2, {"model": {"w": torch.zeros(9999)}}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    assert names(tmp_path) == {"step_00000001", "LATEST"}


def test_interrupt_by_the_user_leaves_no_temporary_folder(tmp_path: Path, monkeypatch) -> None:
    save(tmp_path, 1)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, 2)
    assert names(tmp_path) == {"step_00000001", "LATEST"}


def _train(model: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        x = torch.randn(8, 3, generator=generator)
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (torch.optim.Adam, {"amsgrad": True}),
        (torch.optim.AdamW, {"lr": 0.01, "betas": (0.5, 0.9)}),
        (torch.optim.AdamW, {"lr": torch.tensor(0.01), "capturable": False, "foreach": False}),
        (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ],
)
def test_training_goes_on_bit_equal(tmp_path: Path, kind: type, options: dict) -> None:
    def fresh() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
        return model, kind(model.parameters(), **options)

    straight, optimizer = fresh()
    _train(straight, optimizer, range(20))

    first, optimizer_1 = fresh()
    _train(first, optimizer_1, range(7))
    moments, structure = flatten_optimizer(optimizer_1.state_dict())
    groups = {"model": first.state_dict(), "optimizer": moments}
    tensors, state = load_checkpoint(save_checkpoint(tmp_path, 7, groups, {"opt": structure}))

    second, optimizer_2 = fresh()
    second.load_state_dict(tensors["model"])
    optimizer_2.load_state_dict(unflatten_optimizer(tensors["optimizer"], state["opt"]))
    _train(second, optimizer_2, range(7, 20))
    for a, b in zip(straight.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    left, _ = flatten_optimizer(optimizer.state_dict())
    right, _ = flatten_optimizer(optimizer_2.state_dict())
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_manifest_is_readable_json(tmp_path: Path) -> None:
    manifest = json.loads((save(tmp_path, 3) / "manifest.json").read_text())
    assert manifest["format"] == 1 and manifest["step"] == 3
    assert manifest["files"]["model.safetensors"].keys() == {"size", "sha256"}
