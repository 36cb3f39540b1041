"""Reading a run folder is patient, and discreet."""

import json
import sys
from pathlib import Path

import pytest

from latentgen.hiding import hide_secrets
from latentgen.run_contents import read_run

links = pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (16).to_bytes(4, "big") + (9).to_bytes(4, "big") + b"rest"


def test_an_empty_folder_has_nothing_and_no_problem(tmp_path: Path) -> None:
    contents = read_run(tmp_path)
    assert contents.name == tmp_path.name
    assert not any((contents.config, contents.environment, contents.metrics, contents.samples))
    assert not any((contents.texts, contents.plots, contents.evaluation, contents.problems))


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"run is .*nowhere, which is not a folder; expected"
    ):
        read_run(tmp_path / "nowhere")


def test_pictures_come_in_order_of_steps_with_their_kind(tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    names = [
        "step_9",
        "step_0000100",
        "step_20_gan-4",
        "real",
        "step_20",
        "step_20_held_out",
        "walk",
    ]
    for name in names:
        (tmp_path / "samples" / f"{name}.png").write_bytes(PNG)
    found = read_run(tmp_path).samples
    assert [(p.step, p.label, p.real) for p in found] == [
        (None, "real", True),
        (None, "walk", False),
        (9, "", False),
        (20, "", False),
        (20, "gan 4", False),
        (20, "held out", True),
        (100, "", False),
    ]
    assert {(p.width, p.height) for p in found} == {(16, 9)}


def test_texts_come_with_captions(tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    for name in ("step_0010.smi", "step_0002_ode.txt", "held_out.txt"):
        (tmp_path / "samples" / name).write_text(name)
    assert read_run(tmp_path).texts == [
        ("Real data", "held_out.txt"),
        ("Ode, step 2", "step_0002_ode.txt"),
        ("Samples, step 10", "step_0010.smi"),
    ]


@links
def test_what_is_no_picture_is_left_out_and_named(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(PNG)
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "evil.png").write_text("<svg onload='alert(1)'/>")
    (tmp_path / "plots" / "linked.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "plots" / "folder.png").mkdir()
    contents = read_run(tmp_path)
    assert contents.plots == []
    assert contents.problems == ["plots/evil.png is left out: it is not a PNG picture"]


def test_broken_files_are_problems_not_errors(tmp_path: Path) -> None:
    (tmp_path / "env.json").write_text("[1]")
    (tmp_path / "evaluation.json").write_text('{"title": ')
    (tmp_path / "config.yaml").write_text("a: [1\nb: }")
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    contents = read_run(tmp_path)
    assert [problem.split(" could")[0] for problem in contents.problems] == [
        "config.yaml",
        "env.json",
        "evaluation.json",
    ]
    assert contents.metrics == [{"step": 1, "loss": 2.0}]
    assert contents.config_text == "a: [1\nb: }"


def test_configurations_cannot_run_code(tmp_path: Path) -> None:
    mark = tmp_path / "it ran"
    call = "!!python/object/apply:pathlib.Path"
    (tmp_path / "config.yaml").write_text(f"a: {call}.touch [{call} [{mark}]]")
    contents = read_run(tmp_path)
    assert not mark.exists()
    assert "config.yaml could not be read" in contents.problems[0]


def test_long_texts_are_cut(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("# " + "x" * 300_000)
    assert len(read_run(tmp_path).config_text) < 200_010


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("hf_token: abcdefghij", "hf_token: (hidden)"),
        ("  - password: 'correct horse'", "  - password: (hidden)"),
        ("api_key: 0123456789", "api_key: (hidden)"),
        ("url: https://me:secret@example.org/x", "url: https://(hidden)example.org/x"),
        ("note: use hf_ABCDEFGHIJKLMNOP", "note: use (hidden)"),
        ("key: AKIAIOSFODNN7EXAMPLE", "key: (hidden)"),
        ("pad_token: <pad>", "pad_token: <pad>"),
        ("tokens: 123456789", "tokens: 123456789"),
        ("tokenizer: bert-base-uncased", "tokenizer: bert-base-uncased"),
        ("token:", "token:"),
    ],
)
def test_secrets_are_hidden(line: str, shown: str) -> None:
    assert hide_secrets(line) == shown


def test_secrets_of_the_environment_are_hidden(tmp_path: Path) -> None:
    environment = {"python": "3.12", "env": {"WANDB_API_KEY": "0123456789abcdef", "n": [1, 2]}}
    (tmp_path / "env.json").write_text(json.dumps(environment))
    assert read_run(tmp_path).environment == {
        "python": "3.12",
        "env.WANDB_API_KEY": "(hidden)",
        "env.n": "1, 2",
    }


def test_a_link_is_not_read_whatever_it_is_called(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text('root: x\n{"step": 1, "loss": 2}\n')
    run = tmp_path / "run"
    run.mkdir()
    for name in ("config.yaml", "env.json", "evaluation.json", "metrics.jsonl"):
        (run / name).symlink_to(secret)
    contents = read_run(run)
    assert (contents.config_text, contents.config, contents.environment, contents.evaluation) == ("", {}, {}, {})
    assert contents.metrics == [] and contents.marks == []
    assert sum("is left out: it is a link" in problem for problem in contents.problems) == 4
