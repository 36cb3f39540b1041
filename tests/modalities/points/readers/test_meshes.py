"""Meshes in every format against the mesh that was written; damage named; nothing beside the file touched."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

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


OFF, CORNERS = b"OFF\n", b"0 0 0\n1 0 0\n0 1 0\n"


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
        (".off", b"OFF\n99999999999 3 0\n0 0 0", (), "promises 99999999999 vertices and has 1"),
        (".off", OFF + b"3 1000000000000 0\n" + CORNERS + b"3 0 1 2\n", (), "promises 1000000000000 faces and has 1"),
        (".off", OFF + b"3 2 0\n" + CORNERS + b"3 0 1 2\n3 0 1", (), "promises 3 corners of the last face and has 2"),
        (".off", b"OFF\n", (), "no whole .off file"),
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


@pytest.mark.parametrize(
    ("suffix", "options"),
    [("off", {}), ("ply", {}), ("ply", {"encoding": "ascii"}), ("stl", {}), ("stl_ascii", {}), ("glb", {})],
)
def test_a_file_cut_short_is_no_part_of_a_shape(suffix: str, options: dict) -> None:
    data = trimesh.creation.icosphere(2).export(file_type=suffix, **options)
    data, suffix = data.encode() if isinstance(data, str) else data, f".{suffix.partition('_')[0]}"
    assert len(read_mesh("ball", suffix, data).values) == 320
    for share in np.linspace(0.01, 0.99, 50):
        with pytest.raises(ValueError, match="ball"):
            read_mesh("ball", suffix, data[: int(share * len(data))])


def test_a_binary_ply_file_that_ends_after_its_points_is_no_cloud() -> None:
    data = written(trimesh.creation.icosphere(1), ".ply")
    start = data.index(b"end_header") + len(b"end_header\n")
    with pytest.raises(ValueError, match=r"ball is no whole .ply file \(it promises 80 faces and has 0\)"):
        read_mesh("ball", ".ply", data[: start + 42 * 12])


def test_quadrangles_and_remarks_are_no_lack() -> None:
    text = b"OFF # a square\n4 1 0\n\n0 0 0\n2 0 0\n# here\n2 2 0\n0 2 0\n4 0 1 2 3 255 0 0\n"
    assert len(read_mesh("square", ".off", text).values) == 2
    head = b"ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
    head += b"element face 1\nproperty list uchar int vertex_indices\nelement edge 0\nproperty int a\nend_header\n"
    body = b"0 0 0\n2 0 0\n2 2 0\n0 2 0\n4 0 1 2 3\n"
    assert len(read_mesh("square", ".ply", head + body).values) == 2
    with pytest.raises(ValueError, match="promises 5 entries of the last row and has 4"):
        read_mesh("square", ".ply", head + body[:-3])


def test_names_and_remarks_are_no_words_of_the_format() -> None:
    ball = trimesh.creation.icosphere(1)
    data = written(ball, ".ply").replace(b" 1.0\n", b" 1.0\ncomment converted from ascii file\n", 1)
    assert len(read_mesh("ball", ".ply", data).values) == 80
    text = trimesh.exchange.stl.export_stl_ascii(trimesh.creation.box()).strip().removesuffix("endsolid").strip()
    for end in ("endsolid faceted_box", "endsolid facet", "  ENDSOLID a facet\n"):
        assert len(read_mesh("box", ".stl", f"{text}\n{end}".encode()).values) == 12
    with pytest.raises(ValueError, match="it ends within a solid"):
        read_mesh("box", ".stl", text.replace("solid", "solid endsolid", 1).encode())


def scene(faces: int, parts: int, **accessor: object) -> bytes:
    """A .glb file of one mesh in many places."""
    indices, corners = np.tile(np.arange(3, dtype=np.uint32), faces).tobytes(), np.eye(3, dtype=np.float32).tobytes()
    views = [{"buffer": 0, "byteLength": len(indices)}, {"buffer": 0, "byteOffset": len(indices), "byteLength": 36}]
    head = {
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": list(range(parts))}],
        "nodes": [{"mesh": 0}] * parts, "buffers": [{"byteLength": len(indices) + 36}], "bufferViews": views,
        "meshes": [{"primitives": [{"attributes": {"POSITION": 1}, "indices": 0}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5125, "count": 3 * faces, "type": "SCALAR"},
            {"bufferView": 1, "componentType": 5126, "count": 3, "type": "VEC3"},
            *([accessor] if accessor else []),
        ],
    }
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
    chunks += struct.pack("<II", len(indices) + 36, 0x004E4942) + indices + corners
    return struct.pack("<III", 0x46546C67, 2, 12 + len(chunks)) + chunks


def test_a_scene_that_repeats_its_parts_without_end_is_not_built(monkeypatch) -> None:
    assert len(read_mesh("forest", ".glb", scene(10, 50)).values) == 500
    monkeypatch.setattr("trimesh.load", None)
    with pytest.raises(ValueError, match="its parts repeat to 200,000,000 faces or points, more than 4,194,304"):
        read_mesh("forest", ".glb", scene(100_000, 2000))
    zeros = scene(10, 1, componentType=5126, count=10**9, type="VEC3")
    with pytest.raises(ValueError, match="its buffers take 12,000,000,156 bytes"):
        read_mesh("forest", ".glb", zeros)
    with pytest.raises(ValueError, match="an accessor of a negative length"):
        read_mesh("forest", ".glb", scene(10, 1, componentType=5126, count=-1, type="VEC3"))


def test_pictures_in_a_mesh_file_are_not_decoded(monkeypatch) -> None:
    mesh = trimesh.creation.box()
    picture = Image.fromarray(np.zeros((4, 4, 3), np.uint8))
    mesh.visual = trimesh.visual.TextureVisuals(uv=np.zeros((8, 2)), image=picture)
    data = written(mesh, ".glb")
    opened: list[object] = []
    monkeypatch.setattr(Image, "open", lambda *given, **options: opened.append(given))
    assert len(read_mesh("box", ".glb", data).values) == 12
    assert not opened
