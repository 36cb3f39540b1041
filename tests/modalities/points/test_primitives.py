"""Parts against areas and places in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from modalities.points.primitives import ball, box, disc, rod, tilted, tube
from modalities.points.surfaces import Surfaces


def area(part: np.ndarray) -> float:
    return float(Surfaces.of([torch.from_numpy(part)]).areas[0])


def polygon(radius: float) -> tuple[float, float]:
    """Circumference and area of a regular polygon of 24 corners."""
    return 48 * radius * math.sin(math.pi / 24), 12 * radius**2 * math.sin(math.pi / 12)


def test_a_rod_along_any_direction() -> None:
    start, end, radius = np.array([1.0, 2, 3]), np.array([2.0, 4, 5]), 0.1
    around, lid = polygon(radius)
    part = rod(start, end, radius)
    assert area(part) == pytest.approx(3 * around + 2 * lid, rel=1e-5)
    assert area(tube(start, end, radius)) == pytest.approx(3 * around, rel=1e-5)
    axis = (end - start) / 3
    along = (part.reshape(-1, 3) - start) @ axis
    away = np.linalg.norm(part.reshape(-1, 3) - start - along[:, None] * axis, axis=1)
    assert (along.min(), along.max(), away.max()) == pytest.approx((0, 3, radius))


def test_a_taper_is_at_the_end() -> None:
    part = rod((0, 0, 2), (0, 0, 0), 0.5, 0.2, square=True).reshape(-1, 3)
    assert np.abs(part[part[:, 2] < 1e-9, :2]).max() == pytest.approx(0.1)
    assert np.abs(part[part[:, 2] > 2 - 1e-9, :2]).max() == pytest.approx(0.5)


def test_other_parts() -> None:
    assert area(box((0, 0, 0), (1, 2, 3))) == pytest.approx(22)
    found = disc((1, 1, 1), (0.5, 0.5), 0.2)
    around, lid = polygon(0.5)
    assert area(found) == pytest.approx(0.2 * around + 2 * lid, rel=1e-5)
    globe, dome = ball((0, 0, 1), (2, 2, 2)), ball((0, 0, 1), (2, 2, 2), above=1)
    assert area(globe) == pytest.approx(16 * math.pi, rel=0.03)
    assert area(dome) == pytest.approx(area(globe) / 2, rel=0.1)
    assert dome[:, :, 2].min() > 0.5


def test_a_tilt_leans_back() -> None:
    part = tilted(box((0, -1, 0), (0.1, 1, 2)), math.pi / 2, (0, 0, 0)).reshape(-1, 3)
    assert (part.min(axis=0), part.max(axis=0)) == (pytest.approx([-2, -1, 0]), pytest.approx([0, 1, 0.1]))
