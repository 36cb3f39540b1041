"""The house: floors import downwards, no unsafe loading, no file names without a meaning."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = [
    {"tensors", "latents", "noise", "component", "distributions", "archive", "evaluating",
     "conditions", "signals", "class_names", "export", "hiding"},
    {"process", "weighting", "times", "chain"},
    {"nn", "autoencoder", "denoiser", "flow", "sampler", "prior", "generator", "matching", "gan_prior", "architecture",
     "parameterisation", "inpainting", "interpolation", "joining", "reading"},
    {"modality", "metrics", "objective", "adversarial", "config", "storage", "manifest", "lock", "ema", "stream",
     "optimizers", "training_options", "launch", "memory", "collapse", "ranks",
     "encoded"},
    {"pretrained", "model", "optimizer_state", "checkpoint", "training_state", "progress", "table", "plots"},
    {"recipe", "adversarial_recipe", "data_recipe", "autoguidance", "evaluation", "reproduction", "run", "run_contents",
     "report_charts", "report_sections", "report", "comparison", "comparison_cost", "comparison_report",
     "trilemma", "trilemma_charts", "testing", "doctor"},
    {"trainer", "hooks"},
    {"cli", "__main__", "__init__"},
]
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
SOURCES = sorted((ROOT / "latentgen").rglob("*.py")) + sorted((ROOT / "modalities").rglob("*.py"))
SCRIPTS = sorted((ROOT / "benchmarks").glob("*.py")) + sorted((ROOT / "examples").glob("*.py"))


def module_of(path: Path) -> str:
    return path.relative_to(ROOT / "latentgen").parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Dotted names imported when the module is loaded (not inside functions or for type checking alone)."""
    package = ".".join(path.relative_to(ROOT).with_suffix("").parts[:-1])
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            found.add(".".join(part for part in (base, node.module or "") if part))
    return found


@pytest.mark.parametrize("path", [p for p in SOURCES if "latentgen" in p.relative_to(ROOT).parts[0]], ids=str)
def test_imports_go_downwards(path: Path) -> None:
    own = module_of(path)
    assert own in FLOOR, f"{path.name} has no floor; give it one in FLOORS"
    for name in imported(path):
        parts = name.split(".")
        assert parts[0] != "modalities", f"{path.name} imports a modality"
        if parts[0] == "latentgen" and len(parts) > 1 and parts[1] != own:
            assert FLOOR[parts[1]] <= FLOOR[own], f"{path.name} imports the higher floor {parts[1]}"


@pytest.mark.parametrize("path", [p for p in SOURCES if p.relative_to(ROOT).parts[0] == "modalities"], ids=str)
def test_modalities_do_not_import_each_other(path: Path) -> None:
    own = path.relative_to(ROOT).parts[1]
    for name in imported(path):
        parts = name.split(".")
        assert parts[0] != "modalities" or len(parts) == 1 or parts[1] == own


@pytest.mark.parametrize("path", SOURCES + SCRIPTS, ids=str)
def test_nothing_is_unpickled_or_evaluated(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called, given = ast.unparse(node.func), {ast.unparse(keyword) for keyword in node.keywords}
        if called == "torch.load" and "weights_only=True" in given:  # tensors alone, no code
            continue
        assert called not in ("eval", "exec", "pickle.load", "pickle.loads", "torch.load", "yaml.load"), called
        assert not any(keyword.arg == "allow_pickle" for keyword in node.keywords)


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_names_mean_something(path: Path) -> None:
    assert path.stem not in ("utils", "helpers", "common", "base", "misc")


def test_mathematics_knows_no_device_and_no_data_set() -> None:
    for floor in FLOORS[:3]:
        for name in floor - {"nn"}:
            path = ROOT / "latentgen" / name
            files = path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")]
            text = "\n".join(file.read_text(encoding="utf-8") for file in files).lower()
            for word in ('"cuda"', ".cuda()", "mnist", "cifar", "qm9"):
                assert word not in text, f"{name}.py says {word}"
