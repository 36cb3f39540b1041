"""``latentgen train CONFIG --dry-run``: what a run would be, from a few steps of it in a folder that is thrown away."""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..progress import format_seconds
from ..trainer import Trainer

if TYPE_CHECKING:
    from torch import nn

    from ..modality import Modality
    from ..recipe import Prepared
    from ..training_options import TrainingOptions

STEPS = 5
COPIES = 5
"""Weights, their gradients, two moments and the moving average."""


def plan(modality: Modality, prepared: Prepared, options: TrainingOptions) -> str:
    """Shapes, parameters, memory and time of a run, a line each; nothing on all but the main process.

    Args:
        modality: its data.
        prepared: its model and objectives.
        options: of the run.
    """
    trained = {name: part for one in prepared.objectives for name, part in one.groups().items()}
    held: dict[str, nn.Module] = {"autoencoder": prepared.model.autoencoder, "prior": prepared.model.prior}
    parts = {**held, **trained}
    spec, numbers = prepared.model.prior.latents, sum(_count(part) for part in trained.values())
    trainer, seconds, shapes = _tried(prepared, options)
    if not trainer.accelerator.is_main_process:
        return ""
    batch = options.batch_size * options.accumulation * trainer.accelerator.num_processes
    rows = [
        ("data", f"{len(modality.dataset('train')):,} examples; a batch: {', '.join(shapes)}"),
        ("latents", f"{spec.layout} {list(spec.shape)}{', masked' if spec.masked else ''}"),
        ("parameters", ", ".join(f"{name} {_count(part):,}" for name, part in parts.items())),
        ("memory", f"{_size(4 * COPIES * numbers)} for what is trained{_peak(trainer.accelerator.device)}"),
        ("step", f"{batch:,} examples in {seconds:.3g} s on {trainer.accelerator.num_processes} x "
         f"{trainer.accelerator.device}, all objectives"),
        ("run", f"{options.steps:,} steps: {format_seconds(seconds * options.steps)} at the most, without evaluation"),
    ]
    return "\n".join(f"{name:<12} {text}" for name, text in rows)


def _tried(prepared: Prepared, options: TrainingOptions) -> tuple[Trainer, float, list[str]]:
    """The trainer after a few steps, the seconds of one of the last, and the tensors of its batches."""
    ends: list[float] = []
    shapes: list[str] = []

    def note(module: nn.Module, given: tuple[dict[str, torch.Tensor], ...]) -> None:
        shapes[:] = [f"{name} {list(value.shape)}" for name, value in given[0].items()]

    prepared.objectives[0].register_forward_pre_hook(note)
    few = dataclasses.replace(options, steps=STEPS, log_every=STEPS, checkpoint_every=0, trackers=())
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # five steps collapse, and say so
        hooks = [lambda trainer: ends.append(time.perf_counter())]
        trainer = Trainer(prepared.model, prepared.objectives, Path(folder) / "run", few, hooks, quiet=True)
        trainer.fit()
    return trainer, min(ends[-1] - ends[-2], ends[-2] - ends[-3]), shapes


def _count(part: nn.Module) -> int:
    return sum(parameter.numel() for parameter in part.parameters())


def _size(count: float) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**29 else f"{count / 2**20:.1f} MiB"


def _peak(device: torch.device) -> str:
    """The most that was in use so far, where it can be told."""
    if device.type == "cuda":
        return f"; {_size(torch.cuda.max_memory_allocated(device))} of the device in use at the most"
    if sys.platform == "win32":
        return ""
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return f"; {_size(unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)} of the process in use at the most"
