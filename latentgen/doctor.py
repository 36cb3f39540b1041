"""What is installed, what a run would use, and what to mend."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

REQUIRED = {
    "torch": "torch",
    "accelerate": "accelerate",
    "torchdiffeq": "torchdiffeq",
    "safetensors": "safetensors",
    "huggingface-hub": "huggingface_hub",
    "numpy": "numpy",
    "jsonargparse": "jsonargparse",
    "PyYAML": "yaml",
    "matplotlib": "matplotlib",
    "tqdm": "tqdm",
}
"""Import name of every distribution that the framework needs."""

EXTRAS = {
    "graphs": {"torch-geometric": "torch_geometric", "networkx": "networkx", "scipy": "scipy"},
    "molecules": {"rdkit": "rdkit"},
    "images": {"Pillow": "PIL", "datasets": "datasets", "scikit-learn": "sklearn"},
    "text": {"transformers": "transformers", "tokenizers": "tokenizers", "datasets": "datasets"},
    "points": {"trimesh": "trimesh", "scipy": "scipy"},
    "dev": {"pytest": "pytest", "hypothesis": "hypothesis", "ruff": "ruff", "mypy": "mypy"},
}
"""The same for every extra; those of data types that are not there are passed over."""

OWN = ("latentgen", "modalities")
ENOUGH = 2 * 2**30
"""Free bytes below which the doctor warns."""


def examine(run: str | Path = "runs") -> dict[str, Any]:
    """Look at the machine and at the folder that runs would be written to.

    Args:
        run: the folder; it need not exist, and is not made.

    Returns:
        ``python``, ``system``, ``packages``, ``devices``, ``threads``, ``extras`` (missing
        distributions by extra), ``run`` (``folder``, ``writable``, ``free_bytes``) and
        ``problems`` (a list of ``problem`` and ``fix``, each one sentence).
    """
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "packages": {name: _version(name) for name in ("latentgen", *REQUIRED)},
        "devices": _devices(),
        "threads": _threads(),
        "extras": {name: _missing(EXTRAS[name]) for name in EXTRAS if _offered(name)},
        "run": _folder(Path(run)),
    }
    found["problems"] = list(_problems(found))
    return found


def report_text(found: dict[str, Any]) -> str:
    """What :func:`examine` found, for people."""
    lines = [f"python       {found['python']}  ({found['system']})"]
    for name, number in found["packages"].items():
        lines.append(f"{name:<12} {number or 'not installed'}")
    for number, device in enumerate(found["devices"]):
        lines.append(f"{'devices' if number == 0 else '':<12} {device}")
    threads = found["threads"]
    lines.append(f"{'threads':<12} {threads['torch']} of {threads['cores']} cores")
    for name, missing in found["extras"].items():
        state = f"missing {', '.join(missing)}" if missing else "installed"
        lines.append(f"{f'[{name}]':<12} {state}")
    folder = found["run"]
    free = f"{folder['free_bytes'] / 2**30:.1f} GiB free"
    lines.append(f"{'run folder':<12} {folder['folder']}, {free}")
    lines.append("")
    if not found["problems"]:
        return "\n".join([*lines, "nothing to mend"])
    for entry in found["problems"]:
        lines += [f"- {entry['problem']}", f"  fix: {entry['fix']}"]
    return "\n".join(lines)


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _present(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _offered(extra: str) -> bool:
    """Whether the data type that the extra is for is part of this installation."""
    package = {"molecules": "graphs"}.get(extra, extra)
    return extra == "dev" or _present(f"modalities.{package}")


def _missing(packages: dict[str, str]) -> list[str]:
    return [name for name, module in packages.items() if not _present(module)]


def _devices() -> list[str]:
    if not _present("torch"):
        return []
    import torch

    devices = [
        f"cuda:{number} {torch.cuda.get_device_name(number)}"
        for number in range(torch.cuda.device_count())
    ]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return [*devices, f"cpu {platform.processor() or platform.machine()}"]


def _threads() -> dict[str, int]:
    """Cores that this process may use, and torch's threads."""
    chosen = getattr(os, "sched_getaffinity", None)
    cores = len(chosen(0)) if chosen else os.cpu_count() or 1
    if not _present("torch"):
        return {"cores": cores, "torch": 0}
    import torch

    return {"cores": cores, "torch": torch.get_num_threads()}


def _folder(run: Path) -> dict[str, Any]:
    """The nearest existing folder decides whether the run folder can be made and filled."""
    parent = run.absolute()
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    try:
        with tempfile.TemporaryFile(dir=parent):
            writable = True
    except OSError:
        writable = False
    return {
        "folder": str(run.absolute()),
        "writable": writable,
        "free_bytes": shutil.disk_usage(parent).free,
    }


def _problems(found: dict[str, Any]) -> Iterator[dict[str, str]]:
    missing = [name for name, module in REQUIRED.items() if not _present(module)]
    if missing:
        yield _problem(f"{', '.join(missing)} is not installed", "pip install latentgen")
    for name, packages in found["extras"].items():
        if packages and name != "dev":
            what = f"the extra [{name}] is not complete: {', '.join(packages)}"
            yield _problem(what, f'pip install "latentgen[{name}]", if you need it')
    yield from _clashes()
    threads = found["threads"]
    if threads["torch"] > 1 and len(found["devices"]) == 1:
        yield _problem(
            f"torch uses {threads['torch']} threads, which slows small models down on a busy CPU",
            "give --threads 1, or set OMP_NUM_THREADS=1, unless your model is large",
        )
    folder = found["run"]
    if not folder["writable"]:
        yield _problem(
            f"{folder['folder']} cannot be written", "give --run a folder that you may write to"
        )
    if folder["free_bytes"] < ENOUGH:
        yield _problem(
            f"{folder['folder']} has {folder['free_bytes'] / 2**30:.1f} GiB left",
            "make room, or give --run a folder on another disk",
        )


def _clashes() -> Iterator[dict[str, str]]:
    """Other distributions, or folders on the path, that take our import names."""
    distributions = packages_distributions()
    for name in OWN:
        others = sorted(set(distributions.get(name, [])) - {"latentgen"})
        if others:
            yield _problem(
                f"the import name {name!r} also belongs to {', '.join(others)}",
                f"pip uninstall {' '.join(others)}, or use another environment",
            )
        spec = importlib.util.find_spec(name)
        ours = Path(__file__).parent.parent / name
        origin = None if spec is None or spec.origin is None else Path(spec.origin).parent
        if origin is None or origin.resolve() != ours.resolve():
            yield _problem(
                f"import {name} finds {origin or 'nothing'} instead of {ours}",
                "rename that folder or start python from another one",
            )


def _problem(problem: str, fix: str) -> dict[str, str]:
    return {"problem": problem, "fix": fix}
