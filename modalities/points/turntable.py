"""Shapes that turn: an animated PNG, one file that browsers and the report of a run show as any picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from .render import INK, PALE, Array, centred, clouds_of, viewed

SHADES = 24
"""Colours between the farthest and the nearest point; 0 of the palette is paper."""
Frame = npt.NDArray[np.uint8]


def draw_turntable(
    x: Tensor,
    mask: Tensor | None,
    path: str | Path,
    columns: int = 4,
    rows: int = 1,
    frames: int = 48,
    edge: int = 240,
    seconds: float = 4.8,
    elevation: float = 20.0,
) -> None:
    """Write an animated PNG in which shapes turn once around their vertical axis, for ever.

    Args:
        x: points, shape [B, N, 3 + F]; the first ``columns * rows`` shapes are drawn.
        mask: True where a point is real, shape [B, N].
        path: where to write, ``.png``; its folder is made.
        columns: shapes in a row.
        rows: rows.
        frames: pictures of a turn.
        edge: of a shape's field, pixels.
        seconds: of a turn.
        elevation: of the eye, degrees.

    Raises:
        ValueError: if there is no shape, or fewer than two frames.
    """
    from PIL import Image

    if not len(x) or frames < 2:
        raise ValueError(f"x has {len(x)} shapes, frames is {frames}; give at least one shape and two frames.")
    count = min(len(x), columns * rows)
    clouds = [centred(cloud) for cloud in clouds_of(x[:count], None if mask is None else mask[:count])]
    scale = 0.47 * edge / max(1e-12, *(_reach(cloud, elevation) for cloud in clouds))
    columns = min(columns, count)
    made = []
    for number in range(frames):
        azimuth = 35.0 + 360.0 * number / frames
        fields = [_field(cloud, azimuth, elevation, scale, edge) for cloud in clouds]
        picture = Image.fromarray(_tiled(fields, columns, edge), mode="P")
        picture.putpalette(_palette())
        made.append(picture)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    first, rest = made[0], made[1:]
    first.save(path, "PNG", save_all=True, append_images=rest, duration=1000 * seconds / frames, loop=0, optimize=True)


def _reach(cloud: Array, elevation: float) -> float:
    """Half the edge of the square that holds every view of a turn."""
    if not len(cloud):
        return 0.0
    radius = np.linalg.norm(cloud[:, :2], axis=1)
    e = np.radians(elevation)
    return float(max(radius.max(), (np.abs(cloud[:, 2]) * np.cos(e) + radius * np.sin(e)).max()))


def _field(cloud: Array, azimuth: float, elevation: float, scale: float, edge: int) -> Frame:
    """One view as numbers of the palette, shape [edge, edge]; nearer points cover farther ones."""
    field = np.zeros((edge, edge), np.uint8)
    if not len(cloud):
        return field
    seen = viewed(cloud, azimuth, elevation)
    seen = seen[np.argsort(seen[:, 2])]
    reach = max(float(np.linalg.norm(cloud, axis=1).max()), 1e-12)
    shade = 1 + np.clip((seen[:, 2] / reach + 1) / 2 * SHADES, 0, SHADES - 1).astype(np.uint8)
    offsets = _dot(0.75 * edge / np.sqrt(len(cloud)) / 5)
    across = np.rint(edge / 2 + scale * seen[:, 0]).astype(int)[:, None] + offsets[:, 0]
    down = np.rint(edge / 2 - scale * seen[:, 1]).astype(int)[:, None] + offsets[:, 1]
    inside = (across >= 0) & (across < edge) & (down >= 0) & (down < edge)
    # rows in order of depth: of equal pixels the last, the nearest, stays
    field[down[inside], across[inside]] = np.broadcast_to(shade[:, None], inside.shape)[inside]
    return field


def _dot(radius: float) -> npt.NDArray[np.int64]:
    """Pixels of a disc, as steps right and down, shape [K, 2]."""
    radius = float(np.clip(radius, 1.0, 3.0))
    span = np.arange(-int(radius), int(radius) + 1)
    steps = np.stack(np.meshgrid(span, span), axis=-1).reshape(-1, 2)
    return np.asarray(steps[(steps**2).sum(axis=1) <= radius**2])


def _tiled(fields: list[Frame], columns: int, edge: int) -> Frame:
    rows = -(-len(fields) // columns)
    paper = np.zeros((rows * edge, columns * edge), np.uint8)
    for number, field in enumerate(fields):
        top, left = number // columns * edge, number % columns * edge
        paper[top : top + edge, left : left + edge] = field
    return paper


def _palette() -> list[int]:
    """Paper, then colours from far to near, as red, green, blue bytes."""
    near = np.linspace(0, 1, SHADES)[:, None]
    colours = near * np.array(INK) + (1 - near) * np.array(PALE)
    return [255, 255, 255, *(int(value) for value in np.rint(colours * 255).ravel())]
