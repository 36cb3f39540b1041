"""Copies of a model on several processes, which must stay equal: a difference ends the run, and is in no checkpoint."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import nn

from .collapse import TrainingDiverged

TOLERANCE = 1e-3
"""Share by which norms may differ: devices of two kinds round differently, what is broken is further apart."""


@torch.no_grad()
def check_equal_copies(accelerator: Accelerator, model: nn.Module, step: int) -> None:
    """Compare the norm of every parameter over all processes; every process must call it.

    Args:
        accelerator: of the run.
        model: this process's copy.
        step: optimizer steps done.

    Raises:
        TrainingDiverged: on all processes, if copies differ.
    """
    named = list(model.named_parameters())
    if accelerator.num_processes == 1 or not named:
        return
    norms = torch.stack([value.detach().float().norm() for _, value in named]).to(accelerator.device)
    mean = accelerator.reduce(norms.clone(), reduction="mean")
    apart = ~((norms - mean).abs() <= TOLERANCE * mean + 1e-6)  # NaN is apart, too
    found = accelerator.reduce(apart.float(), reduction="sum")
    if not bool(found.any()):
        return
    raise TrainingDiverged(
        f"processes have other weights than one another at step {step} (first in {named[int(found.nonzero()[0])][0]}); "
        "look for code that changes the model on one process alone, or for a broken device, and go on from the last "
        "checkpoint."
    )
