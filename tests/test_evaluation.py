"""The table: gates, rows, likelihood, files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from toy import Toy

import latentgen
from latentgen.evaluation import evaluate, sample_without_prior, write_evaluation
from latentgen.hooks import draw_samples, finish
from modalities.graphs import Graphs


@pytest.fixture(scope="module")
def model() -> latentgen.LatentGenerativeModel:
    torch.manual_seed(0)
    return latentgen.LSGM(width=16, depth=1, heads=2).prepare(Toy()).model


def test_rows_come_in_the_order_of_trust(model) -> None:
    result = evaluate(model, samples=32, sets=3, calls=(2, 4))
    names = [row["name"] for row in result["rows"]]
    assert names == ["real data", "reconstruction", "no prior", "dpm, 2 steps", "dpm, 4 steps"]
    assert [row["calls"] for row in result["rows"]] == [None, None, None, 2, 4]
    assert result["rows"][0]["values"]["radius error"] < 1e-5
    assert all("spread" in row for row in result["rows"])
    assert result["rows"][-1]["seconds_per_sample"] > 0
    assert set(result["likelihood"]) == {"bound", "ode"}


def test_held_out_examples_are_judged_against_the_others(model, monkeypatch) -> None:
    seen = []

    def figures(generated, reference, train) -> dict[str, float]:
        seen.append((generated["x"], reference["x"]))
        return {"novel": 1.0}

    monkeypatch.setattr(model.modality, "evaluate", figures)
    monkeypatch.setattr(model.modality, "held_out", True, raising=False)
    test = model.modality.dataset("test")
    for samples, size in ((4, 4), (10**6, len(test) // 2)):
        seen.clear()
        result = evaluate(model, samples=samples, sets=2, calls=(), nelbo=False)
        assert [row["name"] for row in result["rows"]][:2] == ["real data", "held-out data"]
        assert result["rows"][1]["values"] == {"novel": 1.0}
        assert any(note.startswith("held-out data: test examples") for note in result["notes"])
        for made, others in seen[2:4]:
            assert len(made) == size and len(made) + len(others) == len(test)
            together = {tuple(row) for row in torch.cat([made, others]).tolist()}
            assert len(together) == len(test)
        assert not torch.equal(seen[2][0], seen[3][0])


def test_no_prior_samples_have_the_moments_of_the_aggregate_posterior(model) -> None:
    class Identity(latentgen.IdentityAutoencoder):
        pass

    plain = latentgen.LatentGenerativeModel(Toy(), Identity(std=0.5), model.prior)
    torch.manual_seed(0)
    train = {"x": torch.randn(5000, 2) * torch.tensor([1.0, 3.0]) + 2}
    z = sample_without_prior(plain, train, 20000, seed=0)["x"]
    expected = (train["x"].var(0, unbiased=False) + 0.25).sqrt()
    torch.testing.assert_close(z.std(0), expected, atol=0, rtol=5 / (2 * 20000) ** 0.5)
    error = (z.mean(0) - train["x"].mean(0)).abs() / expected
    assert float(error.max()) < 5 / 20000**0.5


def test_evaluation_file(model, tmp_path: Path) -> None:
    result = evaluate(model, samples=8, calls=(2,), nelbo=False)
    path = write_evaluation(tmp_path, result)
    assert json.loads(path.read_text())["rows"][-1]["calls"] == 2


def test_a_run_ends_with_pictures_table_and_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graphs = Graphs(train_size=40, test_size=20)
    prepared = latentgen.LSGM(width=16, depth=1, heads=2).prepare(graphs)
    options = latentgen.TrainingOptions(steps=4, batch_size=4)
    trainer = latentgen.Trainer(
        prepared.model, prepared.objectives, tmp_path, options, hooks=[draw_samples(2, n=4, calls=2)], quiet=True
    )
    model = trainer.fit()
    report = finish(model, tmp_path, samples=16, calls=(2,))
    names = {path.name for path in (tmp_path / "samples").iterdir()}
    assert {"real.png", "generated.png", "step_00000002.png", "step_00000004.png"} <= names
    assert report.read_text().startswith("<!doctype html>") or "<html" in report.read_text()[:200]
    printed = capsys.readouterr().out
    assert "reconstruction" in printed
    assert f"report: {report}" in printed
