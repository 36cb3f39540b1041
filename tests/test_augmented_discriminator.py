"""A discriminator behind random transforms: when it transforms, how p moves, and that its state outlives a kill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from augmented_script import Grids, fit, parts
from torch import nn

from latentgen import (
    VPSDE,
    AdaptiveProbability,
    AugmentedDiscriminator,
    Chain,
    DenoisingGANPrior,
    Discriminate,
    Generate,
    GridAugmentation,
    IdentityAutoencoder,
)
from latentgen.adversarial_recipe import make_generator
from latentgen.checkpoint import latest_checkpoint, load_checkpoint
from latentgen.component import describe
from latentgen.config import build
from latentgen.nn.augmented_discriminator import ObservesReal

ROOT = Path(__file__).parent.parent


class Seen(nn.Module):
    """D = w . z_s, and what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.pairs = nn.Parameter(torch.randn(2, 6, 6)), []

    def forward(self, z_s, z_t, log_snr, mask=None, condition=None):
        self.pairs.append((z_s, z_t))
        return (z_s * self.weight).flatten(1).sum(1)


def prior_and_batch() -> tuple[DenoisingGANPrior, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    prior = DenoisingGANPrior(Grids.latents, make_generator(Grids.latents, Chain(VPSDE(), 1), 16, 1, 2))
    return prior, {"x": torch.randn(8, 2, 6, 6)}


def test_training_transforms_and_evaluation_does_not() -> None:
    seen = Seen()
    augmented = AugmentedDiscriminator(seen, GridAugmentation(p=1.0))
    z_s, z_t = torch.randn(16, 2, 6, 6), torch.randn(16, 2, 6, 6)
    augmented.eval()(z_s, z_t, torch.zeros(16))
    assert seen.pairs[0][0] is z_s
    assert seen.pairs[0][1] is z_t
    augmented.train()(z_s, z_t, torch.zeros(16))
    assert all((new != old).flatten(1).any(1).all() for new, old in zip(seen.pairs[1], (z_s, z_t), strict=True))


def test_at_probability_zero_the_losses_are_those_of_the_bare_discriminator() -> None:
    prior, batch = prior_and_batch()
    bare = Seen()
    wrapped = AugmentedDiscriminator(bare, GridAugmentation(p=0.0), "fixed")
    found = []
    for discriminator in (bare, wrapped):
        torch.manual_seed(1)
        losses = Discriminate(IdentityAutoencoder(), prior, discriminator, r1=0.5)(batch)
        losses["loss"].backward()
        found.append((losses["loss"], losses["r1"], bare.weight.grad))
        bare.weight.grad = None
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))


def test_the_penalty_is_taken_before_the_transform() -> None:
    """D(T z) = w . T z with a linear T: the gradient is T^T w, and its squared norm reaches w."""
    prior, batch = prior_and_batch()
    seen = Seen()
    augmentation = GridAugmentation(p=1.0, padding="zero", brightness=0.0)
    augmented = AugmentedDiscriminator(seen, augmentation, "fixed")
    torch.manual_seed(2)
    losses = Discriminate(IdentityAutoencoder(), prior, augmented, r1=1e6, r1_interval=1)(batch)
    losses["loss"].backward()
    # the transforms are the last random numbers of the forward pass; they do not depend on what is transformed
    torch.manual_seed(2)
    state = []
    augmentation.register_forward_pre_hook(lambda module, grids: state.append(torch.get_rng_state()))
    Discriminate(IdentityAutoencoder(), prior, augmented, r1=0.0)(batch)
    matrix = augmentation_matrix(augmentation, state[0], 16)[:8]
    gradient = torch.einsum("bij,i->bj", matrix, seen.weight.detach().flatten())
    assert losses["r1"].item() == pytest.approx(gradient.square().sum(1).mean().item(), rel=1e-4)
    expected = torch.einsum("bij,bj->i", matrix, gradient) / 8 * 1e6
    assert torch.allclose(seen.weight.grad.flatten(), expected, rtol=1e-3, atol=1e-3 * expected.abs().max().item())


def augmentation_matrix(augmentation: GridAugmentation, state: torch.Tensor, n: int) -> torch.Tensor:
    """The linear map of each sample, shape [n, 72, 72], by its columns."""
    columns = []
    for unit in torch.eye(72).reshape(72, 2, 6, 6):
        torch.set_rng_state(state)
        grid = unit.expand(n, -1, -1, -1)
        columns.append(augmentation(grid, grid)[0].flatten(1))
    return torch.stack(columns, dim=-1)


def test_the_generator_gets_its_gradient_through_the_transform() -> None:
    prior, batch = prior_and_batch()
    augmented = AugmentedDiscriminator(Seen(), GridAugmentation(p=1.0), AdaptiveProbability(interval=1, images=10))
    Generate(IdentityAutoencoder(), prior, augmented)(batch)["loss"].backward()
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in prior.generator.parameters())
    assert augmented.discriminator.weight.grad is None
    assert augmented.augmentation.p == 1, "only the discriminator's own update moves p"


def test_p_follows_the_sign_and_stays_a_probability() -> None:
    control, p = AdaptiveProbability(target=0.6, interval=4, images=100), torch.tensor(0.5)
    for _ in range(3):
        control.update(p, torch.ones(10))
    assert p == 0.5, "not due yet"
    assert control.sign == 1
    control.update(p, torch.ones(10))
    assert p.item() == pytest.approx(0.9)
    for _ in range(4):
        control.update(p, torch.ones(10))
    assert p == 1, "no more than a probability"
    weak = torch.tensor([1.0] * 7 + [-1.0] * 3)  # mean sign 0.4
    for _ in range(4):
        control.update(p, weak)
    assert p.item() == pytest.approx(0.6)
    assert control.sign.item() == pytest.approx(0.4)
    for _ in range(8):
        control.update(p, weak)
    assert p == 0


