from __future__ import annotations

import torch

from modalities.graphs import Graphs
from modalities.graphs.features import RandomGINFeatures


def molecules(n: int = 6, size: int = 7) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    mask = torch.arange(size) < torch.randint(3, size + 1, (n, 1))
    upper = torch.randint(0, 3, (n, size, size)).triu(1)
    edges = (upper + upper.mT) * (mask[:, None] & mask[:, :, None])
    return {"nodes": torch.randint(0, 3, (n, size)) * mask, "edges": edges, "mask": mask}


def test_order_and_padding_change_nothing() -> None:
    batch, features = molecules(), RandomGINFeatures(3, 3)
    order = torch.randperm(7)
    moved = {
        "nodes": batch["nodes"][:, order],
        "edges": batch["edges"][:, order][:, :, order],
        "mask": batch["mask"][:, order],
    }
    assert torch.allclose(features(batch), features(moved), atol=1e-5)
    wider = {key: torch.nn.functional.pad(value, [0, 2] * (value.dim() - 1)) for key, value in batch.items()}
    assert torch.allclose(features(batch), features(wider), atol=1e-5)


def test_nodes_edges_and_sizes_count() -> None:
    batch, features = molecules(), RandomGINFeatures(3, 3)
    first = features(batch)
    kinds = {**batch, "edges": torch.where(batch["edges"] > 0, 3 - batch["edges"], 0)}
    types = {**batch, "nodes": (batch["nodes"] + 1) % 3}
    for other in (kinds, types):
        assert not torch.allclose(first, features(other), atol=1e-3)
    assert features.hash == RandomGINFeatures(3, 3).hash != RandomGINFeatures(3, 3, seed=1).hash


def test_the_modality_names_it_and_real_data_are_near_real_data() -> None:
    from latentgen.metrics import feature_metrics

    graphs = Graphs(data="communities", train_size=100, test_size=100)
    train, test = (graphs.dataset(split).__getitems__(list(range(100))) for split in ("train", "test"))
    broken = {**test, "edges": torch.zeros_like(test["edges"])}
    feature_map = graphs.feature_map()
    assert feature_map.name == "RandomGINFeatures"
    near, far = (feature_metrics(train, other, feature_map).values for other in (test, broken))
    assert near["frechet"] < 0.1 * far["frechet"]
    assert near["coverage"] > 0.8 > 0.1 > far["coverage"]
