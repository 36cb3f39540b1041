"""The unit of log_prob, found from log-ratios alone: any densities, any number of draws, a calibrated error."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, Normal

from latentgen.testing.nats import _slope


def peaked(shift: float) -> MixtureSameFamily:
    """Narrow and wide components, as an untrained decoder's mixtures of logistics have them."""
    means, scales = torch.tensor([-2.0, 0.0, 3.0]), torch.tensor([0.05, 2.0, 0.3])
    weights = torch.tensor([0.3, 0.5, 0.2])
    return MixtureSameFamily(Categorical(weights), Normal(means.double() + shift, scales.double()))


def ratios(unit: float, draws: int, examples: int = 4) -> Tensor:
    """Log-ratios by a log_prob of ``unit`` times the true one, shape [draws, 2, examples]."""
    first, second = peaked(0.0), peaked(0.06)
    x, y = first.sample((draws, examples)), second.sample((draws, examples))
    there = second.log_prob(x) - first.log_prob(x)
    back = first.log_prob(y) - second.log_prob(y)
    return unit * torch.stack([there, back], 1)


@pytest.mark.parametrize("unit", [1.0, 1 / 0.693147, 0.9, 1 / 784])
def test_slope_is_the_inverse_of_the_unit_for_densities_far_from_normal(unit: float) -> None:
    torch.manual_seed(0)
    found = ratios(unit, 100_000)
    slope, error = _slope(found)
    assert error * unit < 0.01
    assert slope == pytest.approx(1 / unit, abs=4 * error)


def test_standard_error_is_the_spread_of_the_slope() -> None:
    torch.manual_seed(0)
    runs = [_slope(ratios(1.0, 400)) for _ in range(200)]
    z = torch.tensor([(slope - 1) / error for slope, error in runs])
    assert float(z.mean()) == pytest.approx(0, abs=4 / len(z) ** 0.5)
    assert float(z.std()) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("draws", range(32, 42))
def test_every_number_of_draws_gives_an_error(draws: int) -> None:
    torch.manual_seed(0)
    slope, error = _slope(ratios(1.0, draws))
    assert 0 < error < 1
    assert slope == pytest.approx(1, abs=5 * error)


def test_a_log_prob_that_prefers_the_wrong_origin_has_a_negative_slope() -> None:
    torch.manual_seed(0)
    assert _slope(ratios(-1.0, 2000))[0] == pytest.approx(-1, abs=0.2)


def test_a_draw_that_its_own_density_excludes_is_against_the_log_prob() -> None:
    """A log-ratio of +inf: what p_1 drew has p_1(x) = 0. One of -inf is only a support that differs."""
    torch.manual_seed(0)
    found = ratios(1.0, 2000)
    found[0, 0, 0] = -torch.inf
    assert _slope(found)[0] == pytest.approx(1, abs=0.2)
    found[0, 0, 0] = torch.inf
    assert _slope(found)[0] < 0.2
