"""The contract of a modality, as one call that takes seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor

from ..latents import LatentSpec
from ..modality import Modality
from ..stream import batches
from ..tensors import Batch
from .autoencoder import run_autoencoder_checks
from .portable import configuration, same_tensor, sample_mask, state
from .result import CheckResult, Checks, require
from .training import figures, picture, save_and_load, two_adversarial_steps, two_steps

LOOKED_AT = 64
SPLITS = ("train", "test")


@dataclass
class Examples:
    """A modality and a few of its examples."""

    modality: Modality
    count: int

    @cached_property
    def looked_at(self) -> Batch:
        """The first training examples as one batch."""
        return first_examples(self.modality, "train", LOOKED_AT)

    @cached_property
    def few(self) -> Batch:
        """A few of them; with masks, the smaller ones of different sizes, so that some is padded."""
        batch = self.looked_at
        rows = torch.arange(len(next(iter(batch.values()))))
        if "mask" in batch and batch["mask"].dim() == 2:
            sizes = batch["mask"].sum(dim=1)
            rows = sizes.argsort(stable=True)
            smaller = int((sizes < sizes.max()).sum())
            rows = rows[:smaller] if smaller > 1 else rows
        chosen = rows[torch.linspace(0, len(rows) - 1, min(self.count, len(rows))).long()]
        return {key: value[chosen] for key, value in batch.items()}


def first_examples(modality: Modality, split: str, count: int) -> Batch:
    """The first examples of a split as one batch."""
    return next(batches(modality, modality.dataset(split), batch_size=count, limit=count))


def check_modality(modality: Modality, examples: int = 8) -> list[CheckResult]:
    """Check all that training, sampling and saving rely on in a modality.

    The modality's own data are used, a few examples at a time, and two small priors are trained for
    two steps. Nothing is left behind.

    Args:
        modality: the modality, with data.
        examples: number of examples that go through the autoencoder.

    Returns:
        One result for each of: data, batch, data repeat, latents, mask, condition, autoencoder,
        posterior, likelihood, seeding, independence, padding, gradient, generated, nats,
        sample_mask, configuration, state, training, adversarial, save and load, figures, picture.
    """
    checks, given = Checks(), Examples(modality, examples)
    checks.run("data", partial(_data, modality))
    rules: dict[str, Callable[[Examples], str | None]] = {
        "batch": _batch,
        "data repeat": _repeat,
        "latents": _latents,
        "mask": _mask,
        "condition": _condition,
    }
    for name, rule in rules.items():
        needs = ["data"] if name in ("batch", "latents") else ["data", "batch"]
        checks.run(name, partial(rule, given), [*needs, *(["latents"] if name == "mask" else [])])
    if checks.run(
        "autoencoder", partial(_autoencoder, modality), ("data", "batch", "latents", "mask")
    ):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            autoencoder = modality.autoencoder()
        run_autoencoder_checks(checks, autoencoder, given.few, modality.latents)
    checks.run("sample_mask", partial(sample_mask, modality), ("latents",))
    checks.run("configuration", partial(configuration, modality))
    checks.run("state", partial(state, modality), ("autoencoder", "configuration", "sample_mask"))
    _run_model_checks(checks, given)
    return checks.results


def _run_model_checks(checks: Checks, given: Examples) -> None:
    modality = given.modality
    needs = ["autoencoder", "posterior", "likelihood"]
    checks.run("training", lambda: two_steps(modality, given.few), needs)
    needs_training = [*needs, "gradient", "training"]
    checks.run("adversarial", lambda: two_adversarial_steps(modality, given.few), needs_training)
    needs += ["generated", "sample_mask", "configuration", "state"]
    checks.run("save and load", lambda: save_and_load(modality, given.few), needs)
    checks.run(
        "figures",
        lambda: figures(modality, given.looked_at, first_examples(modality, "test", LOOKED_AT)),
        ("batch",),
    )
    checks.run("picture", lambda: picture(modality, given.few), ("batch",))


def _data(modality: Modality) -> str:
    sizes = {split: len(modality.dataset(split)) for split in SPLITS}
    for split, size in sizes.items():
        require(
            size > 0,
            f'dataset("{split}") is empty',
            f'return at least one example from dataset("{split}")',
        )
    return ", ".join(f"{size} {split}" for split, size in sizes.items())


def _repeat(given: Examples) -> None:
    """Against a second call, and against a second object, as in another process."""
    modality = given.modality
    arguments = getattr(modality, "_init_args", {})
    for who, other in (("call", modality), ("process", type(modality)(**arguments))):
        for split in SPLITS:
            first = first_examples(modality, split, LOOKED_AT)
            second = first_examples(other, split, LOOKED_AT)
            require(
                len(modality.dataset(split)) == len(other.dataset(split))
                and first.keys() == second.keys()
                and all(same_tensor(first[key], second[key]) for key in first),
                f'dataset("{split}") gives other data on another {who}',
                "make the data a function of the constructor's arguments: seed a generator of "
                "their own, sort file names, and leave random changes to encode",
            )


def _batch(given: Examples) -> str:
    batch = given.looked_at
    require(
        isinstance(batch, dict) and batch and all(isinstance(v, Tensor) for v in batch.values()),
        f"collate returns a {type(batch).__name__} that is not a dictionary of tensors",
        "return a dictionary of tensors from collate",
    )
    count = min(LOOKED_AT, len(given.modality.dataset("train")))
    for key, value in batch.items():
        require(
            value.dim() > 0 and len(value) == count,
            f"batch[{key!r}] has shape {list(value.shape)} for {count} examples",
            "stack examples along a new first axis in collate",
        )
        require(
            value.dtype in (torch.float32, torch.int64, torch.bool, torch.uint8, torch.int32),
            f"batch[{key!r}] is {value.dtype}",
            f"convert {key!r} to float32 (numbers), int64 (kinds) or bool (flags)",
        )
        require(
            not value.is_floating_point() or bool(value.isfinite().all()),
            f"batch[{key!r}] has NaN or infinity in example "
            f"{int((~value.isfinite()).flatten(1).any(1).nonzero()[:1].sum())}"
            if value.is_floating_point() and value.dim() > 1
            else f"batch[{key!r}] has NaN or infinity",
            "clean the data in dataset() or collate",
        )
    return ", ".join(f"{key} {list(value.shape[1:])}" for key, value in batch.items())


def _latents(given: Examples) -> str:
    latents = given.modality.latents
    require(
        isinstance(latents, LatentSpec) and latents == given.modality.latents,
        f"latents is {latents!r}, or differs from call to call",
        "return the same LatentSpec(shape, layout, masked) on every call",
    )
    mask = " with a mask" if latents.masked else ""
    return f"a {latents.layout} of shape {list(latents.shape)}{mask}"


def _mask(given: Examples) -> str | None:
    latents, mask = given.modality.latents, given.looked_at.get("mask")
    if not latents.masked:
        return "does not apply: latents have no mask"
    require(
        mask is not None,
        'the batch has no "mask", but latents.masked is True',
        'put "mask" [B, N] (True where an item is real) into the batch',
    )
    assert mask is not None
    require(
        mask.dtype == torch.bool and mask.dim() == 2,
        f'batch["mask"] is {mask.dtype} of shape {list(mask.shape)}',
        "make the mask bool of shape [B, N]",
    )
    require(
        mask.shape[1] <= latents.shape[0],
        f"the mask has {mask.shape[1]} items and latents promise at most {latents.shape[0]}",
        "set the first size in latents.shape to the largest number of items",
    )
    require(
        mask.any(dim=1).all(),
        f"example {int((~mask.any(dim=1)).nonzero()[:1].sum())} has no real item",
        "leave empty examples out of the data",
    )
    sizes = mask.sum(dim=1)
    return f"{int(sizes.min())} to {int(sizes.max())} of {latents.shape[0]} items"


def _condition(given: Examples) -> str | None:
    size, condition = given.modality.condition_dim, given.looked_at.get("condition")
    if size == 0 and condition is None:
        return "does not apply: unconditional data"
    require(
        condition is not None and condition.dim() == 2 and condition.shape[1] == size,
        f"condition_dim is {size}, but the batch has "
        f"{'no condition' if condition is None else f'a condition of {list(condition.shape)}'}",
        'put "condition" [B, condition_dim] into the batch, or set condition_dim to its size',
    )
    return None


def _autoencoder(modality: Modality) -> str:
    count = sum(parameter.numel() for parameter in modality.autoencoder().parameters())
    return f"{count:,} parameters"
