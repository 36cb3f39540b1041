"""What one does with a model of images, as pictures: reconstruct, interpolate, edit, complete, choose a class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from latentgen.model import LatentGenerativeModel
from latentgen.tensors import Batch

from .inpainting import inpaint
from .modality import Images
from .render import draw_table

HIDDEN = 128
"""Grey level of hidden pixels in pictures."""
STRENGTHS = (0.2, 0.4, 0.6, 0.8)
BLOCKS = 4
"""Blocks along the shorter side of a rough picture."""


def rough(x: Tensor, block: int) -> Tensor:
    """A coarse painting of images: the mean of each block x block pixels, uint8 [B, C, H, W] as ``x``."""
    coarse = torch.nn.functional.avg_pool2d(x.float(), block, ceil_mode=True)
    large = coarse.repeat_interleave(block, 2).repeat_interleave(block, 3)
    return large[..., : x.shape[2], : x.shape[3]].round().to(x.dtype)


def halves(count: int, height: int, width: int) -> Tensor:
    """Masks of known pixels, boolean [count, H, W]: in turn the upper half and the left half."""
    known = torch.zeros(count, height, width, dtype=torch.bool)
    known[::2, : height // 2] = True
    known[1::2, :, : width // 2] = True
    return known


def draw_gallery(
    model: LatentGenerativeModel,
    folder: str | Path,
    n: int = 8,
    seed: int = 0,
    guidances: Sequence[float] = (1.0, 2.0, 4.0),
    split: str = "test",
) -> list[Path]:
    """Draw pictures of everything that a model of images does with data; those that its prior cannot do are left out.

    ``reconstruction.png``, ``interpolation.png`` (along the probability flow), ``evolution.png`` (decoded predictions
    of z_0 on the way from noise), ``editing.png`` (from a rough picture, Meng et al. 2022), ``inpainting.png`` (three
    completions), and, for class-conditional models, ``classes.png`` (classes by guidance weights, which a denoising
    diffusion GAN does not have).

    Args:
        model: of images, with its data.
        folder: where the PNGs are written.
        n: images in a row; interpolation and evolution have half as many rows.
        seed: of the samples.
        guidances: weights of classifier-free guidance, for score priors.
        split: which images: "train" or "test".

    Returns:
        The paths.

    Raises:
        ValueError: if the model is not one of images, or has no data.
    """
    images, folder = model.modality, Path(folder)
    if not isinstance(images, Images):
        raise ValueError(f"model has the modality {type(images).__name__}; give one of Images.")
    data = images.dataset(split)
    batch = data.__getitems__([k * len(data) // n for k in range(min(n, len(data)))])
    written = [_reconstruction(model, batch, folder)]
    if model.prior.samplers:
        written.append(_evolution(model, folder, max(2, n // 2), seed))
    if model.prior.score_prior is not None:
        written.append(_interpolation(model, batch, folder))
        written.append(_editing(model, batch, folder, seed))
        if images.layout != "vector":
            written.append(_inpainting(model, batch, folder, seed))
    if images.condition_dim and model.prior.samplers:  # N(0, I) knows no classes
        weights = guidances if model.prior.score_prior is not None else (1.0,)
        written.append(_classes(model, images.condition_dim, folder, seed, weights))
    return written


def _reconstruction(model: LatentGenerativeModel, batch: Batch, folder: Path) -> Path:
    path = folder / "reconstruction.png"
    made = model.decode(model.encode(batch).mean).mode()
    draw_table([("real", batch["x"]), ("reconstruction", made["x"])], path, "Reconstruction")
    return path


def _interpolation(model: LatentGenerativeModel, batch: Batch, folder: Path) -> Path:
    path, half = folder / "interpolation.png", len(batch["x"]) // 2
    first, last = batch["x"][:half], batch["x"][half : 2 * half]
    steps = torch.stack([point["x"].cpu() for point in model.interpolate({"x": first}, {"x": last}, n=8)], dim=1)
    rows = [
        ("", torch.cat([a[None], strip, b[None]])) for a, strip, b in zip(first, steps, last, strict=True)
    ]
    names = ["real", *(f"{share:.2f}" for share in torch.linspace(0, 1, 8).tolist()), "real"]
    draw_table(rows, path, "Interpolation in the noise space of the probability flow", names)
    return path


def _evolution(model: LatentGenerativeModel, folder: Path, count: int, seed: int) -> Path:
    path = folder / "evolution.png"
    states = torch.stack([state["x"].cpu() for state in model.trajectory(count, steps=8, seed=seed)], dim=1)
    names = [f"call {number + 1}" for number in range(states.shape[1])]
    draw_table([("", strip) for strip in states], path, "Decoded prediction of z_0 after each call", names)
    return path


def _editing(model: LatentGenerativeModel, batch: Batch, folder: Path, seed: int) -> Path:
    path, x = folder / "editing.png", batch["x"]
    coarse = rough(x, max(2, min(x.shape[2:]) // BLOCKS))
    rows = [("real", x), ("rough", coarse)]
    for strength in STRENGTHS:
        rows.append((f"strength {strength:g}", model.edit({"x": coarse}, strength, seed=seed)["x"]))
    draw_table(rows, path, "A rough picture, noised up to a time and sampled back")
    return path


def _inpainting(model: LatentGenerativeModel, batch: Batch, folder: Path, seed: int) -> Path:
    path, x = folder / "inpainting.png", batch["x"]
    known = halves(len(x), *x.shape[2:])
    hidden = torch.where(known.unsqueeze(1), x, HIDDEN).to(x.dtype)
    rows = [("real", x), ("known", hidden)]
    for number in range(3):
        done = inpaint(model, batch, known, seed=seed + number, condition=batch.get("condition"))
        rows.append((f"completion {number + 1}", done["x"]))
    draw_table(rows, path, "Completions of the known half")
    return path


def _classes(
    model: LatentGenerativeModel, count: int, folder: Path, seed: int, guidances: Sequence[float]
) -> Path:
    path = folder / "classes.png"
    shown = torch.eye(count)[: min(count, 10)]
    rows = []
    for weight in guidances:
        made = model.sample(len(shown), seed=seed, condition=shown.to(model.device), guidance=weight)
        rows.append((f"guidance {weight:g}", made["x"]))
    draw_table(rows, path, "Samples of each class", [f"class {number}" for number in range(len(shown))])
    return path
