"""Sphinx configuration: sphinx-build -W -b html docs docs/_build/html."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import latentgen

project = "latentgen"
author = "the latentgen authors"
release = version = latentgen.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
nitpicky = False
html_theme = "furo"
html_title = f"latentgen {release}"

myst_enable_extensions = ["amsmath", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
python_maximum_signature_line_length = 88
napoleon_use_rtype = False
default_role = "code"

_CODE = re.compile(r"(``.*?``|`[^`]+`|:\w+:`[^`]+`)", re.DOTALL)


def escape_formulas(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep the marks of plain-text formulas, such as [B, *E] and |d lambda / dt|, from being read as markup."""
    parts = _CODE.split("\n".join(lines))
    parts[::2] = [re.sub(r"(?<![*\\])\*(?!\*)|(?<!\\)\||(?<=\w)_(?=\W|$)", r"\\\g<0>", part) for part in parts[::2]]
    lines[:] = "".join(parts).split("\n")


def setup(app: Any) -> None:
    """Escape formulas before napoleon reads the sections."""
    app.connect("autodoc-process-docstring", escape_formulas, priority=100)
