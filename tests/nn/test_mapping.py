"""The mapping network keeps the size of a style and forgets that of the noise."""

from __future__ import annotations

import pytest
import torch

from latentgen.nn import MappingNetwork


def test_styles_keep_their_size() -> None:
    torch.manual_seed(0)
    for depth in (0, 2, 5):
        style = MappingNetwork(256, 512, depth)(torch.randn(200, 256))
        # sqrt(E[silu(x)^2]) = 0.597 for x ~ N(0, 1)
        assert style.square().mean().sqrt().item() == pytest.approx(0.597, rel=0.15), depth


def test_only_the_direction_of_the_noise_counts() -> None:
    mapping, noise = MappingNetwork(8, 16), torch.randn(5, 8)
    assert torch.allclose(mapping(noise), mapping(3 * noise), atol=1e-5)
    assert not torch.allclose(mapping(noise), mapping(-noise), atol=1e-3)


def test_it_is_the_stated_formula() -> None:
    """silu(W silu(W w / rms(w))), with the biases that start at zero."""
    torch.manual_seed(0)
    mapping, noise = MappingNetwork(6, 5, 1).double(), torch.randn(4, 6).double()
    first, second = mapping.layers
    assert not first.bias.any() and not second.bias.any()
    unit = noise / noise.square().mean(1, keepdim=True).sqrt()
    hidden = unit @ first.weight.T
    hidden = (hidden * hidden.sigmoid()) @ second.weight.T
    assert torch.allclose(mapping(noise), hidden * hidden.sigmoid(), atol=1e-6)
