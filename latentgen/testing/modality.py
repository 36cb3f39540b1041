"""The contract of a modality, as one call that takes seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor

from ..component import describe
from ..config import build
from ..latents import LatentSpec
from ..modality import Modality
from ..stream import batches
from ..tensors import Batch
from .autoencoder import run_autoencoder_checks
from .result import BrokenRule, CheckResult, Checks, require
from .training import figures, picture, save_and_load, two_steps

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

    The modality's own data are used, a few examples at a time, and a small prior is trained for
    two steps. Nothing is left behind.

    Args:
        modality: the modality, with data.
        examples: number of examples that go through the autoencoder.

    Returns:
        One result for each of: data, batch, data repeat, latents, mask, condition, autoencoder,
        posterior, likelihood, seeding, independence, padding, gradient, generated, nats,
        sample_mask, configuration, state, training, save and load, figures, picture.
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
    checks.run("sample_mask", partial(_sample_mask, modality), ("latents",))
    checks.run("configuration", partial(_configuration, modality))
    checks.run("state", partial(_state, modality), ("autoencoder", "configuration", "sample_mask"))
    _run_model_checks(checks, given)
    return checks.results


def _run_model_checks(checks: Checks, given: Examples) -> None:
    modality = given.modality
    needs = ["autoencoder", "posterior", "likelihood"]
    checks.run("training", lambda: two_steps(modality, given.few), needs)
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
                and all(_equal(first[key], second[key]) for key in first),
                f'dataset("{split}") gives other data on another {who}',
                "make the data a function of the constructor's arguments: seed a generator of "
                "their own, sort file names, and leave random changes to encode",
            )


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool(torch.equal(a.nan_to_num(), b.nan_to_num()))


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


def _sample_mask(modality: Modality) -> str | None:
    latents = modality.latents
    u = torch.tensor([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1 - 2**-24])
    mask = modality.sample_mask(u)
    if not latents.masked:
        require(
            mask is None,
            "sample_mask gives a mask, but latents.masked is False",
            "return None from sample_mask, or set masked=True in latents",
        )
        return "does not apply: latents have no mask"
    require(
        mask is not None and mask.dtype == torch.bool and mask.shape == (7, latents.shape[0]),
        "sample_mask(u) is "
        f"{'None' if mask is None else f'{mask.dtype} of shape {list(mask.shape)}'} for 7 numbers",
        f"return a bool mask of shape [n, {latents.shape[0]}]",
    )
    assert mask is not None
    for i in range(7):
        alone = modality.sample_mask(u[i : i + 1])
        require(
            alone is not None and torch.equal(alone[0], mask[i]),
            f"the mask of sample {i} differs when it is drawn alone",
            "make each row a function of its own u, such as the inverse distribution function "
            "of the sizes, without random numbers",
        )
    sizes = mask.sum(dim=1)
    prefix = torch.arange(latents.shape[0]) < sizes.unsqueeze(1)
    require(
        sizes.min() > 0 and torch.equal(mask, prefix),
        "sample_mask gives a sample no item, or does not put real items first",
        "return torch.arange(N) < size.unsqueeze(1) with sizes from 1 to N",
    )
    return f"{int(sizes.min())} to {int(sizes.max())} items"


def _configuration(modality: Modality) -> None:
    try:
        rebuilt = build(describe(modality), trust_remote_code=True)
    except Exception as error:
        raise BrokenRule(
            f"the modality cannot be built from its configuration ({error})",
            "define the class at the top of a module that can be imported, and let its "
            "constructor only store its arguments: data are read in dataset()",
        ) from error
    require(
        describe(rebuilt) == describe(modality),
        "the modality built from its configuration has another configuration",
        "give the constructor plain values: numbers, strings, lists, mappings, paths",
    )


def _state(modality: Modality) -> str:
    """A model is used where its data are not: everything must follow from state()."""
    state = modality.state()
    for key, value in state.items():
        require(
            isinstance(value, Tensor),
            f"state()[{key!r}] is a {type(value).__name__}",
            "return tensors by name from state()",
        )
    rebuilt = build(describe(modality), trust_remote_code=True)
    rebuilt.dataset = _no_data
    rebuilt.load_state({key: value.clone() for key, value in state.items()})
    u = torch.linspace(0, 0.99, 16)
    expected, found = modality.sample_mask(u), rebuilt.sample_mask(u)
    shapes = [
        {name: value.shape for name, value in part.autoencoder().state_dict().items()}
        for part in (modality, rebuilt)
    ]
    for what, same in (
        ("latents", rebuilt.latents == modality.latents),
        ("sample_mask", _same_mask(expected, found)),
        ("autoencoder()", shapes[0] == shapes[1]),
        ("state()", rebuilt.state().keys() == state.keys()),
    ):
        require(
            same,
            f"{what} differs after load_state(state())",
            f"keep in state() all that {what} takes from the data",
        )
    return ", ".join(f"{key} {list(value.shape)}" for key, value in state.items())


def _same_mask(a: Tensor | None, b: Tensor | None) -> bool:
    return a is b if a is None or b is None else _equal(a, b)


def _no_data(split: str) -> None:
    raise BrokenRule(
        f'dataset("{split}") is read after load_state(state())',
        "keep in state() all that latents, sample_mask and autoencoder() take from the data",
    )
