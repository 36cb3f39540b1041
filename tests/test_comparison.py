"""The comparison judges every setting alike, with the gates first, and refuses what cannot be compared."""

from __future__ import annotations

import math

import pytest
import torch
from comparisons import small_models
from toy import Toy

import latentgen
from latentgen import Setting
from modalities.mixtures import GaussianGrid


@pytest.fixture(scope="module")
def models() -> dict[str, latentgen.LatentGenerativeModel]:
    return small_models()


@pytest.fixture(scope="module")
def result(models) -> latentgen.evaluation.Evaluation:
    joint = [Setting("joint", "dpm", 2), Setting("joint", "gan"), Setting("joint", "ode", tolerance=1e-2)]
    return latentgen.compare(models, [*joint, Setting("vae")], samples=60, sets=2, repeats=3)


def test_rows_gates_first_with_calls_counted_and_times_taken(result) -> None:
    names = [row["name"] for row in result["rows"]]
    assert names[:3] == ["real data", "reconstruction", "no prior"]  # once: all have the identity autoencoder
    assert names[3:] == ["joint: dpm 2", "joint: gan", "joint: ode 0.01", "vae: prior"]
    calls = [row["calls"] for row in result["rows"]]
    assert calls[:3] == [None] * 3
    assert calls[3:5] == [2, 3]
    assert calls[5] > 5
    assert calls[6] == 0
    assert all(row["seconds_per_sample"] > 0 and row["seconds_spread"] >= 0 for row in result["rows"][3:])
    for row in result["rows"]:
        assert {"within", "modes", "mode_kl", "frechet", "coverage"} <= row["values"].keys()
        assert row["spread"].keys() == row["values"].keys()


def test_gates_are_fair(result) -> None:
    """Reconstructions are of the real row's examples, so that only the autoencoder stands between both rows."""
    real, rebuilt, blind = (row["values"] for row in result["rows"][:3])
    assert real["within"] > 0.9
    assert real["frechet"] < min(row["values"]["frechet"] for row in result["rows"][3:])
    for figure in ("frechet", "nn_accuracy", "coverage", "mode_kl"):
        assert rebuilt[figure] == pytest.approx(real[figure], abs=0.05)
    assert blind["within"] < 0.3
    assert result["features"]["name"] == "FlattenFeatures"
    assert result["features"]["n_real"] == result["features"]["n_generated"] == 60


def test_likelihood_stands_where_samples_have_a_density(result) -> None:
    assert set(result["likelihood"]["joint"]) == {"bound", "ode"}
    assert set(result["likelihood"]["vae"]) == {"bound"}
    nats = {row["name"]: row["nelbo"] for row in result["rows"]}
    assert nats["joint: dpm 2"] == nats["joint: ode 0.01"] == result["likelihood"]["joint"]["ode"]["nelbo"]
    assert nats["vae: prior"] == result["likelihood"]["vae"]["bound"]["nelbo"]
    assert nats["joint: gan"] is None
    assert nats["real data"] is None


def test_a_refining_generator_evaluates_both_networks(result) -> None:
    row = next(row for row in result["rows"] if row["name"] == "joint: gan")
    assert (row["calls"], row["evaluations"]) == (3, 6)
    assert "joint: gan: 3 calls evaluate networks 6 times." in result["notes"]


def test_the_same_seed_gives_the_same_figures(models, result) -> None:
    """Reconstructions and likelihoods draw from torch's global generator; its state must not matter."""
    torch.manual_seed(99)
    again = latentgen.compare(models, [Setting("joint", "gan")], samples=60, sets=2, repeats=1)
    known = {row["name"]: row for row in result["rows"]}
    for row in again["rows"]:
        assert row["values"] == known[row["name"]]["values"]
    assert again["likelihood"] == result["likelihood"]
    assert torch.initial_seed() == 99


def test_different_autoencoders_have_gates_of_their_own() -> None:
    torch.manual_seed(0)
    models = {name: latentgen.VAE().prepare(Toy()).model for name in ("a", "b")}
    models["c"] = models["a"]
    rows = latentgen.compare(models, [Setting("a")], samples=20, sets=1, repeats=1, nelbo=False)["rows"]
    names = ["real data", "a, c: reconstruction", "a, c: no prior", "b: reconstruction", "b: no prior", "a: prior"]
    assert [row["name"] for row in rows] == names


def test_infinite_figures_and_broken_samples_do_not_stop_it(models, monkeypatch) -> None:
    monkeypatch.setattr(GaussianGrid, "evaluate", lambda self, *_: {"within": 0.5, "mode_kl": math.inf})
    sample = latentgen.LatentGenerativeModel.sample

    def broken(self, n, sampler, *others, **given):
        batch = sample(self, n, sampler, *others, **given)
        return {"x": batch["x"] * math.nan} if sampler == "dpm" else batch

    monkeypatch.setattr(latentgen.LatentGenerativeModel, "sample", broken)
    settings = [Setting("joint", "dpm", 2), Setting("joint", "gan")]
    found = latentgen.compare(models, settings, samples=20, sets=2, repeats=1, nelbo=False)
    bad, good = found["rows"][-2:]
    assert bad["values"] == {}
    assert "joint: dpm 2: samples hold NaN or infinity; no figures." in found["notes"]
    assert good["values"]["mode_kl"] == math.inf
    assert "mode_kl" not in good["spread"]


class HalfLabelled(GaussianGrid):
    """Every second point has no condition."""

    condition_dim = 2

    def dataset(self, split):
        rows = torch.tensor([[1.0, 0.0], [math.nan, math.nan]])
        return [{"x": x, "condition": rows[number % 2]} for number, x in enumerate(super().dataset(split).x)]


def test_examples_without_a_condition_are_no_broken_ones() -> None:
    models = {name: latentgen.VAE().prepare(HalfLabelled(train_size=200, test_size=200)).model for name in "ab"}
    found = latentgen.compare(models, samples=20, sets=1, repeats=1, nelbo=False)
    assert all(row["values"] for row in found["rows"])
    assert not [note for note in found["notes"] if "NaN" in note]


def test_refusals(models, monkeypatch) -> None:
    vae = models["vae"]
    with pytest.raises(ValueError, match="models is empty; give at least one trained run"):
        latentgen.compare({})
    with pytest.raises(ValueError, match="settings is empty; give at least one"):
        latentgen.compare({"a": vae}, [])
    with pytest.raises(ValueError, match="settings name the run 'c'; the models are a, b"):
        latentgen.compare({"a": vae, "b": vae}, [Setting("c")])
    with pytest.raises(ValueError, match="samples is 5; give at least 6"):
        latentgen.compare({"a": vae}, samples=5)
    with pytest.raises(ValueError, match="sets is 0; give at least 1"):
        latentgen.compare({"a": vae}, sets=0)
    other = latentgen.VAE().prepare(Toy()).model
    with pytest.raises(ValueError, match="models are of GaussianGrid, Toy; compare runs of one modality"):
        latentgen.compare({"a": vae, "b": other})
    for sizes in ({"test_size": 150}, {"std": 0.1}):
        changed = latentgen.VAE().prepare(GaussianGrid(**{"train_size": 200, "test_size": 200} | sizes)).model
        with pytest.raises(ValueError, match="a and b have different test data; compare runs of the same data"):
            latentgen.compare({"a": vae, "b": changed})
    monkeypatch.setattr(GaussianGrid, "axes", lambda self: {"quality": "within", "coverage": "magic"})
    with pytest.raises(ValueError, match="names 'magic' as coverage, which nothing measures; choose one of coverage, "):
        latentgen.compare({"a": vae}, samples=20, sets=1)
