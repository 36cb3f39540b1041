"""Conditions reach whatever samples, edits and judges; what does not fit is refused by name."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import latentgen
from latentgen import VPSDE, Batch, LatentSpec, Modality, ScorePrior
from latentgen.autoencoder import IdentityAutoencoder
from latentgen.comparison_cost import Setting
from latentgen.conditions import checked_condition, drawn_condition, dropped_condition
from latentgen.denoiser import Denoiser
from latentgen.evaluation import evaluate

STD = 0.1


class TwoClasses(Modality):
    """Numbers near +1 or -1, with the class as a one-hot condition."""

    latents = LatentSpec((1,))
    condition_dim = 2

    def __init__(self, size: int = 64) -> None:
        self.size = size

    def dataset(self, split: str) -> list[Batch]:
        generator = torch.Generator().manual_seed(len(split))
        label = torch.arange(self.size) % 4 // 3  # three of four in the first class
        x = 1.0 - 2.0 * label + STD * torch.randn(self.size, generator=generator)
        condition = torch.eye(2)[label]
        return [{"x": x[k : k + 1], "condition": condition[k]} for k in range(self.size)]

    def autoencoder(self) -> latentgen.Autoencoder:
        return IdentityAutoencoder(std=1e-3)

    def evaluate(self, generated: Batch, reference: Batch, train: Batch) -> dict[str, float]:
        return {"first class": float((generated["x"] > 0).float().mean())}


class Exact(Denoiser):
    """E[eps | z_t, class] of N(+-1, STD^2); without a class that of both, three to one."""

    def __init__(self) -> None:
        super().__init__(nn.Identity(), VPSDE())
        self.seen: list[Tensor | None] = []

    def noise(
        self, z_t: Tensor, t: Tensor, mask: Tensor | None, condition: Tensor | None, previous: Tensor | None = None
    ) -> Tensor:
        self.seen.append(condition)
        alpha, sigma = self.process.alpha(t)[:, None], self.process.sigma(t)[:, None]
        variance = (alpha * STD) ** 2 + sigma**2
        means = torch.tensor([1.0, -1.0])
        given = torch.tensor([[0.75, 0.25]]).expand(len(z_t), 2) if condition is None else condition
        weight = torch.softmax(given.log() - (z_t - alpha * means) ** 2 / (2 * variance), dim=1)
        return sigma * (z_t - alpha * (weight * means).sum(1, keepdim=True)) / variance


@pytest.fixture
def model() -> latentgen.LatentGenerativeModel:
    modality = TwoClasses()
    return latentgen.LatentGenerativeModel(modality, modality.autoencoder(), ScorePrior(modality.latents, Exact()))


def ones(n: int, label: int) -> Tensor:
    return torch.eye(2)[label].expand(n, 2)


def examples(n: int, label: int) -> Batch:
    return {"x": torch.full((n, 1), 1.0 - 2.0 * label), "condition": ones(n, label)}


def test_an_edit_keeps_the_class_of_its_examples_unless_told_another(model: Any) -> None:
    batch = examples(400, 1)
    assert (model.edit(batch, strength=0.9)["x"] < 0).all()
    assert (model.edit(batch, strength=1.0, condition=ones(400, 0))["x"] > 0).all()
    free = model.edit({"x": batch["x"]}, strength=1.0)["x"]
    assert 0.6 < float((free > 0).float().mean()) < 0.9


def test_ends_of_a_path_are_decoded_under_their_own_classes(model: Any) -> None:
    path = model.interpolate(examples(8, 0), examples(8, 1), n=4)
    signs = [float(batch["x"].sign().mean()) for batch in path]
    assert signs == [1.0, 1.0, -1.0, -1.0]
    assert path[0]["x"].sub(1).abs().max() < 0.05 and path[-1]["x"].add(1).abs().max() < 0.05
    with pytest.raises(ValueError, match="a has 8 examples and b has 3"):
        model.interpolate(examples(8, 0), examples(3, 1))


def test_a_trajectory_ends_in_its_class(model: Any) -> None:
    assert (model.trajectory(50, "dpm", 10, condition=ones(50, 1))[-1]["x"] < 0).all()


def test_inpainting_takes_the_class_of_the_batch(model: Any) -> None:
    batch = examples(64, 1)
    made = model.inpaint(batch, torch.zeros(64, 1, dtype=torch.bool), steps=10, resample=1)
    assert (made["x"] < 0).all()


def test_judges_sample_under_the_conditions_of_the_data(model: Any) -> None:
    result = evaluate(model, samples=400, calls=(10,), nelbo=False)
    row = next(row for row in result["rows"] if row["name"] == "dpm, 10 steps")
    assert row["values"]["first class"] == pytest.approx(0.75, abs=4 * math.sqrt(0.75 * 0.25 / 400))
    given = [condition for condition in model.prior.denoiser.seen if condition is not None]
    assert given and all(set(condition.sum(1).tolist()) == {1.0} for condition in given)
    assert "samples of the prior take the conditions of random training examples." in result["notes"]
    model.prior.denoiser.seen.clear()
    Setting("run", "dpm", 4).sample(model, 8, 0, examples=examples(3, 1))
    assert all(torch.equal(condition, ones(8, 1)) for condition in model.prior.denoiser.seen)


def test_a_sampler_that_is_not_known_is_refused_before_anything_is_measured(model: Any) -> None:
    with pytest.raises(ValueError, match="sampler is 'dmp'; the known ones are"):
        evaluate(model, samples=4, sampler="dmp")
    result = evaluate(model, samples=4, sampler="gan", nelbo=False)
    assert any("no rows by 'gan': this prior is sampled by ode" in note for note in result["notes"])


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (torch.zeros(3, 2), r"condition is torch.float32 of shape \[3, 2\]; expected floats of shape \[4, 2\]"),
        (torch.zeros(4, 3), r"of shape \[4, 3\]; expected floats of shape \[4, 2\]"),
        (torch.zeros(4, dtype=torch.long), r"condition is torch.int64 of shape \[4\]"),
        (torch.eye(2, dtype=torch.long)[[0, 1, 0, 1]], r"condition is torch.int64 of shape \[4, 2\]"),
        ([[1.0, 0.0]] * 4, "condition is a list; expected floats"),
    ],
)
def test_a_condition_that_does_not_fit_is_refused(model: Any, condition: Any, message: str) -> None:
    for call in (
        lambda: model.sample(4, condition=condition),
        lambda: model.edit({"x": torch.zeros(4, 1)}, condition=condition),
        lambda: model.trajectory(4, condition=condition),
        lambda: model.inpaint({"x": torch.zeros(4, 1)}, torch.zeros(4, 1, dtype=torch.bool), condition=condition),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_guidance_needs_a_condition_and_a_condition_a_model_that_takes_one(model: Any) -> None:
    with pytest.raises(ValueError, match="guidance is 2 without a condition"):
        model.sample(4, guidance=2.0)
    with pytest.raises(ValueError, match="trained without conditions"):
        checked_condition(torch.zeros(4, 2), 4, 0)
    with pytest.raises(ValueError, match="start is -1 and batch_size None"):
        model.sample(4, start=-1)
    with pytest.raises(ValueError, match="start is 0 and batch_size 0"):
        model.sample(4, batch_size=0)


def test_guided_edits_go_further(model: Any) -> None:
    one = model.edit(examples(64, 0), 0.5, condition=ones(64, 0))["x"]
    two = model.edit(examples(64, 0), 0.5, condition=ones(64, 0), guidance=3.0)["x"]
    assert not torch.allclose(one, two)


def test_conditions_are_drawn_as_the_data_have_them() -> None:
    batch = {"condition": torch.eye(3)[torch.tensor([0, 0, 2, 0])]}
    drawn = drawn_condition(batch, 4000, 1)
    assert drawn.mean(0).tolist() == pytest.approx([0.75, 0, 0.25], abs=4 * math.sqrt(0.19 / 4000))
    assert torch.equal(drawn, drawn_condition(batch, 4000, 1))
    assert drawn_condition({}, 4, 0) is None


def test_a_share_of_conditions_is_dropped() -> None:
    torch.manual_seed(0)
    given = torch.ones(20_000, 2)
    dropped = dropped_condition(given, 0.1)
    rows = dropped.isnan()
    assert torch.equal(rows[:, 0], rows[:, 1])
    assert float(rows[:, 0].float().mean()) == pytest.approx(0.1, abs=4 * math.sqrt(0.09 / 20_000))
    assert dropped_condition(given, 0.0) is given and dropped_condition(None, 0.5) is None


def test_the_players_of_a_conditional_game_see_dropped_conditions() -> None:
    torch.manual_seed(0)
    recipe = latentgen.DDGAN(2, width=16, depth=1, heads=2, discriminator_depth=1)
    prepared = recipe.prepare(TwoClasses())
    gan = prepared.model.prior
    assert gan.condition_dropout == 0.1
    gan.condition_dropout = 0.5
    seen: list[Tensor] = []
    gan.generator.network.register_forward_pre_hook(lambda module, given: seen.append(given[3]))
    batch = {name: value.repeat(200, 1) for name, value in examples(1, 0).items()}
    for objective in prepared.objectives:
        objective.train()(batch)
    shares = [float(condition.isnan().float().mean()) for condition in seen]
    assert len(shares) == 2 and all(0.3 < share < 0.7 for share in shares)
