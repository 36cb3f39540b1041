"""Accelerate as a run wants it, whatever launched the process."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from .training_options import TrainingOptions

_NOT_OURS = ("DEEPSPEED", "FSDP", "MEGATRON_LM")
_made: set[str] = set()  # precisions of accelerators made here: Accelerate has one for the whole process


def make_accelerator(options: TrainingOptions, run: str | Path) -> Accelerator:
    """Accelerate as the options want it; several processes without a device talk through gloo.

    Raises:
        RuntimeError: if the launcher started several processes and Accelerate takes each for the only one, or if it
            asks for a way of training that objectives are not made for.
    """
    for name in _NOT_OURS:
        if os.environ.get(f"ACCELERATE_USE_{name}", "").lower() in ("1", "true"):
            raise RuntimeError(
                f"accelerate was launched with {name}, and models are trained here as whole copies (DDP); launch with "
                "--multi_gpu, or without that part of the accelerate configuration."
            )
    world = int(os.environ.get("WORLD_SIZE") or 1)
    if AcceleratorState._shared_state.get("_mixed_precision") in _made - {options.precision}:
        AcceleratorState._reset_state()  # an earlier run of this process, of another precision
    accelerator = Accelerator(
        mixed_precision=options.precision,
        log_with=list(options.trackers) or None,
        project_dir=str(run),
        cpu=world > 1 and not torch.accelerator.is_available(),
    )
    _made.add(options.precision)
    if world > 1 and accelerator.num_processes == 1:
        raise RuntimeError(
            f"WORLD_SIZE is {world}, and Accelerate runs alone in each process; unset WORLD_SIZE, or launch with "
            "torchrun."
        )
    asked = os.environ.get("ACCELERATE_MIXED_PRECISION") or "no"
    if asked not in ("no", options.precision) and accelerator.is_main_process:
        warnings.warn(
            f"accelerate was launched with mixed precision {asked}, and the run's precision is {options.precision!r}, "
            "which holds; set precision of TrainingOptions to change it.",
            stacklevel=3,
        )
    return accelerator


def settled(accelerator: Accelerator, options: TrainingOptions) -> Accelerator:
    """The accelerator, once its loss is the whole loss: passes are counted by ``accumulation`` of the options.

    Raises:
        ValueError: if it scales losses for fp16, which clipping and the search for non-finite gradients do not know.
    """
    if accelerator.mixed_precision == "fp16":
        raise ValueError("accelerator has mixed precision fp16; choose bf16 or no: gradients are clipped unscaled.")
    steps = accelerator.gradient_accumulation_steps
    if steps not in (1, options.accumulation) and accelerator.is_main_process:
        warnings.warn(
            f"accelerate was told of {steps} gradient accumulation steps, and the run's accumulation is "
            f"{options.accumulation}, which holds; set accumulation of TrainingOptions to change it.",
            stacklevel=3,
        )
    accelerator.gradient_accumulation_steps = 1  # or it would divide losses a second time
    return accelerator
