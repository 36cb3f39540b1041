"""What a run goes on from: never a guess, never a new beginning over what may be mended."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path

import huggingface_hub
import pytest
import torch
import yaml
from huggingface_hub.errors import LocalEntryNotFoundError
from test_manifest import rewrite
from test_trainer import fit, prepare

import latentgen
from latentgen import checkpoint, manifest
from latentgen.checkpoint import CheckpointError, load_checkpoint, load_latest, save_checkpoint
from latentgen.manifest import NewerCheckpointError
from latentgen.optimizers import make_optimizers, resume_optimizer
from latentgen.training_state import TrainingState, check_counters, differences

pytestmark = pytest.mark.usefixtures("fresh_accelerator")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    for step in (1, 2):
        save_checkpoint(tmp_path, step, {"model": {"w": torch.arange(9.0) + step}}, {"n": step})
    return tmp_path


def place(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"step_{step:08d}"


def spoil(path: Path) -> None:
    data = bytearray((path / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (path / "model.safetensors").write_bytes(data)


def of_a_later_version(path: Path) -> None:
    rewrite(path, lambda content: content.update(format=99))


def test_the_newest_whole_checkpoint_is_loaded(run: Path) -> None:
    spoil(place(run, 2))
    with pytest.warns(UserWarning, match="step_00000002 is skipped: model.safetensors has changed"):
        path, tensors, state = load_latest(run)
    assert (path, state) == (place(run, 1), {"n": 1})
    assert torch.equal(tensors["model"]["w"], torch.arange(9.0) + 1)


def test_no_checkpoint_is_a_new_run(tmp_path: Path) -> None:
    assert load_latest(tmp_path) is None


def test_only_damaged_checkpoints_are_an_error(run: Path) -> None:
    for step in (1, 2):
        spoil(place(run, step))
    none = "none of the 2 checkpoints"
    with pytest.warns(UserWarning, match="is skipped"), pytest.raises(CheckpointError, match=none):
        load_latest(run)


def test_a_disk_that_refuses_is_no_damage(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path, name: str, size: int | None = None) -> None:
        raise PermissionError(13, "Permission denied", str(folder / name))

    monkeypatch.setattr(checkpoint, "open_member", refuse)
    with pytest.raises(PermissionError):
        load_latest(run)


def test_a_later_format_is_not_passed_over(run: Path) -> None:
    of_a_later_version(place(run, 2))
    with pytest.raises(NewerCheckpointError, match="upgrade latentgen"):
        load_latest(run)


def test_what_cannot_be_judged_is_not_pruned(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_a_later_version(place(run, 1))
    whole = manifest.open_member

    def refuse(folder: Path, name: str, size: int | None = None):
        if folder == place(run, 2):
            raise PermissionError(13, "Permission denied")
        return whole(folder, name, size)

    monkeypatch.setattr(manifest, "open_member", refuse)
    save_checkpoint(run, 3, {"model": {"w": torch.ones(2)}}, {"n": 3}, keep=1)
    assert {path.name for path in (run / "checkpoints").glob("step_*")} == {f"step_0000000{k}" for k in (1, 2, 3)}
    monkeypatch.undo()
    save_checkpoint(run, 4, {"model": {"w": torch.ones(2)}}, {"n": 4}, keep=1)
    assert {path.name for path in (run / "checkpoints").glob("step_*")} == {"step_00000001", "step_00000004"}


# the state of a run


def test_a_checkpoint_that_lacks_a_group_is_refused_by_name(tmp_path: Path) -> None:
    trainer = fit(tmp_path, steps=2)
    tensors, state = load_checkpoint(max((tmp_path / "checkpoints").glob("step_*")))
    for name in ("model", "ema", "optimizer-0"):
        fewer = {key: value for key, value in tensors.items() if key != name}
        with pytest.raises(ValueError, match=f"the checkpoint lacks {name}, which this run has"):
            trainer._state.restore(fewer, state)
    with pytest.raises(ValueError, match="the checkpoint lacks ema_updates"):
        trainer._state.restore(tensors, {"optimizers": state["optimizers"]})
    with pytest.raises(ValueError, match="some optimizers"):
        trainer._state.restore(tensors, {**state, "optimizers": state["optimizers"][:-1]})
    trainer._state.restore(tensors, state)


@pytest.mark.parametrize(
    ("key", "value"), [("step", -5), ("step", "3"), ("options", []), ("world", None), ("config", 1)]
)
def test_counters_that_no_trainer_wrote_are_refused(key: str, value: object) -> None:
    good = {"step": 1, "skipped": 0, "world": 1, "seconds": 0.5, "cpu_seconds": 1, "options": {}, "config": {}}
    check_counters("step_00000001", good)
    with pytest.raises(CheckpointError, match=re.escape(f"checkpoint step_00000001 has {key} {value!r}")):
        check_counters("step_00000001", {**good, key: value})


def test_another_model_or_other_data_are_named_and_written(tmp_path: Path) -> None:
    fit(tmp_path, steps=2)
    with pytest.warns(UserWarning, match="another model or data: modality.init_args.size was 64 and is 32"):
        fit(tmp_path, steps=4, prepared=prepare(size=32))
    written = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert written["model"]["modality"]["init_args"]["size"] == 32
    assert written["trainer"]["steps"] == 4
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="the run is resumed")
        fit(tmp_path, steps=4, prepared=prepare(size=32))


def test_differences_name_the_place() -> None:
    stored = {"a": {"b": 1, "c": [1, 2]}, "d": 0, "gone": 1}
    assert differences(stored, {"a": {"b": 2, "c": [1, 2]}, "d": 0, "new": 3}) == ["a.b was 1 and is 2"]
    assert differences(stored, stored) == []


# numbers of another kind


def weights(model: latentgen.LatentGenerativeModel) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.tensors().items()}


def test_weights_of_another_kind_or_not_finite_are_refused_and_nothing_changes() -> None:
    model = prepare().model
    good = weights(model)
    name = next(key for key, value in good.items() if value.is_floating_point() and value.dim() == 2)
    for dtype in (torch.int8, torch.complex64):
        with pytest.raises(ValueError, match="of another kind of number"):
            model.load_tensors({**good, name: good[name].to(dtype)})
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="hold NaN or infinity; take another checkpoint"):
            model.load_tensors({**good, name: torch.full_like(good[name], bad)})
    assert all(torch.equal(value, good[key]) for key, value in weights(model).items())
    model.load_tensors({key: value.bfloat16() if value.is_floating_point() else value for key, value in good.items()})
    assert torch.allclose(weights(model)[name], good[name], rtol=0.01)


def test_averages_and_moments_are_checked_too() -> None:
    prepared = prepare()
    state = TrainingState(prepared.model, prepared.objectives, latentgen.TrainingOptions())
    shadows = state.ema.state_dict()
    name = next(key for key, value in shadows.items() if value.dim() == 2)
    with pytest.raises(ValueError, match=r"expected finite torch\.float32"):
        state.ema.load_state_dict({**shadows, name: shadows[name].int()})
    with pytest.raises(ValueError, match=r"expected finite torch\.float32"):
        state.ema.load_state_dict({**shadows, name: shadows[name] * torch.nan})


@pytest.mark.parametrize(
    "bad", [torch.zeros(3, 7), torch.zeros(4, 2, dtype=torch.int32), torch.full((4, 2), torch.nan)]
)
def test_a_moment_that_does_not_fit_is_refused(bad: torch.Tensor) -> None:
    layer = torch.nn.Linear(2, 4)
    options = latentgen.TrainingOptions(optimizer="adamw")
    (optimizer,) = make_optimizers({"prior": layer}, options)
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    stored = optimizer.state_dict()
    number = next(k for k, values in stored["state"].items() if values["exp_avg"].dim() == 2)
    resume_optimizer(make_optimizers({"prior": layer}, options)[0], stored)
    stored["state"][number]["exp_avg"] = bad
    with pytest.raises(ValueError, match=r"exp_avg of parameter .* expected finite floats of shape \[4, 2\]"):
        resume_optimizer(make_optimizers({"prior": layer}, options)[0], stored)


# files around a run


def test_an_export_does_not_write_through_a_link(tmp_path: Path) -> None:
    target, export = tmp_path / "target", tmp_path / "export"
    target.write_text("mine")
    export.mkdir()
    (export / "README.md").symlink_to(target)
    prepare().model.save_pretrained(export)
    assert target.read_text() == "mine"
    assert not (export / "README.md").is_symlink() and "latentgen" in (export / "README.md").read_text()


def test_a_header_that_is_no_model_is_one_sentence(tmp_path: Path) -> None:
    model = prepare().model
    for change in ({"autoencoder": None}, {"prior": model.config()["modality"]}, {"modality": 3}):
        checkpoint.export_safetensors(tmp_path / "model.safetensors", model.tensors(), {**model.config(), **change})
        with pytest.raises(ValueError, match=r"for its (modality|autoencoder|prior); expected a"):
            latentgen.load(tmp_path / "model.safetensors")
    broken = json.loads(json.dumps(model.config()).replace('"layout"', '"lay"'))
    checkpoint.export_safetensors(tmp_path / "model.safetensors", model.tensors(), broken)
    with pytest.raises(ValueError, match=r"latent_spec is .* expected shape, layout and masked"):
        latentgen.load(tmp_path / "model.safetensors")


def test_a_run_that_is_neither_here_nor_on_the_hub_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*given: object, **options: object) -> None:
        raise LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", gone)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="runs/nothing is no folder or file here, and the hub gave no"):
        latentgen.load("runs/nothing")
    (tmp_path / "runs").mkdir()
    with pytest.raises(FileNotFoundError, match=r"here \(there is a folder runs, without it\), and the hub"):
        latentgen.load("runs/nothing")
