"""The graph autoencoder: permutation, padding, gradients, likelihood."""

from __future__ import annotations

import pytest
import torch

from latentgen.tensors import Batch
from modalities.graphs import GraphAutoencoder, Graphs, networks
from modalities.graphs.likelihood import GraphLikelihood


@pytest.fixture
def batch() -> Batch:
    graphs = Graphs(data="communities", train_size=6, test_size=1)
    return graphs.dataset("train").__getitems__(list(range(6)))


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """No spectral features: their random signs and their bases of repeated eigenvalues are tested on their own."""

    def features(adjacency: torch.Tensor, mask: torch.Tensor, size: int) -> torch.Tensor:
        return adjacency.new_zeros(*mask.shape, 2 * size)

    monkeypatch.setattr(networks, "spectral_features", features)


def test_a_permutation_of_nodes_permutes_the_code(batch: Batch, plain: None) -> None:
    autoencoder = GraphAutoencoder().double().eval()
    torch.manual_seed(0)
    noise = torch.randn(*batch["nodes"].shape, networks.NOISE_FEATURES, dtype=torch.float64)
    order = torch.stack([
        torch.cat([torch.randperm(int(n)), torch.arange(int(n), batch["mask"].shape[1])]) for n in batch["mask"].sum(1)
    ])
    rows = torch.arange(6)[:, None]
    shuffled = {
        "nodes": batch["nodes"][rows, order],
        "edges": batch["edges"][rows[:, :, None], order[:, :, None], order[:, None, :]],
        "mask": batch["mask"],
        "noise": noise[rows, order],
    }
    first, second = autoencoder.encode({**batch, "noise": noise}), autoencoder.encode(shuffled)
    torch.testing.assert_close(first.mean[rows, order], second.mean, atol=1e-6, rtol=0)
    logits = autoencoder.decode(first.mean, batch["mask"]).edge_logits
    moved = autoencoder.decode(first.mean[rows, order], batch["mask"]).edge_logits
    both = logits[rows[:, :, None], order[:, :, None], order[:, None, :]]
    torch.testing.assert_close(both, moved, atol=1e-9, rtol=0)


def test_padding_changes_nothing(batch: Batch, plain: None) -> None:
    autoencoder = GraphAutoencoder().double().eval()
    noise = torch.randn(*batch["nodes"].shape, networks.NOISE_FEATURES, dtype=torch.float64)
    pad = torch.nn.functional.pad
    wide = {
        "nodes": pad(batch["nodes"], (0, 3)),
        "edges": pad(batch["edges"], (0, 3, 0, 3)),
        "mask": pad(batch["mask"], (0, 3)),
        "noise": pad(noise, (0, 0, 0, 3), value=7.0),
    }
    first, second = autoencoder.encode({**batch, "noise": noise}), autoencoder.encode(wide)
    torch.testing.assert_close(first.mean, second.mean[:, :-3], atol=1e-6, rtol=0)
    z = pad(first.mean, (0, 0, 0, 3), value=5.0)
    a = autoencoder.decode(first.mean, batch["mask"]).log_prob(batch)
    b = autoencoder.decode(z, wide["mask"]).log_prob(wide)
    torch.testing.assert_close(a, b, atol=1e-6, rtol=0)


def test_log_prob_sums_to_one_over_all_graphs() -> None:
    torch.manual_seed(0)
    node_logits, raw = torch.randn(1, 2, 2), torch.randn(1, 2, 2, 3)
    likelihood = GraphLikelihood(node_logits, raw + raw.transpose(1, 2), torch.ones(1, 2, dtype=torch.bool))
    total = 0.0
    for a in range(2):
        for b in range(2):
            for kind in range(3):
                edges = torch.tensor([[[0, kind], [kind, 0]]])
                total += float(likelihood.log_prob({"nodes": torch.tensor([[a, b]]), "edges": edges}).exp())
    assert total == pytest.approx(1.0, abs=1e-5)


def test_sample_and_mode_are_simple_graphs_and_follow_the_logits() -> None:
    torch.manual_seed(0)
    logits = torch.zeros(4000, 3, 3, 2)
    logits[..., 1] = torch.log(torch.tensor(0.25 / 0.75))
    mask = torch.tensor([True, True, False]).expand(4000, 3)
    likelihood = GraphLikelihood(torch.zeros(4000, 3, 1), logits, mask)
    edges = likelihood.sample()["edges"]
    assert torch.equal(edges, edges.transpose(1, 2))
    assert not edges.diagonal(dim1=1, dim2=2).any()
    assert not edges[:, 2].any()
    assert float(edges[:, 0, 1].float().mean()) == pytest.approx(0.25, abs=5 * (0.25 * 0.75 / 4000) ** 0.5)
    assert not likelihood.mode()["edges"].any()


def test_walk_features_are_transition_probabilities() -> None:
    path = torch.tensor([[[0.0, 1, 0], [1, 0, 1], [0, 1, 0]]])
    walks = networks.walk_features(path, 2)
    assert walks[0, 0, :, 0].tolist() == [0, 1, 0]
    assert walks[0, 1, :, 0].tolist() == [0.5, 0, 0.5]
    assert walks[0, 0, :, 1].tolist() == [0.5, 0, 0.5]


def test_spectral_features_are_eigenvectors_up_to_sign() -> None:
    torch.manual_seed(0)
    triangle = torch.tensor([[[0.0, 1, 1], [1, 0, 1], [1, 1, 0]]], dtype=torch.float64)
    found = networks.spectral_features(triangle, torch.ones(1, 3, dtype=torch.bool), 4)
    assert found.shape == (1, 3, 8)
    leading, value = found[0, :, 0], found[0, 0, 4]
    assert float(value) == pytest.approx(1.0, abs=20 * networks.JITTER)
    torch.testing.assert_close((triangle[0] / 2) @ leading, value * leading, atol=1e-2, rtol=0)
    assert float((leading**2).sum()) == pytest.approx(3.0)
    assert not found[0, :, 3].any()
    assert not found[0, :, 7].any()


def test_spectral_features_follow_nodes_and_ignore_padding() -> None:
    path = torch.diag_embed(torch.ones(1, 5, dtype=torch.float64), offset=1)
    path = path + path.transpose(1, 2)  # a path of 6 nodes: all eigenvalues differ
    mask, order = torch.ones(1, 6, dtype=torch.bool), torch.tensor([3, 0, 5, 1, 4, 2])
    first = networks.spectral_features(path, mask, 6).abs()
    moved = networks.spectral_features(path[:, order][:, :, order], mask, 6).abs()
    torch.testing.assert_close(first[:, order], moved, atol=2e-2, rtol=0)
    pad = torch.nn.functional.pad
    wide = networks.spectral_features(pad(path, (0, 2, 0, 2)), pad(mask, (0, 2)), 6).abs()
    torch.testing.assert_close(first, wide[:, :6], atol=2e-2, rtol=0)


def test_every_parameter_gets_a_gradient(batch: Batch) -> None:
    autoencoder = GraphAutoencoder(node_types=3, edge_types=3)
    batch["nodes"] = batch["nodes"] + batch["mask"]
    second = (torch.rand(batch["edges"].shape) < 0.5).triu(1)
    batch["edges"] = batch["edges"] * (1 + (second | second.transpose(1, 2)).long())
    q = autoencoder.encode(batch)
    (autoencoder.decode(q.rsample(), q.mask).log_prob(batch).sum() + q.entropy().sum()).backward()
    silent = [name for name, p in autoencoder.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # a bias that shifts all keys alike cannot change a softmax
    assert all("attention" in name or "bias" in name or "mix" in name for name in silent), silent
