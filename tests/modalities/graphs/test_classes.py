"""Class-conditional graphs: labels of every source, samples of a class, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch
from torch_geometric.utils import from_networkx

import latentgen
from latentgen.class_names import pack_names
from latentgen.cli import main
from latentgen.testing import assert_passed, check_modality
from modalities.graphs import Graphs


def labelled(count: int = 12) -> list[nx.Graph]:
    """Rings of class 7 and complete graphs of class -1."""
    made = []
    for number in range(count):
        graph = nx.cycle_graph(5) if number % 2 else nx.complete_graph(5)
        graph.graph["graph_label"] = 7 if number % 2 else -1
        made.append(graph)
    return made


def of_class(graphs: Graphs) -> torch.Tensor:
    """Whether the training graphs with the most edges are those of the first class, and the others not."""
    batch = graphs.dataset("train").__getitems__(list(range(4)))
    complete = batch["edges"].sum((1, 2)) == 20
    return torch.equal(batch["condition"], torch.stack([complete, ~complete], dim=1).float())


def test_every_source_of_labels(tmp_path: Path) -> None:
    graphs = labelled()
    lines = [{"n": 5, "edges": list(map(list, g.edges)), "graph_label": g.graph["graph_label"]} for g in graphs]
    (tmp_path / "g.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "xml").mkdir()
    for number, graph in enumerate(graphs):
        nx.write_graphml(graph, tmp_path / "xml" / f"{number:02}.graphml")
    pyg = [from_networkx(nx.Graph(list(graph.edges))) for graph in graphs]
    for data, graph in zip(pyg, graphs, strict=True):
        data.y = torch.tensor([graph.graph["graph_label"]])
    for source in (graphs, pyg, str(tmp_path / "g.jsonl"), str(tmp_path / "xml")):
        found = Graphs(data=source, condition="label")
        assert found.classes == ("-1", "7") and found.condition_dim == 2
        assert of_class(found)
        assert "condition" not in Graphs(data=source).dataset("train").__getitems__([0])


def test_graphs_of_no_class_are_those_without_a_condition() -> None:
    graphs = labelled()
    del graphs[4].graph["graph_label"]
    data = Graphs(data={"train": graphs, "test": graphs}, condition="label")
    rows = data.dataset("train").__getitems__([3, 4])["condition"]
    assert rows[0].tolist() == [0, 1] and bool(rows[1].isnan().all())
    again = data.collate(data.collection.select("train")[3:5])["condition"]
    assert torch.equal(again.nan_to_num(9), rows.nan_to_num(9))


def test_a_class_conditional_model_keeps_the_contract() -> None:
    assert_passed(check_modality(Graphs(data=labelled(20), latent=4, width=16, condition="label")))


def test_samples_follow_their_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    graphs = Graphs(data=labelled(64), latent=4, width=16, encoder_depth=1, decoder_depth=1, condition="label")
    prepared = latentgen.LSGM(kl_weight=0.1, width=32, depth=2, heads=2).prepare(graphs)
    options = latentgen.TrainingOptions(steps=300, batch_size=32, lr=3e-3, autoencoder_lr=3e-3)
    latentgen.Trainer(prepared.model, prepared.objectives, tmp_path / "run", options, quiet=True).fit()
    edges = {}
    for label in ("7", "-1"):
        out = tmp_path / label
        assert main(["sample", str(tmp_path / "run"), "--n", "32", f"--label={label}", "--out", str(out)]) == 0
        rows = map(json.loads, (out / "graphs.jsonl").read_text().splitlines())
        edges[label] = sum(len(row["edges"]) for row in rows) / 32
    assert edges["7"] + 1 < edges["-1"]  # 5 and 10 in the data; the same samples without classes
    assert main(["sample", str(tmp_path / "run"), "--label", "9"]) == 2
    assert "its classes are 0 to 1, called -1, 7" in capsys.readouterr().err


def test_classes_of_numpy_are_whole_numbers_too() -> None:
    graphs = labelled()
    for graph in graphs:
        graph.graph["graph_label"] = np.int64(graph.graph["graph_label"])
    assert Graphs(data=graphs, condition="label").classes == ("-1", "7")
    for graph in graphs:
        graph.graph["graph_label"] = graph.graph["graph_label"] > 0
    with pytest.raises(ValueError, match="graph_label must be an integer"):
        Graphs(data=graphs, condition="label").dataset("train")


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^condition is 'size'; choose label, or leave it out"):
        Graphs(condition="size")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the graphs have 0 classes; give graphs a graph_label"):
        latentgen.LSGM().prepare(Graphs(train_size=4, test_size=2, condition="label"))
    bad = nx.cycle_graph(3)
    bad.graph["graph_label"] = "ring"
    with pytest.raises(ValueError, match=r"source\[0\]: graph_label must be an integer, got 'ring'; number the"):
        Graphs(data=[bad]).dataset("train")
    known, other = (Graphs(data=labelled()[start:], condition="label") for start in (0, 2))
    for graph in other.data:
        graph.graph["graph_label"] += 1
    other.load_state(known.state())
    with pytest.raises(ValueError, match=r"graph_label is (0|8), and the model's classes are -1, 7"):
        other.dataset("test")
    with pytest.raises(ValueError, match="state of Graphs: names must be bytes"):
        known.load_state({**known.state(), "names": torch.zeros(2)})


def sized() -> Graphs:
    """Class 0 has 3 or 4 nodes, half and half, class 1 has 6, class 2 is in the test part alone; one graph has none."""
    made = []
    for n, label in [(3, 0), (4, 0), (3, 0), (4, 0), (6, 1), (6, 1), (5, None), (5, 2)]:
        graph = nx.cycle_graph(n)
        if label is not None:
            graph.graph["graph_label"] = label
        made.append(graph)
    return Graphs(data={"train": made[:7], "test": made[7:]}, condition="label", latent=4, width=16)


def test_numbers_of_nodes_are_those_of_the_class() -> None:
    graphs = sized()
    u = (torch.arange(700) + 0.5) / 700
    overall = graphs.sample_mask(u).sum(1).bincount(minlength=7)
    assert overall.tolist() == [0, 0, 0, 200, 200, 100, 200]
    for row, counts in (
        ([1.0, 0, 0], [0, 0, 0, 350, 350, 0, 0]),
        ([0, 1.0, 0], [0, 0, 0, 0, 0, 0, 700]),
        ([0.5, 0.5, 0], [0, 0, 0, 175, 175, 0, 350]),
        ([0, 0, 1.0], overall.tolist()),
        ([float("nan")] * 3, overall.tolist()),
    ):
        mask = graphs.conditional_mask(u, torch.tensor([row]).expand(700, -1))
        assert mask.sum(1).bincount(minlength=7).tolist() == counts
    assert torch.equal(graphs.conditional_mask(u, None), graphs.sample_mask(u))


def test_sizes_of_classes_go_with_the_model(tmp_path: Path) -> None:
    model = latentgen.LSGM(width=16, depth=1, heads=2).prepare(sized()).model
    model.save_pretrained(tmp_path)
    loaded, six = latentgen.load(tmp_path), torch.tensor([[0.0, 1, 0]]).expand(5, -1)
    for one in (model, loaded):
        assert one.sample(5, steps=2, condition=six)["mask"].sum(1).tolist() == [6] * 5
        assert one.trajectory(5, steps=2, condition=six)[-1]["mask"].sum(1).tolist() == [6] * 5


@pytest.mark.parametrize("rows", [[[0.5, 0.5]], [[0.0, 1.0], [0.3, 0.3]], [[1.0, -0.0, 0.0]] * 2])
def test_sizes_of_classes_that_no_model_gave_are_refused(rows: list[list[float]]) -> None:
    state = {"sizes": torch.tensor([0.0, 1.0]), "kinds": torch.tensor([1, 2]), "names": pack_names(["a", "b"])}
    Graphs(data=None).load_state({**state, "class_sizes": torch.tensor([[0.0, 1.0]] * 2)})
    with pytest.raises(ValueError, match="state of Graphs: class_sizes must be"):
        Graphs(data=None).load_state({**state, "class_sizes": torch.tensor(rows)})
