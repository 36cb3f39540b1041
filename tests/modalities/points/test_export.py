"""Written .ply files read back, by trimesh and by our own reader."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from modalities.points import Points
from modalities.points.export import write_batch, write_ply
from modalities.points.readers import read_shapes
from modalities.points.readers.meshes import read_mesh


def test_there_and_back(tmp_path) -> None:
    points = torch.rand(20, 10, generator=torch.Generator().manual_seed(0))
    path = tmp_path / "a" / "shape.ply"
    write_ply(points, path, ["normals", "colours"])
    found = read_mesh("shape", ".ply", path.read_bytes(), ["normals", "colours"]).values
    assert torch.equal(found[:, :6], points[:, :6])
    torch.testing.assert_close(found[:, 6:9], points[:, 6:9], atol=0.5 / 255 + 1e-6, rtol=0)
    loaded = trimesh.load(path)
    extra = loaded.metadata["_ply_raw"]["vertex"]["data"]["feature_0"]
    np.testing.assert_array_equal(np.ravel(extra), points[:, 9])


def test_a_batch_without_its_padding(tmp_path) -> None:
    x, mask = torch.rand(3, 8, 3), torch.arange(8) < torch.tensor([[8], [2], [5]])
    paths = write_batch(x, mask, tmp_path)
    assert [path.name for path in paths] == ["sample_00000.ply", "sample_00001.ply", "sample_00002.ply"]
    assert read_shapes(paths[0].parent, "train").shapes.sizes.tolist() == [8, 2, 5]


@pytest.mark.parametrize("points", [torch.zeros(0, 3), torch.zeros(4, 2), torch.zeros(4, 5)])
def test_what_does_not_fit(tmp_path, points) -> None:
    with pytest.raises(ValueError, match="at least one point"):
        write_ply(points, tmp_path / "a.ply", ["normals"])


def test_shapes_of_a_batch_come_back_in_their_own_units(tmp_path) -> None:
    points = Points(kinds=("chair",), train_size=8, test_size=4, points=64)
    batch = points.dataset("test").__getitems__([0, 1, 2])
    (folder,) = points.export(batch, tmp_path)
    want = points.clouds(batch)
    for number, path in enumerate(sorted(folder.iterdir())):
        found = read_shapes(path, "train").shapes
        assert torch.equal(found.points, want.x[number][want.mask[number]])
    assert number == 2 and float(want.x.abs().max()) > 0
