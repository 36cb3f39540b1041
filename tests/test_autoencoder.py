"""Standardised latents: the aggregate posterior's statistics, and an affine map that keeps every likelihood."""

import math

import pytest
import torch
from problems import ItemAutoencoder
from torch import nn

from latentgen.autoencoder import Autoencoder, IdentityAutoencoder, StandardizedAutoencoder, channel_divergences
from latentgen.distributions import DiagonalGaussian, NormalLikelihood
from latentgen.tensors import Batch


class Given(Autoencoder):
    """The posterior is in the batch: mean, std and mask."""

    def encode(self, batch: Batch) -> DiagonalGaussian:
        return DiagonalGaussian(batch["mean"], batch["std"], batch.get("mask"))

    def decode(self, z: torch.Tensor, mask: torch.Tensor | None = None) -> NormalLikelihood:
        return NormalLikelihood(2 * z - 1, 0.3)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def posterior(*shape: int) -> Batch:
    """Channel 0: means of mean 3 and deviation 2, std .1. Channel 1 is not used: means 0, std 1."""
    mean, std = torch.zeros(*shape, 2), torch.ones(*shape, 2)
    mean[..., 0], std[..., 0] = 3 + 2 * torch.randn(*shape), 0.1
    return {"mean": mean, "std": std}


def test_statistics_are_those_of_the_aggregate_posterior():
    """An inactive channel has std 1 and means 0: it must stay as it is, not be blown up by 1 / 0."""
    standardized = StandardizedAutoencoder(Given(), 2)
    batch = posterior(5000)
    standardized.fit([batch])
    means = batch["mean"][:, 0].double()
    expected = (means.var(correction=0) + 0.01).sqrt()
    assert standardized.mean.tolist() == pytest.approx([means.mean().item(), 0.0], rel=1e-6)
    assert standardized.std.tolist() == pytest.approx([expected.item(), 1.0], rel=1e-6)


def test_standardised_draws_have_mean_zero_and_variance_one():
    standardized = StandardizedAutoencoder(Given(), 2)
    batch = posterior(20_000)
    standardized.fit([batch])
    z = standardized.encode(batch).rsample()
    assert (z.mean(0).abs() < 5 / math.sqrt(20_000)).all()
    assert ((z.var(0) - 1).abs() < 5 * math.sqrt(2 / 20_000)).all()


def test_batches_of_any_size_give_the_same_statistics():
    whole, parts = StandardizedAutoencoder(Given(), 2), StandardizedAutoencoder(Given(), 2)
    batch = posterior(100, 4)
    whole.fit([batch])
    parts.fit(
        {name: value[rows] for name, value in batch.items()} for rows in (slice(0, 7), slice(7, 60), slice(60, 100))
    )
    assert torch.allclose(whole.mean, parts.mean)
    assert torch.allclose(whole.std, parts.std)


def test_masked_items_are_no_data():
    batch = posterior(200, 4)
    mask = torch.rand(200, 4) < 0.6
    dirty = {name: torch.where(mask[..., None], value, 50.0) for name, value in batch.items()} | {"mask": mask}
    masked, cut = StandardizedAutoencoder(Given(), 2), StandardizedAutoencoder(Given(), 2)
    masked.fit([dirty])
    cut.fit([{name: value[mask] for name, value in batch.items()}])
    assert torch.allclose(masked.mean, cut.mean, rtol=1e-5)
    assert torch.allclose(masked.std, cut.std, rtol=1e-5)


def test_grids_have_their_channels_first():
    batch = {name: value.movedim(-1, 1) for name, value in posterior(50, 6, 5).items()}
    grid, flat = StandardizedAutoencoder(Given(), 2, channel_axis=1), StandardizedAutoencoder(Given(), 2)
    grid.fit([batch])
    flat.fit([{name: value.movedim(1, -1) for name, value in batch.items()}])
    assert torch.allclose(grid.std, flat.std)
    q = grid.encode(batch)
    expected = (batch["mean"][:, 0] - grid.mean[0]) / grid.std[0]
    assert torch.allclose(q.mean[:, 0], expected)
    assert torch.allclose(grid.decode(q.mean).mode()["x"], 2 * batch["mean"] - 1, atol=1e-4)


