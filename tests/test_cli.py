"""The command line: tiny runs from end to end, errors as one sentence, and nothing untrusted built."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

import latentgen
from latentgen.cli import main
from latentgen.cli.check import init_arguments
from latentgen.cli.train import plain, read_job
from latentgen.progress import read_metrics
from modalities.images import Images
from modalities.mixtures import GaussianGrid
from modalities.points import Points

ROOT = Path(__file__).parent.parent
GRAPHS = {"train_size": 12, "test_size": 6, "width": 16, "encoder_depth": 1, "decoder_depth": 1, "latent": 2}
SMALL = {"width": 16, "depth": 1, "heads": 2}


def config(folder: Path, **changes: Any) -> str:
    """A configuration file of a run that takes a second."""
    content = {
        "modality": {"class_path": "modalities.graphs.Graphs", "init_args": GRAPHS},
        "recipe": {"class_path": "latentgen.LSGM", "init_args": SMALL},
        "trainer": {"steps": 2, "batch_size": 4, "log_every": 1},
        "run": str(folder / "run"),
        "samples": 6,
        "calls": [2],
        "quiet": True,
        **changes,
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
    return str(path)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    folder = tmp_path_factory.mktemp("cli")
    assert main(["train", config(folder)]) == 0
    return folder / "run"


@pytest.fixture
def fails(capfd: pytest.CaptureFixture[str]) -> Any:
    """Run a command that must fail with code 2, and give its one sentence."""

    def call(*arguments: str, code: int = 2) -> str:
        try:
            found = main(list(arguments))
        except SystemExit as stop:
            found = stop.code  # type: ignore[assignment]
        out, err = capfd.readouterr()
        assert found == code, err
        lines = [line for line in err.splitlines() if not line.startswith("warning: ")]
        assert len(lines) == 1 and "Traceback" not in err, err
        assert out == ""
        return lines[0]

    return call


# train


def test_train_measures_draws_and_reports(run: Path) -> None:
    for name in ("train.yaml", "config.yaml", "env.json", "report.html", "export/model.safetensors"):
        assert (run / name).is_file(), name
    for name in ("real.png", "generated.png"):
        assert (run / "samples" / name).read_bytes().startswith(b"\x89PNG"), name
    rows = json.loads((run / "evaluation.json").read_text())["rows"]
    assert [row["name"] for row in rows][:3] == ["real data", "reconstruction", "no prior"]
    assert rows[-1]["calls"] == 2
    assert [row["step"] for row in read_metrics(run / "metrics.jsonl")] == [1, 2]


def test_the_resolved_configuration_makes_the_same_run_again(run: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    given = [str(run / "train.yaml"), "--run", str(again), "--no-evaluate", "--quiet"]
    assert main(["train", *given]) == 0
    first, second = (load_file(folder / "export" / "model.safetensors") for folder in (run, again))
    assert first.keys() == second.keys()
    assert all(first[name].equal(second[name]) for name in first)
    assert not (again / "evaluation.json").exists() and (again / "report.html").exists()


def test_values_can_be_changed_on_the_command_line(tmp_path: Path) -> None:
    job = read_job(
        [
            config(tmp_path),
            "--trainer.steps=7",
            "--recipe.init_args.kl_weight",
            "0.25",
            "--recipe.init_args.process=VESDE",
            "--modality.init_args.data=trees",
            "--run=elsewhere",
        ]
    )
    assert job.options.steps == 7 and job.options.batch_size == 4
    assert job.recipe.kl_weight == 0.25 and type(job.recipe.process).__name__ == "VESDE"  # type: ignore[attr-defined]
    assert job.modality.data == "trees" and job.run == Path("elsewhere")  # type: ignore[attr-defined]


def test_short_class_names_and_a_default_folder(tmp_path: Path) -> None:
    job = read_job([config(tmp_path, modality="Graphs", recipe="VAE", run=None)])
    assert type(job.modality).__name__ == "Graphs" and type(job.recipe).__name__ == "VAE"
    assert job.run == Path("runs") / "tiny"


def test_the_same_command_continues_a_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    given = ["train", config(tmp_path), "--no-evaluate"]
    assert main(given) == 0
    assert main([*given, "--trainer.steps", "4"]) == 0
    assert "warning: the run is resumed with other options: steps was 2 and is 4" in capfd.readouterr().err
    assert [row["step"] for row in read_metrics(tmp_path / "run" / "metrics.jsonl")] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--recipe.init_args.width=wide", "recipe.width: Expected a int. Got value: wide"),
        ("--recipe.init_args.wdth=3", "recipe: Option 'wdth' is not accepted"),
        ("--recipe=LSGMM", "recipe: no class is called LSGMM"),
        ("--modality=Grphs", "modality is 'Grphs', which is no known class"),
        ("--trainer.steps=0", "steps is 0; it must be at least 1"),
        ("--trainer.lr=high", "trainer.lr: Expected a float. Got value: high"),
        ("--stesp=3", "unrecognized arguments: --stesp=3"),
        ("--calls=4.5", "calls: expected a list, got 4.5; put it in brackets, such as [2, 4]"),
        ("--calls=0", "calls is [0]; give whole numbers of at least 1, such as 2,4,10"),
        ("--modality.init_args.data=null", "--modality.init_args.data PATH"),
        ("--modality.init_args.data=nowhere.jsonl", "'nowhere.jsonl', which does not exist"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, fails: Any, option: str, message: str) -> None:
    assert message in fails("train", config(tmp_path), option)
    assert not (tmp_path / "run" / "export").exists()


def test_calls_are_taken_as_evaluate_takes_them(tmp_path: Path) -> None:
    path = config(tmp_path)
    for given, expected in (
        (["--calls", "4"], [4]), (["--calls=4"], [4]), (["--calls", "2,4"], [2, 4]), (["--calls", "[3]"], [3]),
        (["--calls+=3"], [2, 3]), ([], [2]), (["--calls", "[]"], []),
    ):
        assert read_job([path, *given]).settings.calls == expected


def test_missing_and_broken_files_are_one_sentence(tmp_path: Path, fails: Any) -> None:
    assert "does not exist" in fails("train", str(tmp_path / "no.yaml"))
    (tmp_path / "bad.yaml").write_text("modality: {class_path: Graphs\n")
    assert f"{tmp_path / 'bad.yaml'}: Problems parsing config" in fails("train", str(tmp_path / "bad.yaml"))
    assert "required: modality, recipe" in fails("train")


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("--modality=untrusted.Data", "untrusted.Data"),
        ("--modality.class_path=untrusted.Data", "untrusted.Data"),
        ("--modality={class_path: untrusted.Data}", "untrusted.Data"),
        ("--modality=toy.Toy", "toy.Toy"),
        ("--recipe.init_args.process=untrusted.Data", "untrusted.Data"),
        ("--recipe.init_args.process={class_path: untrusted.Data, init_args: {}}", "untrusted.Data"),
        ("--recipe.init_args.process=os.system", "os.system"),
        ("--recipe.init_args.weighting.class_path=latentgen.trainer.signal.Signals", "signal.Signals"),
        ("--recipe.init_args.weighting.class_path=latentgen.storage.shutil.rmtree", "shutil.rmtree"),
    ],
)
def test_untrusted_classes_are_refused_before_they_are_imported(
    tmp_path: Path, fails: Any, monkeypatch: pytest.MonkeyPatch, option: str, named: str
) -> None:
    (tmp_path / "untrusted.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    sentence = fails("train", config(tmp_path), option)
    assert f"class_path is '{named}', whose package is not one of" in sentence
    assert "add --trust-remote-code" in sentence
    assert not (tmp_path / "ran").exists()


def test_untrusted_data_values_are_not_built(tmp_path: Path, fails: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "untrusted.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    value = "[{class_path: untrusted.Data, init_args: {}}]"
    fails("train", config(tmp_path), f"--modality.init_args.data={value}")
    assert not (tmp_path / "ran").exists()


def test_a_configuration_cannot_trust_itself(
    tmp_path: Path, fails: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil_module.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "trust_remote_code" in fails("train", config(tmp_path, trust_remote_code=True))
    assert "'evil_module.Evil'" in fails("train", config(tmp_path, modality="evil_module.Evil"))
    assert not (tmp_path / "ran").exists()


def test_trusted_code_runs_when_the_user_says_so_and_only_then(tmp_path: Path) -> None:
    path = config(tmp_path, modality={"class_path": "toy.Toy", "init_args": {"size": 16}})
    assert main(["train", path, "--trust-remote-code"]) == 0
    with pytest.raises(ValueError, match=r"'toy\.Toy', whose package is not one of"):
        read_job([path])
    assert json.loads((tmp_path / "run" / "evaluation.json").read_text())["columns"] == ["radius error"]


def test_the_parser_s_messages_become_sentences() -> None:
    nested = (
        'Parser key "recipe":\n  Problem with given class_path \'latentgen.LSGM\':\n    Parser key "width":\n'
        "      Expected a <class 'int'>. Got value: x"
    )
    assert plain(nested) == "recipe.width: Expected a int. Got value: x."


# sample


def test_sample_writes_tensors_and_a_picture(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["sample", str(run), "--n", "3", "--steps", "2", "--seed", "5", "--out", str(out)]) == 0
    batch = load_file(out / "samples.safetensors")
    assert len(batch["edges"]) == 3 and (out / "samples.png").read_bytes().startswith(b"\x89PNG")
    with safe_open(out / "samples.safetensors", framework="pt") as handle:
        assert json.loads(handle.metadata()["latentgen"])["seed"] == 5
    main(["sample", str(run), "--n", "5", "--steps", "2", "--seed", "5", "--out", str(tmp_path / "more")])
    more, n = load_file(tmp_path / "more" / "samples.safetensors"), batch["edges"].shape[1]
    assert more["edges"][:3, :n, :n].equal(batch["edges"])


def test_sample_writes_into_the_run_by_default(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", str(run), "--n", "2", "--sampler", "ode"]) == 0
    assert capfd.readouterr().out.splitlines() == [
        str(run / "samples" / "samples.safetensors"),
        str(run / "samples" / "samples.png"),
        str(run / "samples" / "graphs.jsonl"),
    ]
    assert len((run / "samples" / "graphs.jsonl").read_text().splitlines()) == 2


def test_sample_takes_a_label_and_guidance(tmp_path: Path, fails: Any, capfd: Any) -> None:
    images = Images(limit=60, width=8, condition="label")
    model = latentgen.LSGM(width=16, depth=1, heads=2).prepare(images).model
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(tmp_path / "model")
    common = ["sample", str(tmp_path / "model"), "--n", "3", "--steps", "2", "--out"]
    told = {"plain": [], "three": ["--label", "3"], "guided": ["--label", "3", "--guidance", "4"]}
    for name, words in told.items():
        assert main([*common, str(tmp_path / name), *words]) == 0
    found = [load_file(tmp_path / name / "samples.safetensors")["x"] for name in told]
    assert not found[0].equal(found[1]) and not found[1].equal(found[2])
    three = torch.eye(10)[3].expand(3, -1)
    assert found[2].equal(model.sample(3, steps=2, condition=three, guidance=4.0)["x"])
    capfd.readouterr()
    assert "label is 10 for this model; its classes are 0 to 9" in fails(*common, "x", "--label", "10")
    latentgen.VAE().prepare(images).model.save_pretrained(tmp_path / "vae")
    message = fails("sample", str(tmp_path / "vae"), "--label", "3", "--out", str(tmp_path / "x"))
    assert "label is 3, and this model's prior, N(0, I), knows no classes" in message and not (tmp_path / "x").exists()


def test_sample_takes_options_of_the_sampler(tmp_path: Path, fails: Any, capfd: Any) -> None:
    model = latentgen.LSGM(width=16, depth=1, heads=2).prepare(GaussianGrid()).model
    model.save_pretrained(tmp_path / "model")
    common = ["sample", str(tmp_path / "model"), "--n", "4", "--out", str(tmp_path / "out")]
    for words, sampler in (
        (["ancestral", "--steps", "7", "--option", "spacing=time", "variance=large"],
         latentgen.Ancestral(7, "large", spacing="time")),
        (["ode", "--option", "tolerance=1e-1"], latentgen.ProbabilityFlow(0.1)),
    ):
        assert main([*common, "--sampler", *words]) == 0
        found = load_file(tmp_path / "out" / "samples.safetensors")["x"]
        assert found.equal(model.sample(4, sampler)["x"])
        assert not found.equal(model.sample(4, words[0])["x"])
    capfd.readouterr()
    assert "name one too: --sampler ancestral" in fails(*common, "--option", "spacing=time")
    assert "which takes tolerance instead" in fails(*common, "--sampler", "ode", "--option", "eta=1")
    assert "option is steps=3; give --steps 3 instead" in fails(*common, "--sampler", "ddim", "--option", "steps=3")
    assert "spacing is 'x'; choose one of" in fails(*common, "--sampler", "ddim", "--option", "spacing=x")


def test_sample_takes_a_precision(tmp_path: Path) -> None:
    model = latentgen.LSGM(width=16, depth=1, heads=2).prepare(GaussianGrid()).model
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(tmp_path / "model")
    found = {}
    for precision in ("no", "bf16"):
        command = ["sample", str(tmp_path / "model"), "--n", "4", "--steps", "3", "--precision", precision]
        assert main([*command, "--out", str(tmp_path / precision)]) == 0
        found[precision] = load_file(tmp_path / precision / "samples.safetensors")["x"]
    assert found["no"].equal(model.sample(4, steps=3)["x"])
    assert not found["bf16"].equal(found["no"]) and torch.allclose(found["bf16"], found["no"], atol=0.1)
    with safe_open(tmp_path / "bf16" / "samples.safetensors", "pt") as file:
        assert json.loads(file.metadata()["latentgen"])["precision"] == "bf16"


def test_sample_takes_autoguidance(tmp_path: Path, fails: Any, capfd: Any) -> None:
    model = latentgen.LSGM(width=16, depth=2, heads=2).prepare(Images(limit=60, width=8)).model
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    run = tmp_path / "model"
    model.save_pretrained(run)
    common = ["sample", str(run), "--n", "3", "--steps", "3", "--out"]
    told = {
        "plain": [],
        "first": ["--autoguidance", "3"],
        "second": ["--autoguidance", "3", "--without", "1"],
        "itself": ["--autoguidance", "3", "--weak", str(run)],
    }
    for name, words in told.items():
        assert main([*common, str(tmp_path / name), *words]) == 0
    drawn = latentgen.autoguided(model, 3.0, (0,)).sample(3, steps=3)
    found = {name: load_file(tmp_path / name / "samples.safetensors") for name in told}
    assert all(found["first"][key].equal(drawn[key]) for key in drawn)
    assert all(found["itself"][key].equal(found["plain"][key]) for key in drawn)
    second = latentgen.autoguided(model, 3.0, (1,)).sample(3, steps=3)
    assert found["second"]["x"].equal(second["x"]) and not second["x"].equal(drawn["x"])
    with safe_open(tmp_path / "second" / "samples.safetensors", "pt") as file:
        assert "without blocks [1]" in str(file.metadata())
    capfd.readouterr()
    assert "without is given without --autoguidance" in fails(*common, "x", "--without", "1")
    assert "weak is given without --autoguidance" in fails(*common, "x", "--weak", str(run))
    assert "name some of the" in fails(*common, "x", "--autoguidance", "2", "--without", "9")
    assert "guidance is nan; give a finite weight" in fails(*common, "x", "--autoguidance", "nan")
    gan = latentgen.DDGAN(2, width=16, depth=1, heads=2, discriminator_depth=1)
    recipe = latentgen.JointDDGAN(latentgen.LSGM(width=16, depth=2, heads=2), gan, refine=False)
    recipe.prepare(Images(limit=60, width=8)).model.save_pretrained(tmp_path / "gan")
    words = ["sample", str(tmp_path / "gan"), "--sampler", "gan", "--autoguidance", "2"]
    assert "does not reach this model's generator" in fails(*words)


def test_a_label_may_be_the_name_of_a_class(tmp_path: Path, fails: Any, capfd: Any) -> None:
    shapes = {"points": 32, "train_size": 12, "test_size": 6, "tokens": 4, "width": 16, "depth": 1, "heads": 2}
    points = Points(condition="label", **shapes)
    recipe = latentgen.LSGM(width=16, depth=1, heads=2)
    recipe.prepare(points).model.save_pretrained(tmp_path / "model")
    common = ["sample", str(tmp_path / "model"), "--n", "2", "--steps", "2", "--out"]
    found = []
    for label in (points.classes[1], "1"):
        assert main([*common, str(tmp_path / label), "--label", label]) == 0
        found.append(load_file(tmp_path / label / "samples.safetensors")["x"])
    assert torch.equal(*found)
    capfd.readouterr()
    message = fails(*common, "x", "--label", "sofa")
    assert "label is sofa for this model; its classes are 0 to" in message and points.classes[1] in message


def test_a_class_that_is_called_by_a_number_is_not_taken_for_another(tmp_path: Path, capfd: Any) -> None:
    for stars in (1, 2, 3):
        folder = tmp_path / "data" / str(stars)
        folder.mkdir(parents=True)
        for number in range(5):
            Image.new("L", (16, 16), 50 * stars + number).save(folder / f"{number}.png")
    images = Images(data=str(tmp_path / "data"), width=8, condition="label")
    assert images.classes == ("1", "2", "3")
    model = latentgen.LSGM(width=16, depth=1, heads=2).prepare(images).model
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(tmp_path / "model")
    words = ["sample", str(tmp_path / "model"), "--n", "2", "--steps", "2", "--out", str(tmp_path), "--label", "1"]
    assert main(words) == 0
    made = load_file(tmp_path / "samples.safetensors")["x"]
    assert made.equal(model.sample(2, steps=2, condition=torch.eye(3)[:1])["x"])
    assert not made.equal(model.sample(2, steps=2, condition=torch.eye(3)[1:2])["x"])


def test_sampling_mistakes_are_one_sentence(run: Path, tmp_path: Path, fails: Any) -> None:
    assert "sampler is 'magic'; the known ones are" in fails("sample", str(run), "--sampler", "magic")
    assert "takes tolerance instead" in fails("sample", str(run), "--sampler", "ode", "--steps", "3")
    assert "n is 0" in fails("sample", str(run), "--n", "0")
    assert "label is 1 for this model; it was trained without classes" in fails("sample", str(run), "--label", "1")
    assert "guidance is 2 without a label" in fails("sample", str(run), "--guidance", "2")
    assert "does not exist" in fails("sample", str(tmp_path / "nowhere"))
    assert "run folder whose training ended" in fails("sample", str(tmp_path))
    assert "arguments are required: RUN" in fails("sample")


def test_a_damaged_model_is_one_sentence(run: Path, tmp_path: Path, fails: Any) -> None:
    data = (run / "export" / "model.safetensors").read_bytes()
    broken = tmp_path / "model.safetensors"
    broken.write_bytes(data[: len(data) // 2])
    assert "not a readable safetensors file" in fails("sample", str(broken))
    broken.write_bytes(b"\x80\x04pickle")
    assert "pickles can run code" in fails("evaluate", str(broken))


def test_a_model_that_names_untrusted_classes_is_refused_by_a_new_program(tmp_path: Path) -> None:
    path = config(tmp_path, modality={"class_path": "toy.Toy", "init_args": {"size": 16}})
    assert main(["train", path, "--trust-remote-code", "--no-evaluate"]) == 0
    places = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = {**os.environ, "PYTHONPATH": places, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "latentgen", "sample", "run"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("latentgen: class_path is 'toy.Toy', whose package is not one of")
    assert "pass --trust-remote-code" in done.stderr and done.stderr.count("\n") == 1
    assert main(["sample", str(tmp_path / "run"), "--trust-remote-code", "--n", "2"]) == 0


def test_a_damaged_checkpoint_is_skipped_with_a_warning(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ["train", config(tmp_path), "--no-evaluate"]
    assert main([*given, "--trainer.checkpoint_every", "1"]) == 0
    weights = sorted((tmp_path / "run" / "checkpoints").glob("step_*/model.safetensors"))
    weights[-1].write_bytes(weights[-1].read_bytes()[:-3])
    assert main(given) == 0
    assert "warning: checkpoint step_00000002 is skipped" in capfd.readouterr().err


def test_a_run_whose_checkpoints_are_all_damaged_is_not_begun_anew(
    tmp_path: Path, fails: Any, capfd: Any
) -> None:
    given = ["train", config(tmp_path), "--no-evaluate"]
    assert main(given) == 0
    (weights,) = (tmp_path / "run" / "checkpoints").glob("step_*/model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-3])
    capfd.readouterr()
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert "none of the 1 checkpoints in" in (message := fails(*given)) and "move that folder away" in message
    kept = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert {path: kept[path] for path in before if path.suffix != ".lock"} == {
        path: data for path, data in before.items() if path.suffix != ".lock"
    }


# evaluate, report


def test_evaluate_prints_the_table_or_json_alone(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    given = ["evaluate", str(run), "--samples", "4", "--calls", "2,3"]
    assert main(given) == 0
    table = capfd.readouterr().out
    assert table.startswith("Graphs") and "dpm, 3 steps" in table
    assert main([*given, "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert [row["calls"] for row in result["rows"]][-2:] == [2, 3]
    assert json.loads((run / "evaluation.json").read_text())["rows"][-1]["calls"] == 3


def test_evaluate_takes_other_data(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = (run / "evaluation.json").read_bytes()
    changes = ["--data", "trees", "--modality", "valid=tree", "options={nodes: 7}"]
    assert main(["evaluate", str(run), "--samples", "4", "--calls", "2", "--json", *changes]) == 0
    rows = json.loads(capfd.readouterr().out)["rows"]
    assert rows[0]["name"] == "real data" and rows[0]["values"]["valid"] == 1.0
    assert (run / "evaluation.json").read_bytes() == before


def test_evaluation_mistakes_are_one_sentence(run: Path, fails: Any) -> None:
    assert "calls is '2,x'; give whole numbers" in fails("evaluate", str(run), "--calls", "2,x")
    assert "samples is 0" in fails("evaluate", str(run), "--samples", "0")
    assert "write NAME=VALUE" in fails("evaluate", str(run), "--modality", "valid")


def test_report_writes_the_page_again(run: Path, fails: Any, capfd: pytest.CaptureFixture[str]) -> None:
    (run / "report.html").unlink()
    assert main(["report", str(run)]) == 0
    assert capfd.readouterr().out.strip() == str(run / "report.html")
    assert (run / "report.html").is_file()
    assert "not a folder" in fails("report", str(run / "nowhere"))


# check, doctor


def test_check_passes_and_fails_with_the_fix(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = str(ROOT / "tests" / "broken.py")
    assert main(["check", f"{file}:Sets", "--init_args", "size=12"]) == 0
    assert "all checks passed" in capfd.readouterr().out
    assert main(["check", f"{file}:Sets", "--init_args", "flaw=batch mean", "size=12"]) == 1
    out = capfd.readouterr().out
    assert "FAIL  independence" in out and "fix: use no layer that mixes samples" in out
    assert out.rstrip().endswith("checks failed")


def test_check_takes_processes_and_samplers(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "latentgen:VPSDE", "--init_args", "beta_max=10"]) == 0
    assert "pass  bridge" in capfd.readouterr().out
    assert main(["check", "latentgen.sampler:DPMSolver", "--init_args", "steps=40"]) == 0
    assert "40 calls" in capfd.readouterr().out


def test_check_mistakes_are_one_sentence(tmp_path: Path, fails: Any) -> None:
    assert "write MODULE:CLASS" in fails("check", "module")
    assert "there is no file" in fails("check", f"{tmp_path}/none.py:Data")
    assert "no module 'none_such' is found" in fails("check", "none_such:Data")
    assert "has no class Graph; it has Graphs" in fails("check", "modalities.graphs:Graph")
    sentence = fails("check", "latentgen:LatentSpec", "--init_args", "shape=[2]")
    assert "neither a Modality nor a Process nor a Sampler" in sentence
    assert "unexpected keyword argument 'sizee'" in fails("check", "toy:Toy", "--init_args", "sizee=2")


def test_doctor_prints_text_or_json(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--run", str(tmp_path)]) == 0
    assert "torch" in capfd.readouterr().out
    assert main(["doctor", "--run", str(tmp_path), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["run"]["folder"] == str(tmp_path)


# help and debugging


@pytest.mark.parametrize("command", ["", "train", "sample", "evaluate", "report", "check", "doctor"])
def test_every_command_explains_itself(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*([command] if command else []), "--help"])
    out = capfd.readouterr().out
    assert stop.value.code == 0
    assert out.startswith(f"usage: latentgen {command}".rstrip()) and len(out.splitlines()) > 8


def test_an_unknown_command_is_one_sentence(fails: Any) -> None:
    assert "invalid choice: 'frobnicate'" in fails("frobnicate")


def test_the_traceback_is_there_for_debugging(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATENTGEN_DEBUG", "1")
    with pytest.raises(ValueError, match="sampler is 'magic'"):
        main(["sample", str(run), "--sampler", "magic"])


def test_values_on_the_command_line() -> None:
    given = init_arguments(["a=1e-5", "b=-2.5E+3", "c=1e", "d=[1, 2]", "e=0.1", "f=3", "g=e5"])
    assert given == {"a": 1e-5, "b": -2500.0, "c": "1e", "d": [1, 2], "e": 0.1, "f": 3, "g": "e5"}
    assert isinstance(given["f"], int)


def test_report_writes_into_no_other_folder(tmp_path: Path, fails: Any) -> None:
    (tmp_path / "photo.png").write_bytes(b"mine")
    assert "which has none of config.yaml, env.json" in fails("report", str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]
    (tmp_path / "env.json").write_text("{}")  # as soon as a run begins
    assert main(["report", str(tmp_path)]) == 0 and (tmp_path / "report.html").exists()


def test_a_pipe_of_a_windows_console_takes_the_comparison(run: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "cp1252", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "latentgen", "compare", str(run), "--samples", "6", "--sets", "1", "--calls", "2"]
    command += ["--samplers", "dpm", "--repeats", "1", "--out", str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert "?ln p(x)" in done.stdout.decode("cp1252") and (tmp_path / "trilemma.html").is_file()


def test_a_file_in_the_place_of_a_run_is_named(tmp_path: Path, fails: Any) -> None:
    (tmp_path / "taken").touch()
    message = fails("train", config(tmp_path), "--run", str(tmp_path / "taken"))
    assert "taken is a file; expected the folder of a run, or a name that is free" in message


def test_a_dry_run_says_what_a_run_would_be_and_writes_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ["train", config(tmp_path), "--dry-run", "--trainer.steps", "1000"]
    assert main(given) == 0
    lines = dict(line.split(maxsplit=1) for line in capfd.readouterr().out.splitlines())
    assert list(lines) == ["data", "latents", "parameters", "memory", "step", "run"]
    assert lines["data"].startswith("12 examples; a batch: nodes [4, ") and lines["latents"].startswith("set [")
    assert "autoencoder " in lines["parameters"] and "prior " in lines["parameters"]
    assert lines["run"].startswith("1,000 steps: ") and not (tmp_path / "run").exists()
