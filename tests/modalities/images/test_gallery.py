"""Masks of pixels on latent grids, completions that keep known pixels, and the gallery's pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import latentgen
from modalities.images import Images
from modalities.images.gallery import draw_gallery, halves, rough
from modalities.images.inpainting import inpaint, latent_keep
from modalities.images.render import draw_table
from modalities.mixtures import GaussianGrid

RNG = np.random.default_rng(0)
ALWAYS = ["reconstruction", "evolution", "interpolation", "editing"]


def small(recipe: latentgen.Recipe | None = None, **options: object) -> latentgen.LatentGenerativeModel:
    torch.manual_seed(0)
    recipe = recipe or latentgen.LSGM(width=16, depth=1, heads=2)
    return recipe.prepare(Images(limit=60, width=8, **options)).model.eval()


def test_a_cell_is_known_if_all_its_pixels_are() -> None:
    images = Images(RNG.integers(0, 255, (5, 11, 18), dtype=np.uint8), halvings=2)
    known = torch.ones(2, 11, 18, dtype=torch.bool)
    assert latent_keep(images, known).shape == (2, *images.latents.shape[1:]) and latent_keep(images, known).all()
    known[0, 3, 4], known[1, 10, 17] = False, False
    where = (~latent_keep(images, known)).nonzero().tolist()
    assert where == [[0, 0, 1], [1, 2, 4]], "also in the ragged last row and column"
    assert torch.equal(latent_keep(Images(images.data, layout="pixels"), known), known)
    assert torch.equal(latent_keep(Images(images.data, halvings=0), known), known)
    with pytest.raises(ValueError, match=r"known has shape \(2, 11, 17\) .* give booleans of shape \(B, 11, 18\)"):
        latent_keep(images, known[:, :, :-1])
    with pytest.raises(ValueError, match="layout is 'vector', whose numbers belong to no pixels"):
        latent_keep(Images(images.data, layout="vector"), known)


@pytest.mark.parametrize("layout", ["grid", "pixels"])
def test_known_pixels_are_kept_and_hidden_ones_are_not_looked_at(layout: str) -> None:
    model = small(layout=layout)
    batch, known = model.modality.dataset("test").__getitems__(range(4)), halves(4, 8, 8)
    given = {"rounds": 2, "steps": 3, "resample": 2}
    done = inpaint(model, batch, known, **given)["x"]
    places = known.unsqueeze(1)
    assert done.dtype == torch.uint8 and torch.equal(done[places], batch["x"][places])
    other = {"x": torch.where(places, batch["x"], 255 - batch["x"])}
    assert torch.equal(inpaint(model, other, known, **given)["x"], done)
    assert not torch.equal(inpaint(model, batch, known, seed=1, **given)["x"], done)


def test_completions_take_the_condition_of_the_batch() -> None:
    model = small(condition="label")
    with torch.no_grad():
        for parameter in model.prior.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))  # a new network hears no condition
    batch, known = model.modality.dataset("test").__getitems__(range(3)), halves(3, 8, 8)
    given = {"rounds": 1, "steps": 3, "resample": 2, "guidance": 2.0}
    done = inpaint(model, batch, known, **given)["x"]
    bare, other = {"x": batch["x"]}, batch["condition"].roll(1, 1)
    assert torch.equal(inpaint(model, bare, known, condition=batch["condition"], **given)["x"], done)
    assert not torch.equal(inpaint(model, batch, known, condition=other, **given)["x"], done)
    with pytest.raises(ValueError, match="guidance is 2 without a condition"):
        inpaint(model, bare, known, **given)


def test_latents_alone_keep_known_pixels_in_pixel_space() -> None:
    model = small(layout="pixels")
    batch, known = model.modality.dataset("test").__getitems__(range(3)), halves(3, 8, 8)
    done = model.inpaint(batch, latent_keep(model.modality, known), steps=3, resample=1)["x"]
    assert torch.equal(done[known.unsqueeze(1)], batch["x"][known.unsqueeze(1)])


def test_completion_mistakes_are_one_sentence() -> None:
    model = small()
    batch = model.modality.dataset("test").__getitems__(range(2))
    with pytest.raises(ValueError, match="rounds is 0; complete at least once"):
        inpaint(model, batch, halves(2, 8, 8), rounds=0)
    with pytest.raises(ValueError, match=r"x has shape \(2, 1, 8, 8\) for a mask of 1 images; give \(1, 1, 8, 8\)"):
        inpaint(model, batch, halves(1, 8, 8))
    plane = latentgen.VAE().prepare(GaussianGrid()).model
    for action in (lambda: inpaint(plane, batch, halves(2, 8, 8)), lambda: draw_gallery(plane, "nowhere")):
        with pytest.raises(ValueError, match="model has the modality GaussianGrid; give one of Images"):
            action()


def test_a_rough_picture_has_the_means_of_blocks() -> None:
    x = torch.from_numpy(RNG.integers(0, 255, (2, 3, 7, 10), dtype=np.uint8))
    coarse = rough(x, 4)
    assert coarse.shape == x.shape and coarse.dtype == torch.uint8
    assert coarse[1, 2, :4, :4].unique().tolist() == [round(float(x[1, 2, :4, :4].float().mean()))]
    assert coarse[0, 0, 4:, 8:].unique().tolist() == [round(float(x[0, 0, 4:, 8:].float().mean()))]


@pytest.mark.parametrize(
    ("options", "recipe", "extra"),
    [
        ({"condition": "label"}, None, ["inpainting", "classes"]),
        ({"layout": "vector"}, None, []),
        ({}, latentgen.VAE(), []),
        ({"condition": "label"}, latentgen.VAE(), []),
        ({"condition": "label", "layout": "pixels"}, latentgen.DDGAN(2, width=16, depth=1), ["evolution", "classes"]),
    ],
    ids=["conditional", "vector", "no score prior", "no prior of classes", "no guidance"],
)
def test_the_gallery_draws_what_the_model_can_do(options, recipe, extra, tmp_path: Path) -> None:
    model = small(recipe, **options)
    drawn = draw_gallery(model, tmp_path / "plots", n=4, guidances=(1.0, 2.0))
    expected = [*(ALWAYS if model.prior.score_prior is not None else ALWAYS[:1]), *extra]
    assert [path.stem for path in drawn] == expected
    for path in drawn:
        picture = np.asarray(Image.open(path))
        assert picture.shape[2] == 3 and picture.std() > 10, f"{path.name} is empty"


def test_rows_carry_names_and_images_without_blur(tmp_path: Path) -> None:
    x = torch.randint(256, (3, 1, 8, 10), dtype=torch.uint8)
    draw_table([("first", x), ("second", x.flip(0))], tmp_path / "a" / "b.png", "A title", ["1", "2", "3"])
    picture = np.asarray(Image.open(tmp_path / "a" / "b.png"))
    height = 2 * 14 + 2 + 2 * 68
    left = picture.shape[1] - (3 * 82 + 2)
    assert picture.shape[0] == height and left > 20
    first = picture[32:96:8, left + 2 : left + 82 : 8]
    assert (first == x[0, 0].unsqueeze(-1).numpy()).all()
    assert (picture[:, :left] < 100).any() and (picture[:28] < 100).any(), "there is text"
