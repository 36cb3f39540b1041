"""Accelerate as a run wants it, whatever launched the process."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from accelerate import Accelerator

from .training_options import TrainingOptions


def make_accelerator(options: TrainingOptions, run: str | Path) -> Accelerator:
    """Accelerate as the options want it; several processes without a device talk through gloo.

    Raises:
        RuntimeError: if the launcher started several processes and Accelerate takes each for the only one.
    """
    world = int(os.environ.get("WORLD_SIZE") or 1)
    accelerator = Accelerator(
        mixed_precision=options.precision,
        log_with=list(options.trackers) or None,
        project_dir=str(run),
        cpu=world > 1 and not torch.accelerator.is_available(),
    )
    if world > 1 and accelerator.num_processes == 1:
        raise RuntimeError(
            f"WORLD_SIZE is {world}, and Accelerate runs alone in each process; unset WORLD_SIZE, or launch with "
            "torchrun."
        )
    return accelerator
