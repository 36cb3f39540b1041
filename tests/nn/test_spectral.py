"""Spectral norms are largest singular values, gains are gains, and both move by their gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from latentgen import LatentSpec
from latentgen.nn import SpectralNorms, Transformer, UNet, largest_gains


def exact(weight: torch.Tensor) -> torch.Tensor:
    return torch.linalg.svdvals(weight.flatten(1))[0]


def iterated(module: nn.Module, calls: int = 60) -> SpectralNorms:
    norms = SpectralNorms(module).train()
    for _ in range(calls):
        norms()
    return norms


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Conv2d(3, 5, 3)],
        [nn.Linear(7, 4)],
        [nn.Conv1d(2, 6, 5)],
        [nn.Conv2d(3, 5, 3), nn.Conv2d(5, 4, 1), nn.Conv2d(4, 4, 5, groups=4), nn.Conv2d(3, 5, 3)],
    ],
)
def test_they_are_largest_singular_values_with_their_gradient(layers) -> None:
    torch.manual_seed(0)
    for layer in layers:
        layer.reset_parameters()
    norms = iterated(nn.Sequential(*layers), 200)
    expected = torch.stack([exact(layer.weight) for layer in layers]).sum()
    assert norms().item() == pytest.approx(expected.item(), rel=1e-5)
    weights = [layer.weight for layer in layers]
    for found, wanted in zip(
        torch.autograd.grad(norms(), weights), torch.autograd.grad(expected, weights), strict=True
    ):
        assert torch.allclose(found, wanted, atol=1e-3)


def test_convolutions_alone_count_where_there_are_some() -> None:
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Linear(5, 5))
    assert iterated(network)().item() == pytest.approx(exact(network[0].weight).item(), rel=1e-3)
    with pytest.raises(ValueError, match="a ReLU without convolutions and linear layers"):
        SpectralNorms(nn.ReLU())


def test_vectors_move_while_training_alone() -> None:
    norms = SpectralNorms(nn.Linear(7, 4))
    kept = norms.v0.clone()
    norms.eval()()
    assert torch.equal(norms.v0, kept)
    norms.train()()
    assert not torch.equal(norms.v0, kept)


def test_a_layer_that_starts_at_zero_is_not_lost() -> None:
    layer = nn.Conv2d(3, 5, 3)
    nn.init.zeros_(layer.weight)
    norms = iterated(layer, 3)
    assert norms().item() == 0
    nn.init.normal_(layer.weight)
    for _ in range(60):
        norms()
    assert norms().item() == pytest.approx(exact(layer.weight).item(), rel=1e-3)


def test_autocast_does_not_round_them() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(8, 16, 3)
    with torch.autocast("cpu", torch.bfloat16):
        found = iterated(layer, 200)()
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(exact(layer.weight).item(), rel=1e-5)


def test_gains_of_the_unets_own_norms_count() -> None:
    unet = UNet(LatentSpec((2, 4, 4), "grid"), width=8, multipliers=(1,), depth=1, attention=())
    norms = [module for module in unet.modules() if "Norm" in type(module).__name__]
    with torch.no_grad():
        norms[0].weight[3] = -4.0
    total = largest_gains(unet)
    assert total.item() == pytest.approx(len(norms) + 3)
    (gradient,) = torch.autograd.grad(total, norms[0].weight)
    assert gradient.tolist() == [0, 0, 0, -1, 0, 0, 0, 0]
    assert largest_gains(Transformer(LatentSpec((3, 2), "set"), 8, 1, 2)).item() == 0
