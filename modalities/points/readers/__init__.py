"""Readers of shapes: meshes, points, voxels, archives and folders of them, arrays in memory."""

from .read import read_shapes

__all__ = ["read_shapes"]
