"""Whether a modality can be used where its data are not: configuration and state."""

from __future__ import annotations

import torch
from torch import Tensor

from ..component import describe
from ..config import build
from ..modality import Modality
from .result import BrokenRule, require


def same_tensor(a: Tensor, b: Tensor) -> bool:
    """Equal in shape and in every entry; NaN equals NaN."""
    return a.shape == b.shape and bool(torch.equal(a.nan_to_num(), b.nan_to_num()))


def configuration(modality: Modality) -> None:
    """The modality can be written as plain data and built again."""
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


def state(modality: Modality) -> str:
    """What a model needs of its modality is all in what the modality stores: models go where data do not."""
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
    return a is b if a is None or b is None else same_tensor(a, b)


def _no_data(split: str) -> None:
    raise BrokenRule(
        f'dataset("{split}") is read after load_state(state())',
        "keep in state() all that latents, sample_mask and autoencoder() take from the data",
    )
