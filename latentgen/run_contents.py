"""What a run folder holds; a missing part is absent, and a broken one is a note."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .hiding import hidden_value, hide_secrets
from .progress import read_metrics, resume_steps

__all__ = ["Picture", "RunContents", "read_run"]

_PNG = b"\x89PNG\r\n\x1a\n"
_TEXT_LIMIT = 200_000
_PICTURE_LIMIT = 8 * 2**20
_REAL = re.compile(r"(?:^|[_-])(?:real|data|reference|train|test|held_?out)(?:[_-]|$)")
_STEP = re.compile(r"(?:step[_-]?)?(\d+)")


@dataclass(frozen=True)
class Picture:
    """One PNG of a run.

    Args:
        data: Its bytes.
        width: Pixels across.
        height: Pixels down.
        step: The step in its name, None if there is none.
        label: The rest of its name.
        real: Whether it shows real data.
    """

    data: bytes
    width: int
    height: int
    step: int | None
    label: str
    real: bool


@dataclass
class RunContents:
    """The readable parts of a run folder.

    Args:
        name: Name of the folder.
        config_text: `config.yaml` as text, secrets hidden.
        config: The same as data.
        environment: `env.json` as flat text by name, secrets hidden.
        metrics: Rows of `metrics.jsonl`.
        marks: Steps at which the run was resumed.
        samples: Pictures of `samples/`, in order of steps.
        texts: Text samples of `samples/`, in order of steps: caption and content.
        plots: Pictures of `plots/`.
        evaluation: `evaluation.json`.
        problems: What could not be read, and why.
    """

    name: str
    config_text: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    metrics: list[dict[str, float | None]] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    samples: list[Picture] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)
    plots: list[Picture] = field(default_factory=list)
    evaluation: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read_run(run: Path) -> RunContents:
    """Read a run folder.

    Raises:
        FileNotFoundError: If there is no such folder.
    """
    run = Path(run)
    if not run.is_dir():
        raise FileNotFoundError(f"run is {run}, which is not a folder; expected a run folder")
    contents = RunContents(run.resolve().name)
    contents.config_text = hide_secrets(_text(run / "config.yaml", contents.problems))
    contents.config = _yaml(contents.config_text, contents.problems)
    contents.environment = _flat(_json(run / "env.json", contents.problems))
    if _own_file(run / "metrics.jsonl", contents.problems):
        contents.metrics = read_metrics(run / "metrics.jsonl")
        contents.marks = resume_steps(run / "metrics.jsonl")
    contents.evaluation = _json(run / "evaluation.json", contents.problems)
    contents.samples = _pictures(run / "samples", contents.problems)
    contents.plots = _pictures(run / "plots", contents.problems)
    for path in sorted(_files(run / "samples", (".txt", ".smi")), key=_order):
        contents.texts.append((_caption(path.stem), _text(path, contents.problems)))
    return contents


def _own_file(path: Path, problems: list[str]) -> bool:
    """Whether there is a file that is the run's own."""
    if path.is_symlink():
        problems.append(f"{path.name} is left out: it is a link")
    return path.is_file() and not path.is_symlink()


def _text(path: Path, problems: list[str]) -> str:
    """A text file, cut where it gets long; empty if it is not there, or a link, which may point anywhere."""
    if not _own_file(path, problems):
        return ""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            text = handle.read(_TEXT_LIMIT + 1)
    except OSError as error:
        problems.append(f"{path.name} could not be read: {error}")
        return ""
    return text if len(text) <= _TEXT_LIMIT else f"{text[:_TEXT_LIMIT]}\n..."


def _json(path: Path, problems: list[str]) -> dict[str, Any]:
    if not _own_file(path, problems):
        return {}
    try:
        value = json.loads(path.read_bytes())
        if isinstance(value, dict):
            return value
        problems.append(f"{path.name} could not be read: it is not a mapping")
    except (OSError, ValueError, RecursionError) as error:
        problems.append(f"{path.name} could not be read: {error}")
    return {}


def _yaml(text: str, problems: list[str]) -> dict[str, Any]:
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problems.append(f"config.yaml could not be read: {' '.join(str(error).split())}")
        return {}
    return value if isinstance(value, dict) else {}


def _flat(values: Mapping[str, Any], prefix: str = "", depth: int = 0) -> dict[str, str]:
    """A nested mapping as one level of text, secrets hidden."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, dict) and depth < 4:
            flat |= _flat(value, f"{prefix}{name}.", depth + 1)
            continue
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        flat[f"{prefix}{name}"] = hidden_value(str(name), text)
    return flat


def _files(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    """The regular files of a folder; links are left out, they may point anywhere."""
    if not folder.is_dir():
        return []
    return [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in endings and path.is_file() and not path.is_symlink()
    ]


def _step(stem: str) -> int | None:
    found = _STEP.search(stem)
    return int(found[1]) if found else None


def _order(path: Path) -> tuple[int, str]:
    step = _step(path.stem)
    return (-1 if step is None else step, path.name)


def _pictures(folder: Path, problems: list[str]) -> list[Picture]:
    """The PNG files of a folder in order of steps."""
    pictures = []
    for path in sorted(_files(folder, (".png",)), key=_order):
        try:
            data = path.read_bytes() if path.stat().st_size <= _PICTURE_LIMIT else b""
        except OSError as error:
            problems.append(f"{folder.name}/{path.name} could not be read: {error}")
            continue
        if data[:8] != _PNG or data[12:16] != b"IHDR":
            reason = "it is too large" if not data else "it is not a PNG picture"
            problems.append(f"{folder.name}/{path.name} is left out: {reason}")
            continue
        width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
        step = _step(path.stem)
        real = bool(_REAL.search(path.stem.lower()))
        pictures.append(Picture(data, width, height, step, _label(path.stem), real))
    return pictures


def _label(stem: str) -> str:
    """A file name without its step, as words."""
    return " ".join(_STEP.sub("", stem, count=1).replace("_", " ").replace("-", " ").split())


def _caption(stem: str) -> str:
    """What a text sample shows, from its file name."""
    if _REAL.search(stem.lower()):
        return "Real data"
    name, step = _label(stem).capitalize() or "Samples", _step(stem)
    return name if step is None else f"{name}, step {step:,}"
