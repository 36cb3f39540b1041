"""``latentgen check``: the contract of a class of the user's own."""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from ..modality import Modality
from ..process import Process
from ..sampler import Sampler
from ..testing import (
    CheckResult,
    check_modality,
    check_process,
    check_sampler,
    format_results,
)

EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


def check(options: argparse.Namespace) -> int:
    """Build the class, run its checks and print them; 1 when one fails."""
    torch.set_num_threads(options.threads)
    subject = find_class(options.target)(**init_arguments(options.init_args))
    results = run_checks(subject)
    failed = sum(not result.passed for result in results)
    print(f"{type(subject).__name__}: {len(results)} checks")
    print(format_results(results))
    print(f"{failed} of {len(results)} checks failed" if failed else "all checks passed")
    return int(failed > 0)


def find_class(target: str) -> type[Any]:
    """Import a class that the user names on the command line.

    Args:
        target: "package.module:Class" or "path/to/file.py:Class".

    Raises:
        ValueError: if the target has another form, or there is no such class.
    """
    place, colon, name = target.rpartition(":")
    if not (colon and place and name.isidentifier()):
        raise ValueError(f"target is {target!r}; write MODULE:CLASS, such as my_module:MyData.")
    if place.endswith(".py"):
        path = Path(place)
        if not path.is_file():
            raise ValueError(f"target is {target!r}, but there is no file {place}; check the path.")
        folder, module_name = str(path.resolve().parent), path.stem
    else:
        folder, module_name = str(Path.cwd()), place
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and module_name.startswith(error.name):
            raise ValueError(
                f"target is {target!r}, but no module {module_name!r} is found from here; check "
                "the name, or give the path of the file."
            ) from error
        raise
    found = getattr(module, name, None)
    if not isinstance(found, type):
        classes = [key for key, value in vars(module).items() if _is_checkable(value, module_name)]
        raise ValueError(
            f"target is {target!r}, but {module_name} has no class {name}; it has "
            f"{', '.join(classes) or 'none that can be checked'}."
        )
    return found


def _is_checkable(value: object, module_name: str) -> bool:
    return (
        isinstance(value, type)
        and issubclass(value, Modality | Process | Sampler)
        and value.__module__.startswith(module_name)
    )


def init_arguments(pairs: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE pairs, with values read as YAML; 1e-5, which YAML 1.1 takes for a word, is a number."""
    arguments: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (equals and name.isidentifier()):
            raise ValueError(f"an argument is {pair!r}; write NAME=VALUE.")
        try:
            arguments[name] = float(value) if EXPONENT.fullmatch(value) else yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ValueError(f"the value of {name} is {value!r}, which is not YAML.") from error
    return arguments


def run_checks(subject: object) -> list[CheckResult]:
    """The checks for the kind of component that this is."""
    if isinstance(subject, Modality):
        return check_modality(subject)
    if isinstance(subject, Process):
        return check_process(subject)
    if isinstance(subject, Sampler):
        return check_sampler(_with_steps(subject))
    raise ValueError(
        f"{type(subject).__name__} is neither a Modality nor a Process nor a Sampler; derive it "
        "from one of them, or call latentgen.testing from a script."
    )


def _with_steps(sampler: Sampler) -> Sampler:
    """A sampler on a grid with enough steps to be accurate, unless the user chose them."""
    arguments = dict(getattr(sampler, "_init_args", {}))
    default = inspect.signature(type(sampler)).parameters.get("steps")
    if default is None or arguments.get("steps") != default.default:
        return sampler
    return type(sampler)(**{**arguments, "steps": 200})
