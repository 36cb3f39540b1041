"""The comparison counts, times and judges every setting alike, and its page opens by itself."""

from __future__ import annotations

import json
import math
import re

import pytest
import torch
from toy import Toy

import latentgen
from latentgen import DDGAN, JointDDGAN, Setting
from latentgen.cli import main
from latentgen.comparison import default_settings
from latentgen.trilemma import CORNERS, position, scores
from modalities.mixtures import GaussianGrid


@pytest.fixture(scope="module")
def models() -> dict[str, latentgen.LatentGenerativeModel]:
    torch.manual_seed(0)
    modality = GaussianGrid(train_size=200, test_size=200)
    recipes = {
        "joint": JointDDGAN(latentgen.LSGM(width=16, depth=1, heads=2, momentum=0), DDGAN(3, width=16, depth=1)),
        "vae": latentgen.VAE(),
    }
    return {name: recipe.prepare(modality).model.eval() for name, recipe in recipes.items()}


@pytest.fixture(scope="module")
def result(models) -> latentgen.evaluation.Evaluation:
    joint = [Setting("joint", "dpm", 2), Setting("joint", "gan"), Setting("joint", "ode", tolerance=1e-2)]
    settings = [*joint, Setting("vae")]
    return latentgen.compare(models, settings, samples=60, sets=2, repeats=3)


def test_default_settings_are_those_that_the_prior_has(models) -> None:
    joint = default_settings("joint", models["joint"], calls=(2, 4))
    assert [s.label for s in joint] == [
        "joint: dpm 2", "joint: dpm 4", "joint: ddim 2", "joint: ddim 4", "joint: ode 0.001", "joint: gan",
    ]
    assert default_settings("vae", models["vae"]) == [Setting("vae")]


def test_rows_gates_first_with_calls_counted_and_times_taken(result) -> None:
    names = [row["name"] for row in result["rows"]]
    gates = ["real data", "joint: reconstruction", "joint: no prior", "vae: reconstruction", "vae: no prior"]
    assert names == [*gates, "joint: dpm 2", "joint: gan", "joint: ode 0.01", "vae: prior"]
    calls = [row["calls"] for row in result["rows"]]
    assert calls[:5] == [None] * 5
    assert calls[5:7] == [2, 3]
    assert calls[7] > 5
    assert calls[8] == 0
    assert all(row["seconds_per_sample"] > 0 for row in result["rows"][5:])
    for row in result["rows"]:
        assert {"within", "modes", "mode_kl", "frechet", "coverage"} <= row["values"].keys()
        assert row["spread"].keys() == row["values"].keys()
    real = result["rows"][0]["values"]
    assert real["within"] > 0.9
    assert real["frechet"] < min(row["values"]["frechet"] for row in result["rows"][5:])
    assert result["features"]["name"] == "FlattenFeatures"
    assert result["features"]["n_real"] == result["features"]["n_generated"] == 60
    assert set(result["likelihood"]["joint"]) == {"bound", "ode"}
    assert set(result["likelihood"]["vae"]) == {"bound"}


def test_scores_run_from_the_worst_row_to_the_best() -> None:
    row = lambda name, q, c, s: {"name": name, "values": {"q": q, "c": c}, "seconds_per_sample": s}
    rows = [row("real", 10.0, 0.0, None), row("a", 2.0, 4.0, 1.0), row("b", 6.0, 1.0, 0.01)]
    rows.append(row("c", 6.0, math.inf, 0.1))
    found = scores({"rows": rows, "axes": {"quality": "q", "coverage": "c"}, "better": {"q": "higher", "c": "lower"}})
    assert found["a"] == {"quality": 0.0, "coverage": 0.0, "speed": 0.0}
    assert found["b"] == {"quality": 0.5, "coverage": 0.75, "speed": 1.0}
    assert found["c"] == pytest.approx({"quality": 0.5, "coverage": 0.0, "speed": 0.5})


def test_corners_are_corners() -> None:
    for axis, corner in CORNERS.items():
        assert position({name: float(name == axis) for name in CORNERS}) == pytest.approx(corner)
    centre = tuple(sum(corner[k] for corner in CORNERS.values()) / 3 for k in (0, 1))
    assert position(dict.fromkeys(CORNERS, 0.4)) == pytest.approx(centre)
    assert position(dict.fromkeys(CORNERS, 0.0)) == pytest.approx(centre)


def test_the_page_needs_nothing_else(result, tmp_path) -> None:
    page = latentgen.write_comparison(result, tmp_path / "out")
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=\"(?!data:|#)", text)
    assert text.count("data:image/png;base64,") == 2
    for row in result["rows"]:
        assert row["name"] in text
    assert json.loads((tmp_path / "out" / "trilemma.json").read_text())["title"] == "Trilemma: GaussianGrid"
    for name in ("trilemma_triangle.png", "trilemma_calls.png"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG")
    shown = latentgen.format_comparison(result)
    assert "quality: within" in shown
    assert "NELBO of joint (ode)" in shown


def test_the_command(models, tmp_path, capsys) -> None:
    for name, model in models.items():
        model.save_pretrained(tmp_path / name)
    arguments = [str(tmp_path / "joint"), str(tmp_path / "vae"), "--samplers", "gan,dpm", "--calls", "2"]
    out = tmp_path / "report"
    assert main(["compare", *arguments, "--samples", "40", "--sets", "1", "--out", str(out), "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    assert "joint: gan" in shown
    assert "vae: prior" in shown
    assert (out / "trilemma.html").exists()
    assert main(["compare", *arguments, "--samplers", "magic"]) == 2
    assert "samplers has 'magic'; the known ones are" in capsys.readouterr().err


def test_refusals(models) -> None:
    with pytest.raises(ValueError, match="models is empty; give at least one trained run"):
        latentgen.compare({})
    other = latentgen.VAE().prepare(Toy()).model
    with pytest.raises(ValueError, match="models are of GaussianGrid, Toy; compare runs of one modality"):
        latentgen.compare({"a": models["vae"], "b": other})
