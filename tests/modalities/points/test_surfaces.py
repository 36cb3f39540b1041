"""Points of surfaces against areas and integrals that are known, and clouds against their own points."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from modalities.points.clouds import Clouds
from modalities.points.draws import streams
from modalities.points.surfaces import Surfaces, sample_surface


def surface(mesh: trimesh.Trimesh) -> torch.Tensor:
    return torch.tensor(np.array(mesh.triangles))


def test_area_against_closed_forms() -> None:
    found = Surfaces.of([surface(trimesh.creation.box((1, 2, 3))), torch.tensor([[[0.0, 0, 0], [2, 0, 0], [0, 2, 0]]])])
    torch.testing.assert_close(found.areas, torch.tensor([22.0, 2.0], dtype=torch.float64))


def test_points_are_uniform_in_area() -> None:
    """Shares of the faces of a box against their areas; coordinates of a face against a uniform law."""
    box, generator = surface(trimesh.creation.box((1, 2, 3))), torch.Generator().manual_seed(0)
    points = sample_surface(box, 200_000, generator).double()
    half = torch.tensor([0.5, 1.0, 1.5])
    on = (points.abs() - half).abs() < 1e-6
    assert on.any(dim=1).all()
    shares = on.double().mean(dim=0)
    expected = torch.tensor([6.0, 3.0, 2.0], dtype=torch.float64) / 11
    assert ((shares - expected).abs() < 5 * (expected * (1 - expected) / len(points)).sqrt()).all()
    y = points[on[:, 0] & (points[:, 0] > 0), 1]
    assert abs(float(y.square().mean()) - 1 / 3) < 5 * (4 / 45 / len(y)) ** 0.5
    assert abs(float(y.mean())) < 5 * (1 / 3 / len(y)) ** 0.5


def test_many_shapes_at_once_keep_apart() -> None:
    boxes = [surface(trimesh.creation.box((1, 1, 1))) + 10 * k for k in range(5)]
    points = Surfaces.of(boxes).sample(300)
    for k, cloud in enumerate(points):
        assert ((cloud - 10 * k).abs().amax(dim=1) - 0.5).abs().max() < 1e-5
    assert torch.equal(points[2], Surfaces.of(boxes).sample(300)[2])
    assert not torch.equal(points[2], Surfaces.of(boxes).sample(300, seed=1)[2])


def test_the_ends_of_the_unit_interval_stay_in_the_shape() -> None:
    boxes = Surfaces.of([surface(trimesh.creation.box()) + 10 * k for k in range(3)])
    edge = torch.tensor([[[0.0, 0, 0], [1 - 1e-16, 0.5, 0.5], [1.0, 1, 1]]], dtype=torch.float64)
    for k in range(3):
        assert (boxes.at(torch.tensor([k]), edge) - 10 * k).abs().max() < 0.5 + 1e-5


def test_features_are_interpolated_as_coordinates_are() -> None:
    corners = surface(trimesh.creation.icosphere(subdivisions=1)).float()
    joined = torch.cat([corners, 2 * corners + 1], dim=2)
    points = Surfaces.of([joined]).sample(100)[0]
    torch.testing.assert_close(points[:, 3:], 2 * points[:, :3] + 1)


def test_normals_of_a_sphere_point_outwards() -> None:
    points = Surfaces.of([surface(trimesh.creation.icosphere(subdivisions=3))]).sample(500, normals=True)[0]
    cosine = (torch.nn.functional.normalize(points[:, :3], dim=1) * points[:, 3:]).sum(dim=1)
    assert cosine.min() > 0.99


def test_means_are_integrals_over_the_surface() -> None:
    """A box from 0 to (a, b, c): the integral of x^2 over its faces in closed form, and trimesh's centroid."""
    a, b, c = 1.0, 2.0, 3.0
    mesh = trimesh.creation.box((a, b, c))
    mesh.apply_translation((a / 2, b / 2, c / 2))
    bounds = Surfaces.of([surface(mesh)]).bounds()
    torch.testing.assert_close(bounds.mean[0], torch.tensor([a, b, c], dtype=torch.float64) / 2)

    def second(a: float, b: float, c: float) -> float:
        return a**2 * b * c + 2 * (a**3 / 3) * (b + c)

    square = (second(a, b, c) + second(b, a, c) + second(c, a, b)) / (2 * (a * b + b * c + c * a))
    assert float(bounds.square[0]) == pytest.approx(square)
    assert float(bounds.radius[0]) == pytest.approx((a**2 + b**2 + c**2) ** 0.5 / 2)
    assert bounds.low[0].tolist() == [0, 0, 0]
    assert bounds.high[0].tolist() == [a, b, c]


def test_no_area() -> None:
    with pytest.raises(ValueError, match="shape 1 has no area"):
        Surfaces.of([surface(trimesh.creation.box()), torch.zeros(2, 3, 3)])


def test_subsets_of_clouds() -> None:
    pools = [torch.arange(3 * n).reshape(n, 3).float() + 1000 * n for n in (5, 40)]
    clouds = Clouds.of(pools)
    small, large = clouds.draw(torch.tensor([0, 1]), [10, 10], streams([0, 1], 0))
    assert torch.equal(small, pools[0])
    rows = {tuple(row.tolist()) for row in large}
    assert len(rows) == 10
    assert rows <= {tuple(row.tolist()) for row in pools[1]}


def test_every_point_of_a_pool_is_as_likely() -> None:
    clouds = Clouds.of([torch.arange(8).float()[:, None].expand(-1, 3)])
    drawn = torch.cat([clouds.draw(torch.tensor([0]), [2], [source])[0][:, 0] for source in streams(range(4000), 0)])
    counts = torch.bincount(drawn.long(), minlength=8).double()
    assert ((counts - 1000).abs() < 5 * (4000 * 0.25 * 0.75) ** 0.5).all()


def test_clouds_bounds() -> None:
    pools = [torch.randn(n, 4, generator=torch.Generator().manual_seed(n)) + n for n in (7, 30)]
    bounds = Clouds.of(pools).bounds()
    for k, pool in enumerate(pools):
        points = pool[:, :3].double()
        torch.testing.assert_close(bounds.mean[k], points.mean(dim=0))
        torch.testing.assert_close(bounds.square[k], points.square().sum(dim=1).mean())
        torch.testing.assert_close(bounds.radius[k], (points - points.mean(dim=0)).norm(dim=1).max())
        torch.testing.assert_close(bounds.high[k] - bounds.low[k], torch.tensor(np.ptp(points.numpy(), axis=0)))
    with pytest.raises(ValueError, match="shape 1 has no point"):
        Clouds.of([pools[0], pools[0][:0]])
    with pytest.raises(ValueError, match="the same features"):
        Clouds.of([pools[0], pools[1][:, :3]])
