"""The graph modality as a whole."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import pytest
import torch

import latentgen
from modalities.graphs import Graphs


def test_node_counts_follow_the_training_graphs() -> None:
    graphs = Graphs(data=[nx.path_graph(n) for n in [2, 2, 2, 5, 2, 2, 2, 5, 2, 5]])
    u = (torch.arange(1000) + 0.5) / 1000
    counts = graphs.sample_mask(u).sum(1)
    share = float((graphs.dataset("train").sizes == 5).double().mean())
    assert float((counts == 5).double().mean()) == pytest.approx(share, abs=2e-3)
    assert set(counts.tolist()) == {2, 5}


def test_state_goes_with_the_model(tmp_path: Path) -> None:
    graphs = Graphs(data="trees", train_size=20, test_size=4, options={"nodes": 7})
    prepared = latentgen.LSGM(width=16, depth=1, heads=2).prepare(graphs)
    prepared.model.save_pretrained(tmp_path)
    loaded = latentgen.load(tmp_path)
    assert torch.equal(loaded.modality.sizes, graphs.sizes)
    a, b = prepared.model.sample(3, steps=2, seed=4), loaded.sample(3, steps=2, seed=4)
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_a_model_of_given_graphs_samples_without_them(tmp_path: Path) -> None:
    prepared = latentgen.VAE().prepare(Graphs(data=[nx.cycle_graph(5) for _ in range(10)]))
    prepared.model.save_pretrained(tmp_path)
    loaded = latentgen.load(tmp_path)
    assert loaded.sample(2)["mask"].shape == (2, 5)
    with pytest.raises(ValueError, match="a model loaded from a file has no data"):
        loaded.modality.dataset("train")


def test_evaluate_of_real_against_itself_is_perfect() -> None:
    graphs = Graphs(train_size=40, test_size=40)
    test = graphs.dataset("test").__getitems__(list(range(40)))
    figures = graphs.evaluate(test, test, graphs.dataset("train").__getitems__(list(range(40))))
    assert figures["degree"] == pytest.approx(0, abs=1e-9)
    assert figures["valid"] == 1.0
    assert set(figures) >= {"clustering", "orbit", "spectral", "unique", "novel", "vun"}
    assert graphs.better()["vun"] == "higher"


def test_unknown_protocol() -> None:
    with pytest.raises(ValueError, match="protocol is 'x'; choose gdss, spectre or molecules"):
        Graphs(protocol="x")  # type: ignore[arg-type]


def test_molecules_train_through_the_same_code(tmp_path: Path) -> None:
    pytest.importorskip("rdkit")
    file = tmp_path / "m.csv"
    rows = ["C", "CC", "CO", "CCO", "C=O", "C#N", "CC#N", "CCN", "COC", "C1CC1", "CC=O", "OCC"]
    file.write_text("smiles\n" + "\n".join(rows) + "\n")
    graphs = Graphs(data=str(file), protocol="molecules")
    prepared = latentgen.LSGM(width=16, depth=1, heads=2).prepare(graphs)
    options = latentgen.TrainingOptions(steps=2, batch_size=4)
    model = latentgen.Trainer(prepared.model, prepared.objectives, tmp_path / "run", options, quiet=True).fit()
    train = graphs.dataset("train").__getitems__([0, 1, 2, 3])
    figures = graphs.evaluate(model.reconstruct(train), train, train)
    assert {"valid", "unique", "novel"} <= set(figures)
    assert graphs.evaluate(train, train, train)["valid"] == 1.0


def test_render_draws_a_picture(tmp_path: Path) -> None:
    graphs = Graphs(train_size=5, test_size=1)
    graphs.render(graphs.dataset("train").__getitems__([0, 1, 2]), tmp_path / "a" / "g.png")
    assert (tmp_path / "a" / "g.png").read_bytes().startswith(b"\x89PNG")
