"""Signs of a collapse in the logged figures: warned of while it can still be mended, or a reason to stop."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .tensors import Batch, not_finite

SATURATED = 0.02
"""Discriminator loss (nats, 2 ln 2 at a draw) below which it counts as saturated."""
LATE = 0.3
"""Share of training after which latents should be in use."""


class TrainingDiverged(RuntimeError):
    """Gradients stayed non-finite, or a discriminator saturated, for too long; the last good checkpoint is kept."""


class CollapseWatch:
    """Reads every log row of a run.

    Args:
        limit: consecutive rows with a saturated discriminator after which training stops.
        last_checkpoint: tells the newest checkpoint.
    """

    def __init__(self, limit: int, last_checkpoint: Callable[[], Path | None]) -> None:
        self.limit, self._last_checkpoint = limit, last_checkpoint
        self.saturated_rows = 0
        self._good: Path | None = None

    def read(self, row: Mapping[str, float], step: int, steps: int) -> None:
        """Take in the figures of one row.

        Args:
            row: figures by name.
            step: number of the optimizer step.
            steps: of the whole run.

        Raises:
            TrainingDiverged: if a discriminator has been saturated for ``limit`` rows.
        """
        self._discriminator(row, step)
        late = step > LATE * steps
        if late and row.get("active_units", 1.0) < 1:
            warnings.warn(
                "no latent unit is active: the posterior equals the prior; lower kl_weight or start it lower.",
                stacklevel=3,
            )
        if late and row.get("latent_std", 1.0) < 0.05:
            warnings.warn(
                "the latents have shrunk to a standard deviation below 0.05; raise kl_weight, or lower the encoder's "
                "rates (autoencoder_lr, and matrix_lr under Muon).",
                stacklevel=3,
            )

    def _discriminator(self, row: Mapping[str, float], step: int) -> None:
        """A discriminator that tells every fake from every real sample teaches the generator nothing any more."""
        saturated = row.get("discriminator_loss", 1.0) < SATURATED
        self.saturated_rows = self.saturated_rows + 1 if saturated else 0
        if self.saturated_rows == 1:
            self._good = self._last_checkpoint()
            warnings.warn(
                f"the discriminator is saturated (its loss is below {SATURATED}) at step {step}, so that the "
                "generator gets no signal; raise r1, or lower discriminator_lr.",
                stacklevel=4,
            )
        if self.saturated_rows >= self.limit:
            raise TrainingDiverged(
                f"the discriminator has been saturated for {self.saturated_rows} log rows at step {step}; raise r1 or "
                f"lower discriminator_lr. The last good checkpoint is {self._good}."
            )


def left_out(step: int, parts: Sequence[Batch]) -> str:
    """Why a step was left out, as far as its data tell."""
    bad = sorted({name for part in parts for name in not_finite(part)})
    reason = f"its data hold NaN or infinity in {', '.join(bad)}" if bad else "its data are finite: lower lr or clip"
    return f"step {step} is left out, as all are whose gradients are not finite; {reason}."