@pytest.mark.parametrize("masked", [False, True])
def test_the_affine_map_is_the_encoders_last_layer(masked):
    """Entropies fall by sum ln std, densities rise by it; what is decoded is the same."""
    batch = {name: value.double() for name, value in posterior(6, 4).items()}
    if masked:
        batch["mask"] = torch.rand(6, 4) < 0.7
    standardized = StandardizedAutoencoder(Given(), 2).double()
    standardized.fit([batch])
    inner, outer = standardized.autoencoder.encode(batch), standardized.encode(batch)
    count = batch["mask"].sum(1) if masked else torch.full((6,), 4)
    log_det = count * standardized.std.log().sum()
    assert torch.allclose(outer.entropy(), inner.entropy() - log_det)
    eps = torch.randn(6, 4, 2).double()
    z_in, z_out = inner.rsample(eps), outer.rsample(eps)
    assert torch.allclose(outer.log_prob(z_out), inner.log_prob(z_in) + log_det)
    assert torch.allclose(standardized.decode(z_out).mode()["x"], standardized.autoencoder.decode(z_in).mode()["x"])
    x = {"x": torch.randn(6, 4, 2).double()}
    assert torch.allclose(standardized.decode(z_out).log_prob(x), standardized.autoencoder.decode(z_in).log_prob(x))


def test_a_bound_does_not_change_when_the_prior_moves_with_the_latents():
    """ln p(x|z) + ln p(z) - ln q(z|x) with p(z) = N(mean, std^2) inside equals the same with N(0, 1) outside."""
    batch = {"x": torch.randn(8, 5).double()}
    standardized = StandardizedAutoencoder(ItemAutoencoder(5, 3).double(), 3).double()
    standardized.fit([batch])
    inner, outer = standardized.autoencoder.encode(batch), standardized.encode(batch)
    eps = torch.randn(8, 3).double()
    values = []
    for model, q, mean, std in (
        (standardized.autoencoder, inner, standardized.mean, standardized.std),
        (standardized, outer, torch.zeros(3).double(), torch.ones(3).double()),
    ):
        z = q.rsample(eps)
        prior = torch.distributions.Normal(mean, std).log_prob(z).sum(1)
        values.append(model.decode(z).log_prob(batch) + prior - q.log_prob(z))
    assert torch.allclose(*values)


def test_before_fitting_it_is_the_identity_and_the_statistics_travel_with_the_weights():
    fitted, fresh = StandardizedAutoencoder(Given(), 2), StandardizedAutoencoder(Given(), 2)
    batch = posterior(50)
    assert torch.equal(fresh.encode(batch).mean, batch["mean"])
    fitted.fit([batch])
    fresh.load_state_dict(fitted.state_dict())
    assert torch.equal(fresh.encode(batch).mean, fitted.encode(batch).mean)


def test_a_constant_channel_stays_finite():
    batch = {"mean": torch.full((10, 2), 3.0), "std": torch.zeros(10, 2)}
    standardized = StandardizedAutoencoder(Given(), 2)
    standardized.fit([batch])
    assert standardized.encode(batch).mean.isfinite().all()


@pytest.mark.parametrize("axis", [-1, 1])
def test_divergences_of_channels_add_up_to_that_of_the_latent(axis):
    mean, std = torch.randn(6, 4, 3), torch.rand(6, 4, 3) + 0.1
    mean[..., 1], std[..., 1] = 0.0, 1.0
    mask = torch.arange(4) < torch.tensor([4, 3, 1, 2, 4, 4]).unsqueeze(1) if axis == -1 else None
    batch = {"mean": mean.movedim(-1, axis), "std": std.movedim(-1, axis)} | ({} if mask is None else {"mask": mask})
    parts = [{key: value[part] for key, value in batch.items()} for part in (slice(0, 4), slice(4, 6))]
    found = channel_divergences(Given(), parts, axis)
    expected = DiagonalGaussian(batch["mean"], batch["std"], mask).kl_to_normal().mean()
    assert found.sum().item() == pytest.approx(expected.item(), rel=1e-5)
    assert found[1] == 0
    assert found[0] > 0.1
    with pytest.raises(ValueError, match="batches is empty; measuring channels"):
        channel_divergences(Given(), [], axis)


