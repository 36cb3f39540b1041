"""Which parameters go to which optimizer, and clipping."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from latentgen import LatentSpec, TrainingOptions, Transformer
from latentgen.optimizers import clip_by_group, is_hidden_matrix, make_optimizers


def test_every_parameter_goes_to_exactly_one_optimizer() -> None:
    network = Transformer(LatentSpec((5, 3), "set", masked=True), width=64, depth=2)
    made = make_optimizers({"prior": network}, TrainingOptions())
    found = [id(p) for optimizer in made for group in optimizer.param_groups for p in group["params"]]
    assert sorted(found) == sorted(id(p) for p in network.parameters())
    assert [type(optimizer).__name__ for optimizer in made] == ["AdamW", "Muon"]


def test_gates_vectors_and_small_matrices_are_not_hidden_matrices() -> None:
    network = Transformer(LatentSpec((5, 3), "set", masked=True), width=64, depth=1)
    assert is_hidden_matrix(network.blocks[0].attention.qkv.weight)
    assert not is_hidden_matrix(network.blocks[0].modulation.weight)
    assert not is_hidden_matrix(network.out.weight)
    assert not is_hidden_matrix(network.embed.weight)
    assert not is_hidden_matrix(network.blocks[0].attention.qkv.bias)


def test_groups_have_their_own_rates_and_decay() -> None:
    modules = {"autoencoder": nn.Linear(64, 64), "prior": nn.Linear(64, 64)}
    options = TrainingOptions(optimizer="adamw", lr=3e-3, autoencoder_lr=1e-3, weight_decay=0.5)
    (adamw,) = make_optimizers(modules, options)
    rates = {(group["name"], group["weight_decay"]): group["lr"] for group in adamw.param_groups}
    assert rates == {
        ("autoencoder", 0.5): 1e-3, ("autoencoder", 0.0): 1e-3, ("prior", 0.5): 3e-3, ("prior", 0.0): 3e-3,
    }


def test_muon_moves_a_matrix_by_a_nearly_orthogonal_step() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(64, 64, bias=False)
    (muon,) = make_optimizers({"prior": layer}, TrainingOptions(matrix_lr=1.0))
    before = layer.weight.detach().clone()
    layer.weight.grad = torch.randn(64, 64)
    muon.step()
    singular = torch.linalg.svdvals(before - layer.weight.detach())
    assert float(singular.min()) > 0.2
    assert float(singular.max()) < 1.5


def test_frozen_modules_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing to train"):
        make_optimizers({"prior": nn.Linear(3, 3).requires_grad_(False)}, TrainingOptions())


def test_each_group_is_clipped_to_its_own_norm() -> None:
    a, b = nn.Linear(64, 64, bias=False), nn.Linear(3, 3, bias=False)
    made = make_optimizers({"autoencoder": a, "prior": b}, TrainingOptions())
    a.weight.grad, b.weight.grad = torch.full((64, 64), 1.0), torch.full((3, 3), 0.1)
    norms = clip_by_group(made, 1.0)
    assert float(norms["autoencoder"]) == pytest.approx(64.0)
    assert float(a.weight.grad.norm()) == pytest.approx(1.0, rel=1e-4)
    assert float(b.weight.grad.norm()) == pytest.approx(0.3)