def test_at_the_target_p_rests() -> None:
    control, p = AdaptiveProbability(target=0.5, interval=1, images=10), torch.tensor(0.5)
    control.update(p, torch.tensor([1.0, 1.0, 1.0, -1.0]))
    assert p == 0.5
    control.update(p, torch.tensor([float("nan"), 0.1]))
    assert p.item() == pytest.approx(0.6), "NaN does not count"
    control.update(p, torch.full((3,), float("nan")))
    assert p.isfinite()


def test_discriminate_moves_p_once_a_call_and_logs_it() -> None:
    prior, batch = prior_and_batch()
    augmented = AugmentedDiscriminator(Seen(), control=AdaptiveProbability(target=-0.999, interval=1, images=100))
    assert isinstance(augmented, ObservesReal)
    assert not isinstance(augmented.discriminator, ObservesReal)
    losses = Discriminate(IdentityAutoencoder(), prior, augmented)(batch)
    assert losses["augmentation_p"].item() == pytest.approx(0.08)
    assert -1 < losses["real_sign"] <= 1
    again = Discriminate(IdentityAutoencoder(), prior, augmented.eval())(batch)
    assert again["augmentation_p"].item() == pytest.approx(0.08), "evaluation leaves p"
    assert losses["augmentation_p"].item() == pytest.approx(0.08), "a figure is a copy"
    fixed = AugmentedDiscriminator(Seen(), GridAugmentation(p=0.25), "fixed")
    losses = Discriminate(IdentityAutoencoder(), prior, fixed)(batch)
    assert losses["augmentation_p"] == 0.25
    assert "real_sign" not in losses
    assert "augmentation_p" not in Discriminate(IdentityAutoencoder(), prior, Seen())(batch)


def test_state_survives_a_round_trip() -> None:
    one = AugmentedDiscriminator(Seen(), GridAugmentation(p=0.5), AdaptiveProbability(interval=3, images=50))
    two = AugmentedDiscriminator(Seen(), GridAugmentation(), AdaptiveProbability(interval=3, images=50))
    for _ in range(4):
        one.observe_real(torch.ones(5))
    two.load_state_dict(one.state_dict())
    for _ in range(5):
        first, second = one.observe_real(torch.ones(5)), two.observe_real(torch.ones(5))
        assert first == second
    assert first["augmentation_p"].item() == pytest.approx(1.0)


def test_it_is_a_component() -> None:
    made = build(describe(AdaptiveProbability(0.5, 2, 1000)))
    assert (made.target, made.interval, made.images) == (0.5, 2, 1000)
    assert build(describe(GridAugmentation(turn=False, p=0.1))).p.item() == pytest.approx(0.1)


def test_a_one_shot_gan_trains_with_it(tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in parts()[2].state_dict().items()}
    after = fit(tmp_path, 2, interval=1, images=20, target=-0.999).state_dict()
    assert after["augmentation.p"] > before["augmentation.p"]
    assert any((after[name] != before[name]).any() for name in after if name.startswith("discriminator."))
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["augmentation_p"] for row in rows] == pytest.approx([0.7, 1.0])


def test_a_run_that_broke_off_ends_bit_equal(tmp_path: Path) -> None:
    class Broken(RuntimeError):
        pass

    def break_off(trainer) -> None:
        if trainer.step == 6:
            raise Broken

    given = {"interval": 3, "images": 200}  # the checkpoint of step 4 falls between two moves
    fit(tmp_path / "whole", 9, **given)
    with pytest.raises(Broken):
        fit(tmp_path / "parts", 9, [break_off], **given)
    fit(tmp_path / "parts", 9, **given)
    whole, part = (load_checkpoint(latest_checkpoint(tmp_path / name))[0] for name in ("whole", "parts"))
    own = whole["objective-0"]
    for name in ("augmentation.p", "control.sign", "control.signs", "control.seen", "control.minibatches"):
        assert f"discriminator.{name}" in own
    assert own["discriminator.control.minibatches"] == 9
    assert own["discriminator.augmentation.p"] != 0.3
    for group, tensors in whole.items():
        assert all(torch.equal(value, part[group][name]) for name, value in tensors.items()), group


@pytest.mark.slow
def test_two_processes_keep_one_probability(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    script = Path(__file__).parent / "augmented_script.py"
    command += [str(script), str(tmp_path), "5"]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    found = [json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in range(2)]
    assert found[0] == found[1]
    assert found[0]["p"] == pytest.approx(0.3 + 2 * 2 * 16 / 1000)  # two moves by two minibatches of both processes
    assert found[0]["seen"] == 16


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"target is 1; it is a mean sign between -1 and 1"):
        AdaptiveProbability(target=1)
    with pytest.raises(ValueError, match="interval is 0; it must be at least 1 minibatch"):
        AdaptiveProbability(interval=0)
    with pytest.raises(ValueError, match="images is 0; it must be at least 1 sample"):
        AdaptiveProbability(images=0)
    with pytest.raises(ValueError, match="control is 'on'; choose adaptive or fixed"):
        AugmentedDiscriminator(Seen(), control="on")  # type: ignore[arg-type]
