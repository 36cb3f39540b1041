"""Short names of modalities."""

from __future__ import annotations

import importlib
import pkgutil
from importlib.metadata import entry_points

from ..component import class_path
from ..config import ENTRY_POINT_GROUP
from ..modality import Modality


def full_name(name: str) -> str:
    """Import the modality of this class name and return its class path.

    Registered entry points are asked first, then the packages of ``modalities``.

    Args:
        name: such as "Graphs".

    Raises:
        ValueError: if there is none; the message names those that cannot be imported.
    """
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        if name in (entry.name, entry.value.rpartition(":")[2]):
            return class_path(entry.load())
    broken = []
    for module in _packages():
        try:
            found = getattr(importlib.import_module(module), name, None)
        except ImportError as error:
            broken.append(f"{module} cannot be imported: {error}")
            continue
        if isinstance(found, type) and issubclass(found, Modality):
            return class_path(found)
    reason = f" ({'; '.join(broken)})" if broken else ""
    raise ValueError(
        f"modality is {name!r}, which is no known class{reason}; write its full name, such as "
        "modalities.graphs.Graphs."
    )


def _packages() -> list[str]:
    try:
        root = importlib.import_module("modalities")
    except ImportError:
        return []
    return [f"modalities.{module.name}" for module in pkgutil.iter_modules(root.__path__)]
