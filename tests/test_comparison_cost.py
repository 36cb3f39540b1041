"""Settings are those that a prior has; costs are counted and timed on the same batches, in turns."""

from __future__ import annotations

import time

import pytest
from comparisons import small_models

import latentgen
from latentgen import Setting
from latentgen.comparison_cost import costs, default_settings


@pytest.fixture(scope="module")
def models() -> dict[str, latentgen.LatentGenerativeModel]:
    return small_models()


def test_default_settings_are_those_that_the_prior_has(models) -> None:
    joint = default_settings("joint", models["joint"], calls=(2, 4))
    assert [s.label for s in joint] == [
        "joint: dpm 2", "joint: dpm 4", "joint: ddim 2", "joint: ddim 4", "joint: ode 0.001", "joint: gan",
    ]
    assert default_settings("vae", models["vae"]) == [Setting("vae")]
    assert Setting("vae").label == "vae: prior"


def test_counts(models) -> None:
    settings = [Setting("joint", "heun", 5), Setting("joint", "ddim", 4), Setting("joint", "gan"), Setting("vae")]
    found = costs(models, settings, 4, 1)
    # Heun's last step is an Euler step; a call of this generator evaluates the denoiser too
    assert [(cost.calls, cost.evaluations) for cost in found] == [(9, 9), (4, 4), (3, 6), (0, 0)]
    network = models["joint"].prior.score.denoiser.network
    assert not network._forward_hooks


def test_medians_of_turns_without_the_warm_up(models, monkeypatch) -> None:
    """With a clock of our own: three turns of 2, 8 and 3 s for one setting, always 1 s for the other."""
    clock, visits = [0.0], []
    spent = iter([50.0, 50.0, 2.0, 1.0, 8.0, 1.0, 3.0, 1.0])

    def sample(self, n, sampler=None, *_, batch_size=None, **__):
        visits.append((sampler, n, batch_size))
        clock[0] += next(spent)
        self.calls = len(visits)  # as an adaptive sampler's, different each time
        return {}

    monkeypatch.setattr(latentgen.LatentGenerativeModel, "sample", sample)
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    one, two = costs(models, [Setting("joint", "dpm", 2), Setting("joint", "gan")], 4, 3)
    assert visits == [("dpm", 4, 4), ("gan", 4, 4)] * 4
    assert (one.seconds, one.spread) == (3 / 4, (8 - 2) / 4 / 2)
    assert (two.seconds, two.spread) == (1 / 4, 0.0)
    assert (one.calls, two.calls) == (5, 6)  # medians of 3, 5, 7 and of 4, 6, 8
    assert one.as_row() == {"calls": 5, "evaluations": 0, "seconds_per_sample": 0.75, "seconds_spread": 0.75}
