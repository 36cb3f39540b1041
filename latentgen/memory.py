"""Memory that runs out in training: said in one sentence, with what helps."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch

from .training_options import TrainingOptions


class OutOfMemoryError(RuntimeError):
    """A step needs more memory than the device has; checkpoints stand."""


@contextlib.contextmanager
def explained(options: TrainingOptions, device: torch.device, step: int, run: Path) -> Iterator[None]:
    """Turn an allocator's error into a sentence that names what helps.

    Args:
        options: of the run.
        device: that the step runs on.
        step: number of the optimizer step.
        run: folder of the run.

    Raises:
        OutOfMemoryError: in place of the allocator's.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            f"memory of {device}{_peak(device)} ran out in step {step} with batch_size {options.batch_size} and "
            f"precision {options.precision!r}; {_remedy(options)}. The checkpoints in {run / 'checkpoints'} stand."
        ) from error


def _is_out_of_memory(error: BaseException) -> bool:
    kinds = (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, kinds) or "can't allocate memory" in str(error)  # torch's words on a CPU


def _peak(device: torch.device) -> str:
    if device.type != "cuda":
        return ""
    return f" ({torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB in use at the most)"


def _remedy(options: TrainingOptions) -> str:
    """What to change, by how much of the training it changes."""
    found = []
    if options.batch_size > 1:
        half, twice = options.batch_size // 2, 2 * options.accumulation
        found.append(f"set batch_size to {half} and accumulation to {twice} for the same step in two passes")
    if options.precision == "no":
        found.append("precision to bf16")
    return ", or ".join([*found, "take a narrower network or smaller examples"])
