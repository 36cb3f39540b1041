"""Views against known directions; pictures and animations read back."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from modalities.points.procedural import shapes
from modalities.points.render import clouds_of, draw_batch, draw_clouds, shades, viewed
from modalities.points.turntable import draw_turntable


def test_views_of_the_axes() -> None:
    axes = np.eye(3)
    right, up, near = viewed(axes, 0, 0).T  # the eye is on +x
    np.testing.assert_allclose(right, [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(up, [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(near, [1, 0, 0], atol=1e-12)
    above = viewed(axes, 0, 90)
    np.testing.assert_allclose(above[:, 2], [0, 0, 1], atol=1e-12)
    turn = viewed(axes, 35, 22)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)  # no mirror


def test_nearer_is_darker() -> None:
    far, near = shades(np.array([-1.0, 1.0]), 1.0).sum(axis=1)
    assert near < far


def test_padding_and_what_is_not_finite_is_left_out() -> None:
    x = torch.zeros(1, 4, 5)
    x[0, 1, 0] = math.nan
    assert clouds_of(x, torch.tensor([[True, True, True, False]]))[0].shape == (2, 3)


def test_a_picture_of_rows(tmp_path) -> None:
    chairs, empty = shapes(3, 0, ["chair"]).shapes.sample(200), torch.zeros(3, 5, 3)
    nothing = torch.zeros(3, 5, dtype=torch.bool)
    draw_clouds([("real", chairs, None), ("made", empty, nothing)], tmp_path / "a" / "b.png")
    picture = np.asarray(Image.open(tmp_path / "a" / "b.png").convert("L"))
    upper, lower = np.split(picture[:, 50:], 2)
    assert (upper < 200).mean() > 0.01  # shapes
    assert (lower[10:] < 200).mean() == 0  # none
    draw_batch(chairs, None, tmp_path / "c.png", columns=2)
    assert Image.open(tmp_path / "c.png").size[1] > Image.open(tmp_path / "c.png").size[0]


def test_an_animation_turns_once(tmp_path) -> None:
    x = torch.tensor([[[1.0, 0, 0]] * 50 + [[-1.0, 0, 0]] * 50])
    draw_turntable(x, None, tmp_path / "a.png", frames=4, edge=64, elevation=0)
    with Image.open(tmp_path / "a.png") as picture:
        assert (picture.n_frames, picture.size) == (4, (64, 64))
        width = []
        for number in range(4):
            picture.seek(number)
            columns = np.nonzero(np.asarray(picture.convert("L")).min(axis=0) < 250)[0]
            width.append(np.ptp(columns))
    # two points on the x axis, seen at 35, 125, 215 and 305 degrees: apart by 2 |sin|
    expected = 2 * 0.47 * 64 * np.abs(np.sin(np.radians([35, 125, 215, 305])))
    assert np.abs(np.array(width) - expected).max() < 8
    with pytest.raises(ValueError, match="at least one shape"):
        draw_turntable(x[:0], None, tmp_path / "b.png")


def test_rows_and_columns(tmp_path) -> None:
    x = shapes(5).shapes.sample(100)
    draw_turntable(x, torch.ones(5, 100, dtype=torch.bool), tmp_path / "a.png", columns=3, rows=2, frames=2, edge=32)
    assert Image.open(tmp_path / "a.png").size == (96, 64)
