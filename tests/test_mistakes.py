"""Mistakes of options, files and devices are named before they cost anything."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from test_cli import config, fails, run  # noqa: F401
from test_trainer import fit, prepare
from toy import Toy

import latentgen
from latentgen import cli
from latentgen.cli import main
from latentgen.progress import MetricsLog

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.usefixtures("fresh_accelerator")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -1.0}, "lr is -1.0; it must be a number of at least 0"),
        ({"matrix_lr": math.nan}, "matrix_lr is nan"),
        ({"clip": 0.0}, "clip is 0.0; it must be above 0"),
        ({"clip": -1.0}, "clip is -1.0"),
        ({"checkpoint_every": -1}, "checkpoint_every is -1; it must be a whole number from 0"),
        ({"seed": 2**70}, "seed is 1180591620717411303424"),
        ({"skip_limit": 0}, "skip_limit is 0; it must be at least 1"),
        ({"warmup": 2.0}, "warmup is 2.0; it must be a share"),
        ({"betas": (0.9,)}, r"betas is \(0.9,\); give two numbers"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        latentgen.TrainingOptions(**options)


@pytest.mark.parametrize("options", [{"steps": "10"}, {"steps": 2.5}, {"lr": "1e-3"}, {"batch_size": True}])
def test_options_that_are_no_numbers_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=rf"{next(iter(options))} is .*; give a number"):
        latentgen.TrainingOptions(**options)


def test_one_tracker_needs_no_list() -> None:
    assert latentgen.TrainingOptions(trackers="tensorboard").trackers == ("tensorboard",)


def test_parts_of_recipes_of_another_kind_are_refused() -> None:
    with pytest.raises(TypeError, match=r"weighting is 'likelihood' \(str\); give an object that is a Weighting"):
        latentgen.LSGM(weighting="likelihood")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="process is the class VPSDE"):
        latentgen.LSGM(process=latentgen.VPSDE)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"gan is .* give an object that is a DDGAN"):
        latentgen.JointDDGAN(latentgen.LSGM(), latentgen.LSGM())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="lsgm is a DDGAN; give an LSGM or a LatentDiffusion"):
        latentgen.JointDDGAN(latentgen.DDGAN())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="momentum is 2"):
        latentgen.LSGM(momentum=2)
    for sizes in ({"width": 0}, {"depth": -1}):
        with pytest.raises(ValueError, match="give 1 or more"):
            latentgen.LSGM(**sizes).prepare(Toy())


def test_aliases_that_stand_for_billions_of_values_are_refused(tmp_path: Path, fails: Any) -> None:  # noqa: F811
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, 10)]
    path = tmp_path / "bomb.yaml"
    path.write_text("\n".join(lines))
    assert "bomb.yaml stands for more than 100,000 values" in fails("train", str(path))
    path.write_text("a: &a [*a]\n")
    assert "stands for more than" in fails("train", str(path))


def test_a_device_that_is_not_there_is_one_sentence(run: Path, fails: Any) -> None:  # noqa: F811
    assert "device is 'nowhere', which cannot be used here" in fails("sample", str(run), "--device", "nowhere")


def test_an_unknown_sampler_is_refused_by_evaluate(run: Path, fails: Any) -> None:  # noqa: F811
    assert "sampler is 'dmp'; the known ones are" in fails("evaluate", str(run), "--sampler", "dmp")


def test_ctrl_c_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    def interrupt(given: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", interrupt)
    assert main(["doctor"]) == 130
    assert capfd.readouterr().err == "latentgen: interrupted.\n"


def test_a_full_disk_does_not_cost_the_measurement(
    run: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]  # noqa: F811
) -> None:
    from latentgen import evaluation

    def refuse(folder: Path, result: dict[str, Any]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(evaluation, "write_evaluation", refuse)
    assert main(["evaluate", str(run), "--samples", "4", "--calls", "2"]) == 2
    out, err = capfd.readouterr()
    assert "dpm, 2 steps" in out and "No space left on device" in err


def test_a_source_without_test_data_is_refused_before_training(tmp_path: Path, fails: Any) -> None:  # noqa: F811
    data = tmp_path / "few.jsonl"
    data.write_text("".join(json.dumps({"n": 3, "edges": [[0, 1], [1, 2]]}) + "\n" for _ in range(4)))
    settings = {"class_path": "modalities.graphs.Graphs", "init_args": {"data": str(data), "max_nodes": 8}}
    message = fails("train", config(tmp_path, modality=settings))
    assert "test" in message
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_missing_feature_map_is_refused_before_training(tmp_path: Path, fails: Any) -> None:  # noqa: F811
    settings = {"class_path": "modalities.images.Images", "init_args": {"limit": 8, "features": "nowhere.safetensors"}}
    assert "nowhere.safetensors" in fails("train", config(tmp_path, modality=settings))
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_the_first_step_that_is_left_out_says_what_is_wrong_with_the_data(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="step 0 is left out, as all are .* its data hold NaN or infinity in x"):
        fit(tmp_path, steps=1, prepared=prepare(poison=2, size=8), skip_limit=50)


def test_former_metrics_are_kept_however_often_a_run_begins_anew(tmp_path: Path) -> None:
    for number in range(3):
        MetricsLog(tmp_path / "metrics.jsonl").write(1, {"loss": float(number)})
    names = {path.name: json.loads(path.read_text())["loss"] for path in tmp_path.iterdir()}
    assert names == {"metrics.jsonl": 2.0, "metrics.previous.jsonl": 0.0, "metrics.previous-2.jsonl": 1.0}


SCRIPT = """
import sys
from toy import Toy
import latentgen


class Mine(Toy):
    pass


if __name__ == "__main__":
    prepared = latentgen.LSGM(width=16, depth=1, heads=2).prepare(Mine())
    prepared.model.save_pretrained(sys.argv[1])
    print(type(latentgen.load(sys.argv[1]).modality).__name__, prepared.model.config()["modality"]["class_path"])
"""


def test_a_modality_of_a_script_is_found_by_other_programs(tmp_path: Path) -> None:
    (tmp_path / "my_script.py").write_text(SCRIPT)
    places = os.pathsep.join([str(ROOT), str(ROOT / "tests"), str(tmp_path)])
    environment = {**os.environ, "PYTHONPATH": places, "OMP_NUM_THREADS": "1"}

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True,
                              check=False)

    made = call("my_script.py", "model")
    assert made.stdout.split() == ["Mine", "my_script.Mine"], made.stderr
    done = call("-m", "latentgen", "sample", "model", "--trust-remote-code", "--n", "2")
    assert done.returncode == 0, done.stderr


def test_a_bound_of_one_example_has_no_standard_error() -> None:
    model = prepare().model
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = model.nelbo([{"x": torch.zeros(1, 2)}], "bound")
    assert math.isnan(found.standard_error) and found.count == 1
    with pytest.raises(ValueError, match="draws is 0"):
        model.log_prob({"x": torch.zeros(1, 2)}, draws=0)
