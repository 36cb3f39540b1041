"""Arrays of points: .npy and .npz files, text with a point a line, and .las files of LiDAR."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Collection, Mapping

import numpy as np

from latentgen.archive import RATIO_LIMIT, open_archive, plain_files, read_member

from .shape import Array, Shape, shape_of
from .voxels import surface_voxels

POINTS = ("points", "x", "pos", "xyz", "data", "pc", "clouds")
"""Names of arrays of points in an .npz file."""
LABELS = ("label", "labels", "y")
SHAPES_LIMIT = 2**14
"""Shapes of a file, unless it has eight bytes or more for each."""
GRID_LIMIT = 2**24
"""Cells of one grid of voxels."""
SURFACES_LIMIT = 2**28
"""Bytes that the points of a file's voxels take, unless the file is large itself."""


def read_npy(name: str, data: bytes, features: Collection[str] = ()) -> list[Shape]:
    """One cloud [P, 3 + F], or many of one size [S, P, 3 + F]; columns beyond three with the feature "columns"."""
    return _clouds(_array(name, data), name, features, size=len(data))


def read_npz(name: str, data: bytes, features: Collection[str] = ()) -> list[Shape]:
    """Arrays of points, or voxels, with what is known of every shape.

    ``points`` (or x, pos, xyz, pc; ``points_cm`` is in centimetres): [P, C], [S, P, C], or with ``offsets`` [S + 1] the
    points of all shapes one after another; ``voxels`` [S, X, Y, Z] or ``voxels_packed`` with eight cells a byte along
    z. ``label`` [S], ``label_names`` and ``is_test`` [S] are taken where they are; a ``train_`` or ``_test`` about the
    name of points says their part.

    Raises:
        ValueError: if the file is damaged, holds objects, or has no points.
    """
    arrays = _members(name, data)
    found: list[Shape] = []
    for key in arrays:
        plain, part = _part(key)
        if plain in POINTS or plain == "points_cm":
            cut = arrays["offsets"]() if "offsets" in arrays else None
            unit = 100 if plain == "points_cm" else 1
            clouds = _clouds(arrays[key](), f"{name}/{key}", features, cut, len(data), unit)
            found += _known(clouds, arrays, name, part)
        elif plain in ("voxels", "voxels_packed"):
            grids = _voxels(arrays[key](), f"{name}/{key}", plain == "voxels_packed", len(data))
            found += _known(grids, arrays, name, part)
    if not found:
        known = ", ".join(arrays) or "none"
        raise ValueError(f"{name} has the arrays {known}; name one of them points, or voxels.")
    return found


def read_text(name: str, data: bytes, features: Collection[str] = ()) -> list[Shape]:
    """A point a line, columns parted by spaces or commas, comments after "#"."""
    try:
        lines = data.decode("utf-8-sig").replace(",", " ").replace(";", " ").splitlines()
        lines = [line for line in lines if line.partition("#")[0].strip()]
        values = np.loadtxt(lines, ndmin=2) if lines else np.zeros((0, 3))
    except ValueError as error:
        raise ValueError(f"{name} is no table of numbers ({error}); give x y z in each line.") from None
    return _clouds(values, name, features)


def read_las(name: str, data: bytes, features: Collection[str] = ()) -> list[Shape]:
    """A LiDAR file, through laspy, at its own scale and offset; "colours" in [0, 1] where it has them.

    Raises:
        ImportError: if laspy is not installed.
        ValueError: if the file is damaged, or has no colours.
    """
    try:
        import laspy
    except ImportError:
        raise ImportError(f"{name} is a LiDAR file, and the package laspy is missing: pip install laspy.") from None
    try:
        found = laspy.read(io.BytesIO(data))
        columns = [np.stack([np.asarray(found.x), np.asarray(found.y), np.asarray(found.z)], axis=1)]
    except Exception as error:  # laspy answers damaged files with errors of any kind
        raise ValueError(f"{name} is no whole .las file ({error}); get it again.") from None
    if "colours" in features:
        if not {"red", "green", "blue"} <= set(found.point_format.dimension_names):
            raise ValueError(f"{name} has no colours; leave them out of features.")
        columns.append(np.stack([np.asarray(found[key]) for key in ("red", "green", "blue")], axis=1) / 65535)
    return [shape_of(np.concatenate(columns, axis=1), name)]


def _clouds(
    values: Array, name: str, features: Collection[str], offsets: Array | None = None, size: int = 0, unit: int = 1
) -> list[Shape]:
    """Clouds of one array of a file of ``size`` bytes; coordinates are divided by ``unit``."""
    if values.ndim not in (2, 3) or values.shape[-1] < 3 or values.dtype.kind not in "fiub":
        given = f"{values.dtype} of shape {list(values.shape)}"
        raise ValueError(f"{name} has {given}; give points [P, 3] or [S, P, 3], or more columns.")
    values = values if "columns" in features else values[..., :3]
    values = values if unit == 1 else values / unit
    count = len(values) if values.ndim == 3 else 1 if offsets is None else offsets.size
    _refuse_shapes(count, size, name)
    if offsets is not None and values.ndim == 2:
        if offsets.dtype.kind not in "iu":
            raise ValueError(f"{name} has offsets of {offsets.dtype}; give whole numbers.")
        cuts = offsets.astype(np.int64)
        if cuts.ndim != 1 or len(cuts) < 2 or cuts[0] != 0 or cuts[-1] != len(values) or (np.diff(cuts) < 0).any():
            raise ValueError(f"{name} has offsets that do not part {len(values)} points; let them rise from 0 to that.")
        return [shape_of(part, f"{name} {k}") for k, part in enumerate(np.split(values, cuts[1:-1]))]
    clouds = values[None] if values.ndim == 2 else values
    return [shape_of(cloud, f"{name} {k}" if values.ndim == 3 else name) for k, cloud in enumerate(clouds)]


