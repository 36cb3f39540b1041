"""The parts that procedural furniture is built of: trimesh's primitives, scaled, tapered and put in place."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Triangles: TypeAlias = npt.NDArray[np.float64]
"""Corners, shape [T, 3, 3]."""
Place: TypeAlias = Sequence[float] | npt.NDArray[np.float64]
"""x, y, z; z is up."""


@cache
def _template(kind: str) -> Triangles:
    """A primitive of unit size at the origin."""
    import trimesh

    if kind == "box":
        return np.array(trimesh.creation.box().triangles)
    if kind == "ball":
        return np.array(trimesh.creation.icosphere(subdivisions=2, radius=0.5).triangles)
    cylinder: Triangles = np.array(trimesh.creation.cylinder(radius=0.5, height=1, sections=24).triangles)
    return np.asarray(cylinder[np.ptp(cylinder[:, :, 2], axis=1) > 0.5] if kind == "tube" else cylinder)


def box(low: Place, high: Place) -> Triangles:
    """With edges along the axes, between two corners."""
    start, end = np.asarray(low, float), np.asarray(high, float)
    return slab((start + end) / 2, end - start)


def slab(centre: Place, size: Place) -> Triangles:
    """A box by its centre and its edges."""
    return np.asarray(_template("box") * np.asarray(size, float) + np.asarray(centre, float))


def ball(centre: Place, radii: Place, above: float | None = None) -> Triangles:
    """An ellipsoid by its radii; only triangles whose centres lie higher than ``above``, if given."""
    found = np.asarray(_template("ball") * (2 * np.asarray(radii, float)) + np.asarray(centre, float))
    return found if above is None else found[found[:, :, 2].mean(axis=1) > above]


def rod(start: Place, end: Place, radius: float, taper: float = 1.0, square: bool = False) -> Triangles:
    """A cylinder, or square bar, from one point to another, ``taper`` times as thick at the end."""
    return _along(_template("box" if square else "cylinder"), start, end, radius, taper)


def tube(start: Place, end: Place, radius: float, taper: float = 1.0) -> Triangles:
    """A cylinder without lids."""
    return _along(_template("tube"), start, end, radius, taper)


def disc(centre: Place, radii: tuple[float, float], height: float) -> Triangles:
    """An elliptic plate."""
    size = np.array([2 * radii[0], 2 * radii[1], height])
    return np.asarray(_template("cylinder") * size + np.asarray(centre, float))


def tilted(part: Triangles, angle: float, pivot: Place) -> Triangles:
    """Turned by an angle, radians, from z towards -x, about an axis along y through ``pivot``."""
    cosine, sine, centre = np.cos(angle), np.sin(angle), np.asarray(pivot, float)
    turn = np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]])
    return np.asarray((part - centre) @ turn.T + centre)


def _along(part: Triangles, start: Place, end: Place, radius: float, taper: float) -> Triangles:
    first, last = np.asarray(start, float), np.asarray(end, float)
    length = float(np.linalg.norm(last - first))
    thick = 2 * radius * (1 + (taper - 1) * (part[:, :, 2:] + 0.5))
    shaped = np.concatenate([part[:, :, :2] * thick, part[:, :, 2:] * length], axis=2)
    return np.asarray(shaped @ _frame((last - first) / length).T + (first + last) / 2)


def _frame(direction: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A rotation whose third column is the direction."""
    other = np.array([1.0, 0, 0]) if abs(direction[0]) < 0.9 else np.array([0, 1.0, 0])
    side = np.cross(direction, np.cross(other, direction))
    side /= np.linalg.norm(side)
    return np.stack([side, np.cross(direction, side), direction], axis=1)
