"""Meshes in every format against the mesh that was written; damage named; nothing beside the file touched."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from modalities.points.readers.meshes import MESHES, read_mesh
from modalities.points.surfaces import Surfaces

PLY = """ply
format ascii 1.0
element vertex {count}
property float x
property float y
property float z
property float nx
property float ny
property float nz
end_header
0 0 0 0 0 1
1 0 0 0 1 0
0 1 0 1 0 0
"""


def written(mesh: trimesh.Trimesh | trimesh.PointCloud, suffix: str) -> bytes:
    data = mesh.export(file_type=suffix.lstrip("."))
    return data.encode() if isinstance(data, str) else data


@pytest.mark.parametrize("suffix", MESHES)
def test_every_format(suffix) -> None:
    mesh = trimesh.creation.box((1, 2, 3))
    found = read_mesh("box", suffix, written(mesh, suffix))
    surfaces = Surfaces.of([found.values])
    assert float(surfaces.areas[0]) == pytest.approx(22, rel=1e-5)
    torch.testing.assert_close(surfaces.bounds().high[0], torch.tensor([0.5, 1, 1.5], dtype=torch.float64))


def test_quadrangles_are_cut() -> None:
    text = b"v 0 0 0\nv 2 0 0\nv 2 2 0\nv 0 2 0\nf 1 2 3 4\n"
    assert float(Surfaces.of([read_mesh("square", ".obj", text).values]).areas[0]) == pytest.approx(4)


def test_a_scene_keeps_the_places_of_its_parts() -> None:
    scene = trimesh.Scene()
    scene.add_geometry(trimesh.creation.box())
    scene.add_geometry(trimesh.creation.box(), transform=trimesh.transformations.translation_matrix((10, 0, 0)))
    found = read_mesh("two", ".glb", written(scene, ".glb"))
    assert float(found.values[..., 0].max()) == pytest.approx(10.5)
    assert len(found.values) == 24


def test_normals_and_colours_of_a_mesh() -> None:
    mesh = trimesh.creation.box()
    mesh.visual.vertex_colors = np.array([[255, 0, 51, 255]] * 8)
    found = read_mesh("box", ".ply", written(mesh, ".ply"), ["normals", "colours"]).values
    corners, normals, colours = found.split(3, dim=2)
    torch.testing.assert_close((corners.mean(dim=1) * normals[:, 0]).sum(dim=1), torch.full((12,), 0.5))
    torch.testing.assert_close(colours, torch.tensor([1, 0, 0.2]).expand(12, 3, 3))


def test_points_of_a_ply_file() -> None:
    found = read_mesh("p", ".ply", PLY.format(count=3).encode(), ["normals"])
    assert not found.is_mesh
    assert found.values.tolist() == [[0, 0, 0, 0, 0, 1], [1, 0, 0, 0, 1, 0], [0, 1, 0, 1, 0, 0]]
    cloud = trimesh.PointCloud(np.eye(3), colors=np.array([[255, 51, 0, 255]] * 3))
    found = read_mesh("p", ".ply", written(cloud, ".ply"), ["colours"])
    torch.testing.assert_close(found.values[:, 3:], torch.tensor([1, 0.2, 0]).expand(3, 3))


@pytest.mark.parametrize(
    ("suffix", "data", "features", "message"),
    [
        (".ply", PLY.format(count=10**12).encode(), (), "promises 1000000000000 vertices and has 3"),
        (".off", b"OFF\n99999999999 3 0\n0 0 0", (), "no whole .off file"),
        (".obj", b"v 0 0 0\nf 1 2 900\n", (), "no whole .obj file"),
        (".obj", b"", (), "no shape"),
        (".stl", b"solid\n", (), "chair"),
        (".stl", b"garbage" * 30, (), "chair"),
        (".glb", b"glTF" + b"\0" * 50, (), "no whole .glb file"),
        (".obj", b"v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n", (), "without area"),
        (".obj", b"v 0 0 0\nv 1 0 0\nv 0 1 nan\nf 1 2 3\n", (), "NaN"),
        (".obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", ("colours",), "no colours"),
        (".obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\n", ("normals",), "no normals"),
    ],
)
def test_damage_is_named(suffix, data, features, message) -> None:
    with pytest.raises(ValueError, match=message) as found:
        read_mesh(f"chair{suffix}", suffix, data, features)
    assert str(found.value).startswith("chair")


def test_links_to_other_files_are_left_alone(tmp_path, monkeypatch) -> None:
    secret = tmp_path / "secret.mtl"
    secret.write_text("newmtl a\nmap_Kd picture.png\n")
    monkeypatch.chdir(tmp_path)
    text = f"mtllib secret.mtl\nmtllib {secret}\nusemtl a\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"
    opened: list[str] = []
    monkeypatch.setattr("builtins.open", lambda path, *rest, **more: opened.append(str(path)))
    assert read_mesh("a", ".obj", text.encode()).values.shape == (1, 3, 3)
    assert not [path for path in opened if "secret" in path]
