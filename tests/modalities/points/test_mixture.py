"""The mixture's density against torch's own distributions, its draws against their moments."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal

from modalities.points.mixture import PointMixture, log_sum_exp, monomials, turns

B, M, F, NOISE = 2, 5, 2, 0.1


def mixture(count: int = 64, features: bool = False, seed: int = 0, dtype: torch.dtype = torch.float32) -> PointMixture:
    torch.manual_seed(seed)
    weight = torch.randn(B, M, dtype=dtype).log_softmax(dim=1)
    mean, factor = torch.randn(B, M, 3, dtype=dtype), 0.4 * torch.randn(B, M, 3, 3, dtype=dtype)
    return PointMixture(
        weight, mean, factor, NOISE, count, turns(mean, 4 + F * features),
        torch.randn(B, M, F, dtype=dtype) if features else None,
        torch.tensor([0.3, 2.0], dtype=dtype) if features else None,
    )


def reference(p: PointMixture, row: int) -> MixtureSameFamily:
    covariance = p.factor[row] @ p.factor[row].mT + NOISE**2 * torch.eye(3)
    return MixtureSameFamily(Categorical(logits=p.log_weight[row]), MultivariateNormal(p.mean[row], covariance))


def test_the_density_is_that_of_torch_with_its_gradients() -> None:
    p = mixture()
    for part in (p.log_weight, p.mean, p.factor):
        part.requires_grad_()
    x = torch.randn(B, 40, 3)
    ours = p.density(x)
    theirs = torch.stack([reference(p, row).log_prob(x[row]) for row in range(B)])
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
    leaves = (p.mean, p.factor)
    for a, b in zip(torch.autograd.grad(ours.sum(), leaves), torch.autograd.grad(theirs.sum(), leaves), strict=True):
        torch.testing.assert_close(a, b, rtol=5e-3, atol=5e-3)


def test_features_are_normal_around_their_components_means() -> None:
    p = mixture(features=True)
    x = torch.randn(B, 30, 3 + F)
    row, expected = 1, []
    assert p.feature_mean is not None and p.feature_std is not None
    covariance = p.factor[row] @ p.factor[row].mT + NOISE**2 * torch.eye(3)
    for m in range(M):
        place = MultivariateNormal(p.mean[row, m], covariance[m]).log_prob(x[row, :, :3])
        feature = Independent(Normal(p.feature_mean[row, m], p.feature_std), 1).log_prob(x[row, :, 3:])
        expected.append(p.log_weight[row, m] + place + feature)
    torch.testing.assert_close(p.density(x)[row], torch.stack(expected).logsumexp(0), rtol=1e-3, atol=1e-3)


def test_the_density_integrates_to_one() -> None:
    p, edge = mixture(), 7.0
    generator = torch.Generator().manual_seed(0)
    x = edge * (2 * torch.rand(B, 200_000, 3, generator=generator) - 1)
    volume = (2 * edge) ** 3
    mass = p.density(x).exp().mean(dim=1) * volume
    error = p.density(x).exp().std(dim=1) * volume / math.sqrt(x.shape[1])
    assert ((mass - 1).abs() < 4 * error).all()
    assert (error < 0.1).all()


def test_masked_points_count_nothing_and_order_does_not_matter() -> None:
    p = mixture()
    x, mask = torch.randn(B, 12, 3), torch.arange(12).expand(B, -1) < torch.tensor([[7], [12]])
    expected = torch.stack([p.density(x)[0, :7].sum(), p.density(x)[1].sum()])
    other = torch.where(mask.unsqueeze(-1), x, 100.0)
    torch.testing.assert_close(p.log_prob({"x": other, "mask": mask}), expected)
    order = torch.randperm(12)
    torch.testing.assert_close(p.log_prob({"x": x[:, order]}), p.log_prob({"x": x}))


@pytest.mark.parametrize("way", ["sample", "mode"])
def test_draws_have_the_mixtures_moments(way: str) -> None:
    torch.manual_seed(1)
    p = mixture(count=40_000, features=True)
    x = getattr(p, way)()["x"]
    weight = p.log_weight.exp().unsqueeze(-1)
    assert p.feature_mean is not None and p.feature_std is not None
    mean = torch.cat([p.mean, p.feature_mean], dim=-1)
    own = torch.cat([p.factor.square().sum(dim=-1), p.feature_std.square().expand(B, M, F)], dim=-1)
    if way == "sample":
        own = own + torch.tensor([NOISE**2] * 3 + [0.0] * F)
    first = (weight * mean).sum(dim=1)
    second = (weight * (own + mean**2)).sum(dim=1)
    spread = x.std(dim=1) / math.sqrt(x.shape[1])
    assert ((x.mean(dim=1) - first).abs() < 5 * spread).all()
    assert ((x.square().mean(dim=1) - second).abs() < 5 * x.square().std(dim=1) / math.sqrt(x.shape[1])).all()


def test_the_mode_is_a_function_of_the_latent_alone() -> None:
    p = mixture()
    whole, half = p.mode()["x"], PointMixture(
        p.log_weight[1:], p.mean[1:], p.factor[1:], NOISE, 64, p.offset[1:]
    ).mode()["x"]
    torch.testing.assert_close(whole[1:], half)
    twin = PointMixture(p.log_weight[:1], p.mean[:1], p.factor[:1], NOISE, 64, p.offset[1:]).mode()["x"]
    assert (twin - whole[:1]).abs().amax() > 0.1


def test_offsets_are_uniform_and_change_fast() -> None:
    torch.manual_seed(0)
    z = torch.randn(4000, 6, 4)
    found = turns(z, 4)
    assert ((found >= 0) & (found < 1)).all()
    counts = torch.histc(found[:, 0], 10, 0, 1)
    assert float(((counts - 400) ** 2 / 400).sum()) < 30  # chi-square with 9 degrees of freedom: 1e-3
    assert (turns(z + 0.05 * torch.randn_like(z), 4) - found).abs().median() > 0.1


def test_log_sum_exp_drops_what_single_precision_does_not_see() -> None:
    logits = torch.tensor([[0.0, -1.0, -200.0, 3.0], [-1e4, -1e4 + 1, -2e4, -3e4]])
    torch.testing.assert_close(log_sum_exp(logits), logits.logsumexp(dim=-1))


def test_monomials() -> None:
    assert monomials(torch.tensor([2.0, 3.0, 5.0])).tolist() == [4, 9, 25, 6, 10, 15, 2, 3, 5]
