"""Evaluation mode for a while."""

from __future__ import annotations

import pytest
from torch import nn

from latentgen.evaluating import evaluating


def test_every_part_gets_its_own_mode_back_even_after_an_error() -> None:
    frozen, trained = nn.Dropout(), nn.Sequential(nn.Dropout())
    whole = nn.ModuleList([frozen, trained])
    frozen.eval()
    with pytest.raises(RuntimeError), evaluating(whole):
        assert not any(part.training for part in whole.modules())
        raise RuntimeError
    assert not frozen.training
    assert whole.training and trained.training and trained[0].training
