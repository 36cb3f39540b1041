"""How to train: the options of a run, and the learning rates that follow from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from typing import Literal

_RATES = ("lr", "autoencoder_lr", "generator_lr", "discriminator_lr", "matrix_lr")


@dataclass(frozen=True)
class TrainingOptions:
    """How to train. Steps are optimizer steps everywhere.

    Attributes:
        steps: optimizer steps of the whole run.
        batch_size: examples a process takes in one forward pass.
        lr: peak learning rate of the prior.
        autoencoder_lr: peak learning rate of encoder and decoder.
        generator_lr: peak learning rate of a denoising diffusion GAN's generator.
        discriminator_lr: peak learning rate of its discriminator.
        adversarial_betas: of AdamW for these two, which take it for all their parameters.
        optimizer: "muon" (hidden matrices by Muon, the rest by AdamW) or "adamw" (everything).
        matrix_lr: peak learning rate of Muon.
        warmup: share of the steps in which the rates rise linearly from 0.
        final_lr: share of the peak at the end of the cosine decay.
        weight_decay: of AdamW, on weights of two or more axes.
        betas: of AdamW.
        clip: largest gradient norm, for each learning-rate group on its own.
        ema: decay of the moving average of the weights.
        accumulation: forward passes per optimizer step.
        precision: "no" (fp32) or "bf16" autocast.
        compile: compile the objectives.
        seed: of initialisation-independent randomness: data order and noise.
        workers: processes that load data.
        cache_posteriors: encode the training data once, before the first step, for recipes on a frozen autoencoder;
            every process keeps all posteriors in memory.
        log_every: steps between log rows.
        checkpoint_every: steps between checkpoints; 0: only at the end.
        keep: checkpoints kept.
        skip_limit: consecutive steps with non-finite gradients after which training stops.
        saturation_limit: consecutive log rows with a saturated discriminator after which training stops.
        trackers: names for Accelerate, for example "tensorboard".
    """

    steps: int = 5000
    batch_size: int = 64
    lr: float = 1e-3
    autoencoder_lr: float = 1e-3
    generator_lr: float = 4e-4
    discriminator_lr: float = 4e-4
    adversarial_betas: tuple[float, float] = (0.5, 0.9)
    optimizer: Literal["muon", "adamw"] = "muon"
    matrix_lr: float = 0.02
    warmup: float = 0.02
    final_lr: float = 0.02
    weight_decay: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.99)
    clip: float = 1.0
    ema: float = 0.999
    accumulation: int = 1
    precision: Literal["no", "bf16"] = "no"
    compile: bool = False
    seed: int = 0
    workers: int = 0
    cache_posteriors: bool = False
    log_every: int = 50
    checkpoint_every: int = 1000
    keep: int = 3
    skip_limit: int = 20
    saturation_limit: int = 20
    trackers: Sequence[str] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        if isinstance(self.trackers, str):
            object.__setattr__(self, "trackers", (self.trackers,))
        for option in fields(self):
            kind = {"int": Integral, "float": Real}.get(str(option.type))
            value = getattr(self, option.name)
            if kind is not None and (not isinstance(value, kind) or isinstance(value, bool)):
                raise TypeError(f"{option.name} is {value!r}; give a number ({option.type}).")
        for name in ("betas", "adversarial_betas"):
            pair = getattr(self, name)
            if len(pair) != 2 or not all(0 <= beta < 1 for beta in pair):
                raise ValueError(f"{name} is {pair!r}; give two numbers in [0, 1).")
        for name in ("steps", "batch_size", "accumulation", "log_every", "keep", "skip_limit", "saturation_limit"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        for name in ("workers", "checkpoint_every", "seed"):
            if not 0 <= getattr(self, name) < 2**63:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be a whole number from 0 to 2^63 - 1.")
        for name in (*_RATES, "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be a number of at least 0.")
        if not self.clip > 0:
            raise ValueError(f"clip is {self.clip}; it must be above 0: a gradient norm, or .inf for no clipping.")
        for name in ("warmup", "final_lr", "ema"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be a share, from 0 to 1.")
        if self.optimizer not in ("muon", "adamw"):
            raise ValueError(f"optimizer is {self.optimizer!r}; choose muon or adamw.")
        if self.precision not in ("no", "bf16"):
            raise ValueError(f"precision is {self.precision!r}; choose no (fp32) or bf16.")


def learning_rate(step: int, options: TrainingOptions, first: int = 0) -> float:
    """Factor on the peak rates at a step: linear warm-up, then half a cosine down to ``final_lr``.

    Args:
        step: number of the optimizer step.
        options: of the run.
        first: the step at which the rates begin to rise.
    """
    step, steps = step - first, options.steps - first
    rising = max(1, round(options.warmup * steps))
    if step < rising:
        return (step + 1) / rising
    share = (step - rising) / max(1, steps - rising)
    return options.final_lr + (1 - options.final_lr) * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
