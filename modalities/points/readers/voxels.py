"""Voxel grids as the centres of their surface cells."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def surface_voxels(voxels: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Centres of the occupied cells of which at least one of six neighbours is empty or outside.

    Args:
        voxels: shape [X, Y, Z]; z is up.

    Returns:
        Shape [P, 3], in units of the longest edge, from -1 / 2 to 1 / 2.
    """
    padded = np.pad(voxels.astype(bool), 1)
    inside = np.ones_like(padded)
    for axis in range(3):
        for step in (-1, 1):
            inside &= np.roll(padded, step, axis)
    cells = np.argwhere(padded & ~inside) - 1
    size = np.array(voxels.shape)
    return np.asarray((cells + 0.5 - size / 2) / size.max(), dtype=np.float32)
