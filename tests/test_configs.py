"""Every configuration is one short file that builds and trains."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from latentgen import LatentGenerativeModel, Trainer
from latentgen.cli.train import read_job

CONFIGS = sorted((Path(__file__).parent.parent / "configs").rglob("*.yaml"))
SMALL = {
    "latentgen.LSGM": ["width=16", "depth=1", "heads=2"],
    "latentgen.VAE": [],
    "latentgen.DDGAN": ["width=16", "depth=1", "discriminator_depth=1"],
    "latentgen.DataDiffusion": [],
    "latentgen.JointDDGAN": ["lsgm.init_args.width=16", "lsgm.init_args.depth=1", "lsgm.init_args.heads=2"],
}
TINY_MODALITY = {
    "modalities.graphs.Graphs": ["width=16", "encoder_depth=1", "decoder_depth=1"],
    "modalities.mixtures.GaussianGrid": [],
    "modalities.images.Images": ["width=8"],
    "modalities.points.Points": ["width=16", "depth=1", "heads=2", "points=24"],
    "modalities.text.Text": ["width=16", "depth=1", "heads=2", "vocabulary=300"],
}
SMALL_NETWORK = {"modalities.points.hierarchical.PointArchitecture": ["width=8", "depth=1", "heads=2"]}
FEW_EXAMPLES = {"modalities.images.Images": ["limit=8"]}
NEEDS_NO_DATA = ("modalities.mixtures.GaussianGrid", "modalities.points.Points")


pytestmark = pytest.mark.usefixtures("fresh_accelerator")


def tiny_data(folder: Path, kind: str, molecules: bool) -> Path:
    """Eight small images, graphs or molecules on disk, six of them for training."""
    if kind == "modalities.images.Images":
        np.savez(folder / "tiny.npz", images=np.arange(8 * 64, dtype=np.uint8).reshape(8, 8, 8))
        return folder / "tiny.npz"
    if kind == "modalities.text.Text":
        path = folder / "tiny.txt"
        path.write_text("\n".join(f"sentence {number} ." for number in range(10)) + "\n")
        return path
    if molecules:
        rows = ["CCO", "CC(C)=O", "c1ccoc1", "NC=O", "CCN", "CF", "COC", "C#N"]
        splits = ["train"] * 6 + ["test"] * 2
        lines = ["smiles,split", *(f"{row},{split}" for row, split in zip(rows, splits, strict=True))]
        path = folder / "tiny.csv"
        path.write_text("\n".join(lines) + "\n")
        return path
    graphs = [{"n": n, "edges": [[i, (i + 1) % n] for i in range(n)]} for n in range(4, 12)]
    path = folder / "tiny.jsonl"
    path.write_text("\n".join(json.dumps(graph) for graph in graphs) + "\n")
    return path


def needs_a_file(path: Path) -> bool:
    modality = yaml.safe_load(path.read_text(encoding="utf-8"))["modality"]
    return modality["class_path"] not in NEEDS_NO_DATA and modality.get("init_args", {}).get("data") is None


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_configuration_is_short_explained_and_whole(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    content = yaml.safe_load("\n".join(lines))
    assert len(lines) <= 40 and lines[0].startswith("# ")
    assert {"modality", "recipe", "trainer", "run"} <= content.keys()
    assert content["run"] == f"runs/{path.stem}"


DROPS = ("mnist_lsgm", "omniglot_lsgm", "celebahq256_lsgm")
PUBLISHED = {  # initial mixing logit, share of warm-up, last rate over the first, weights of the prior's norms
    "mnist_lsgm": (-6.0, 20 / 800, 0.1, (0.0, 0.0)),
    "omniglot_lsgm": (-6.0, 20 / 1500, 0.1, (1e-3, 1e-3)),
    "celebahq256_lsgm": (-6.0, None, 0.1, (0.01, 0.01)),
    "cifar10_lsgm_balanced": (-3.0, None, 0.1, (0.0, 0.01)),  # the published sum over convolutions is empty
    "cifar10_lsgm_best_fid": (-3.0, None, 0.1, (0.0, 0.01)),
    "cifar10_lsgm_best_nll": (-3.0, None, 0.1, (0.01, 0.01)),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_reproductions_have_the_published_options(name: str) -> None:
    content = yaml.safe_load(next(path for path in CONFIGS if path.stem == name).read_text(encoding="utf-8"))
    logit, warmup, final, norms = PUBLISHED[name]
    recipe, trainer = content["recipe"]["init_args"], content["trainer"]
    assert recipe["parameterisation"] == "mixed" and recipe.get("initial_logit", -3.0) == logit
    assert warmup is None or trainer["warmup"] == pytest.approx(warmup, abs=1e-4)
    assert trainer["final_lr"] == final
    assert recipe.get("drop_inactive", 0.0) == (0.1 if name in DROPS else 0.0)
    spectral = recipe.get("spectral", 0.0)
    assert (spectral, recipe.get("gains", spectral)) == norms


STAGES = {  # stage 2: its stage 1, with the last KL weight, the share of the run up to it, steps, and epochs
    "mnist_lsgm": ("mnist_vae", 0.7, 1.0, 60_000, 200),
    "omniglot_lsgm": ("omniglot_vae", 1.0, 1.0, 38_000, 200),
    "cifar10_lsgm_balanced": ("cifar10_vae_balanced", 1.0, 0.5, 117_000, 600),
    "cifar10_lsgm_best_fid": ("cifar10_vae_best_fid", 0.7, 1.0, 78_000, 400),
    "cifar10_lsgm_best_nll": ("cifar10_vae_best_nll", 0.7, 1.0, 78_000, 400),
    "celebahq256_lsgm": ("celebahq256_vae", 1.0, 1.0, 84_400, 200),
}


@pytest.mark.parametrize("second", STAGES)
def test_stage_1_has_the_published_options_and_the_autoencoder_of_stage_2(second: str) -> None:
    paths = {path.stem: path for path in CONFIGS}
    first, weight, portion, steps, epochs = STAGES[second]
    text = paths[second].read_text(encoding="utf-8")
    stage_1, stage_2 = yaml.safe_load(paths[first].read_text(encoding="utf-8")), yaml.safe_load(text)
    assert f"--recipe.init_args.autoencoder runs/{first}" in text
    assert stage_1["modality"] == stage_2["modality"]
    kl_weight = stage_1["recipe"]["init_args"]["kl_weight"]["init_args"]
    assert kl_weight == {"start": 1e-4, "end": weight, "portion": portion}
    trainer = stage_1["trainer"]
    assert (trainer["steps"], trainer["weight_decay"], trainer["final_lr"]) == (steps, 3e-4, 0.01)
    assert trainer["warmup"] == pytest.approx(5 / epochs, abs=1e-4)


def test_stage_1_hands_its_autoencoder_to_stage_2(tmp_path: Path) -> None:
    paths = {path.stem: path for path in CONFIGS}
    data = tiny_data(tmp_path, "modalities.images.Images", molecules=False)
    common = [f"--modality.init_args.data={data}", "--modality.init_args.width=8"]
    sizes = ["--trainer.steps=2", "--trainer.batch_size=2", f"--run={tmp_path / 'first'}"]
    first = read_job([str(paths["omniglot_vae"]), *common, *sizes])
    prepared = first.recipe.prepare(first.modality)
    Trainer(prepared.model, prepared.objectives, first.run, first.options, quiet=True).fit()
    given = [f"--recipe.init_args.autoencoder={first.run}", "--recipe.init_args.network.init_args.width=8"]
    second = read_job([str(paths["omniglot_lsgm"]), *common, *given])
    model = second.recipe.prepare(second.modality).model
    found, expected = model.autoencoder.autoencoder.state_dict(), LatentGenerativeModel.from_pretrained(first.run)
    assert all(torch.equal(found[name], value) for name, value in expected.autoencoder.state_dict().items())


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_configuration_builds_and_takes_two_steps(path: Path, tmp_path: Path) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    kind, arguments = content["modality"]["class_path"], content["modality"].get("init_args", {})
    changes = [f"--modality.init_args.{change}" for change in TINY_MODALITY[kind]]
    if needs_a_file(path):
        data = tiny_data(tmp_path, kind, arguments.get("protocol") == "molecules")
        changes.append(f"--modality.init_args.data={data}")
    else:
        few = FEW_EXAMPLES.get(kind, ["train_size=8", "test_size=4"])
        changes += [f"--modality.init_args.{change}" for change in few]
    changes += [f"--recipe.init_args.{change}" for change in SMALL[content["recipe"]["class_path"]]]
    network = content["recipe"].get("init_args", {}).get("network")
    if network is not None:
        sizes = SMALL_NETWORK.get(network["class_path"], ["width=8", "depth=1", "dropout=0"])
        changes += [f"--recipe.init_args.network.init_args.{change}" for change in sizes]
    changes += ["--trainer.steps=2", "--trainer.batch_size=2", "--trainer.compile=false", f"--run={tmp_path / 'run'}"]
    job = read_job([str(path), *changes])
    torch.manual_seed(0)
    prepared = job.recipe.prepare(job.modality)
    trainer = Trainer(prepared.model, prepared.objectives, job.run, job.options, quiet=True)
    model = trainer.fit()
    assert trainer.step == 2 and trainer.skipped == 0
    steps = 2 if model.prior.default_sampler == "dpm" else None
    assert all(len(value) == 2 for value in model.sample(2, steps=steps).values())


@pytest.mark.parametrize("path", list(filter(needs_a_file, CONFIGS)), ids=lambda path: path.stem)
def test_a_configuration_without_data_says_how_to_give_it(path: Path) -> None:
    assert "--modality.init_args.data PATH" in path.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match=r"--modality\.init_args\.data PATH"):
        read_job([str(path)])
