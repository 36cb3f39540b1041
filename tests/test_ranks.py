"""Copies of a model that drift apart on two processes end the run before a checkpoint holds one of them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from test_trainer import launch
from torch import nn

from latentgen.collapse import TrainingDiverged
from latentgen.ranks import check_equal_copies

SCRIPT = """
import sys
import torch
sys.path.insert(0, {tests!r})
from toy import Toy
import latentgen

def corrupt(trainer):
    if trainer.step == 6 and trainer.accelerator.process_index == 1:
        with torch.no_grad():
            next(trainer.model.prior.parameters()).mul_({factor})

torch.manual_seed(0)
prepared = latentgen.LSGM(width=16, depth=1, heads=2).prepare(Toy())
options = latentgen.TrainingOptions(steps=12, batch_size=8, checkpoint_every=4, log_every=2)
latentgen.Trainer(prepared.model, prepared.objectives, sys.argv[1], options, [corrupt], quiet=True).fit()
"""


def fake(*others: nn.Module) -> SimpleNamespace:
    """An accelerator of three processes, of which the last two hold these models."""
    def reduce(own: torch.Tensor, reduction: str) -> torch.Tensor:
        if reduction == "sum":  # of what each found apart: the first process's own here
            return own
        norms = [torch.stack([p.detach().norm() for p in model.parameters()]) for model in others]
        return torch.stack([own, *norms]).mean(dim=0)

    return SimpleNamespace(num_processes=1 + len(others), device=torch.device("cpu"), reduce=reduce)


def test_equal_copies_pass_and_others_are_named() -> None:
    torch.manual_seed(0)
    one, two, three = (nn.Linear(3, 2) for _ in range(3))
    two.load_state_dict(one.state_dict())
    three.load_state_dict(one.state_dict())
    check_equal_copies(fake(two, three), one, 5)
    check_equal_copies(fake(), one, 5)
    for broken in (2.0, float("nan")):
        with torch.no_grad():
            three.bias.fill_(broken)
        with pytest.raises(TrainingDiverged, match=r"other weights than one another at step 5 \(first in bias\)"):
            check_equal_copies(fake(two, three), one, 5)


@pytest.mark.slow
@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_a_copy_that_is_changed_on_one_process_ends_the_run(tmp_path: Path, factor: float) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent), factor=factor))
    done = launch(script, [tmp_path / "run"], 2)
    checkpoints = sorted(path.name for path in (tmp_path / "run" / "checkpoints").glob("step_*"))
    if factor == 1:  # not asked: how interpreters end, which gloo's threads abort now and then, all being written
        assert checkpoints[-1] == "step_00000012" and (tmp_path / "run" / "export" / "model.safetensors").exists()
        assert "TrainingDiverged" not in done.stderr.decode()
    else:
        assert done.returncode != 0 and checkpoints == ["step_00000004"]
        assert "have other weights than one another at step 8" in done.stderr.decode()
