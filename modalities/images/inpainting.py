"""Completing images of which some pixels are known."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from latentgen.model import LatentGenerativeModel
from latentgen.tensors import Batch

from .modality import Images


def latent_keep(images: Images, known: Tensor) -> Tensor:
    """Shrink a mask of pixels to the latent grid: a cell is known only if all its pixels are.

    Args:
        images: the modality, of layout "grid" or "pixels".
        known: True where a pixel is known, boolean, shape [B, H, W].

    Returns:
        Boolean, shape [B, h, w].

    Raises:
        ValueError: if ``known`` is not boolean or not of the images' size, or the latent is a vector, which has no
            places.
    """
    size = images.shape[1:]
    if images.layout == "vector":
        raise ValueError("layout is 'vector', whose numbers belong to no pixels; train a model of layout grid.")
    if known.dtype != torch.bool or known.dim() != 3 or tuple(known.shape[1:]) != size:
        raise ValueError(
            f"known has shape {tuple(known.shape)} and dtype {known.dtype}; give booleans of shape (B, {size[0]}, "
            f"{size[1]})."
        )
    edge = 1 if images.layout == "pixels" else 2**images.depth_of_grid
    unknown = torch.nn.functional.max_pool2d((~known).float().unsqueeze(1), edge, ceil_mode=True)
    return unknown.squeeze(1) == 0


def inpaint(
    model: LatentGenerativeModel, batch: Batch, known: Tensor, rounds: int = 2, seed: int = 0, **options: Any
) -> Batch:
    """Keep some pixels of images and generate the others.

    The encoder looks beyond a cell's own pixels, so hidden ones are never shown to it: in the first round they have the
    mean level of the known ones, and in each further round those of the completion before. Known pixels of the result
    are the given ones, byte by byte.

    Args:
        model: of images, with a score prior.
        batch: ``x`` uint8 [B, C, H, W]; hidden pixels may hold anything. Its ``condition``, where it has one, is that
            of the completion, unless another is given.
        known: True where a pixel is known, boolean, shape [B, H, W].
        rounds: how often latents are completed; once is enough for models in pixel space.
        seed: of the samples.
        options: of ``model.inpaint``: sampler, steps, resample, condition, guidance.

    Returns:
        ``x`` uint8 [B, C, H, W].

    Raises:
        ValueError: if ``rounds`` is below 1, the model is not one of images, ``x`` has another shape, or as
            :func:`latent_keep` says.
    """
    if rounds < 1:
        raise ValueError(f"rounds is {rounds}; complete at least once.")
    if not isinstance(model.modality, Images):
        raise ValueError(f"model has the modality {type(model.modality).__name__}; give one of Images.")
    keep, expected = latent_keep(model.modality, known).to(model.device), (len(known), *model.modality.shape)
    if tuple(batch["x"].shape) != expected:
        raise ValueError(f"x has shape {tuple(batch['x'].shape)} for a mask of {len(known)} images; give {expected}.")
    x = batch["x"].to(model.device)
    shown = known.to(model.device).unsqueeze(1).expand_as(x)
    count = shown.sum((-2, -1), keepdim=True).clamp_min(1)
    level = ((x * shown).sum((-2, -1), keepdim=True) / count).round().to(x.dtype)
    done = torch.where(shown, x, level)
    for _ in range(rounds):
        made = model.inpaint({**batch, "x": done}, keep, seed=seed, **options)
        done = torch.where(shown, x, made["x"].to(x.dtype))
    return {"x": done}
