"""Sentences as a picture, for reports and sample folders."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

COLUMNS = 92


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
    path.with_suffix(".txt").write_text("\n".join(sentences) + "\n", encoding="utf-8")
