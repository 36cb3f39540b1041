"""Pictures of what one does with trained shapes: reconstruction, paths, variations, more points, turning."""

from __future__ import annotations

from pathlib import Path

import torch

from latentgen.evaluation import gather
from latentgen.model import LatentGenerativeModel
from latentgen.tensors import Batch

from .export import write_batch
from .modality import Points
from .networks import TokenAutoencoder
from .render import draw_clouds
from .turntable import draw_turntable
from .use import decode_points

STRENGTHS = (0.3, 0.5, 0.7)
"""Times to which variations are noised."""


def draw_gallery(
    model: LatentGenerativeModel, run: Path, count: int = 6, steps: int = 25, seed: int = 0
) -> list[Path]:
    """Draw everything into ``samples/`` and ``plots/`` of a run, and write generated shapes as .ply files.

    Args:
        model: of shapes, with data.
        run: folder of the run.
        count: shapes in a row.
        steps: of the sampler.
        seed: of the samples.

    Returns:
        The files.

    Raises:
        ValueError: if the model is not one of shapes.
    """
    shapes = model.modality
    if not isinstance(shapes, Points):
        raise ValueError(f"model has the modality {type(shapes).__name__}; give one of Points.")
    test, plots = gather(model, "test", max(2, count)), run / "plots"
    cost = None if model.prior.default_sampler == "gan" else steps
    made = model.sample(max(4, count), steps=cost, seed=seed)
    files = [plots / "reconstruction.png", plots / "generated_and_real.png", run / "samples" / "turning.png"]
    draw_clouds([_row("real", test), _row("through the autoencoder", model.reconstruct(test))], files[0], count)
    draw_clouds([_row("generated", made), _row("real", test)], files[1], count)
    draw_turntable(made["x"].cpu(), made["mask"].cpu(), files[2])
    if model.prior.score_prior is not None:
        files += [_path(model, test, plots, count), _variations(model, test, plots, count, steps, seed)]
    if any(isinstance(part, TokenAutoencoder) for part in model.modules()):
        files.append(_more_points(model, test, plots, count))
    cloud = shapes.clouds(made)
    return [*files, *write_batch(cloud.x, cloud.mask, run / "samples" / "ply", shapes.features)]


def _row(name: str, batch: Batch) -> tuple[str, torch.Tensor, torch.Tensor]:
    return name, batch["x"].cpu(), batch["mask"].cpu()


def _path(model: LatentGenerativeModel, test: Batch, folder: Path, count: int) -> Path:
    a, b = ({key: value[number : number + 1] for key, value in test.items()} for number in (0, 1))
    points = model.interpolate(a, b, count, tolerance=1e-3)
    steps = {key: torch.cat([part[key] for part in points]) for key in points[0]}
    draw_clouds([_row("from one shape to another", steps)], folder / "interpolation.png", count)
    return folder / "interpolation.png"


def _variations(
    model: LatentGenerativeModel, test: Batch, folder: Path, count: int, steps: int, seed: int
) -> Path:
    first = {key: value[:1].expand(count, *value.shape[1:]).contiguous() for key, value in test.items()}
    rows = [_row(f"noise to t = {s}", model.edit(first, s, steps=steps, seed=seed)) for s in STRENGTHS]
    draw_clouds(rows, folder / "variations.png", count)
    return folder / "variations.png"


def _more_points(model: LatentGenerativeModel, test: Batch, folder: Path, count: int) -> Path:
    z = model.encode({key: value[:count] for key, value in test.items()}).mean
    few, many = (decode_points(model, z, n) for n in (256, 4096))
    draw_clouds([_row("256 points", few), _row("4,096 points", many)], folder / "more_points.png", count)
    return folder / "more_points.png"
