"""Shapes as .ply files, which every viewer of point clouds opens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from latentgen.export import numbered_files

NORMALS, COLOURS = ("nx", "ny", "nz"), ("red", "green", "blue")


def write_ply(points: Tensor, path: str | Path, features: Sequence[str] = ()) -> None:
    """Write one cloud, binary, coordinates and normals in float32, colours in bytes.

    Args:
        points: coordinates and features, shape [N, 3 + F].
        path: where to write; its folder is made.
        features: what the features are, in order: "normals" and "colours" (in [0, 1]) of three columns each; other
            columns are called ``feature_0`` and so on.

    Raises:
        ValueError: if there is no point, or fewer columns than the features take.
    """
    if points.dim() != 2 or points.shape[1] < 3 + 3 * len(features) or not len(points):
        given = tuple(points.shape)
        raise ValueError(f"points has shape {given}; give at least one point [N, {3 + 3 * len(features)}].")
    values, fields, start = points.detach().cpu().numpy(), [(axis, "<f4") for axis in "xyz"], 3
    columns = [values[:, axis] for axis in range(3)]
    for feature in features:
        if feature not in ("normals", "colours"):
            raise ValueError(f"features has {feature!r}; choose of normals, colours.")
        part = values[:, start : start + 3]
        if feature == "colours":
            fields += [(name, "u1") for name in COLOURS]
            columns += list(np.rint(np.clip(part, 0, 1) * 255).T)
        else:
            fields += [(name, "<f4") for name in NORMALS]
            columns += list(part.T)
        start += 3
    for column in range(start, values.shape[1]):
        fields.append((f"feature_{column - start}", "<f4"))
        columns.append(values[:, column])
    rows = np.empty(len(values), dtype=fields)
    for (name, _), values_of in zip(fields, columns, strict=True):
        rows[name] = values_of
    names = {"<f4": "float", "u1": "uchar"}
    head = ["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}"]
    head += [f"property {names[kind]} {name}" for name, kind in fields]
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("\n".join([*head, "end_header", ""]).encode("ascii") + rows.tobytes())


def write_batch(
    x: Tensor, mask: Tensor | None, folder: str | Path, features: Sequence[str] = ()
) -> list[Path]:
    """Write every shape of a batch as ``sample_00000.ply`` and so on.

    Args:
        x: shape [B, N, 3 + F].
        mask: True where a point is real, shape [B, N].
        folder: where to write; it is made.
        features: as in :func:`write_ply`.

    Returns:
        The files.
    """
    paths = numbered_files(Path(folder), len(x), ".ply")
    for number, (cloud, path) in enumerate(zip(x, paths, strict=True)):
        write_ply(cloud if mask is None else cloud[mask[number]], path, features)
    return paths
