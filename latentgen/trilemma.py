"""The trilemma in numbers: scores of quality, coverage and speed for every sampled row, and places in the triangle."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CORNERS = {"quality": (0.5, math.sqrt(3) / 2), "coverage": (0.0, 0.0), "speed": (1.0, 0.0)}
NAMES = {"quality": "high-quality samples", "coverage": "mode coverage", "speed": "fast sampling"}
SECONDS = "seconds_per_sample"


@dataclass(frozen=True)
class Scale:
    """Maps a figure to a score: 0 at ``worst``, 1 at ``best`` and beyond it.

    Attributes:
        figure: what is scored.
        worst: the worst finite value of the table.
        best: the value of real data; the best of the table where real data have none, as for seconds.
        logarithmic: even in the logarithm: for figures of which less is better, as far as both ends are positive.
        name_of_best: whose value ``best`` is.
    """

    figure: str
    worst: float
    best: float
    logarithmic: bool
    name_of_best: str

    def __call__(self, value: float) -> float:
        """The score in [0, 1]; 0 for what is not finite."""
        if not math.isfinite(value):
            return 0.0
        if self.worst == self.best:
            return 1.0
        ends = (self.worst, self.best, value)
        low, high, x = (math.log(max(end, 1e-300)) for end in ends) if self.logarithmic else ends
        return min(1.0, max(0.0, (x - low) / (high - low)))

    def __str__(self) -> str:
        """How it runs, for a caption."""
        way = "logarithmic" if self.logarithmic else "linear"
        return f"{self.figure}, {way} from {self.worst:.3g} (worst row) to {self.best:.3g} ({self.name_of_best})"


def scales(result: Mapping[str, Any]) -> dict[str, Scale]:
    """The scale of each of "quality", "coverage" and "speed"."""
    found, rows = {}, result["rows"]
    for axis in ("quality", "coverage"):
        figure = result["axes"][axis]
        lower = result["better"].get(figure) == "lower"
        values = [row["values"].get(figure, math.nan) for row in rows]
        found[axis] = _scale(figure, values, lower, values[0], "best row")
    seconds = [row[SECONDS] for row in sampled(result)]
    found["speed"] = _scale("seconds a sample", seconds, True, math.nan, "fastest row")
    return found


def _scale(figure: str, values: Sequence[float], lower: bool, real: float, otherwise: str) -> Scale:
    """From the worst of the values to the one of real data, or to the best if real data have none."""
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    worst, best = (max(finite), min(finite)) if lower else (min(finite), max(finite))
    best, name = (real, "real data") if math.isfinite(real) else (best, otherwise)
    return Scale(figure, worst, best, lower and min(worst, best) > 0, name)


def sampled(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows that a prior was sampled for; the others are gates."""
    return [row for row in result["rows"] if row[SECONDS] is not None]


def scores(result: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """For every sampled row, its scores of "quality", "coverage" and "speed" in [0, 1] by :func:`scales`."""
    scale, (quality, coverage) = scales(result), (result["axes"][axis] for axis in ("quality", "coverage"))
    return {
        row["name"]: {
            "quality": scale["quality"](row["values"].get(quality, math.nan)),
            "coverage": scale["coverage"](row["values"].get(coverage, math.nan)),
            "speed": scale["speed"](row[SECONDS]),
        }
        for row in sampled(result)
    }


def position(score: Mapping[str, float]) -> tuple[float, float]:
    """Place in the triangle: the mean of the corners weighted by the scores; the centre if all are 0."""
    total = sum(score.values())
    weights = {axis: score[axis] / total if total > 0 else 1 / 3 for axis in CORNERS}
    x, y = (sum(weights[axis] * corner[k] for axis, corner in CORNERS.items()) for k in (0, 1))
    return x, y


def caption(result: Mapping[str, Any]) -> str:
    """How the scores and the places come about, with the ends of the scales."""
    found = scales(result)
    ends = "; ".join(f"{axis}: {scale}" for axis, scale in found.items())
    return (
        f"Scores run from 0 to 1; {ends}. What is better than real data scores 1. A point lies at "
        "the mean of the corners, weighted by its three scores, and its area grows with their mean: a point at a "
        "corner has that virtue alone, one on an edge lacks the opposite one, a large one in the middle has all three."
    )


def lines(result: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Sampled rows by run and sampler, each by rising calls."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in sampled(result):
        found.setdefault(f"{row['run']}: {row['sampler']}", []).append(row)
    return {name: sorted(rows, key=lambda row: row["calls"]) for name, rows in found.items()}
