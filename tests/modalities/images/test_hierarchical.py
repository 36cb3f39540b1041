"""The hierarchical autoencoder: a true bound, exact posteriors, groups that are used, norms that are norms."""

from __future__ import annotations

import math

import pytest
import torch

import latentgen
from latentgen.distributions import DiagonalGaussian
from latentgen.nn import largest_gains
from modalities.images import Images
from modalities.images.cells import DecoderCell, EncoderCell, SqueezeExcite
from modalities.images.hierarchical import HierarchicalAutoencoder

SHAPE = (1, 9, 6)


def images(n: int = 4, shape=SHAPE, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {"x": torch.randint(0, 256, (n, *shape), generator=generator, dtype=torch.uint8)}


def small(**options) -> HierarchicalAutoencoder:
    torch.manual_seed(0)
    settings = {"latent": 3, "groups": (2, 1), "halvings": 2, "width": 8, "likelihood": "normal", **options}
    return HierarchicalAutoencoder(settings.pop("shape", SHAPE), **settings).eval()


@pytest.mark.parametrize("likelihood", ["normal", "laplace", "logistic_mixture", "bernoulli"])
@pytest.mark.parametrize(("groups", "channels"), [((1,), 3), ((3,), 9), ((2, 1), 6), ((1, 2, 1), 3)])
def test_every_likelihood_at_odd_sizes(likelihood, groups, channels) -> None:
    autoencoder, batch = small(groups=groups, likelihood=likelihood), images()
    q = autoencoder.encode(batch)
    assert q.mean.shape == q.std.shape == (4, channels, 3, 2)
    decoded = autoencoder.decode(q.rsample())
    assert decoded.log_prob(batch).shape == (4,)
    assert decoded.mode()["x"].shape == decoded.sample()["x"].shape == batch["x"].shape
    assert decoded.mode()["x"].dtype == torch.uint8


def test_the_bound_is_pixels_less_divergences() -> None:
    autoencoder, batch = small(groups=(1, 2)), images()
    z = torch.randn(4, 3, 3, 2)
    torch.manual_seed(5)
    bound = autoencoder.decode(z).log_prob(batch)
    torch.manual_seed(5)
    pixels, kls = autoencoder.descend(z, autoencoder.features(batch["x"]))
    assert len(kls) == 2
    assert all(bool((kl > 0).all()) for kl in kls)
    assert torch.allclose(bound, pixels.log_prob(batch) - kls[0] - kls[1])


def test_the_bound_lies_below_the_evidence() -> None:
    """ln p(x | z) by many importance-weighted draws of the lower group is larger than the mean of single bounds."""
    autoencoder, batch = small(groups=(1, 1), shape=(1, 4, 4), halvings=1, width=8, latent=1), images(1, (1, 4, 4))
    z, n = torch.randn(1, 1, 2, 2), 4000
    features = [f.expand(n, -1, -1, -1) for f in autoencoder.features(batch["x"])]
    many = z.expand(n, -1, -1, -1)
    with torch.no_grad():
        torch.manual_seed(1)
        pixels, (kl,) = autoencoder.descend(many, features)
        log_p = pixels.log_prob({"x": batch["x"].expand(n, -1, -1, -1)}).double()
        # the same draw again, to weigh it
        state = autoencoder.start.expand(n, -1, -1, -1)
        state = autoencoder.groups[0][0](state, many)
        state = autoencoder.down[0](autoencoder.larger[0](state))
        q = autoencoder.groups[1][0].q(features[0], state)
        torch.manual_seed(1)
        value = q.rsample()
        standard = DiagonalGaussian(torch.zeros_like(value), torch.ones_like(value))
        log_ratio = (standard.log_prob(value) - q.log_prob(value)).double()
        evidence = torch.logsumexp(log_p + log_ratio, 0) - math.log(n)
        bound = (log_p - kl.double()).mean()
    assert float(bound) <= float(evidence) + 1e-6
    assert float(evidence - bound) > 1e-4


def test_posteriors_do_not_depend_on_chance_or_on_other_images() -> None:
    autoencoder, batch = small(groups=(3,)), images()
    q, again = autoencoder.encode(batch), autoencoder.encode(batch)
    assert torch.equal(q.mean, again.mean)
    alone = autoencoder.encode({"x": batch["x"][1:2]})
    assert torch.allclose(q.mean[1:2], alone.mean, atol=1e-5)


def test_later_groups_see_earlier_ones() -> None:
    autoencoder, batch = small(groups=(2,)), images()
    before = autoencoder.encode(batch).mean
    with torch.no_grad():
        autoencoder.groups[0][0].enter.weight.mul_(3)
    after = autoencoder.encode(batch).mean
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.allclose(before[:, 3:], after[:, 3:])


def test_modes_are_a_function_of_the_latent_and_samples_are_not() -> None:
    autoencoder = small(groups=(1, 1))
    decoded = autoencoder.decode(torch.randn(2, 3, 3, 2))
    assert torch.equal(decoded.mode()["x"], decoded.mode()["x"])
    assert not torch.equal(decoded.sample()["x"], decoded.sample()["x"])


def test_balancing_changes_gradients_and_no_value() -> None:
    autoencoder, kls = small(groups=(1, 2, 1)), torch.rand(3, 4, requires_grad=True)
    decoded = autoencoder.decode(torch.randn(4, 3, 3, 2))
    assert decoded._balanced(kls) is kls
    autoencoder.train()
    balanced = decoded._balanced(kls)
    assert torch.allclose(balanced, kls)
    (gradient,) = torch.autograd.grad(balanced.sum(), kls)
    alpha = torch.tensor([0.5, 0.5, 4.0]) / 0.5  # 4^scale over the scale's groups, the smallest made 1
    expected = (kls.detach().mean(1) + 0.01) / alpha
    assert torch.allclose(gradient[:, 0], expected / expected.mean())
    assert float(gradient[:, 0].mean()) == pytest.approx(1)


def test_the_penalty_is_there_while_training_alone() -> None:
    autoencoder, batch = small(groups=(1,), spectral=0.5), images()
    z = torch.randn(4, 3, 3, 2)
    plain = autoencoder.decode(z).log_prob(batch)
    expected = 0.5 * (autoencoder.norms() + largest_gains(autoencoder)).detach()
    autoencoder.train()
    penalised = autoencoder.decode(z).log_prob(batch)
    assert torch.allclose(plain - penalised, expected.expand(4), rtol=1e-3)


def test_squeeze_excite_scales_channels() -> None:
    torch.manual_seed(0)
    layer, x = SqueezeExcite(8), torch.randn(2, 8, 3, 5)
    ratio = layer(x) / x
    assert torch.allclose(ratio, ratio[:, :, :1, :1].expand_as(ratio), atol=1e-5)
    assert bool(((ratio > 0) & (ratio < 1)).all())


@pytest.mark.parametrize("cell", [EncoderCell(8), DecoderCell(8)])
def test_cells_do_not_mix_images(cell) -> None:
    x = torch.randn(3, 8, 5, 4)
    assert cell(x).shape == x.shape
    assert torch.allclose(cell(x)[1:2], cell(x[1:2]), atol=1e-5)


@pytest.mark.parametrize("groups", [(), (0,), (1, 1, 1, 1)])
def test_groups_that_cannot_be_are_refused(groups) -> None:
    with pytest.raises(ValueError, match="at least one group a scale"):
        small(groups=groups)


def test_it_trains_end_to_end_and_is_stored(tmp_path) -> None:
    torch.manual_seed(0)
    digits = Images("digits", architecture="nvae", groups=(2, 1), latent=2, width=8, spectral=1e-3, limit=32)
    assert digits.latents.shape == (4, 4, 4)
    recipe = latentgen.LSGM(width=16, depth=1, heads=2)
    prepared = recipe.prepare(digits)
    before = {name: value.clone() for name, value in prepared.model.autoencoder.named_parameters()}
    options = latentgen.TrainingOptions(steps=2, batch_size=8, ema=0.0)
    model = latentgen.Trainer(prepared.model, prepared.objectives, tmp_path, options, quiet=True).fit()
    still = [n for n, value in model.autoencoder.named_parameters() if torch.equal(value, before[n])]
    assert still == []
    again = latentgen.load(tmp_path)
    assert torch.equal(model.sample(3, steps=2)["x"], again.sample(3, steps=2)["x"])
    assert again.nelbo([digits.dataset("test").__getitems__([0, 1])], "bound").mean > 0


def test_layouts_without_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="choose a grid and groups"):
        Images("digits", architecture="nvae", layout="vector")
