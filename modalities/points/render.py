"""Pictures of clouds: every shape from two views, depth by shade, generated ones beside real ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

INK, PALE = (0.07, 0.16, 0.33), (0.66, 0.76, 0.88)
"""Colours of the nearest and of the farthest point."""
VIEWS = ((35.0, 22.0), (125.0, 22.0))
"""Azimuth and elevation, degrees, of the two views."""
Array = npt.NDArray[np.float64]


def viewed(points: Array, azimuth: float, elevation: float) -> Array:
    """Right, up and towards the eye, for an eye at these angles, degrees, z up, without perspective.

    Args:
        points: shape [N, 3].
        azimuth: from +x towards +y.
        elevation: above the floor.

    Returns:
        Shape [N, 3].
    """
    a, e = np.radians(azimuth), np.radians(elevation)
    right = np.array([-np.sin(a), np.cos(a), 0])
    eye = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    return np.stack([points @ right, points @ np.cross(eye, right), points @ eye], axis=1)


def shades(depth: Array, reach: float) -> Array:
    """Colours by depth towards the eye: ink at ``reach``, pale at -``reach``, shape [N, 3]."""
    near = np.clip((depth / max(reach, 1e-12) + 1) / 2, 0, 1)[:, None]
    return np.asarray(near * np.array(INK) + (1 - near) * np.array(PALE))


def clouds_of(x: Tensor, mask: Tensor | None = None) -> list[Array]:
    """Coordinates of each cloud of [B, N, 3 + F], without padding and without what is not finite."""
    found = []
    for number, cloud in enumerate(x.detach().double().cpu()):
        points = cloud[:, :3] if mask is None else cloud[mask[number].cpu(), :3]
        found.append(np.asarray(points[points.isfinite().all(dim=1)].numpy()))
    return found


def draw_clouds(
    rows: Sequence[tuple[str, Tensor, Tensor | None]], path: str | Path, columns: int = 6, size: float = 1.5
) -> None:
    """Draw rows of shapes as a PNG, each row in two strips, one a view; all shapes of one scale.

    Args:
        rows: name, points [B, N, 3 + F] and mask [B, N] or None of each row; its first ``columns`` are drawn.
        path: where to write; its folder is made.
        columns: shapes in a row.
        size: edge of a shape's field, inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    named = [(name, clouds_of(x[:columns], None if mask is None else mask[:columns])) for name, x, mask in rows]
    columns = max(1, *(len(clouds) for _, clouds in named))
    reach = max((_reach(cloud, angles) for _, clouds in named for cloud in clouds for angles in VIEWS), default=1.0)
    strips = len(named) * len(VIEWS)
    figure = Figure(figsize=(columns * size + 0.35, strips * size), dpi=110)
    FigureCanvasAgg(figure)
    left = 0.35 / (columns * size + 0.35)
    for row, (name, clouds) in enumerate(named):
        middle = 1 - (row + 0.5) / len(named)
        figure.text(left / 2, middle, name, rotation=90, ha="center", va="center", fontsize=9, color="0.25")
        for view, angles in enumerate(VIEWS):
            bottom = 1 - (row * len(VIEWS) + view + 1) / strips
            for column, cloud in enumerate(clouds):
                box = (left + column * (1 - left) / columns, bottom, (1 - left) / columns, 1 / strips)
                _field(figure.add_axes(box), cloud, angles, reach, size)
    for row in range(1, len(named)):
        height = 1 - row / len(named)
        figure.add_artist(Line2D([left, 1.0], [height, height], color="0.85", linewidth=0.8))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor="white")


def draw_batch(x: Tensor, mask: Tensor | None, path: str | Path, columns: int = 6, rows: int = 2) -> None:
    """Draw the first ``columns * rows`` shapes of a batch, [B, N, 3 + F], as a PNG."""
    count = min(len(x), columns * rows)
    parts = [slice(start, min(start + columns, count)) for start in range(0, count, columns)]
    draw_clouds([("", x[part], None if mask is None else mask[part]) for part in parts], path, columns)


def centred(cloud: Array) -> Array:
    """Less the middle of its box."""
    return np.asarray(cloud - (cloud.min(axis=0) + cloud.max(axis=0)) / 2) if len(cloud) else cloud


def _reach(cloud: Array, angles: tuple[float, float]) -> float:
    """Half the edge of the square that holds a view."""
    return float(np.abs(viewed(centred(cloud), *angles)[:, :2]).max()) if len(cloud) else 0.0


def _field(axes: object, cloud: Array, angles: tuple[float, float], reach: float, size: float) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    axes.set_axis_off()
    axes.set_aspect("equal")
    edge = 1.06 * reach if reach > 0 else 1.0
    axes.set_xlim(-edge, edge)
    axes.set_ylim(-edge, edge)
    if not len(cloud):
        return
    seen = viewed(centred(cloud), *angles)
    seen = seen[np.argsort(seen[:, 2])]
    dots = float(np.clip(14 * size**2 / np.sqrt(len(cloud)), 0.5, 12))
    axes.scatter(seen[:, 0], seen[:, 1], s=dots, c=shades(seen[:, 2], float(np.abs(seen[:, 2]).max())), linewidths=0)
