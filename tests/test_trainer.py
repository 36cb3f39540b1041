"""Training: exact resume, killed runs, guards, two processes."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from toy import Toy

import latentgen
from latentgen.checkpoint import latest_checkpoint, load_checkpoint
from latentgen.training_options import learning_rate

SCRIPT = Path(__file__).parent / "resume_script.py"
ROOT = Path(__file__).parent.parent


def prepare(seed: int = 0, **modality: int) -> latentgen.recipe.Prepared:
    torch.manual_seed(seed)
    return latentgen.LSGM(width=16, depth=1, heads=2, kl_weight=0.1).prepare(Toy(**modality))


def fit(run: Path, steps: int = 20, hooks=(), prepared=None, **options) -> latentgen.Trainer:
    prepared = prepared or prepare()
    settings = {"batch_size": 8, "checkpoint_every": 5, "log_every": 4, **options}
    trainer = latentgen.Trainer(
        prepared.model, prepared.objectives, run, latentgen.TrainingOptions(steps=steps, **settings), hooks, quiet=True
    )
    trainer.fit()
    return trainer


pytestmark = pytest.mark.usefixtures("fresh_accelerator")


class Stop(Exception):
    pass


def stop_at(step: int):
    def hook(trainer: latentgen.Trainer) -> None:
        if trainer.step == step:
            raise Stop

    return hook


def state(run: Path) -> dict[str, torch.Tensor]:
    tensors, _ = load_checkpoint(latest_checkpoint(run))
    return {f"{group}/{name}": value for group, named in tensors.items() for name, value in named.items()}


def assert_bit_equal(a: Path, b: Path) -> None:
    first, second = state(a), state(b)
    assert first.keys() == second.keys()
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert not different, different


@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize("stop", [7, 8, 13])  # 8 batches of 8 are an epoch of 64
def test_resumed_equals_uninterrupted(tmp_path: Path, accumulation: int, stop: int) -> None:
    fit(tmp_path / "whole", accumulation=accumulation)
    with pytest.raises(Stop):
        fit(tmp_path / "parts", hooks=[stop_at(stop)], accumulation=accumulation)
    resumed = fit(tmp_path / "parts", prepared=prepare(seed=5), accumulation=accumulation)
    assert resumed.resumed_from == stop // 5 * 5
    assert_bit_equal(tmp_path / "whole", tmp_path / "parts")


def test_power_iterations_go_on_where_they_stopped(tmp_path: Path) -> None:
    def penalised() -> latentgen.recipe.Prepared:
        torch.manual_seed(0)
        network = latentgen.VectorArchitecture(16, 1)
        return latentgen.LSGM(network=network, kl_weight=0.1, spectral=1.0, gains=0.5).prepare(Toy())

    fit(tmp_path / "whole", steps=8, prepared=penalised(), checkpoint_every=3)
    with pytest.raises(Stop):
        fit(tmp_path / "parts", steps=8, prepared=penalised(), checkpoint_every=3, hooks=[stop_at(5)])
    resumed = fit(tmp_path / "parts", steps=8, prepared=penalised(), checkpoint_every=3)
    assert resumed.resumed_from == 3
    assert {"objective-0/norms.v0", "objective-0/norms.v1"} <= state(tmp_path / "whole").keys()
    assert_bit_equal(tmp_path / "whole", tmp_path / "parts")
    rows = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["norm_penalty"] < rows[0]["norm_penalty"]


def test_other_rates_given_to_a_resumed_run_are_taken(tmp_path: Path) -> None:
    def wide() -> latentgen.recipe.Prepared:
        return latentgen.LSGM(width=32, depth=1, heads=2, kl_weight=0.1).prepare(Toy())

    with pytest.raises(Stop):
        fit(tmp_path, hooks=[stop_at(11)], prepared=wide())
    seen: list[dict[str, float]] = []

    def note(trainer: latentgen.Trainer) -> None:
        groups = [group for optimizers in trainer.optimizers for o in optimizers for group in o.param_groups]
        factor = learning_rate(trainer.step - 1, trainer.options, 0)
        seen.append({g["name"] + " by Muon" * ("ns_steps" in g): g["lr"] / factor for g in groups})
        assert {g["betas"] for g in groups if "betas" in g} == {(0.8, 0.95)}

    with pytest.warns(UserWarning, match=r"lr was 0\.001 and is 0\.0003"):
        fit(tmp_path, hooks=[note], prepared=wide(), lr=3e-4, autoencoder_lr=5e-4, matrix_lr=7e-3, betas=(0.8, 0.95))
    expected = {"prior": 3e-4, "prior by Muon": 7e-3, "autoencoder": 5e-4}
    assert len(seen) == 10
    assert all(row == pytest.approx(expected) for row in seen), seen[0]


def test_resume_does_not_depend_on_worker_processes(tmp_path: Path) -> None:
    fit(tmp_path / "whole", steps=8)
    with pytest.raises(Stop):
        fit(tmp_path / "parts", steps=8, hooks=[stop_at(6)], workers=1)
    fit(tmp_path / "parts", steps=8, workers=1)
    assert_bit_equal(tmp_path / "whole", tmp_path / "parts")


def test_hooks_that_use_random_numbers_do_not_change_training(tmp_path: Path) -> None:
    def noisy(trainer: latentgen.Trainer) -> None:
        torch.manual_seed(trainer.step)
        torch.randn(7)
        with trainer.ema.applied_to(trainer.model):
            trainer.model.sample(3, steps=2)

    fit(tmp_path / "quiet", steps=10)
    fit(tmp_path / "noisy", steps=10, hooks=[noisy])
    assert_bit_equal(tmp_path / "quiet", tmp_path / "noisy")


def launch(script: Path, arguments: list[object], processes: int) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command += [str(script), *(str(argument) for argument in arguments)]
    return subprocess.run(command, env=environment, capture_output=True, timeout=300)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "processes"), [("lsgm", 1), ("lsgm", 2), ("gan", 1), ("joint", 2)])
def test_a_killed_run_ends_bit_equal_to_an_uninterrupted_one(tmp_path: Path, kind: str, processes: int) -> None:
    done = launch(SCRIPT, [tmp_path / "whole", 17, -1, kind], processes)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    for kill_at in (4, 11, 16):  # before the first checkpoint, between two, after the last
        assert launch(SCRIPT, [tmp_path / "parts", 17, kill_at, kind], processes).returncode != 0
    assert launch(SCRIPT, [tmp_path / "parts", 17, -1, kind], processes).returncode == 0
    own = [name for name in state(tmp_path / "whole") if "/discriminator." in name and name.startswith("objective-")]
    assert bool(own) is (kind != "lsgm")
    assert_bit_equal(tmp_path / "whole", tmp_path / "parts")
    # not the files' bytes: safetensors writes the entries of its metadata in any order
    whole, parts = (load_file(tmp_path / name / "export" / "model.safetensors") for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())
    steps = [json.loads(line)["step"] for line in (tmp_path / "parts" / "metrics.jsonl").read_text().splitlines()
             if "event" not in line]
    assert steps == sorted(set(steps))


@pytest.mark.slow
def test_two_processes_do_what_one_does_with_the_joined_batch(tmp_path: Path) -> None:
    script = Path(__file__).parent / "distributed_script.py"
    for name, size, processes in (("one", 16, 1), ("two", 8, 2)):
        done = launch(script, [tmp_path / name, size], processes)
        assert done.returncode == 0, done.stderr.decode()[-2000:]
    one, two = state(tmp_path / "one"), state(tmp_path / "two")
    start = launch_free_start()
    for name, value in one.items():
        if name.startswith(("model/", "objective-0/norms.")):
            assert float((value - two[name]).abs().max()) < 1e-5, name
    assert "objective-0/norms.v0" in one
    assert any(float((one[f"model/{name}"] - value).abs().max()) > 1e-3 for name, value in start.items())


@pytest.mark.slow
def test_two_processes_play_the_adversarial_game_of_one(tmp_path: Path) -> None:
    script = Path(__file__).parent / "distributed_gan_script.py"
    for name, size, processes in (("one", 16, 1), ("two", 8, 2)):
        done = launch(script, [tmp_path / name, size], processes)
        assert done.returncode == 0, done.stderr.decode()[-2000:]
    one, two = state(tmp_path / "one"), state(tmp_path / "two")
    compared = [name for name in one if name.startswith(("model/", "objective-"))]
    assert any(name.startswith("objective-0/discriminator") for name in compared)
    rows = [json.loads(line) for line in (tmp_path / "one" / "metrics.jsonl").read_text().splitlines()]
    assert all(row["grad_norm_generator"] > 0 and row["grad_norm_discriminator"] > 0 for row in rows)
    assert rows[0]["r1"] > 0
    for name in compared:
        assert float((one[name] - two[name]).abs().max()) <= 1e-6, name


def launch_free_start() -> dict[str, torch.Tensor]:
    """Weights as a run starts, to see that training moved them."""
    torch.manual_seed(0)
    return latentgen.LSGM(width=32, depth=1, heads=2).prepare(Toy(dropout=0.0)).model.state_dict()


def test_sigterm_finishes_the_step_and_publishes_a_checkpoint(tmp_path: Path) -> None:
    def terminate(trainer: latentgen.Trainer) -> None:
        if trainer.step == 7:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stopped:
        fit(tmp_path, hooks=[terminate], checkpoint_every=0)
    assert stopped.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
    _, found = load_checkpoint(latest_checkpoint(tmp_path))
    assert found["step"] in (7, 8)


def test_non_finite_data_stop_the_run_and_keep_the_last_good_checkpoint(tmp_path: Path) -> None:
    fit(tmp_path, steps=5)
    with pytest.raises(latentgen.TrainingDiverged, match=r"not finite for 3 steps in a row.*step_00000005"):
        fit(tmp_path, steps=40, prepared=prepare(size=8, poison=2), skip_limit=3)
    assert all(value.isfinite().all() for value in state(tmp_path).values())


def test_one_bad_batch_is_skipped_and_counted(tmp_path: Path) -> None:
    trainer = fit(tmp_path, steps=8, prepared=prepare(size=64, poison=2))  # 1 of 8 batches of an epoch
    assert trainer.skipped == 1
    assert all(value.isfinite().all() for value in state(tmp_path).values())


def test_learning_rate_warms_up_and_decays() -> None:
    options = latentgen.TrainingOptions(steps=100, warmup=0.1, final_lr=0.1)
    rates = [learning_rate(step, options) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.55)
    assert rates[100] == pytest.approx(0.1)
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="steps is 0; it must be at least 1"):
        latentgen.TrainingOptions(steps=0)
    with pytest.raises(ValueError, match="precision is 'fp16'"):
        latentgen.TrainingOptions(precision="fp16")  # type: ignore[arg-type]


def test_changed_options_and_world_are_announced(tmp_path: Path) -> None:
    fit(tmp_path, steps=5)
    with pytest.warns(UserWarning, match="batch_size was 8 and is 4"):
        fit(tmp_path, steps=6, batch_size=4)


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    def second(trainer: latentgen.Trainer) -> None:
        with pytest.raises(RuntimeError):
            fit(tmp_path)
        raise Stop

    with pytest.raises(Stop):
        fit(tmp_path, hooks=[second])


def test_bf16_trains(tmp_path: Path) -> None:
    trainer = fit(tmp_path, steps=4, precision="bf16")
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in trainer.model.parameters())


def test_run_folder_holds_what_a_reader_needs(tmp_path: Path) -> None:
    fit(tmp_path, steps=4)
    for name in ("config.yaml", "env.json", "metrics.jsonl", "export/model.safetensors", "export/README.md"):
        assert (tmp_path / name).is_file(), name
    assert "class_path: latentgen.JointELBO" in (tmp_path / "config.yaml").read_text()


def test_a_trainer_that_was_stopped_goes_on_when_it_is_called_again(tmp_path: Path) -> None:
    """As in a notebook, where a cell is interrupted and run again."""
    fit(tmp_path / "whole", steps=8)
    stops = [5, 6]

    def interrupt(trainer: latentgen.Trainer) -> None:
        if trainer.step in stops:
            stops.remove(trainer.step)
            os.kill(os.getpid(), signal.SIGTERM)

    prepared = prepare()
    options = latentgen.TrainingOptions(steps=8, batch_size=8, checkpoint_every=5, log_every=4)
    trainer = latentgen.Trainer(
        prepared.model, prepared.objectives, tmp_path / "parts", options, [interrupt], quiet=True
    )
    for _ in range(2):
        with pytest.raises(SystemExit):
            trainer.fit()
    first = trainer.fit().state_dict()
    assert trainer.step == 8
    assert_bit_equal(tmp_path / "whole", tmp_path / "parts")
    first = {name: value.clone() for name, value in first.items()}
    assert all(torch.equal(value, first[name]) for name, value in trainer.fit().state_dict().items())


def test_a_tracker_that_fails_does_not_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_account(*_: object, **__: object) -> None:
        raise OSError("no account")

    monkeypatch.setattr("accelerate.Accelerator.init_trackers", no_account)
    with pytest.warns(UserWarning, match=r"trackers \['tensorboard'\] did not start \(OSError: no account\)"):
        assert fit(tmp_path, steps=2, trackers="tensorboard").step == 2


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), MemoryError(), RuntimeError("can't allocate memory: 9")]
)
def test_memory_that_runs_out_is_one_sentence_with_what_helps(tmp_path: Path, monkeypatch, error) -> None:
    fit(tmp_path, steps=5)
    prepared = prepare()

    def full(batch: object) -> None:
        raise error

    monkeypatch.setattr(prepared.objectives[0], "forward", full)
    message = "memory of cpu ran out in step 5 with batch_size 8 and precision 'no'; set batch_size to 4 and accumul"
    with pytest.raises(latentgen.memory.OutOfMemoryError, match=message) as caught:
        fit(tmp_path, steps=9, prepared=prepared, accumulation=2)
    assert "or precision to bf16, or take" in str(caught.value) and caught.value.__cause__ is error
    assert latest_checkpoint(tmp_path).name == "step_00000005"
