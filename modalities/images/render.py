"""Pictures of many images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from latentgen.export import numbered_files

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
    Image.fromarray(_pixels(grid)).save(path)


def write_images(x: Tensor, folder: Path) -> Path:
    """Write every image as a PNG of its own size, without loss.

    Args:
        x: uint8, shape [B, C, H, W], C = 1 or 3.
        folder: where to write ``sample_00000.png`` and so on; it is made.
    """
    from PIL import Image

    for image, path in zip(x.cpu(), numbered_files(folder, len(x), ".png"), strict=True):
        Image.fromarray(_pixels(image)).save(path)
    return folder


def _pixels(image: Tensor) -> np.ndarray:
    """An image [C, H, W] as Pillow takes it: [H, W] or [H, W, 3]."""
    return image[0].numpy() if len(image) == 1 else np.ascontiguousarray(image.permute(1, 2, 0).numpy())


def draw_table(
    rows: Sequence[tuple[str, Tensor]], path: str | Path, title: str = "", columns: Sequence[str] = ()
) -> None:
    """Draw rows of images with their names at the left, a title above, and names of the columns.

    Args:
        rows: name and images, uint8 [n, C, H, W], C = 1 or 3, all of one size.
        path: where to write the PNG; its folder is made.
        title: one line.
        columns: names above the columns; as many as images in a row, or none.
    """
    from PIL import Image, ImageDraw, ImageFont

    font, ink, line = ImageFont.load_default(), (0, 0, 0), 14
    gap, side = 2, max(int(font.getlength(name)) for name, _ in rows) + 10
    factor = max(1, -(-LEAST_EDGE // min(rows[0][1].shape[2:])))
    strips = []
    for _, x in rows:
        large = x.cpu().repeat_interleave(factor, 2).repeat_interleave(factor, 3)
        strips.append(image_grid(large.expand(-1, 3, -1, -1), len(x), gap).permute(1, 2, 0).numpy())
    top = line * (bool(title) + bool(columns)) + gap
    wide = max(side + max(strip.shape[1] for strip in strips), int(font.getlength(title)) + 10)
    paper = Image.new("RGB", (wide, top + sum(strip.shape[0] for strip in strips)), (PAPER,) * 3)
    pen = ImageDraw.Draw(paper)
    pen.text((4, 1), title, fill=ink, font=font)
    step = rows[0][1].shape[3] * factor + gap
    for number, name in enumerate(columns):
        pen.text((side + gap + number * step, top - line), name, fill=ink, font=font)
    for (name, _), strip in zip(rows, strips, strict=True):
        paper.paste(Image.fromarray(np.ascontiguousarray(strip)), (side, top))
        pen.text((4, top + strip.shape[0] // 2 - line // 2), name, fill=ink, font=font)
        top += strip.shape[0]
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    paper.save(path)
