"""Whether a modality can be trained, saved, judged and drawn: with small priors and few examples."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import nn

from ..adversarial_recipe import DDGAN
from ..modality import Modality
from ..model import LatentGenerativeModel
from ..objective import Objective
from ..recipe import LSGM, Prepared
from ..sampler import DPMSolver
from ..tensors import Batch
from .result import require

SAMPLES = 4
STEPS = 2
PNG = b"\x89PNG\r\n\x1a\n"


def _prepare(modality: Modality) -> Prepared:
    return LSGM(width=16, depth=1, heads=2).prepare(modality)


def two_steps(modality: Modality, batch: Batch) -> str:
    """Two optimizer steps of the joint objective."""
    (objective,) = _prepare(modality).objectives
    optimizer = _optimizer(objective)
    losses = [_step(objective, optimizer, batch) for _ in range(STEPS)]
    return "loss " + ", ".join(f"{loss:.4g}" for loss in losses)


def two_adversarial_steps(modality: Modality, batch: Batch) -> str:
    """Two steps of a denoising diffusion GAN, whose discriminator sees latents made in evaluation mode."""
    prepared = DDGAN(2, width=16, depth=1, heads=2, discriminator_depth=1).prepare(modality)
    prepared.model.train()
    updates = [(objective, _optimizer(objective)) for objective in prepared.objectives]
    for _ in range(STEPS):
        losses = [_step(objective, optimizer, batch) for objective, optimizer in updates]
    encoded = prepared.objectives[-1].groups().get("autoencoder", nn.Identity())
    missed = [name for name, p in _trained(encoded) if p.grad is None]
    require(
        not missed,
        f"no gradient reaches {', '.join(missed[:3])} after encode has run in evaluation mode",
        "let encode leave nothing behind that a later call in training mode returns or obeys",
    )
    return "losses " + ", ".join(f"{loss:.4g}" for loss in losses)


def _trained(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, p) for name, p in module.named_parameters() if p.requires_grad]


def _optimizer(objective: Objective) -> torch.optim.Optimizer:
    return torch.optim.AdamW([p for _, p in _trained(objective)], lr=1e-3)


def _step(objective: Objective, optimizer: torch.optim.Optimizer, batch: Batch) -> float:
    """One update; returns the loss before it."""
    loss = objective(batch)["loss"]
    value = float(loss.detach())
    optimizer.zero_grad()
    loss.backward()
    broken = [
        name for name, p in _trained(objective) if p.grad is not None and not p.grad.isfinite().all()
    ]
    require(
        loss.isfinite() and not broken,
        f"the loss is {value:.4g}, with gradients that are not finite in "
        f"{broken[:2] or 'no weight'}",
        "look for log(0), division by 0 or sqrt(0) in encode and log_prob, also at masked items",
    )
    optimizer.step()
    return value


def _sample(model: LatentGenerativeModel, batch: Batch) -> Batch:
    condition = batch["condition"][:SAMPLES] if "condition" in batch else None
    count = SAMPLES if condition is None else len(condition)
    return model.sample(count, DPMSolver(3), seed=1, condition=condition)


def save_and_load(modality: Modality, batch: Batch) -> str:
    """A model that was saved and loaded must make the same samples."""
    model = _prepare(modality).model.eval()
    expected = _sample(model, batch)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        loaded = LatentGenerativeModel.from_pretrained(folder, trust_remote_code=True)
    found = _sample(loaded, batch)
    for key, value in expected.items():
        require(
            key in found and torch.allclose(value.double(), found[key].double(), atol=1e-5),
            f"sample()[{key!r}] of the loaded model differs from the saved model's",
            "keep all that decode depends on in parameters, buffers, constructor arguments or "
            "the modality's state()",
        )
    return ", ".join(f"{key} {list(value.shape)}" for key, value in expected.items())


def figures(modality: Modality, train: Batch, test: Batch) -> str:
    """``evaluate`` on training data in the role of samples, and ``better``."""
    found = modality.evaluate(train, test, train)
    require(
        isinstance(found, dict) and all(isinstance(value, float) for value in found.values()),
        f"evaluate returns {found!r}"[:200],
        "return a dictionary of Python floats by name from evaluate",
    )
    broken = [name for name, value in found.items() if not torch.tensor(value).isfinite()]
    require(
        not broken,
        f"{', '.join(broken)} is not finite on {len(next(iter(test.values())))} real examples",
        "leave out a figure that cannot be computed",
    )
    better = modality.better()
    for name, way in better.items():
        require(
            way in ("lower", "higher"),
            f"better() says {way!r} of {name}",
            'return "lower" or "higher" for each figure from better()',
        )
    if not found:
        return "none: override evaluate to judge samples"
    silent = [name for name in found if name not in better]
    remark = f"; better() says nothing of {', '.join(silent)}" if silent else ""
    return ", ".join(f"{name} {value:.3g}" for name, value in found.items()) + remark


def picture(modality: Modality, batch: Batch) -> str:
    """``render`` writes a PNG."""
    if type(modality).render is Modality.render:
        return "none: override render to see samples"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "batch.png"
        modality.render(batch, path)
        require(
            path.is_file() and path.read_bytes().startswith(PNG),
            "render(batch, path) did not write a PNG at path",
            "write a PNG to exactly that path",
        )
        return f"{path.stat().st_size:,} bytes"


def export(modality: Modality, batch: Batch) -> str:
    """``export`` writes what it says into the folder it is given, and nothing less the second time."""
    if type(modality).export is Modality.export:
        return "none: override export to get files of samples"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for _ in range(2):
            written = modality.export(batch, folder)
            require(
                isinstance(written, list) and len(written) > 0 and all(Path(path).exists() for path in written),
                f"export(batch, folder) returned {written!r}, which are no files",
                "return the paths of what was written, also where an earlier export is replaced",
            )
            require(
                all(Path(path).parent == folder for path in written),
                "export(batch, folder) wrote outside of the folder",
                "write into exactly that folder",
            )
        return ", ".join(Path(path).name for path in written)
