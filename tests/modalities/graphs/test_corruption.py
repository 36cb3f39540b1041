"""Corrupted graphs: what is changed, how often, and that only a training encoder sees it."""

from __future__ import annotations

import pytest
import torch

import latentgen
from latentgen.tensors import Batch
from modalities.graphs import Graphs
from modalities.graphs.corruption import corrupted
from modalities.graphs.networks import GraphAutoencoder


def molecules(count: int = 4000, size: int = 8) -> Batch:
    """One graph of 6 nodes with edges of three kinds, padded to ``size``, many times."""
    edges = torch.zeros(size, size, dtype=torch.long)
    for i, j, kind in [(0, 1, 1), (1, 2, 1), (2, 3, 2), (3, 4, 1), (4, 5, 3)]:
        edges[i, j] = edges[j, i] = kind
    nodes = torch.tensor([0, 0, 1, 0, 2, 0, 0, 0])[:size]
    mask = torch.arange(size) < 6
    one = {"nodes": nodes, "edges": edges, "mask": mask}
    return {key: value.expand(count, *value.shape) for key, value in one.items()}


def test_graphs_stay_graphs_and_padding_stays_empty() -> None:
    torch.manual_seed(0)
    batch = molecules()
    found = corrupted(batch, 0.9)
    assert torch.equal(found["edges"], found["edges"].transpose(1, 2))
    assert not found["edges"].diagonal(dim1=1, dim2=2).any()
    outside = ~(batch["mask"].unsqueeze(1) & batch["mask"].unsqueeze(2))
    assert not found["edges"][outside].any() and not found["nodes"][~batch["mask"]].any()
    assert found["mask"] is batch["mask"] and found["edges"].dtype == torch.long
    assert (found["edges"] != batch["edges"]).any()


def test_shares_of_kinds_are_kept_and_the_stated_share_is_drawn_anew() -> None:
    """A pair changes with probability E[c] (1 - share of its kind); kinds keep their numbers on average."""
    torch.manual_seed(1)
    batch, most = molecules(40_000), 0.6
    found = corrupted(batch, most)
    upper = torch.ones(8, 8).triu(1).bool() & (batch["mask"][0].unsqueeze(0) & batch["mask"][0].unsqueeze(1))
    before, after = batch["edges"][:, upper], found["edges"][:, upper]
    for kind in range(4):
        mean = (after == kind).float().sum(1)
        error = mean.std() / len(mean) ** 0.5
        assert (mean.mean() - (before[0] == kind).sum()).abs() < 5 * error
    shares = torch.bincount(before[0], minlength=4) / before.shape[1]
    expected = most / 2 * (1 - (shares**2).sum())
    changed = (after != before).float().mean(1)
    assert (changed.mean() - expected).abs() < 5 * changed.std() / len(changed) ** 0.5
    nodes = (found["nodes"] != batch["nodes"])[:, :6].float().mean(1)
    expected = most / 2 * (1 - ((torch.tensor([4.0, 1.0, 1.0]) / 6) ** 2).sum())
    assert (nodes.mean() - expected).abs() < 5 * nodes.std() / len(nodes) ** 0.5


def test_each_graph_has_a_probability_of_its_own() -> None:
    """Shares of changed pairs spread more than one probability for all of them would make them."""
    torch.manual_seed(2)
    batch = {
        "nodes": torch.zeros(500, 40, dtype=torch.long),
        "edges": (torch.rand(500, 40, 40) < 0.5).long().triu(1),
        "mask": torch.ones(500, 40, dtype=torch.bool),
    }
    batch["edges"] = batch["edges"] + batch["edges"].transpose(1, 2)
    changed = (corrupted(batch, 1.0)["edges"] != batch["edges"]).float().triu(1).sum((1, 2)) / 780
    p = changed.mean()
    assert changed.std() > 3 * (p * (1 - p) / 780) ** 0.5
    assert torch.equal(corrupted(batch, 0.0)["edges"], batch["edges"])


def test_only_a_training_encoder_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """In training the code is that of the changed graph, and what has to come back is the graph itself."""
    torch.manual_seed(0)
    batch = {**molecules(3), "noise": torch.zeros(3, 8, 4)}
    other = {**batch, "edges": batch["edges"].roll((-2, -2), (1, 2)), "nodes": torch.zeros(3, 8).long()}
    plain, noisy = GraphAutoencoder(3, 4, width=16), GraphAutoencoder(3, 4, width=16, corruption=1.0)
    noisy.load_state_dict(plain.state_dict())
    asked: list[float] = []

    def change(given: Batch, most: float) -> Batch:
        asked.append(most)
        assert given is batch
        return other

    monkeypatch.setattr("modalities.graphs.networks.corrupted", change)

    def mean(autoencoder: GraphAutoencoder, graphs: Batch) -> torch.Tensor:
        torch.manual_seed(5)
        return autoencoder.encode(graphs).mean

    assert torch.equal(mean(plain.train(), batch), mean(noisy.eval(), batch)) and not asked
    assert torch.equal(mean(plain, other), mean(noisy.train(), batch)) and asked == [1.0]
    assert not torch.allclose(mean(plain, other), mean(plain, batch), atol=1e-3)
    objective = latentgen.ELBO(noisy, latentgen.NormalPrior(latentgen.LatentSpec((8, 8), "set", masked=True)), 0.0)
    torch.manual_seed(5)
    found = objective(batch)["reconstruction"]
    torch.manual_seed(5)
    z = plain.encode(other).rsample()
    expected = -plain.decode(z, batch["mask"]).log_prob(batch).mean()
    torch.testing.assert_close(found.detach(), expected.detach())


def test_the_modality_passes_it_on_and_nonsense_is_refused() -> None:
    graphs = Graphs(train_size=4, test_size=2, corruption=0.2)
    autoencoder = graphs.autoencoder()
    assert isinstance(autoencoder, GraphAutoencoder) and autoencoder.corruption == 0.2
    with pytest.raises(ValueError, match=r"corruption is 1\.5; give a largest probability"):
        GraphAutoencoder(corruption=1.5)
    with pytest.raises(ValueError, match=r"corruption is -0\.1; give a largest probability"):
        Graphs(corruption=-0.1)
