"""A run beside the figures that a paper reports for the same setting: ``latentgen evaluate RUN --profile paper``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from .evaluation import Evaluation
from .model import LatentGenerativeModel
from .storage import replace_file

UNITS = {"nelbo": "nats", "bits_per_dim": "bits per dimension", "frechet": "Frechet distance"}
"""What a configuration may say is published, and its unit."""


def read_published(run: str | Path) -> list[dict[str, Any]]:
    """What the configuration of a run says is published: figure, value, source and protocol.

    Raises:
        ValueError: if the run has no configuration, it names no published figure, or one is not understood.
    """
    path = Path(run) / "train.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    found = content.get("published") if isinstance(content, dict) else None
    if not found:
        raise ValueError(
            f"{run} names no published figure; train it from a configuration with the key published, such as "
            "configs/images/mnist_lsgm.yaml."
        )
    check_published(found)
    return list(found)


def check_published(published: Sequence[Mapping[str, Any]]) -> None:
    """Refuse what is not understood.

    Raises:
        ValueError: if a figure is unknown, or a value is no number.
    """
    for row in published:
        if row.get("figure") not in UNITS:
            raise ValueError(f"published names the figure {row.get('figure')!r}; choose {', '.join(UNITS)}.")
        if not isinstance(row.get("value"), int | float):
            raise ValueError(f"published gives {row.get('figure')} the value {row.get('value')!r}; give a number.")


def budget(run: str | Path) -> dict[str, float]:
    """Steps, examples seen, hours and CPU hours of a run, from its log and its options."""
    folder = Path(run)
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    last = json.loads(lines[-1])
    options = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))["trainer"]
    seen = last["step"] * options["batch_size"] * options["accumulation"]
    return {
        "steps": float(last["step"]),
        "examples a process": float(seen),
        "hours": last["seconds"] / 3600,
        "CPU hours": last["cpu_seconds"] / 3600,
    }


def beside_published(
    model: LatentGenerativeModel, result: Evaluation, published: Sequence[Mapping[str, Any]], run: str | Path
) -> dict[str, Any]:
    """Our figures beside the published ones.

    The Frechet distance is the best row's, by its name; NELBO is the flow's where there is one, else the bound's.

    Args:
        model: the trained model, with data.
        result: of :func:`evaluate`, with likelihoods.
        published: of :func:`read_published`.
        run: the run folder.

    Returns:
        rows (figure, unit, ours, published, source, protocol), features (name and hash), notes and budget.
    """
    rows, features = [], model.modality.feature_map()
    for row in published:
        rows.append(
            {
                "figure": row["figure"],
                "unit": UNITS[row["figure"]],
                "ours": _ours(model, result, row["figure"]),
                "published": row["value"],
                "source": row.get("source", ""),
                "protocol": row.get("protocol", ""),
            }
        )
    return {
        "rows": rows,
        "features": {"name": features.name, "hash": features.hash},
        "notes": [
            *result["notes"],
            "Ours: Frechet distances against the test split, NELBO of test examples; the papers take FID against the "
            "training set.",
        ],
        "budget": budget(run),
    }


def _ours(model: LatentGenerativeModel, result: Evaluation, figure: str) -> float | None:
    if figure == "frechet":
        found = [row["values"]["frechet"] for row in result["rows"] if row["calls"] and "frechet" in row["values"]]
        return min(found) if found else None
    likelihood = result.get("likelihood") or {}
    if not likelihood:
        return None
    nats = float(likelihood["ode" if "ode" in likelihood else "bound"]["nelbo"])
    if figure == "nelbo":
        return nats
    return bits_per_dimension(nats, model.modality.dimensions)


def bits_per_dimension(nats: float, dimensions: int | None) -> float | None:
    """nats / (dimensions ln 2); None where data have no fixed number of dimensions."""
    return None if dimensions is None else nats / (dimensions * math.log(2))


def format_reproduction(found: Mapping[str, Any]) -> str:
    """A table in plain text."""
    lines = [f"{'figure':34}{'ours':>12}{'published':>12}  source"]
    for row in found["rows"]:
        ours = "-" if row["ours"] is None else f"{row['ours']:.3f}"
        label = f"{row['figure']} ({row['unit']})" if row["figure"] != row["unit"] else row["figure"]
        lines.append(f"{label:34}{ours:>12}{row['published']:>12.3f}  {row['source']}")
        if row["protocol"]:
            lines.append(f"  published protocol: {row['protocol']}")
    spent = found["budget"]
    lines.append(f"features: {found['features']['name']} ({found['features']['hash']})")
    lines.append(
        f"budget: {spent['steps']:.0f} steps, {spent['examples a process']:,.0f} examples a process, "
        f"{spent['hours']:.2f} hours, {spent['CPU hours']:.2f} CPU hours"
    )
    return "\n".join([*lines, *found["notes"]])


def write_reproduction(run: str | Path, found: Mapping[str, Any]) -> Path:
    """Write ``evaluation_paper.json`` into the run folder."""
    path = Path(run) / "evaluation_paper.json"
    replace_file(path, json.dumps(found, indent=1).encode())
    return path
