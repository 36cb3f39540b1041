"""Procedural chairs, tables and lamps of random proportions and parts: shapes without a file, z up, in metres.

A chair faces +x. Every shape is a function of its number and the seed; its surface can be sampled again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from .draws import streams
from .primitives import Triangles, ball, box, disc, rod, slab, tilted, tube
from .shape_set import ShapeSet
from .surfaces import Surfaces

Draw = np.random.Generator
KINDS = ("chair", "table", "lamp")


def shapes(count: int, seed: int = 0, kinds: Sequence[str] = KINDS) -> ShapeSet:
    """Draw shapes; their kinds take turns.

    Args:
        count: number of shapes.
        seed: of the draws; shape k does not depend on how many others are drawn.
        kinds: of "chair", "table" and "lamp"; the order gives the labels.

    Raises:
        ValueError: if a kind is unknown, or none is given, or count is below 1.
    """
    unknown = [kind for kind in kinds if kind not in MAKERS]
    if unknown or not kinds or len(set(kinds)) < len(kinds):
        raise ValueError(f"kinds is {list(kinds)}; give different ones of {', '.join(MAKERS)}.")
    if count < 1:
        raise ValueError(f"count is {count}; draw at least one shape.")
    labels = [number % len(kinds) for number in range(count)]
    sources = streams(range(count), seed)
    parts = [np.concatenate(MAKERS[kinds[label]](draw)) for label, draw in zip(labels, sources, strict=True)]
    surfaces = Surfaces.of([torch.from_numpy(part) for part in parts])
    return ShapeSet(surfaces, torch.tensor(labels), tuple(kinds))


def chair(draw: Draw) -> list[Triangles]:
    """Seat, legs, back and, at times, arms."""
    wide, deep, seat = draw.uniform(0.38, 0.62), draw.uniform(0.38, 0.58), draw.uniform(0.36, 0.52)
    thick, height = draw.uniform(0.02, 0.1), draw.uniform(0.28, 0.75)
    parts = [slab((0, 0, seat - thick / 2), (deep, wide, thick))]
    if draw.random() < 0.25:
        parts = [disc((0, 0, seat - thick / 2), (deep / 2, wide / 2), thick)]
    parts += _chair_legs(draw, deep, wide, seat - thick)
    lean, pivot = draw.uniform(0, 0.3), (-deep / 2 + 0.02, 0, seat)
    parts += [tilted(part, lean, pivot) for part in _back(draw, pivot[0], wide, seat, height)]
    if draw.random() < 0.45:
        parts += _arms(draw, deep, wide, seat)
    return parts


def table(draw: Draw) -> list[Triangles]:
    """Top, legs and, at times, a shelf."""
    long, wide, height = draw.uniform(0.5, 1.8), draw.uniform(0.45, 0.95), draw.uniform(0.35, 0.95)
    thick, kind = draw.uniform(0.02, 0.08), draw.integers(5)
    top = (0, 0, height - thick / 2)
    parts = [disc(top, (long / 2, wide / 2), thick) if draw.random() < 0.35 else slab(top, (long, wide, thick))]
    under, inset = height - thick, draw.uniform(0.7, 0.95)
    x, y = inset * long / 2, inset * wide / 2
    if parts[0].shape[0] > 12 and kind != 2:  # legs of an oval top stand inside it
        x, y = 0.68 * x, 0.68 * y
    if kind in (0, 1):
        parts += _four_legs(draw, x, y, under, square=kind == 0)
    elif kind == 2:
        parts += _pedestal(draw, 0.35 * min(long, wide), under)
    elif kind == 3:
        board = draw.uniform(0.02, 0.05)
        parts += [slab((side * x, 0, under / 2), (board, 2 * y, under)) for side in (-1, 1)]
    else:
        radius = draw.uniform(0.015, 0.03)
        for side in (-1, 1):
            parts += [rod((side * x, s * y, 0), (side * x, -s * y, under), radius, square=True) for s in (-1, 1)]
        parts.append(rod((-x, 0, under / 2), (x, 0, under / 2), radius, square=True))
    if kind in (0, 1, 3) and draw.random() < 0.4:
        level = draw.uniform(0.15, 0.5) * under
        parts.append(slab((0, 0, level), (2 * x, 2 * y, 0.02)))
    return parts


def lamp(draw: Draw) -> list[Triangles]:
    """Foot, one or two stems, shade."""
    foot, pole = draw.uniform(0.08, 0.2), draw.uniform(0.008, 0.02)
    height, rise = draw.uniform(0.35, 1.5), draw.uniform(0.015, 0.06)
    kind = draw.integers(4)
    if kind == 0:
        parts = [disc((0, 0, rise / 2), (foot, foot), rise)]
    elif kind == 1:
        parts = [slab((0, 0, rise / 2), (2 * foot, 2 * foot, rise))]
    elif kind == 2:
        parts = [ball((0, 0, 0), (foot, foot, 2 * rise), above=0.0)]
    else:
        angles = np.arange(3) * 2 * np.pi / 3 + draw.uniform(0, 2)
        parts = [rod((1.5 * foot * np.cos(a), 1.5 * foot * np.sin(a), 0), (0, 0, 0.4 * height), pole) for a in angles]
        rise = 0.4 * height
    head: tuple[float, float, float] = (0.0, 0.0, height)
    if draw.random() < 0.35:  # a bent arm
        knee = (draw.uniform(-0.25, -0.05), 0.0, draw.uniform(0.55, 0.8) * height)
        head = (draw.uniform(0.1, 0.45), 0.0, height)
        parts += [rod((0, 0, rise), knee, pole), rod(knee, head, pole)]
    else:
        parts.append(rod((0, 0, rise), head, pole))
    return parts + _shade(draw, head)


MAKERS: dict[str, Callable[[Draw], list[Triangles]]] = {"chair": chair, "table": table, "lamp": lamp}


def _four_legs(draw: Draw, x: float, y: float, top: float, square: bool) -> list[Triangles]:
    """Straight or splayed, of even thickness or tapered, at times joined below."""
    radius, taper = draw.uniform(0.014, 0.035), draw.uniform(0.5, 1.0) if draw.random() < 0.5 else 1.0
    splay = draw.uniform(1.05, 1.3) if draw.random() < 0.4 else 1.0
    x, y = x - radius, y - radius
    feet = [(a, b) for a in (-x, x) for b in (-y, y)]
    parts = [rod((a, b, top), (splay * a, splay * b, 0), radius, taper, square) for a, b in feet]
    if draw.random() < 0.35:
        level = draw.uniform(0.15, 0.6)
        wide = 1 + (splay - 1) * (1 - level)
        z = level * top
        parts += [rod((-wide * x, s * wide * y, z), (wide * x, s * wide * y, z), 0.7 * radius) for s in (-1, 1)]
        if draw.random() < 0.5:
            parts += [rod((s * wide * x, -wide * y, z), (s * wide * x, wide * y, z), 0.7 * radius) for s in (-1, 1)]
    return parts


def _pedestal(draw: Draw, reach: float, top: float) -> list[Triangles]:
    """A post on a plate or on a star."""
    parts = [rod((0, 0, 0.02), (0, 0, top), draw.uniform(0.02, 0.06), draw.uniform(0.6, 1.0))]
    if draw.random() < 0.5:
        return [*parts, disc((0, 0, 0.015), (reach, reach), 0.03)]
    arms = int(draw.integers(3, 6))
    angles = np.arange(arms) * 2 * np.pi / arms + draw.uniform(0, 1)
    rods = [rod((0, 0, 0.06), (reach * np.cos(a), reach * np.sin(a), 0.02), 0.025, 0.6) for a in angles]
    return parts + rods


def _chair_legs(draw: Draw, deep: float, wide: float, top: float) -> list[Triangles]:
    kind = draw.integers(5)
    if kind <= 2:
        return _four_legs(draw, 0.45 * deep, 0.45 * wide, top, square=kind == 0)
    if kind == 3:
        return _pedestal(draw, draw.uniform(0.8, 1.1) * deep / 2, top)
    radius, x = draw.uniform(0.012, 0.022), deep / 2 - 0.03  # a sled
    parts = []
    for y in (-wide / 2 + 0.04, wide / 2 - 0.04):
        parts += [rod((-x, y, radius), (x, y, radius), radius), rod((x, y, radius), (x, y, top), radius)]
        parts.append(rod((-x, y, radius), (-x, y, top), radius))
    return parts


def _back(draw: Draw, x: float, wide: float, seat: float, height: float) -> list[Triangles]:
    """A board, upright slats, rails, or a board on two posts."""
    kind, thick, y, top = draw.integers(4), draw.uniform(0.015, 0.05), wide / 2 - 0.02, seat + height
    if kind == 0:
        return [box((x - thick / 2, -y, seat), (x + thick / 2, y, top))]
    posts = [rod((x, s * y, seat), (x, s * y, top), 0.018, square=bool(draw.random() < 0.5)) for s in (-1, 1)]
    if kind == 1:
        rail = [slab((x, 0, top - 0.03), (0.03, 2 * y, 0.06))]
        places = np.linspace(-y, y, int(draw.integers(3, 8)) + 2)[1:-1]
        return posts + rail + [rod((x, place, seat), (x, place, top - 0.03), 0.012) for place in places]
    if kind == 2:
        levels = np.linspace(seat + 0.2 * height, top - 0.03, int(draw.integers(2, 5)))
        return posts + [slab((x, 0, level), (0.02, 2 * y, draw.uniform(0.03, 0.08))) for level in levels]
    low = seat + draw.uniform(0.15, 0.6) * height
    return [*posts, box((x - thick / 2, -y, low), (x + thick / 2, y, top))]


def _arms(draw: Draw, deep: float, wide: float, seat: float) -> list[Triangles]:
    """Rests on posts, or side boards."""
    rise, y, parts = draw.uniform(0.15, 0.28), wide / 2 + 0.02, []
    front, broad, board = draw.uniform(0.6, 1.0) * deep / 2, draw.uniform(0.03, 0.07), draw.random() < 0.3
    for side in (-1, 1):
        if board:
            parts.append(box((-deep / 2, side * y - 0.02, seat - 0.05), (front, side * y + 0.02, seat + rise)))
            continue
        parts.append(slab(((front - deep / 2) / 2, side * y, seat + rise), (front + deep / 2, broad, 0.025)))
        parts.append(rod((front - 0.03, side * y, seat - 0.02), (front - 0.03, side * y, seat + rise), 0.014))
    return parts


def _shade(draw: Draw, head: tuple[float, float, float]) -> list[Triangles]:
    """A cone or cylinder without lids, a globe, a dome, or a box."""
    x, y, z = head
    kind, radius, tall = draw.integers(4), draw.uniform(0.09, 0.24), draw.uniform(0.12, 0.32)
    if kind <= 1:
        return [tube((x, y, z - 0.6 * tall), (x, y, z + 0.4 * tall), radius, draw.uniform(0.35, 1.0))]
    if kind == 2:
        return [ball((x, y, z), (0.8 * radius, 0.8 * radius, 0.8 * radius * draw.uniform(0.7, 1.3)))]
    return [ball((x, y, z - 0.3 * radius), (radius, radius, radius), above=z - 0.3 * radius)]
