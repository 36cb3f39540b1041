"""The folder of a run: what is written beside checkpoints, samples and metrics."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml

from .component import describe
from .storage import replace_file

if TYPE_CHECKING:
    from .model import LatentGenerativeModel
    from .objective import Objective
    from .training_options import TrainingOptions

PACKAGES = ("latentgen", "torch", "accelerate", "torchdiffeq", "safetensors", "numpy")


def environment() -> dict[str, Any]:
    """Versions, device and thread count of this process."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or "cpu"
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": device,
        "threads": torch.get_num_threads(),
        **versions,
    }


def write_run_header(
    run: Path, model: LatentGenerativeModel, objectives: Sequence[Objective], options: TrainingOptions
) -> None:
    """Write ``config.yaml`` (everything resolved) and ``env.json`` at the start of a run."""
    for name in ("samples", "plots"):
        (run / name).mkdir(parents=True, exist_ok=True)
    config = {
        "model": model.config(),
        "objectives": [
            {"class_path": described["class_path"], "init_args": _without_modules(described["init_args"])}
            for described in (describe(objective) for objective in objectives)
        ],
        "trainer": describe(asdict(options)),
    }
    replace_file(run / "config.yaml", yaml.safe_dump(config, sort_keys=False).encode())
    replace_file(run / "env.json", json.dumps(environment(), indent=1).encode())


def _without_modules(arguments: dict[str, Any]) -> dict[str, Any]:
    """The model's own parts are described once, under ``model``."""
    return {name: value for name, value in arguments.items() if name not in ("autoencoder", "prior")}
