"""Mesh files, and point files in their formats, through trimesh; materials and links to other files are left alone."""

from __future__ import annotations

import io
from collections.abc import Collection
from typing import Any

import numpy as np

from .promises import check_glb, check_off, check_ply, check_stl
from .shape import Array, Shape, shape_of

MESHES = (".off", ".obj", ".ply", ".stl", ".glb")
TEXTURED = (".obj", ".ply", ".glb")
CHECKS = {".off": check_off, ".stl": check_stl, ".glb": check_glb}


def read_mesh(name: str, suffix: str, data: bytes, features: Collection[str] = ()) -> Shape:
    """A mesh, or the points of a .ply or .obj file without faces.

    Args:
        name: what errors call it.
        suffix: ".off", ".obj", ".ply", ".stl" or ".glb".
        data: the file.
        features: "normals" (of triangles; as stored for points), "colours" (red, green, blue in [0, 1]) or both.

    Raises:
        ValueError: if the file is damaged or empty, or has no such features.
    """
    found = _loaded(name, suffix, data)
    if hasattr(found, "faces") and len(found.faces):
        return shape_of(_corners(found, name, features), name)
    raw = _ply_vertices(found)
    columns = [np.asarray(found.vertices, float)]
    if "normals" in features:
        if not {"nx", "ny", "nz"} <= raw.keys():
            raise ValueError(f"{name} has no normals; leave them out of features.")
        columns.append(np.stack([np.ravel(raw[key]) for key in ("nx", "ny", "nz")], axis=1).astype(float))
    if "colours" in features:
        columns.append(_colours(getattr(found, "colors", None), len(columns[0]), name))
    return shape_of(np.concatenate(columns, axis=1), name)


def _loaded(name: str, suffix: str, data: bytes) -> Any:
    import trimesh

    try:
        faces = _promised(suffix, data)
        options: dict[str, Any] = {"process": False} if suffix != ".glb" else {}
        if suffix in TEXTURED:
            options["skip_materials"] = True  # Pillow would decode pictures in them, or start programs that do
        found: Any = trimesh.load(io.BytesIO(data), file_type=suffix.lstrip("."), resolver={}, **options)
        if isinstance(found, trimesh.Scene):
            found = found.to_geometry()
        promised = _ply_length(found)
        if promised is not None and promised != len(found.vertices):
            raise ValueError(f"it promises {promised} vertices and has {len(found.vertices)}")
        if faces and not len(getattr(found, "faces", ())):
            raise ValueError(f"it promises {faces} faces and has 0")
        if hasattr(found, "faces") and len(found.faces) and np.max(found.faces) >= len(found.vertices):
            raise ValueError(f"a face names vertex {np.max(found.faces)} of {len(found.vertices)}")
        count = len(getattr(found, "vertices", ()))
    # trimesh answers damaged files with errors of any kind
    except Exception as error:
        raise ValueError(f"{name} is no whole {suffix} file ({error}); get it again.") from None
    if not count:
        raise ValueError(f"{name} has no shape, or is no {suffix} file; leave it out.")
    return found


def _promised(suffix: str, data: bytes) -> int:
    """Refuse a file that lacks a part or is a bomb; the number of faces that it is known to promise."""
    if suffix == ".ply":
        return check_ply(data)
    if suffix in CHECKS and data:
        CHECKS[suffix](data)
    return 0


def _corners(mesh: Any, name: str, features: Collection[str]) -> Array:
    triangles = np.asarray(mesh.triangles, float)
    columns = [triangles]
    if "normals" in features:
        a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
        normal = np.cross(b - a, c - a)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-300)
        columns.append(np.repeat(normal[:, None], 3, axis=1))
    if "colours" in features:
        kind = mesh.visual.kind
        colours = _colours(mesh.visual.vertex_colors if kind in ("vertex", "face") else None, len(mesh.vertices), name)
        columns.append(colours[np.asarray(mesh.faces)])
    return np.concatenate(columns, axis=2)


def _colours(colours: Any, count: int, name: str) -> Array:
    """Red, green and blue in [0, 1], shape [count, 3]."""
    if colours is None or np.shape(colours)[:1] != (count,):
        raise ValueError(f"{name} has no colours of its vertices; leave them out of features.")
    return np.asarray(np.asarray(colours, float)[:, :3] / 255)


def _ply_vertices(found: Any) -> dict[str, Any]:
    """Columns of a .ply file's vertices, which trimesh keeps as a dictionary (text) or structured array (binary)."""
    data = getattr(found, "metadata", {}).get("_ply_raw", {}).get("vertex", {}).get("data", {})
    names = getattr(getattr(data, "dtype", None), "names", None) or getattr(data, "keys", tuple)()
    return {name: data[name] for name in names}


def _ply_length(found: Any) -> int | None:
    raw = getattr(found, "metadata", {}).get("_ply_raw", {})
    return raw["vertex"].get("length") if "vertex" in raw else None
