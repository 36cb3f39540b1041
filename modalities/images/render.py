"""Pictures of many images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

PAPER = 255
LEAST_EDGE = 64
"""Smaller images are shown enlarged by a whole number."""


def image_grid(x: Tensor, columns: int, gap: int = 2) -> Tensor:
    """Images side by side on white paper, uint8 [C, H', W'].

    Args:
        x: uint8, shape [B, C, H, W].
        columns: images in a row.
        gap: pixels between them.
    """
    count, channels, height, width = x.shape
    rows = -(-count // columns)
    size = (channels, rows * (height + gap) + gap, columns * (width + gap) + gap)
    paper = torch.full(size, PAPER, dtype=torch.uint8)
    for number in range(count):
        top, left = gap + number // columns * (height + gap), gap + number % columns * (width + gap)
        paper[:, top : top + height, left : left + width] = x[number]
    return paper


def draw_images(x: Tensor, path: str | Path, columns: int = 4, rows: int = 4) -> None:
    """Draw a grid of images as a PNG.

    Args:
        x: uint8, shape [B, C, H, W], C = 1 or 3; the first ``columns * rows`` are drawn.
        path: where to write the picture; its folder is made.
        columns: images in a row.
        rows: rows.
    """
    from PIL import Image

    path, shown = Path(path), x[: columns * rows].cpu()
    factor = max(1, -(-LEAST_EDGE // min(shown.shape[2:])))
    large = shown.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    grid = image_grid(large, min(columns, len(shown)))
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = grid[0].numpy() if len(grid) == 1 else np.ascontiguousarray(grid.permute(1, 2, 0).numpy())
    Image.fromarray(pixels).save(path)
