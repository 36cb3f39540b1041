"""The mixture of logistics sums to 1 over all colours, and draws what it says."""

from __future__ import annotations

import itertools

import pytest
import scipy.stats
import torch

from modalities.images.mixture import LogisticMixturePixels, mixture_size


def colours(levels: int, channels: int) -> torch.Tensor:
    """Every colour once, [L^C, C, 1, 1]."""
    return torch.tensor(list(itertools.product(range(levels), repeat=channels)))[:, :, None, None]


def mixture(channels: int, components: int, levels: int, count: int, spread: float = 1.0) -> LogisticMixturePixels:
    """One random mixture, repeated."""
    torch.manual_seed(0)
    parameters = spread * torch.randn(1, mixture_size(channels, components), 1, 1).double()
    return LogisticMixturePixels(parameters.expand(count, -1, -1, -1), channels, components, levels)


@pytest.mark.parametrize(("channels", "components", "levels"), [(1, 1, 256), (1, 5, 256), (2, 3, 16), (3, 4, 12)])
@pytest.mark.parametrize("spread", [0.5, 3.0])
def test_masses_of_all_colours_sum_to_one(channels: int, components: int, levels: int, spread: float) -> None:
    x = colours(levels, channels)
    like = mixture(channels, components, levels, len(x), spread)
    assert float(torch.logsumexp(like.log_prob({"x": x}), 0)) == pytest.approx(0.0, abs=1e-9)


def test_the_formula_written_out_for_one_colour_pixel() -> None:
    """PixelCNN++: green moves with red, blue with red and green, before the same logistic bins."""
    levels, x = 256, torch.tensor([10, 200, 255])
    like = mixture(3, 2, levels, 1)
    y = 2 * x.double() / 255 - 1
    total = 0.0
    for k in range(2):
        a = like.coefficients[0, k, :, 0, 0]
        mean = like.locations[0, k, :, 0, 0].clone()
        mean[1] += a[0] * y[0]
        mean[2] += a[1] * y[0] + a[2] * y[1]
        product = like.log_weights[0, k, 0, 0].exp()
        for c in range(3):
            density = scipy.stats.logistic(float(mean[c]), float(like.log_scales[0, k, c, 0, 0].exp()))
            upper = 1.0 if x[c] == 255 else density.cdf(float(y[c]) + 1 / 255)
            product = product * (upper - density.cdf(float(y[c]) - 1 / 255))
        total += float(product)
    found = like.log_prob({"x": x.reshape(1, 3, 1, 1)}).exp()
    assert float(found) == pytest.approx(total, rel=1e-9)


def test_draws_have_the_masses() -> None:
    levels, count = 5, 60_000
    like = mixture(3, 3, levels, count, 1.5)
    x = like.sample()["x"]
    assert x.dtype == torch.uint8
    numbers = (x.flatten(1).long() * torch.tensor([levels**2, levels, 1])).sum(1)
    counts = torch.bincount(numbers, minlength=levels**3).double().numpy()
    every = colours(levels, 3)
    expected = mixture(3, 3, levels, len(every), 1.5).log_prob({"x": every}).exp().numpy() * count
    busy = expected > 10
    statistic = ((counts - expected)[busy] ** 2 / expected[busy]).sum()
    assert busy.sum() > 50
    assert statistic < scipy.stats.chi2(busy.sum()).ppf(1 - 1e-6)


def test_the_mode_is_the_mean_of_sharp_mixtures() -> None:
    """Two components of weights 1/4 and 3/4 at -1 and 1, green = red's place exactly: mean 0.5."""
    parameters = torch.zeros(1, 2, 6)
    parameters[0, :, 0] = torch.tensor([0.0, torch.log(torch.tensor(3.0))])
    parameters[0, :, 1] = torch.tensor([-1.0, 1.0])
    parameters[0, :, 3:5] = -9.0
    parameters[0, :, 5] = 20.0  # tanh: 1
    like = LogisticMixturePixels(parameters.reshape(1, 12, 1, 1), 2, 2)
    assert like.mode()["x"].flatten().tolist() == [191, 191]
    x = like.sample()["x"].flatten().tolist()
    assert x[0] in (0, 255) and abs(x[1] - x[0]) <= 1


def test_gradients_are_finite_at_every_level_and_extreme_parameters() -> None:
    parameters = (30 * torch.randn(256, mixture_size(1, 3), 1, 1)).requires_grad_(True)
    LogisticMixturePixels(parameters, 1, 3).log_prob({"x": torch.arange(256).reshape(-1, 1, 1, 1)}).sum().backward()
    assert parameters.grad is not None and parameters.grad.isfinite().all()


def test_half_precision_networks_are_judged_in_single_precision() -> None:
    parameters = torch.randn(4, mixture_size(3, 2), 2, 2)
    x = {"x": torch.randint(256, (4, 3, 2, 2), dtype=torch.uint8)}
    rounded = parameters.bfloat16()
    found = LogisticMixturePixels(rounded, 3, 2).log_prob(x)
    assert found.dtype == torch.float32
    assert torch.equal(found, LogisticMixturePixels(rounded.float(), 3, 2).log_prob(x))
