"""Pictures of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from modalities.images.render import draw_images, image_grid


def test_images_stand_in_rows() -> None:
    x = torch.arange(5, dtype=torch.uint8).reshape(5, 1, 1, 1).expand(5, 1, 2, 3)
    grid = image_grid(x, columns=3, gap=1)[0]
    assert grid.shape == (2 * 3 + 1, 3 * 4 + 1)
    assert grid[1:3, 5:8].unique().tolist() == [1] and grid[4:6, 1:4].unique().tolist() == [3]
    assert grid[4:6, 9:].unique().tolist() == [255] and grid[0].unique().tolist() == [255]


def test_a_png_enlarged_without_blur(tmp_path: Path) -> None:
    x = torch.randint(256, (20, 3, 8, 10), dtype=torch.uint8)
    draw_images(x, tmp_path / "a" / "b.png")
    picture = np.asarray(Image.open(tmp_path / "a" / "b.png"))
    assert picture.shape == (4 * 66 + 2, 4 * 82 + 2, 3)
    assert (picture[2:66:8, 2:82:8] == x[0].permute(1, 2, 0).numpy()).all()
    draw_images(x[:2, :1], tmp_path / "grey.png")
    assert np.asarray(Image.open(tmp_path / "grey.png")).shape == (68, 2 * 82 + 2)