def test_no_data_is_refused():
    with pytest.raises(ValueError, match="batches is empty"):
        StandardizedAutoencoder(Given(), 2).fit([])


def test_gradients_reach_the_encoder_inside():
    inner = ItemAutoencoder(5, 2)
    standardized = StandardizedAutoencoder(inner, 2)
    standardized.fit([{"x": torch.randn(20, 5)}])
    standardized.encode({"x": torch.randn(4, 5)}).rsample().sum().backward()
    assert all(parameter.grad is not None for parameter in inner.encoder.parameters())


def test_running_statistics_reach_those_of_the_data():
    """Exponential averages of the first two moments; on one batch they converge to its own statistics."""
    running, fitted = StandardizedAutoencoder(Given(), 2, momentum=0.2).train(), StandardizedAutoencoder(Given(), 2)
    batch = posterior(200)
    fitted.fit([batch])
    running.encode(batch)
    # one step: moments move by a fifth of the way from (0, 1)
    first, second = 0.2 * fitted.mean, 0.8 + 0.2 * (fitted.mean**2 + fitted.std**2)
    assert torch.allclose(running.mean, first, rtol=1e-4)
    assert torch.allclose(running.std, (second - first**2).sqrt(), rtol=1e-4)
    for _ in range(60):
        running.encode(batch)
    assert torch.allclose(running.mean, fitted.mean, atol=1e-3)
    assert torch.allclose(running.std, fitted.std, atol=1e-3)


def test_running_statistics_stay_in_evaluation_and_without_momentum():
    batch = posterior(50)
    for model in (
        StandardizedAutoencoder(Given(), 2, momentum=0.5).eval(),
        StandardizedAutoencoder(Given(), 2).train(),
    ):
        model.encode(batch)
        assert torch.equal(model.mean, torch.zeros(2))
        assert torch.equal(model.std, torch.ones(2))


def test_running_statistics_carry_no_gradient_and_decode_what_was_encoded():
    inner = ItemAutoencoder(5, 2)
    running = StandardizedAutoencoder(inner, 2, momentum=0.5).train()
    batch = {"x": torch.randn(50, 5)}
    q = running.encode(batch)
    std = running.std.clone()
    q.mean.sum().backward()
    moved = inner.encoder[2].bias.grad[:2].clone()
    assert torch.allclose(moved, 50 / std)
    assert torch.allclose(
        running.decode(q.mean).mode()["x"], inner.decode(inner.encode(batch).mean).mode()["x"], atol=1e-5
    )


def test_identity_autoencoder_is_the_data_with_a_noise_floor():
    autoencoder, x = IdentityAutoencoder(std=0.01), torch.randn(3, 4)
    q = autoencoder.encode({"x": x})
    assert torch.equal(q.mean, x)
    assert q.entropy().tolist() == pytest.approx([4 * (0.5 * math.log(2 * math.pi * math.e) + math.log(0.01))] * 3)
    assert torch.equal(autoencoder.decode(x).mode()["x"], x)
    expected = torch.distributions.Normal(0.0, 0.01).log_prob(torch.zeros(())).item() * 4
    assert autoencoder.decode(x).log_prob({"x": x}).tolist() == pytest.approx([expected] * 3)


def test_identity_autoencoder_leaves_masked_items_out_on_both_sides():
    """Padding is no data: neither the posterior's entropy nor the likelihood may count it."""
    autoencoder, x = IdentityAutoencoder(std=0.1), torch.randn(2, 5, 3)
    mask = (torch.arange(5) < 2).expand(2, 5)
    batch, cut = {"x": x, "mask": mask}, {"x": x[:, :2]}
    z = x + 0.1 * torch.randn_like(x)
    assert torch.allclose(autoencoder.encode(batch).entropy(), autoencoder.encode(cut).entropy())
    masked, short = autoencoder.decode(z, mask).log_prob(batch), autoencoder.decode(z[:, :2]).log_prob(cut)
    assert torch.allclose(masked, short, atol=1e-4)


def test_autoencoders_are_modules():
    assert isinstance(IdentityAutoencoder(), nn.Module)
    assert list(IdentityAutoencoder().parameters()) == []
