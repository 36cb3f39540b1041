"""Aliases can make a short YAML file mean billions of values."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import yaml

LARGEST_CONFIG = 100_000
"""Values of a configuration, aliases written out."""


def refuse_bombs(config: Path | None) -> None:
    """Refuse a configuration that is short as a file and huge, or endless, as values.

    A file that is missing or no YAML is left to the parser.

    Raises:
        ValueError: naming the file.
    """
    if config is None or not config.is_file():
        return
    try:
        root = yaml.compose(config.read_text(encoding="utf-8"), yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError):
        return
    except RecursionError as error:
        raise ValueError(f"{config} is nested too deeply; write it flatter.") from error
    if root is not None and _size(root, {}) > LARGEST_CONFIG:
        raise ValueError(f"{config} stands for more than {LARGEST_CONFIG:,} values; write it with fewer aliases.")


def _size(node: Any, known: dict[int, float]) -> float:
    """Values that a node stands for; infinite if it is a part of itself."""
    if id(node) not in known:
        known[id(node)] = math.inf  # while its parts are counted
        parts = node.value if isinstance(node.value, list) else []
        pairs = (part if isinstance(part, tuple) else (part,) for part in parts)
        known[id(node)] = 1 + sum(_size(one, known) for pair in pairs for one in pair)
    return known[id(node)]