def _voxels(values: Array, name: str, packed: bool, size: int) -> list[Shape]:
    """Grids of one array of a file of ``size`` bytes, unpacked one after the other."""
    if packed and values.dtype != np.uint8:
        raise ValueError(f"{name} has {values.dtype}; give bytes of eight cells each.")
    grids = values[None] if values.ndim == 3 else values
    if grids.ndim != 4 or grids.dtype.kind not in "fiub":
        raise ValueError(f"{name} has {values.dtype} of shape {list(values.shape)}; give voxels [S, X, Y, Z].")
    cells = math.prod(grids.shape[1:]) * (8 if packed else 1)
    if cells > GRID_LIMIT:
        raise ValueError(f"{name} has grids of {cells:,} cells; give at most {GRID_LIMIT:,}.")
    _refuse_shapes(len(grids), size, name)
    found, taken, most = [], 0, max(SURFACES_LIMIT, RATIO_LIMIT * size)
    for number, grid in enumerate(grids):
        points = surface_voxels((np.unpackbits(grid, axis=-1) if packed else grid) != 0)
        taken += points.nbytes
        if taken > most:
            raise ValueError(
                f"{name} has surfaces of more than {most:,} bytes in a file of {size:,} (a decompression bomb); give "
                "fewer grids, or smaller ones."
            )
        found.append(shape_of(points, f"{name} {number}"))
    return found


def _refuse_shapes(count: int, size: int, name: str) -> None:
    most = max(SHAPES_LIMIT, size // 8)
    if count > most:
        raise ValueError(f"{name} has {count:,} shapes, more than the {most:,} of a file of its size; give fewer.")


def _known(shapes: list[Shape], arrays: Mapping[str, Callable[[], Array]], name: str, part: str) -> list[Shape]:
    """The shapes, with classes and parts from the arrays beside them."""
    suffixes = [key for key in arrays if _part(key)[0] in LABELS and _part(key)[1] == part]
    kinds, parts = [""] * len(shapes), [part] * len(shapes)
    if suffixes:
        labels = arrays[suffixes[0]]().ravel()
        names = [str(one) for one in arrays["label_names"]().ravel()] if "label_names" in arrays else None
        if len(labels) != len(shapes) or labels.dtype.kind not in "iu":
            raise ValueError(f"{name} has {len(shapes)} shapes and {len(labels)} labels; give a class number each.")
        if names is not None and not 0 <= labels.min() <= labels.max() < len(names):
            raise ValueError(f"{name} has labels up to {labels.max()} and {len(names)} names; name all of them.")
        kinds = [names[label] if names is not None else f"{label:04d}" for label in labels]
    if "is_test" in arrays and not part:
        tests = arrays["is_test"]().ravel()
        if len(tests) != len(shapes):
            raise ValueError(f"{name} has {len(shapes)} shapes and {len(tests)} entries of is_test; give one each.")
        parts = ["test" if test else "train" for test in tests]
    return [shape.named(kind, one) for shape, kind, one in zip(shapes, kinds, parts, strict=True)]


def _part(key: str) -> tuple[str, str]:
    """The name of an array without its part, and the part."""
    for part in ("train", "test", "valid", "val"):
        for plain in (key.removeprefix(f"{part}_"), key.removesuffix(f"_{part}")):
            if plain != key:
                return plain.lower(), "valid" if part == "val" else part
    return key.lower(), ""


def _members(name: str, data: bytes) -> dict[str, Callable[[], Array]]:
    archive = open_archive(io.BytesIO(data), name=name)

    def reader(member: zipfile.ZipInfo) -> Callable[[], Array]:
        return lambda: _array(f"{name}/{member.filename}", read_member(archive, member))

    return {member.filename.removesuffix(".npy"): reader(member) for member in plain_files(archive)}


def _array(name: str, data: bytes) -> Array:
    """An array whose header promises no more than is there, and no objects."""
    try:
        file = io.BytesIO(data)
        version = np.lib.format.read_magic(file)
        head = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = head(file)
        promised, left = math.prod(shape) * dtype.itemsize, len(data) - file.tell()
        if dtype.hasobject or promised > left:
            size_named = f"{promised:,}" if promised < 2**64 else "2^64 or more"
            what = "objects" if dtype.hasobject else f"{size_named} bytes and has {left:,}"
            raise ValueError(f"it promises {what}")
        return np.asarray(np.load(io.BytesIO(data)))
    except Exception as error:  # NumPy answers damaged headers with errors of any kind
        raise ValueError(f"{name} is no array of numbers ({error}); write it again.") from None
