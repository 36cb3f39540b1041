from __future__ import annotations

import math

import pytest
import torch

from latentgen.testing import check_modality
from modalities.mixtures import GaussianGrid


def test_contract() -> None:
    failed = [result for result in check_modality(GaussianGrid(train_size=200, test_size=100)) if not result.passed]
    assert not failed, failed


def test_data_have_unit_variance_and_the_known_share_within_three_sigma() -> None:
    modality = GaussianGrid(train_size=100_000)
    x = modality.dataset("train").x
    assert torch.allclose(x.var(0), torch.ones(2), atol=0.02)
    figures = modality.evaluate({"x": x}, {}, {})
    share = 1 - math.exp(-4.5)  # of a plane normal within radius 3
    assert abs(figures["within"] - share) < 4 * math.sqrt(share * (1 - share) / len(x))
    assert figures["modes"] == 25
    assert figures["mode_kl"] < 0.001


def test_figures_see_missing_modes_and_bad_points() -> None:
    modality = GaussianGrid()
    corner = torch.tensor([[-2.0, -2.0], [2.0, 2.0], [0.0, 0.0], [0.5, 0.5]]) / modality.scale
    assert modality.modes(corner).tolist() == [0, 24, 12, -1]
    figures = modality.evaluate({"x": corner}, {}, {})
    assert figures["within"] == 0.75
    assert figures["modes"] == 3
    assert figures["mode_kl"] == pytest.approx(math.log(25 / 3))


def test_splits_differ_and_stay() -> None:
    modality = GaussianGrid()
    assert torch.equal(modality.dataset("train").x, GaussianGrid().dataset("train").x)
    assert not torch.equal(modality.dataset("train").x[:100], modality.dataset("test").x[:100])


def test_refusals() -> None:
    with pytest.raises(ValueError, match="side is 1; a grid has at least 2 modes"):
        GaussianGrid(side=1)
    with pytest.raises(ValueError, match=r"std is 0\.5; give a number between 0 and 1/6"):
        GaussianGrid(std=0.5)
