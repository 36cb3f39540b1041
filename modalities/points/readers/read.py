"""Reading shapes from whatever the user has."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latentgen.archive import regular, shortened

from ..clouds import Clouds
from ..shape_set import ShapeSet
from ..surfaces import Surfaces
from .archive import files_of
from .meshes import MESHES, read_mesh
from .shape import FeatureName, Shape, check_features, shape_of
from .tables import read_las, read_npy, read_npz, read_text

TABLES = {".npy": read_npy, ".npz": read_npz, ".xyz": read_text, ".pts": read_text, ".las": read_las}
SUFFIXES = (*MESHES, *TABLES, ".zip")
PARTS = {"train": "train", "training": "train", "test": "test", "testing": "test", "valid": "valid", "val": "valid"}
HOLD_OUT = 5
"""Where a source has no test part, every fifth shape becomes it."""
POOL = 15_000
"""Points drawn of each mesh where a source has meshes and points."""
MESH_BYTES = 2**32


def read_shapes(
    source: Any, split: str = "train", features: Collection[FeatureName] = (), pool: int | None = None
) -> ShapeSet:
    """The shapes of a part of a source.

    A source is a mesh (.off, .obj, .ply, .stl, .glb), a file of points (.npy, .npz, .ply, .xyz, .pts, .las) or voxels
    (.npz; their surface cells are the points), a zip archive or folder of these, an array or list of clouds, a pair
    (clouds, labels), or a mapping from parts to these. Nothing is unpickled.

    In folders and archives a folder called train, valid or test says the part, and the first other folder the class;
    folders of single shapes are no classes. A file of many shapes that knows no classes is one class beside others.
    A source without a test part lends every fifth shape to it, and "valid" is the test part where there is none.
    Shapes that lie far from the origin, as places on a map do, are centred.

    Args:
        source: what to read.
        split: "train", "valid" or "test".
        features: that follow the coordinates: "normals" and "colours" of meshes, .ply and .las files, all other
            "columns" of tables.
        pool: draw so many points of every mesh now, instead of new ones for ever; saves memory.

    Raises:
        ValueError: if the source or its part is not there, or a file is damaged, hostile or empty.
        ImportError: if a package is missing for one.
    """
    if split not in ("train", "valid", "test"):
        raise ValueError(f"split is {split!r}; choose train, valid or test.")
    check_features(features)
    everything = _read(source, features, pool)
    if 0 < sum(shape.is_mesh for shape in everything) < len(everything):
        everything = [_pooled(shape, pool or POOL) for shape in everything]
    shapes = _part(everything, split)
    shown = repr(str(source)) if isinstance(source, str | Path) else f"the given {type(source).__name__}"
    if not shapes:
        raise ValueError(f"the part {split} of {shown} has no shape; give more data.")
    widths = {shape.values.shape[-1] for shape in shapes}
    if len(widths) > 1:
        raise ValueError(f"the shapes of {shown} have {sorted(widths)} numbers a point; read them with equal features.")
    return _set(shapes, _classes(everything))


def _read(source: Any, features: Collection[str], pool: int | None) -> list[Shape]:
    if isinstance(source, str | Path):
        path = Path(source)
        try:
            if path.exists():
                return _files(regular(path), features, pool)
        except OSError as error:
            raise ValueError(
                f"data is {shortened(path)}, which must be readable, got the error '{error.strerror or error}'; check "
                "the path and its permissions."
            ) from None
        raise ValueError(f"data is {shortened(path)}, which does not exist; give a file or folder.")
    if isinstance(source, Mapping):
        unknown = [key for key in source if key not in PARTS]
        if unknown or not source:
            raise ValueError(f"data has the parts {list(source)}; name them train, valid and test.")
        return [shape.named("", PARTS[key]) for key, value in source.items() for shape in _memory(value)]
    return _memory(source)


def _memory(source: Any) -> list[Shape]:
    """Clouds [S, P, C], a sequence of clouds [P, C] or of trimesh meshes, or a pair of these and labels."""
    paired = isinstance(source, tuple) and len(source) == 2 and np.ndim(source[1]) == 1
    clouds, labels = source if paired else (source, None)
    if not isinstance(clouds, Tensor | np.ndarray | Sequence) or isinstance(clouds, str | bytes):
        raise ValueError(f"data is a {type(clouds).__name__}; give a path, or clouds [S, P, 3].")
    found = []
    for number, cloud in enumerate(clouds):
        values = getattr(cloud, "triangles", cloud)
        values = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
        found.append(shape_of(values, f"shape {number}", "" if labels is None else f"{int(labels[number]):04d}"))
    return found


def _files(path: Path, features: Collection[str], pool: int | None) -> list[Shape]:
    found: list[Shape] = []
    size = 0
    for name, read in files_of(path, SUFFIXES):
        suffix = PurePosixPath(name).suffix.lower()
        if suffix not in SUFFIXES:
            continue
        kind, part = _folders(name)
        if suffix == ".zip":
            if not path.is_dir():
                continue  # an archive in an archive
            found += [shape.named(kind or PurePosixPath(name).stem, part)
                      for shape in _files(path / name, features, pool)]
            continue
        new = [_pooled(one, pool) if pool is not None else one for one in _file(name, suffix, read(), features)]
        if len(new) > 1 and not any(shape.kind for shape in new):
            kind = PurePosixPath(name).stem
        found += [shape.named(kind, part) for shape in new]
        size += sum(shape.values.numel() * 4 for shape in new if shape.is_mesh)
        if size > MESH_BYTES:
            raise ValueError(f"the meshes of {path.name} take more than {MESH_BYTES:,} bytes; give pool={POOL}.")
    if not found:
        raise ValueError(f"data is {str(path)!r}, which has no file of {', '.join(SUFFIXES)}; give other data.")
    return found if len(_classes(found)) else [replace(shape, kind="") for shape in found]


def _file(name: str, suffix: str, data: bytes, features: Collection[str]) -> list[Shape]:
    if suffix in TABLES:
        return TABLES[suffix](name, data, features)
    return [read_mesh(name, suffix, data, features)]


def _folders(name: str) -> tuple[str, str]:
    """Class and part by the folders that a file lies in."""
    folders = PurePosixPath(name).parts[:-1]
    parts = [PARTS[folder.lower()] for folder in folders if folder.lower() in PARTS]
    kinds = [folder for folder in folders if folder.lower() not in PARTS]
    return kinds[0] if kinds else "", parts[0] if parts else ""


def _part(shapes: list[Shape], split: str) -> list[Shape]:
    """One part, each source's own; shapes that name no part are divided by their number."""
    named = {shape.part for shape in shapes}
    if "test" not in named:
        rest = [shape for shape in shapes if shape.part != "valid"]
        held = [shape for number, shape in enumerate(rest) if number % HOLD_OUT == HOLD_OUT - 1]
        kept = [shape for number, shape in enumerate(rest) if number % HOLD_OUT != HOLD_OUT - 1]
        own = [shape for shape in shapes if shape.part == "valid"]
        return {"train": kept, "test": held, "valid": own or held}[split]
    wanted = split if split in named or split == "train" else "test"
    loose = [shape for shape in shapes if not shape.part]
    mine = [one for number, one in enumerate(loose) if (number % HOLD_OUT == HOLD_OUT - 1) == (wanted != "train")]
    return [shape for shape in shapes if shape.part == wanted] + mine


def _pooled(shape: Shape, pool: int) -> Shape:
    if not shape.is_mesh:
        return shape
    return Shape(Surfaces.of([shape.values]).sample(pool)[0], shape.kind, shape.part)


def _classes(shapes: list[Shape]) -> tuple[str, ...]:
    """Names of classes, the same for every part; none where a shape has none, or most have but one shape."""
    names = tuple(sorted({shape.kind for shape in shapes}))
    return names if len(names) > 1 and "" not in names and 2 * len(names) <= len(shapes) else ()


def _set(shapes: list[Shape], names: tuple[str, ...]) -> ShapeSet:
    labels = torch.tensor([names.index(shape.kind) for shape in shapes]) if names else None
    values = [shape.values for shape in shapes]
    made: Surfaces | Clouds = Surfaces.of(values) if shapes[0].is_mesh else Clouds.of(values)
    return ShapeSet(made, labels, names)
