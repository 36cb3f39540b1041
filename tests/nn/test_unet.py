"""The U-Net: starts at zero, keeps samples apart, fits every size, and has the arguments of the transformer."""

from __future__ import annotations

import inspect
import math

import pytest
import torch
from problems import randomize
from torch import nn

from latentgen.latents import LatentSpec
from latentgen.nn import Transformer, UNet
from latentgen.nn.unet import AdaptiveGroupNorm, GridAttention, ResidualBlock
from latentgen.optimizers import is_hidden_matrix

SHAPES = [(1, 4, 4), (3, 8, 8), (2, 7, 13), (4, 1, 5), (3, 28, 17)]
SPEC = LatentSpec((3, 8, 6), "grid")


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def network(latents: LatentSpec = SPEC, **options) -> UNet:
    """With random weights everywhere, since a new network's output is zero."""
    sizes = {"width": 8, "multipliers": (1, 2, 2), "depth": 1, "attention": (4,), "heads": 2}
    return randomize(UNet(latents, **(sizes | options)), 0.2).double().eval()


def inputs(latents: LatentSpec = SPEC, batch: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(batch, *latents.shape).double(), torch.linspace(-6, 6, batch).double()


@pytest.mark.parametrize("shape", SHAPES)
def test_output_starts_at_zero_and_has_the_shape_of_the_latent(shape: tuple[int, int, int]) -> None:
    z, log_snr = inputs(LatentSpec(shape, "grid"))
    out = UNet(LatentSpec(shape, "grid"), width=8, depth=1).double()(z, log_snr)
    assert torch.equal(out, torch.zeros_like(z))


@pytest.mark.parametrize("shape", SHAPES)
def test_every_size_is_used_whole(shape: tuple[int, int, int]) -> None:
    """Each input cell has an effect, at the last row and column of uneven sizes too."""
    latents = LatentSpec(shape, "grid")
    net, (z, log_snr) = network(latents), inputs(latents, 1)
    z.requires_grad_(True)
    out = net(z, log_snr)
    assert out.shape == z.shape and out.isfinite().all()
    (gradient,) = torch.autograd.grad(out.square().sum(), z)
    assert (gradient.abs() > 0).all()


def test_it_depends_on_the_log_snr() -> None:
    net, (z, log_snr) = network(), inputs()
    assert (net(z, log_snr + 1) - net(z, log_snr)).flatten(1).abs().amax(1).min() > 1e-4


def test_samples_of_a_batch_do_not_mix() -> None:
    options = {"condition_dim": 3, "style_dim": 5, "self_condition": True}
    net, (z, log_snr) = network(**options).train(), inputs()
    condition, previous, style = torch.randn(4, 3).double(), torch.randn_like(z), torch.randn(4, 5).double()
    whole = net(z, log_snr, None, condition, previous, style)
    for row in range(4):
        part = slice(row, row + 1)
        alone = net(z[part], log_snr[part], None, condition[part], previous[part], style[part])
        assert torch.allclose(alone, whole[part], atol=1e-12)


def test_it_is_called_as_the_transformer_is() -> None:
    expected, found = (inspect.signature(kind.forward).parameters for kind in (Transformer, UNet))
    assert list(expected) == list(found)
    for name in ("condition_dim", "dropout", "self_condition", "style_dim"):
        defaults = [inspect.signature(kind.__init__).parameters[name].default for kind in (Transformer, UNet)]
        assert defaults[0] == defaults[1]
    assert network(style_dim=5).style_dim == 5 and network(self_condition=True).self_condition


def test_a_style_modulates_every_group_norm() -> None:
    """Without other paths: each norm's gradient with respect to its own style layer is there."""
    net, (z, log_snr) = network(style_dim=5), inputs()
    style = torch.randn(4, 5).double()
    net(z, log_snr, style=style).square().sum().backward()
    layers = [module.from_style for module in net.modules() if isinstance(module, AdaptiveGroupNorm)]
    blocks = sum(isinstance(module, ResidualBlock) for module in net.modules())
    assert len(layers) == 2 * blocks + 1
    assert all(layer is not None and float(layer.weight.grad.abs().max()) > 0 for layer in layers)
    assert (net(z, log_snr, style=style) - net(z, log_snr)).flatten(1).abs().amax(1).min() > 1e-4


def test_adaptive_group_norm_is_the_formula() -> None:
    norm = randomize(AdaptiveGroupNorm(8, 3, 2), 1.0).double()
    x, context, style = torch.randn(2, 8, 3, 4).double(), torch.randn(2, 3).double(), torch.randn(2, 2).double()
    groups = x.reshape(2, 2, -1)
    normed = (groups - groups.mean(-1, keepdim=True)) / (groups.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    normed = normed.reshape(x.shape) * norm.weight[:, None, None] + norm.bias[:, None, None]
    assert norm.from_context is not None and norm.from_style is not None
    scale, shift = (norm.from_context(context) + norm.from_style(style)).chunk(2, dim=1)
    expected = normed * (1 + scale[:, :, None, None]) + shift[:, :, None, None]
    assert torch.allclose(norm(x, context, style), expected, atol=1e-12)
    assert torch.allclose(norm(x), normed, atol=1e-12)


@pytest.mark.parametrize(("channels", "groups"), [(4, 1), (8, 2), (128, 32), (256, 32), (36, 9), (44, 11), (100, 25)])
def test_groups_have_at_least_four_channels(channels: int, groups: int) -> None:
    assert AdaptiveGroupNorm(channels).groups == groups


def test_attention_is_softmax_attention_over_cells() -> None:
    attention, x = randomize(GridAttention(8, 1), 0.5).double(), torch.randn(2, 8, 2, 3).double()
    tokens = attention.norm(x).flatten(2).mT
    weight, bias = attention.qkv.weight[:, :, 0, 0], attention.qkv.bias
    query, key, value = (tokens @ weight.T + bias).chunk(3, dim=-1)
    mixed = (query @ key.mT / math.sqrt(8)).softmax(-1) @ value
    out = mixed @ attention.out.weight[:, :, 0, 0].T + attention.out.bias
    assert torch.allclose(attention(x), (x + out.mT.reshape(x.shape)) / math.sqrt(2), atol=1e-12)


def test_attention_is_at_the_chosen_resolutions() -> None:
    counts = {edges: sum(isinstance(module, GridAttention) for module in
                         UNet(LatentSpec((1, 16, 24), "grid"), 8, (1, 1, 1), 2, edges).modules())
              for edges in ((), (16,), (8, 4), (5,))}
    assert counts == {(): 1, (16,): 1 + 5, (8, 4): 1 + 10, (5,): 1}


def test_a_new_block_keeps_the_size_of_its_input() -> None:
    """The branch starts faint: the output has about half of the input's variance, not more than it."""
    block, x = ResidualBlock(32, 32, 8, 0, 0.0), torch.randn(4, 32, 8, 8)
    out = block(x, torch.randn(4, 8), None)
    assert 0.45 < float(out.detach().var() / x.var()) < 0.6


def test_rows_with_nan_are_rows_without_condition() -> None:
    net, (z, log_snr) = network(condition_dim=5), inputs()
    condition = torch.randn(4, 5).double()
    free, given = net(z, log_snr), net(z, log_snr, None, condition)
    assert (free - given).flatten(1).abs().amax(1).min() > 1e-5
    partly = condition.clone()
    partly[2, 3] = torch.nan
    out = net(z, log_snr, None, partly)
    assert torch.allclose(out[2], free[2], atol=1e-12) and torch.allclose(out[[0, 1, 3]], given[[0, 1, 3]], atol=1e-12)
    out.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


def test_an_earlier_prediction_is_an_input_that_starts_at_zero() -> None:
    net, (z, log_snr) = network(self_condition=True), inputs()
    previous = torch.randn_like(z)
    assert (net(z, log_snr, previous=previous) - net(z, log_snr)).flatten(1).abs().amax(1).min() > 1e-4
    new = UNet(SPEC, width=8, depth=1, self_condition=True).double()
    randomize(new.out)
    new.double()
    assert torch.equal(new(z, log_snr, previous=previous), new(z, log_snr))


def test_every_parameter_learns() -> None:
    net = network(condition_dim=5, style_dim=3, self_condition=True)
    z, log_snr = inputs()
    condition = torch.randn(4, 5).double()
    condition[0] = torch.nan
    net(z, log_snr, None, condition, torch.randn_like(z), torch.randn(4, 3).double()).square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or p.grad.abs().max() == 0] == []


def test_gates_are_left_to_adamw() -> None:
    net = UNet(SPEC, width=64)
    taken = {name.split(".")[0] for name, p in net.named_parameters() if is_hidden_matrix(p)}
    assert taken == {"embed_log_snr"}


def test_mixed_precision_is_close_to_single_precision() -> None:
    net, (z, log_snr) = network(style_dim=3).float(), inputs()
    style = torch.randn(4, 3)
    exact = net(z.float(), log_snr.float(), style=style)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = net(z.float(), log_snr.float(), style=style)
    assert (out.float() - exact).norm() < 0.05 * exact.norm()


def test_it_learns_to_denoise_better_than_a_straight_line() -> None:
    """Images of a bar at one of eight places: the posterior mean is no linear function of the noisy image."""
    latents = LatentSpec((1, 8, 8), "grid")
    net = UNet(latents, width=16, multipliers=(1, 2), depth=1, attention=())
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    bars = torch.zeros(8, 1, 8, 8)
    for k in range(8):
        bars[k, 0, :, k] = math.sqrt(8)
    generator = torch.Generator().manual_seed(0)
    errors = []
    for _ in range(120):
        z = bars[torch.randint(8, (32,), generator=generator)]
        noisy = z + torch.randn(z.shape, generator=generator)
        loss = (net(noisy / 2**0.5, torch.zeros(32)) - z).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors.append(loss.detach())
    assert float(torch.stack(errors[-10:]).mean()) < 0.5 * best_linear_error(bars)


def best_linear_error(bars: torch.Tensor) -> float:
    """Mean squared error a cell of the best affine denoiser at noise 1: trace(S - S (S + I)^-1 S) / D."""
    x = bars.flatten(1).double()
    centred = x - x.mean(0)
    covariance = centred.T @ centred / len(x)
    identity = torch.eye(len(covariance)).double()
    rest = covariance - covariance @ torch.linalg.solve(covariance + identity, covariance)
    return float(rest.trace() / len(covariance))


@pytest.mark.parametrize("latents", [LatentSpec((5,)), LatentSpec((2, 8), "grid"), LatentSpec((4, 3), "set")])
def test_other_layouts_are_refused(latents: LatentSpec) -> None:
    with pytest.raises(ValueError, match=r"UNet takes a grid \(C, H, W\), use a transformer"):
        UNet(latents)


def test_other_refusals() -> None:
    net, (z, log_snr) = network(), inputs()
    with pytest.raises(ValueError, match="the network was built for"):
        net(z[:, :, 1:], log_snr)
    with pytest.raises(ValueError, match=r"condition has shape \(4, 5\) but the network was built without one"):
        net(z, log_snr, None, torch.zeros(4, 5))
    with pytest.raises(ValueError, match="width is 10 with multipliers"):
        UNet(SPEC, width=10)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in net.modules())
