"""The contract of a modality, as one call that takes seconds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from ..latents import LatentSpec
from ..modality import Modality
from .autoencoder import run_autoencoder_checks
from .data import LOOKED_AT, SPLITS, Examples, batch, data, first_examples, repeat
from .padding import IN_FRONT
from .portable import configuration, state
from .result import CheckResult, Checks, require
from .sizes import sample_mask, sizes
from .training import export, figures, picture, save_and_load, two_adversarial_steps, two_steps


def check_modality(modality: Modality, examples: int = 8) -> list[CheckResult]:
    """Check all that training, sampling and saving rely on in a modality.

    The modality's own data are used, and two small priors are trained for two steps on a few
    examples. Nothing is left behind.

    Args:
        modality: the modality, with data.
        examples: number of examples that go through the autoencoder.

    Returns:
        One result for each of: data, batch, data repeat, latents, mask, condition, autoencoder,
        posterior, likelihood, seeding, independence, padding, gradient, generated, nats,
        sample_mask, sizes, configuration, state, training, adversarial, save and load, figures, picture, export.
    """
    checks, given = Checks(), Examples(modality, examples)
    checks.run("data", partial(data, modality))
    rules: dict[str, Callable[[Examples], str | None]] = {
        "batch": batch,
        "data repeat": repeat,
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
    needs = ["autoencoder", "posterior", "mask", "sample_mask"]
    checks.run("sizes", lambda: sizes(modality, given.scans["train"], given.few), needs)
    checks.run("configuration", partial(configuration, modality))
    checks.run("state", partial(state, modality), ("autoencoder", "configuration", "sample_mask"))
    _run_model_checks(checks, given)
    return checks.results


def _run_model_checks(checks: Checks, given: Examples) -> None:
    modality = given.modality
    needs = ["condition", "autoencoder", "posterior", "likelihood"]
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
    checks.run("export", lambda: export(modality, given.few), ("batch",))


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
        left = "" if mask is None else "; batch['mask'] is left to the autoencoder"
        return f"does not apply: latents have no mask{left}"
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
    for split in SPLITS:
        scan = given.scans[split]
        require(
            scan.widest <= latents.shape[0],
            f"the mask has {scan.widest} items and latents promise at most {latents.shape[0]}",
            "set the first size in latents.shape to the largest number of items",
        )
        require(
            scan.sizes.all(),
            f'example {int((scan.sizes == 0).nonzero()[:1].sum())} of dataset("{split}") has no real item',
            "leave empty examples out of the data",
        )
        require(
            scan.late is None,
            f'real items do not come first in the mask of example {scan.late} of dataset("{split}")',
            IN_FRONT,
        )
    real = given.scans["train"].sizes
    return f"{int(real.min())} to {int(real.max())} of {latents.shape[0]} items"


def _condition(given: Examples) -> str | None:
    size, condition = given.modality.condition_dim, given.looked_at.get("condition")
    if size == 0 and condition is None:
        return "does not apply: unconditional data"
    require(
        condition is not None and condition.dim() == 2 and condition.shape[1] == size,
        f"condition_dim is {size}, but the batch has "
        f"{'no condition' if condition is None else f'a condition of {list(condition.shape)}'}",
        'put "condition" [B, condition_dim], float32, into the batch, or set condition_dim to its size; kinds are '
        "one_hot(kind, condition_dim).float()",
    )
    assert condition is not None
    require(
        condition.dtype == torch.float32,
        f"batch['condition'] is {condition.dtype}",
        "give it as float32 [B, condition_dim], such as one_hot(kind, condition_dim).float() of kinds",
    )
    scan = given.scans["train"]
    return f"{scan.absent:,} of {scan.count:,} train examples without one" if scan.absent else None


def _autoencoder(modality: Modality) -> str:
    count = sum(parameter.numel() for parameter in modality.autoencoder().parameters())
    return f"{count:,} parameters"
