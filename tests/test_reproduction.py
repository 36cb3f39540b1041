"""A run beside published figures: units, budget, refusals, files, and the command."""

from __future__ import annotations

import json
import math

import pytest
import torch
import yaml

import latentgen
from latentgen.cli import main
from latentgen.evaluation import evaluate
from latentgen.reproduction import (
    beside_published,
    bits_per_dimension,
    check_published,
    format_reproduction,
    read_published,
    write_reproduction,
)

PUBLISHED = [
    {"figure": "nelbo", "value": 78.47, "source": "Someone 2021", "protocol": "all test images"},
    {"figure": "bits_per_dim", "value": 1.5},
    {"figure": "frechet", "value": 2.1},
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of the command line, with published figures in its configuration."""
    folder = tmp_path_factory.mktemp("paper")
    arguments = {"data": "digits", "limit": 64, "width": 8}
    config = {
        "modality": {"class_path": "modalities.images.Images", "init_args": arguments},
        "recipe": {"class_path": "latentgen.LSGM", "init_args": {"width": 16, "depth": 1, "heads": 2}},
        "trainer": {"steps": 3, "batch_size": 8, "accumulation": 2},
        "published": PUBLISHED,
    }
    path = folder / "paper.yaml"
    path.write_text(yaml.safe_dump(config))
    assert main(["train", str(path), "--run", str(folder / "run"), "--no-evaluate", "--quiet"]) == 0
    return folder / "run"


def test_a_run_keeps_what_is_published(run) -> None:
    assert read_published(run) == PUBLISHED


def test_ours_stand_beside_theirs(run) -> None:
    model = latentgen.load(run)
    result = evaluate(model, samples=16, calls=(2, 3))
    found = beside_published(model, result, PUBLISHED, run)
    nelbo, bits, frechet = found["rows"]
    assert (nelbo["published"], nelbo["unit"], nelbo["source"]) == (78.47, "nats", "Someone 2021")
    assert nelbo["ours"] == result["likelihood"]["ode"]["nelbo"]
    assert bits["ours"] == pytest.approx(nelbo["ours"] / (64 * math.log(2)))
    assert bits["ours"] == pytest.approx(result["likelihood"]["ode"]["bits_per_dim"])
    rows = {row["name"]: row["values"]["frechet"] for row in result["rows"]}
    assert frechet["ours"] == min(rows["dpm, 2 steps"], rows["dpm, 3 steps"])
    assert found["budget"]["steps"] == 3
    assert found["budget"]["examples a process"] == 3 * 8 * 2
    assert found["features"]["name"] == "pixels averaged to 8 x 8"
    text = format_reproduction(found)
    assert "published protocol: all test images" in text
    assert f"{nelbo['ours']:.3f}" in text
    path = write_reproduction(run, found)
    assert json.loads(path.read_text())["rows"][0]["published"] == 78.47


def test_the_command_prints_and_writes_it(run, capsys) -> None:
    assert main(["evaluate", str(run), "--profile", "paper", "--samples", "8", "--calls", "2", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [row["figure"] for row in printed["rows"]] == ["nelbo", "bits_per_dim", "frechet"]
    assert json.loads((run / "evaluation_paper.json").read_text()) == printed


def test_bits_are_nats_over_dimensions_and_ln_2() -> None:
    assert bits_per_dimension(64 * math.log(256), 64) == pytest.approx(8)
    assert bits_per_dimension(3.0, None) is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [([{"figure": "beauty", "value": 1}], "choose nelbo"), ([{"figure": "nelbo", "value": "low"}], "give a number")],
)
def test_what_is_not_understood_is_refused(rows, message) -> None:
    with pytest.raises(ValueError, match=message):
        check_published(rows)


def test_a_run_without_published_figures_says_so(tmp_path) -> None:
    with pytest.raises(ValueError, match="names no published figure"):
        read_published(tmp_path)


def test_other_features_for_one_evaluation(run, tmp_path, capsys) -> None:
    from modalities.images import Images
    from modalities.images.classifier import save_classifier, train_classifier

    digits = Images("digits")
    torch.manual_seed(0)
    classifier = train_classifier(digits.images("train"), digits.images("test"), steps=3)
    save_classifier(classifier, tmp_path / "c.safetensors")
    model = latentgen.load(run)
    model.modality.use_features(model.modality.features_from(tmp_path / "c.safetensors"))
    assert model.modality.feature_map().name.startswith("classifier trained on the data")
    command = ["evaluate", str(run), "--samples", "8", "--calls", "2", "--json"]
    before = run / "evaluation.json"
    kept = before.read_text() if before.exists() else None
    assert main([*command, "--features", str(tmp_path / "c.safetensors")]) == 0
    other = json.loads(capsys.readouterr().out)["rows"]
    assert (before.read_text() if before.exists() else None) == kept, "other features must not replace the table"
    assert main(command) == 0
    own = json.loads(capsys.readouterr().out)["rows"]
    assert other[0]["values"]["frechet"] != own[0]["values"]["frechet"]


def test_a_modality_without_feature_files_says_so() -> None:
    from toy import Toy

    with pytest.raises(ValueError, match="Toy reads no feature maps"):
        Toy().features_from("a.pth")
