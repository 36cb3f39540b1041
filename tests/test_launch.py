"""What launchers and configuration files of Accelerate ask for: followed, named in a warning, or refused."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from toy import Toy

import latentgen

pytestmark = pytest.mark.usefixtures("fresh_accelerator")


def trained(run: Path, accelerator: Accelerator | None = None, **options) -> latentgen.Trainer:
    torch.manual_seed(0)
    prepared = latentgen.LSGM(width=16, depth=1, heads=2).prepare(Toy())
    settings = latentgen.TrainingOptions(steps=2, batch_size=8, log_every=1, **options)
    trainer = latentgen.Trainer(prepared.model, prepared.objectives, run, settings, (), accelerator, quiet=True)
    trainer.fit()
    return trainer


def weights(trainer: latentgen.Trainer) -> torch.Tensor:
    return torch.cat([value.flatten() for value in trainer.model.state_dict().values()])


def norm(trainer: latentgen.Trainer) -> float:
    return float(trainer._last_losses["grad_norm_prior"])


def test_accumulation_of_the_launcher_does_not_shrink_the_loss(tmp_path: Path, monkeypatch) -> None:
    plain = trained(tmp_path / "plain")
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    with pytest.warns(UserWarning, match="told of 4 gradient accumulation steps, and the run's accumulation is 1"):
        told = trained(tmp_path / "told")
    assert norm(told) == norm(plain) and torch.equal(weights(told), weights(plain))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        agreed = trained(tmp_path / "agreed", accumulation=4)
    monkeypatch.delenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS")
    assert norm(agreed) == norm(trained(tmp_path / "own", accumulation=4))


def test_a_callers_accelerator_does_not_shrink_the_loss_either(tmp_path: Path) -> None:
    plain = trained(tmp_path / "plain")
    with pytest.warns(UserWarning, match="told of 2 gradient accumulation steps"):
        given = trained(tmp_path / "given", Accelerator(gradient_accumulation_steps=2))
    assert norm(given) == norm(plain)


def test_precision_of_the_launcher_is_named(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    with pytest.warns(UserWarning, match="mixed precision bf16, and the run's precision is 'no', which holds"):
        trainer = trained(tmp_path / "a")
    assert trainer.accelerator.mixed_precision == "no"


def test_runs_of_other_precision_follow_each_other_in_one_process(tmp_path: Path) -> None:
    for number, precision in enumerate(("no", "bf16", "no")):
        trainer = trained(tmp_path / str(number), precision=precision)
        assert trainer.accelerator.mixed_precision == precision
    assert torch.equal(weights(trainer), weights(trained(tmp_path / "again")))


def test_what_objectives_are_not_made_for_is_refused(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(ValueError, match="accelerator has mixed precision fp16; choose bf16 or no"):
        fp16 = Accelerator()
        fp16.state._mixed_precision = "fp16"  # which Accelerate itself refuses without a GPU
        trained(tmp_path / "a", fp16)
    for name in ("DEEPSPEED", "FSDP", "MEGATRON_LM"):
        monkeypatch.setenv(f"ACCELERATE_USE_{name}", "true")
        with pytest.raises(RuntimeError, match=f"launched with {name}, and models are trained here as whole copies"):
            trained(tmp_path / "b")
        monkeypatch.delenv(f"ACCELERATE_USE_{name}")
