"""Optimizer state as flat tensors and JSON, and back, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

__all__ = ["flatten_optimizer", "unflatten_optimizer"]

_TENSOR, _TUPLE, _ITEMS = "$tensor", "$tuple", "$items"


def flatten_optimizer(state_dict: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Split `optimizer.state_dict()` into what safetensors holds and what JSON holds.

    Moments, step counters and tensor learning rates become tensors named by their path
    (`state.0.exp_avg`), with their dtype; everything else stays where it was, in JSON. Tuples and
    integer keys, which JSON does not know, are marked, so that the way back is exact.

    Args:
        state_dict: State of any torch optimizer whose values are tensors, numbers, text or
            containers.

    Returns:
        Tensors by name (not copied) and a JSON mapping.

    Raises:
        TypeError: If a value is neither a tensor nor JSON.
    """
    tensors: dict[str, Tensor] = {}
    structure = _encode(dict(state_dict), "", tensors)
    return tensors, {"format": 1, "structure": structure}


def unflatten_optimizer(
    tensors: Mapping[str, Tensor], structure: Mapping[str, Any]
) -> dict[str, Any]:
    """The state that `flatten_optimizer` split, ready for `optimizer.load_state_dict`.

    Args:
        tensors: Tensors by name.
        structure: The JSON mapping that came with them.

    Raises:
        ValueError: If the two do not belong together.
    """
    if structure.get("format") != 1 or "structure" not in structure:
        raise ValueError(
            f"structure has format {structure.get('format')!r}; expected 1: "
            "load the optimizer with the latentgen version that saved it"
        )
    used: set[str] = set()
    try:
        state = _decode(structure["structure"], tensors, used)
    except (TypeError, RecursionError) as error:
        raise ValueError(f"structure is malformed ({error}); save the optimizer again") from error
    if left := sorted(set(tensors) - used):
        raise ValueError(
            f"tensors holds {left[0]!r}, which structure does not name; "
            "expected the two parts of one optimizer state"
        )
    if not isinstance(state, dict) or not {"state", "param_groups"} <= set(state):
        raise ValueError("structure is no optimizer state; expected 'state' and 'param_groups'")
    return state


def _encode(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """JSON for a value; tensors in it go to `tensors` and leave their name behind."""
    if isinstance(value, Tensor):
        name = path
        while name in tensors:
            name += "_"
        tensors[name] = value
        return {_TENSOR: name}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        items = [_encode(item, f"{path}.{index}", tensors) for index, item in enumerate(value)]
        return {_TUPLE: items} if isinstance(value, tuple) else items
    if isinstance(value, Mapping):
        pairs = [(key, _encode(item, _join(path, key), tensors)) for key, item in value.items()]
        plain = all(isinstance(key, str) and not key.startswith("$") for key, _ in pairs)
        return dict(pairs) if plain else {_ITEMS: [list(pair) for pair in pairs]}
    raise TypeError(
        f"state_dict has {path!r} of type {type(value).__name__}; "
        "expected a tensor, number, text, list or mapping: remove it from the parameter group"
    )


def _join(path: str, key: object) -> str:
    if not isinstance(key, str | int):
        raise TypeError(f"state_dict has the key {key!r} in {path!r}; expected text or an integer")
    return f"{path}.{key}" if path else str(key)


def _decode(value: Any, tensors: Mapping[str, Tensor], used: set[str]) -> Any:
    """The value that `_encode` was given."""
    if isinstance(value, list):
        return [_decode(item, tensors, used) for item in value]
    if not isinstance(value, dict):
        return value
    if _TENSOR in value:
        name = value[_TENSOR]
        if name not in tensors:
            raise ValueError(
                f"tensors lacks {name!r}, which structure names; "
                "expected the two parts of one optimizer state"
            )
        used.add(name)
        return tensors[name]
    if _TUPLE in value:
        return tuple(_decode(item, tensors, used) for item in value[_TUPLE])
    if _ITEMS in value:
        return {key: _decode(item, tensors, used) for key, item in value[_ITEMS]}
    return {key: _decode(item, tensors, used) for key, item in value.items()}
