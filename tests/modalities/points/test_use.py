"""More points than seen, completion, pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import latentgen
from modalities.points import PointArchitecture, Points
from modalities.points.gallery import draw_gallery
from modalities.points.use import complete, decode_points, upsample

SMALL = {"kinds": ("chair",), "points": 24, "train_size": 8, "test_size": 6, "width": 16, "depth": 1, "heads": 2}


def model_of(encoder: str) -> latentgen.LatentGenerativeModel:
    torch.manual_seed(0)
    shapes = Points(encoder=encoder, tokens=4, latent=4, **SMALL)
    network = PointArchitecture(4, 16, 1, 2) if encoder == "points" else None
    return latentgen.LSGM(network=network, width=16, depth=1, heads=2).prepare(shapes).model.eval()


def test_shapes_decode_to_more_points_than_seen() -> None:
    model = model_of("tokens")
    batch = model.modality.dataset("test").__getitems__([0, 1, 2])
    many = upsample(model, batch, 300)
    assert many["x"].shape == (3, 300, 3) and bool(many["mask"].all())
    z = model.encode(batch).mean
    assert model.decode(z).mode()["x"].shape == (3, 24, 3)  # the usual number is back
    density = model.decode(z)
    assert torch.allclose(decode_points(model, z, 24)["x"], density.mode()["x"])
    with pytest.raises(ValueError, match="points is 0"):
        decode_points(model, z, 0)
    with pytest.raises(ValueError, match="encoder is not 'tokens'"):
        decode_points(model_of("points"), z, 5)


def test_completion_keeps_the_known_points_and_draws_others() -> None:
    model = model_of("points")
    batch = model.modality.dataset("test").__getitems__([0, 1])
    part = {"x": batch["x"][:, :10].clone(), "mask": torch.arange(10).expand(2, -1) < torch.tensor([[10], [7]])}
    part["x"] = part["x"] * part["mask"].unsqueeze(-1)
    made = complete(model, part, 6, steps=3, resample=2)
    assert made["x"].shape == (2, 16, 3) and made["mask"].sum(dim=1).tolist() == [16, 13]
    assert torch.equal(made["x"][:, :10], part["x"])
    new = made["x"][:, 10:]
    assert new.isfinite().all() and new.std() > 0.1
    again, other = complete(model, part, 6, steps=3, resample=2), complete(model, part, 6, steps=3, resample=2, seed=1)
    assert torch.equal(again["x"], made["x"]) and not torch.equal(other["x"], made["x"])
    with pytest.raises(ValueError, match="give 1 to 14, the model takes 24"):
        complete(model, part, 15)
    with pytest.raises(ValueError, match="encoder is not 'points'"):
        complete(model_of("tokens"), part, 1)


def test_the_gallery_is_drawn(tmp_path: Path) -> None:
    files = draw_gallery(model_of("tokens"), tmp_path, count=2, steps=2)
    assert {path.name for path in files} >= {
        "reconstruction.png", "generated_and_real.png", "turning.png", "interpolation.png", "variations.png",
        "more_points.png", "sample_00000.ply",
    }
    assert all(path.stat().st_size > 100 for path in files)
