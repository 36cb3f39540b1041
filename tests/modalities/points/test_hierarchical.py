"""The hierarchical autoencoder and its prior's network: orders, padding, roles; the Laplace likelihood."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Laplace

from latentgen import VPSDE, LatentSpec, MixedDenoiser
from latentgen.testing import check_denoiser, format_results
from modalities.points.hierarchical import (
    LaplacePoints,
    LatentPointAutoencoder,
    PointArchitecture,
    PointTransformer,
)

TOKENS = 3


def moved(module: nn.Module) -> nn.Module:
    """Zero layers hide nothing."""
    torch.manual_seed(1)
    for parameter in module.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return module.eval()


def made(features: int = 0) -> LatentPointAutoencoder:
    torch.manual_seed(0)
    return LatentPointAutoencoder(12, features, TOKENS, 4 + features, width=16, depth=2, heads=2, inducing=4)


def cloud(features: int = 0) -> dict[str, Tensor]:
    x = torch.randn(2, 9, 3 + features, generator=torch.Generator().manual_seed(2))
    mask = torch.arange(9) < torch.tensor([[9], [5]])
    return {"x": x * mask.unsqueeze(2), "mask": mask}


def test_the_likelihood_is_torchs_laplace_over_real_points() -> None:
    mean, scale = torch.randn(2, 6, 4), torch.tensor([0.1, 0.2, 0.5, 2.0])
    mask = torch.arange(6) < torch.tensor([[6], [2]])
    x = torch.randn(2, 6, 4)
    likelihood = LaplacePoints(mean, scale, mask)
    expected = (Laplace(mean, scale).log_prob(x).sum(2) * mask).sum(1)
    torch.testing.assert_close(likelihood.log_prob({"x": x, "mask": mask}), expected)
    torch.testing.assert_close(likelihood.log_prob(likelihood.mode()), -(2 * scale).log().sum() * mask.sum(1))
    assert torch.equal(likelihood.mode()["x"][mask], mean[mask]) and not likelihood.mode()["x"][~mask].any()


def test_draws_have_the_scale_of_the_likelihood() -> None:
    scale = torch.tensor([0.1, 2.0, 0.5])
    drawn = LaplacePoints(torch.zeros(1, 40_000, 3), scale, torch.ones(1, 40_000, dtype=torch.bool)).sample()["x"]
    # |x| is exponential: its mean is b, its standard deviation b
    torch.testing.assert_close(drawn.abs().mean((0, 1)) / scale, torch.ones(3), rtol=0, atol=6 / 200)


def test_the_untrained_autoencoder_copies() -> None:
    autoencoder, batch = made(1), cloud(1)
    q = autoencoder.encode(batch)
    assert q.mean.shape == (2, TOKENS + 9, 5)
    assert torch.equal(q.mask, torch.cat([torch.ones(2, TOKENS, dtype=torch.bool), batch["mask"]], 1))
    assert torch.equal(q.mean[:, TOKENS:, :4], batch["x"]) and not q.mean[:, TOKENS:, 4:].any()
    assert q.std[:, TOKENS:].max() < 0.1 < q.std[:, :TOKENS].min()
    made_again = autoencoder.decode(q.mean, q.mask).mode()
    assert torch.equal(made_again["x"], batch["x"]) and torch.equal(made_again["mask"], batch["mask"])
    with pytest.raises(ValueError, match="channels is 3 for points of 4 numbers; give at least 4"):
        LatentPointAutoencoder(5, 1, channels=3)


def test_points_keep_their_order_from_data_to_latent_to_data() -> None:
    autoencoder, batch = moved(made()), cloud()
    order = torch.randperm(9)
    turned = {key: value[:, order] for key, value in batch.items()}
    q, other = autoencoder.encode(batch), autoencoder.encode(turned)
    close = {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(other.mean[:, :TOKENS], q.mean[:, :TOKENS], **close)
    real = turned["mask"]
    torch.testing.assert_close(other.mean[:, TOKENS:][real], q.mean[:, TOKENS:][:, order][real], **close)
    decoded, expected = autoencoder.decode(other.mean, other.mask), autoencoder.decode(q.mean, q.mask)
    torch.testing.assert_close(decoded.mode()["x"], expected.mode()["x"][:, order], **close)
    torch.testing.assert_close(decoded.log_prob(turned), expected.log_prob(batch), rtol=1e-4, atol=1e-3)


def test_padding_changes_nothing() -> None:
    autoencoder, batch = moved(made()), cloud()
    q = autoencoder.encode(batch)
    dirty = {**batch, "x": torch.where(batch["mask"].unsqueeze(2), batch["x"], 9.0)}
    short = {key: value[1:, :5] for key, value in batch.items()}
    q_dirty, q_short = autoencoder.encode(dirty), autoencoder.encode(short)
    close = {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(q_dirty.mean[q.mask], q.mean[q.mask], **close)
    torch.testing.assert_close(q_short.mean[0], q.mean[1, : TOKENS + 5], **close)
    full, cut = autoencoder.decode(q.mean, q.mask).mode(), autoencoder.decode(q_short.mean, q_short.mask).mode()
    torch.testing.assert_close(cut["x"][0], full["x"][1, :5], **close)
    assert autoencoder.decode(q_short.mean).mode()["mask"].all(), "without a mask all are real"


def test_global_tokens_and_other_points_matter() -> None:
    autoencoder, batch = moved(made()), cloud()
    q = autoencoder.encode(batch)
    plain = autoencoder.decode(q.mean, q.mask).mode()["x"]
    for item in (0, TOKENS + 1):
        z = q.mean.clone()
        z[0, item] += 1
        change = (autoencoder.decode(z, q.mask).mode()["x"] - plain).abs()
        assert change[0, 0].max() > 1e-6 and not change[1].any()


def network(**options: int) -> PointTransformer:
    latents = LatentSpec((TOKENS + 9, 4), "set", masked=True)
    built = PointArchitecture(TOKENS, width=16, depth=2, heads=2).network(latents, **options)
    assert isinstance(built, PointTransformer)
    return moved(built)


def test_the_priors_network_tells_global_tokens_apart_and_points_not() -> None:
    net = network()
    z, time = torch.randn(2, TOKENS + 9, 4), torch.tensor([0.5, -2.0])
    mask = torch.arange(TOKENS + 9) < torch.tensor([[TOKENS + 9], [TOKENS + 4]])
    found = net(z, time, mask)
    order = torch.cat([torch.arange(TOKENS), TOKENS + torch.randperm(9)])
    torch.testing.assert_close(net(z[:, order], time, mask[:, order]), found[:, order], rtol=1e-4, atol=1e-5)
    swap = torch.tensor([1, 0, *range(2, TOKENS + 9)])
    assert (net(z[:, swap], time, mask) - found[:, swap]).abs().max() > 1e-3, "global tokens have roles"
    across = torch.arange(TOKENS + 9)
    across[0], across[TOKENS] = TOKENS, 0
    assert (net(z[:, across], time, mask) - found[:, across]).abs().max() > 1e-3
    torch.testing.assert_close(net(z[1:, : TOKENS + 4], time[1:], mask[1:, : TOKENS + 4]),
                               found[1:, : TOKENS + 4], rtol=1e-4, atol=1e-5)


def test_roles_are_trained_and_stored() -> None:
    net = network()
    net(torch.randn(1, TOKENS + 9, 4), torch.zeros(1)).square().sum().backward()
    assert net.roles.grad is not None and net.roles.grad.abs().min() > 0
    assert torch.equal(net.positions[:TOKENS], net.roles) and not net.positions[TOKENS:].any()
    state = net.state_dict()
    assert "roles" in state and "positions" not in state
    again = PointTransformer(net.latents, TOKENS, width=16, depth=2, heads=2, expansion=2)
    again.load_state_dict(state)
    z, time = torch.randn(2, TOKENS + 9, 4), torch.zeros(2)
    assert torch.equal(again.eval()(z, time), net(z, time))


def test_the_network_keeps_the_contract_of_denoisers() -> None:
    torch.manual_seed(0)
    net = network()
    results = check_denoiser(MixedDenoiser(net, VPSDE(), net.latents), net.latents)
    assert [result for result in results if not result.passed] == [], format_results(results)


def test_the_network_is_for_sets() -> None:
    with pytest.raises(ValueError, match="layout is 'sequence'"):
        PointArchitecture(TOKENS).network(LatentSpec((8, 4), "sequence"))
    assert network(condition_dim=2).condition_dim == 2
