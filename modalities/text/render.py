"""Sentences as a picture, for reports and sample folders."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path

from latentgen.storage import replace_file

COLUMNS = 92
NAMES = ("sentences.txt", "sentences.jsonl")
"""Of exports."""


def draw_sentences(sentences: Sequence[str], path: Path) -> None:
    """Write sentences below one another into a PNG, and as text beside it.

    Args:
        sentences: the text.
        path: of the picture; the text goes to the same name with ``.txt``.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = [line for text in sentences for line in (textwrap.wrap(text, COLUMNS) or ["(empty)"])]
    figure = Figure(figsize=(9, 0.26 * len(lines) + 0.3))
    FigureCanvasAgg(figure)
    number = 0
    for text in sentences:
        for place, line in enumerate(textwrap.wrap(text, COLUMNS) or ["(empty)"]):
            height = 1 - (number + 0.8) / (len(lines) + 0.6)
            mark = "" if place else "\N{BULLET} "
            figure.text(0.02, height, (mark + line).replace("$", r"\$"), fontsize=9, va="center")
            number += 1
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    written = "".join(f"{' '.join(text.split())}\n" for text in sentences)
    path.with_suffix(".txt").write_text(written, encoding="utf-8")


def write_sentences(sentences: Sequence[str], folder: Path) -> Path:
    """Write sentences so that the readers give them back.

    Args:
        sentences: the text.
        folder: of ``sentences.txt`` with a line each or, where a sentence is none that a line can hold,
            ``sentences.jsonl`` with the column ``text``; the other one is removed.
    """
    lines = all(text.strip() == text and len(text.splitlines()) == 1 for text in sentences)
    path, other = (folder / name for name in (NAMES if lines else NAMES[::-1]))
    written = sentences if lines else [json.dumps({"text": text}, ensure_ascii=False) for text in sentences]
    replace_file(path, "".join(f"{line}\n" for line in written).encode("utf-8", "replace"))
    other.unlink(missing_ok=True)
    return path
