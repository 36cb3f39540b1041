"""The graph modality as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import networkx as nx
import pytest
import torch

import latentgen
from latentgen.storage import export_safetensors, read_safetensors
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


def test_a_limit_does_not_need_training_graphs() -> None:
    graphs = Graphs(data={"test": [nx.cycle_graph(4)]}, limit=3)
    assert len(graphs.dataset("test")) == 1
    with pytest.raises(ValueError, match="split must be one of the parts of this source, test, got 'train'"):
        graphs.dataset("train")


def state(**changes: object) -> dict[str, torch.Tensor]:
    given = {"sizes": [0.0, 0.25, 0.75], "kinds": [1, 2], **changes}
    return {name: torch.as_tensor(value) for name, value in given.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes": None, "kinds": None}, "must hold kinds and sizes, got nothing"),
        ({"kinds": None}, "must hold kinds and sizes, got sizes"),
        ({"more": 1}, "must hold kinds and sizes, got kinds, more, sizes"),
        ({"sizes": 1.0}, r"sizes must be numbers \[N \+ 1\], N at least 1, got torch.float32 \[\]"),
        ({"sizes": []}, r"got torch.float32 \[0\]"),
        ({"sizes": [[0.0, 1.0]]}, r"got torch.float32 \[1, 2\]"),
        ({"sizes": [0, 1]}, r"got torch.int64 \[2\]"),
        ({"sizes": [0.0, float("nan")]}, "sizes must be shares from 0 on that sum to 1, got a least of nan"),
        ({"sizes": [0.0, 0.4]}, "a sum of 0.4"),
        ({"sizes": [2.0, -1.0]}, "a least of -1"),
        ({"kinds": [1, 2, 3]}, r"kinds must be two whole numbers, got torch.int64 \[3\]"),
        ({"kinds": [1.0, 2.0]}, r"got torch.float32 \[2\]"),
        ({"kinds": [0, 2]}, r"kinds must be numbers of types from 1 to 256, got \[0, 2\]"),
        ({"kinds": [1, 10**9]}, r"got \[1, 1000000000\]"),
    ],
)
def test_a_state_that_no_model_gave_is_refused(changes: dict[str, object], message: str) -> None:
    graphs = Graphs(data=None)
    with pytest.raises(ValueError, match=f"^state of Graphs.*{message}"):
        graphs.load_state(state(**changes))
    graphs.load_state(state())
    assert graphs.latents.shape == (2, 8)


def test_a_model_file_without_its_state_reads_no_data(tmp_path: Path) -> None:
    """The path in it is its writer's choice."""
    file = tmp_path / "secret.jsonl"
    file.write_text('{"n": 3, "edges": [[0, 1], [1, 2]]}\n' * 5)
    model = latentgen.LSGM(width=16, depth=1, heads=2).prepare(Graphs(data=str(file))).model
    model.save_pretrained(tmp_path)
    tensors, config = read_safetensors(tmp_path / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("modality.")}
    export_safetensors(tmp_path / "model.safetensors", kept, config)
    with pytest.raises(ValueError, match="state of Graphs must hold kinds and sizes, got nothing"):
        latentgen.load(tmp_path)


class Centred(Graphs):
    """Has state of its own."""

    def state(self) -> dict[str, torch.Tensor]:
        return {**super().state(), "mean": self.mean}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        super().load_state(state)
        self.mean = state["mean"]


def test_a_subclass_may_have_state_of_its_own() -> None:
    given = state()
    centred = Centred(data=None)
    centred.load_state({**given, "mean": torch.ones(2)})
    assert centred.state().keys() == {*given, "mean"} and centred.mean.tolist() == [1, 1]
    with pytest.raises(ValueError, match=r"^state of Graphs must hold"):
        centred.load_state({"mean": torch.ones(2)})
