from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import entropy

from latentgen.metrics import mode_statistics


def test_against_scipy() -> None:
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    assignment = torch.multinomial(torch.ones(4), 1000, replacement=True)
    share = torch.bincount(assignment, minlength=4).double() / 1000
    found = mode_statistics(assignment, 4, weights)
    assert found["mode_kl"] == pytest.approx(entropy(share.numpy(), weights.numpy()))
    assert found["modes"] == 4


def test_missing_modes_and_strays() -> None:
    found = mode_statistics(torch.tensor([0, 0, 1, -1]), 4)
    assert found["modes"] == 2
    assert found["mode_kl"] == pytest.approx(2 / 3 * math.log(8 / 3) + 1 / 3 * math.log(4 / 3))
    assert mode_statistics(torch.tensor([-1]), 4) == {"modes": 0.0, "mode_kl": math.inf}
    assert mode_statistics(torch.tensor([0]), 2, torch.tensor([0.0, 1.0]))["mode_kl"] == math.inf


def test_refusals() -> None:
    with pytest.raises(ValueError, match="assignment has mode 4 for modes=4"):
        mode_statistics(torch.tensor([4]), 4)
    with pytest.raises(ValueError, match=r"weights has shape \(3,\) for modes=4"):
        mode_statistics(torch.tensor([0]), 4, torch.ones(3) / 3)
