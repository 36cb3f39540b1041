"""Objects that can be written into a configuration and built again from it."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .latents import LatentSpec


class Component:
    """A class whose constructor is its configuration: the arguments given are recorded and can be written as YAML.

    A component's configuration is ``{"class_path": "package.Class", "init_args": {...}}`` with plain values,
    latent specifications and other components inside. Subclasses do nothing for it.
    """

    _init_args: dict[str, Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in cls.__dict__:
            cls.__init__ = _recording(cls.__init__)  # type: ignore[method-assign]


def _recording(init: Any) -> Any:
    signature = inspect.signature(init)

    @functools.wraps(init)
    def wrapper(self: Component, *args: Any, **kwargs: Any) -> None:
        if "_init_args" not in self.__dict__:
            try:
                bound = signature.bind(self, *args, **kwargs)
            except TypeError as error:
                known = ", ".join(list(signature.parameters)[1:]) or "no arguments"
                raise TypeError(f"{type(self).__name__}: {error}; it takes {known}.") from None
            bound.apply_defaults()
            arguments = dict(bound.arguments)
            arguments.pop(next(iter(signature.parameters)))
            for name, parameter in signature.parameters.items():
                if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                    arguments.update(arguments.pop(name, {}))
            object.__setattr__(self, "_init_args", arguments)
        init(self, *args, **kwargs)

    return wrapper


def main_script() -> str:
    """The name that the running script has as a module; empty if it is none, as in a notebook."""
    main = sys.modules["__main__"]
    if (spec := getattr(main, "__spec__", None)) is not None:  # python -m package.script
        return "" if spec.name.endswith("__main__") else str(spec.name)
    path = Path(getattr(main, "__file__", None) or "")
    return path.stem if path.suffix == ".py" and path.stem.isidentifier() and path.stem != "__main__" else ""


def class_path(cls: type) -> str:
    """Dotted path of a class as written in a configuration, by its shortest importable public package."""
    module, name = cls.__module__, cls.__qualname__
    if module == "__main__" and (script := main_script()):
        return f"{script}.{name}"  # by which another program can import it
    parts = module.split(".")
    for end in range(1, len(parts)):
        package = ".".join(parts[:end])
        try:
            if getattr(__import__(package, fromlist=[name]), name, None) is cls:
                return f"{package}.{name}"
        except ImportError:
            break
    return f"{module}.{name}"


def describe(value: Any) -> Any:
    """Turn a component (or a plain value) into plain data for YAML and JSON.

    Data given as objects (a list of graphs, an array) cannot be written: it becomes None, and a component that is
    built again without it says so when the data is asked for.
    """
    if isinstance(value, Component):
        arguments = getattr(value, "_init_args", {})
        return {
            "class_path": class_path(type(value)),
            "init_args": {name: describe(argument) for name, argument in arguments.items()},
        }
    if isinstance(value, LatentSpec):
        return {"latent_spec": {"shape": list(value.shape), "layout": value.layout, "masked": value.masked}}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        described = {str(key): describe(item) for key, item in value.items()}
        lost = any(described[str(key)] is None and item is not None for key, item in value.items())
        return None if lost else described
    if isinstance(value, list | tuple):
        items = [describe(item) for item in value]
        lost = any(item is None and given is not None for item, given in zip(items, value, strict=True))
        return None if lost else items
    return None


def require_kind(name: str, value: object, kind: type, optional: bool = True) -> None:
    """Refuse an argument of another class, such as the name of one or the class itself.

    Raises:
        TypeError: naming the argument, what was given and what is expected.
    """
    if isinstance(value, kind) or (optional and value is None):
        return
    given = f"the class {value.__name__}" if isinstance(value, type) else f"{value!r} ({type(value).__name__})"
    raise TypeError(f"{name} is {given[:200]}; give an object that is a {kind.__name__}.")
