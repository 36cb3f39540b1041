"""Building components from plain configurations, and only such components as are known to be safe."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from .component import Component, main_script
from .latents import LatentSpec

TRUSTED_PACKAGES = ("latentgen", "modalities")
ENTRY_POINT_GROUP = "latentgen.modalities"


def trusted_packages() -> set[str]:
    """Top-level packages whose components a configuration may name: ours and those of registered entry points."""
    registered = {entry.module.split(".")[0] for entry in entry_points(group=ENTRY_POINT_GROUP)}
    return registered | set(TRUSTED_PACKAGES)


def find_component(path: str, trust_remote_code: bool = False) -> type[Component]:
    """Import a component class by its dotted path ("package.Class" or "package:Class").

    A component class that the program has already imported needs no trust: no new code is run for it.

    Args:
        path: the class.
        trust_remote_code: allow packages other than latentgen, modalities and registered entry points.

    Raises:
        ValueError: if the package is not trusted, or if the path is not a component class.
    """
    module_name, _, name = path.replace(":", ".").rpartition(".")
    if module_name == main_script() and _is_component(getattr(sys.modules["__main__"], name, None)):
        module_name = "__main__"
    package = module_name.split(".")[0]
    known = _is_component(getattr(sys.modules.get(module_name), name, None))
    if not known and package not in trusted_packages() and not trust_remote_code:
        raise ValueError(
            f"class_path is {path!r}, whose package is not one of {', '.join(sorted(trusted_packages()))}; "
            "pass trust_remote_code=True if you would import that package yourself."
        )
    try:
        found = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"class_path is {path!r}, which cannot be imported ({error}); check its spelling, or put the folder of its "
            "file on PYTHONPATH."
        ) from error
    if not _is_component(found):
        raise ValueError(f"class_path is {path!r}, which is not a latentgen component; name a class of one.")
    component: type[Component] = found
    return component


def _is_component(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Component)


def build(value: Any, trust_remote_code: bool = False) -> Any:
    """Turn what ``component.describe`` wrote back into objects.

    Args:
        value: plain data with ``{"class_path", "init_args"}`` and ``{"latent_spec"}`` entries inside.
        trust_remote_code: see :func:`find_component`.

    Raises:
        ValueError: if a class is not allowed or does not take its arguments.
    """
    if isinstance(value, list):
        return [build(item, trust_remote_code) for item in value]
    if not isinstance(value, Mapping):
        return value
    if set(value) == {"latent_spec"}:
        spec = value["latent_spec"]
        try:
            return LatentSpec(tuple(spec["shape"]), spec["layout"], spec["masked"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"latent_spec is {spec!r}; expected shape, layout and masked.") from error
    if "class_path" not in value:
        return {key: build(item, trust_remote_code) for key, item in value.items()}
    cls = find_component(str(value["class_path"]), trust_remote_code)
    given = value.get("init_args") or {}
    if not isinstance(given, Mapping):
        raise ValueError(f"init_args of {value['class_path']} is {given!r}; expected a mapping of its arguments.")
    arguments = {key: build(item, trust_remote_code) for key, item in given.items()}
    try:
        return cls(**arguments)
    except TypeError as error:
        reason = str(error).rstrip(".")
        raise ValueError(f"{value['class_path']} cannot be built from its init_args: {reason}.") from error
