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


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_players_of_the_adversarial_game_take_adamw_alone(optimizer: str) -> None:
    """Also for matrices that Muon would take, without decay, with betas and rates of their own."""
    options = TrainingOptions(
        optimizer=optimizer, generator_lr=2e-4, discriminator_lr=3e-4, lr=5e-3, adversarial_betas=(0.3, 0.8),
        betas=(0.9, 0.95), weight_decay=0.5,
    )
    for name, rate in (("generator", 2e-4), ("discriminator", 3e-4)):
        module = nn.Sequential(nn.Linear(64, 64), nn.LayerNorm(64))
        module[1].bias.requires_grad_(False)
        (made,) = make_optimizers({name: module}, options)
        (group,) = made.param_groups
        assert type(made) is torch.optim.AdamW
        assert [id(p) for p in group["params"]] == [id(p) for p in module.parameters() if p.requires_grad]
        assert (group["lr"], group["peak"], group["weight_decay"], group["betas"]) == (rate, rate, 0.0, (0.3, 0.8))


def test_an_autoencoder_beside_a_generator_keeps_its_own_optimizers() -> None:
    options = TrainingOptions(autoencoder_lr=1e-3, generator_lr=2e-4, adversarial_betas=(0.3, 0.8), betas=(0.9, 0.95))
    modules = {"autoencoder": nn.Linear(64, 64), "generator": nn.Linear(64, 64)}
    adamw, muon = make_optimizers(modules, options)
    assert type(muon).__name__ == "Muon"
    (matrices,) = muon.param_groups
    assert [id(p) for p in matrices["params"]] == [id(modules["autoencoder"].weight)]
    groups = {group["name"]: (group["lr"], group["betas"], len(group["params"])) for group in adamw.param_groups}
    assert groups == {"autoencoder": (1e-3, (0.9, 0.95), 1), "generator": (2e-4, (0.3, 0.8), 2)}


def test_an_adversarial_step_is_adams_with_these_betas() -> None:
    """Two steps with gradients g_1, g_2 against the formula of Kingma and Ba 2015: no decay, no momentum of 0.9."""
    layer, rate, (b1, b2) = nn.Linear(1, 1, bias=False), 1e-2, (0.5, 0.9)
    (adamw,) = make_optimizers({"generator": layer}, TrainingOptions(generator_lr=rate, adversarial_betas=(b1, b2)))
    start, gradients = layer.weight.item(), (0.3, -2.0)
    m = v = 0.0
    expected = start
    for number, g in enumerate(gradients, 1):
        layer.weight.grad = torch.tensor([[g]])
        adamw.step()
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        expected -= rate * (m / (1 - b1**number)) / ((v / (1 - b2**number)) ** 0.5 + 1e-8)
    assert layer.weight.item() == pytest.approx(expected, abs=1e-6)


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
