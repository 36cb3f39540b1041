"""The documentation is true: every block of Python runs, every command parses, every link and name leads somewhere.

A page's blocks run in order in one module of its own, in an empty folder. Sizes are cut down (``shrink``), never the
code; a page may add to that in a comment ``<!-- setup: ... -->``, Python that runs first and may use ``monkeypatch``.
"""

from __future__ import annotations

import dataclasses
import importlib
import re
import shlex
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import latentgen
import latentgen.hooks
import modalities.graphs
import modalities.images
import modalities.mixtures
import modalities.points
import modalities.text
from latentgen.cli import make_parser
from latentgen.cli.train import read_job

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "README.md"]
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
SETUP = re.compile(r"^<!-- setup:\n(.*?)^-->", re.MULTILINE | re.DOTALL)
STEPS = 3
README_SETUP = """
from modalities.graphs import Graphs
a, b = (Graphs().dataset("test").__getitems__([k, k + 1]) for k in (0, 2))
# uploading needs an account and a network
monkeypatch.setattr("latentgen.LatentGenerativeModel.push_to_hub", lambda self, name: name)
"""


def page_id(page: Path) -> str:
    return page.name


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language, each with its line number in front, so that errors point at the page."""
    text = page.read_text(encoding="utf-8")
    found = [match for match in FENCE.finditer(text) if match[1].strip() == language]
    return ["\n" * (text[: match.start(2)].count("\n")) + match[2] for match in found]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small graphs, small networks, few steps, few samples, hooks once."""
    graphs = modalities.graphs.Graphs
    sizes = {"train_size": 24, "test_size": 8, "width": 16, "encoder_depth": 1, "decoder_depth": 1}
    monkeypatch.setattr(modalities.graphs, "Graphs", lambda *args, **given: graphs(*args, **(given | sizes)))
    for recipe in (latentgen.LSGM, latentgen.LatentDiffusion):
        change(monkeypatch, recipe, width=16, depth=2, heads=2)
    for owner in (latentgen, latentgen.hooks):
        monkeypatch.setattr(owner, "evaluate", small_evaluation)
        monkeypatch.setattr(owner, "every", once)
    build = latentgen.Trainer.__init__

    def few_steps(self: Any, model: Any, objectives: Any, run: Any, options: Any = None, **others: Any) -> None:
        cut = {"steps": STEPS, "batch_size": 8, "log_every": 1, "workers": 0}
        options = dataclasses.replace(options or latentgen.TrainingOptions(), **cut)
        build(self, model, objectives, run, options, **{**others, "quiet": True})

    monkeypatch.setattr(latentgen.Trainer, "__init__", few_steps)


def once(steps: int, hook: Any, _every: Any = latentgen.every) -> Any:
    """A hook that runs at the last step, whatever the page says."""
    return _every(STEPS, hook)


def change(monkeypatch: pytest.MonkeyPatch, cls: type, **sizes: Any) -> None:
    """Let a class be built with these arguments whatever the page says."""
    build: Any = cls.__init__
    monkeypatch.setattr(cls, "__init__", lambda self, *args, **given: build(self, *args, **(given | sizes)))


def small_evaluation(*args: Any, _evaluate: Any = latentgen.evaluate, **given: Any) -> Any:
    """A table of few samples and two rows of the prior."""
    model = args[0]
    title = {"title": given["title"]} if "title" in given else {}
    return _evaluate(model, samples=4, calls=(2, 3), reference=4, nelbo=False, **title)


def run_page(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType(f"page_{page.stem.lower()}")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # classes of the page can be found when a model is loaded
    module.__dict__["monkeypatch"] = monkeypatch
    setups = [README_SETUP] if page.name == "README.md" else SETUP.findall(page.read_text(encoding="utf-8"))
    for code in (*setups, *blocks(page, "python")):
        exec(compile(code, str(page), "exec", dont_inherit=True), module.__dict__)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=page_id)
def test_blocks_run_in_order(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if page.name == "graphs.md":
        pytest.importorskip("rdkit")
    monkeypatch.chdir(tmp_path)
    shrink(monkeypatch)
    threads = torch.get_num_threads()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            run_page(page, monkeypatch)
    finally:
        torch.set_num_threads(threads)


def anchors(page: Path) -> set[str]:
    """Names that a link to a page may end in: its headings, as GitHub and MyST spell them, and its labels."""
    text = prose(page)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r"^\(([\w-]+)\)=$", text, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name} links to {link}"
        assert not anchor or anchor in anchors(target), f"{page.name} links to {link}, a heading that is not there"


def test_every_page_is_reached_from_the_index() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    listed = index.partition("```{toctree}")[2].split("```")[0].split()
    assert set(listed) - {":hidden:"} == {page.stem for page in DOCS.glob("*.md")} - {"index"}


def resolve(name: str) -> Any:
    """The object of a dotted name: modules as far as they go, attributes from there on."""
    parts = name.split(".")
    found, path = importlib.import_module(parts[0]), parts[0]
    for part in parts[1:]:
        path += f".{part}"
        if not hasattr(found, part):
            importlib.import_module(path)
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_names_exist(page: Path) -> None:
    """Dotted names of our packages in backticks, and capitalised names without their module."""
    text = prose(page)
    spans = re.findall(r"`([^`\n]+)`", text)
    names = {name for span in spans for name in re.findall(r"^((?:latentgen|modalities)(?:\.\w+)+)", span)}
    for name in sorted(names):
        resolve(name)
    spoken = {match[1] for span in spans if (match := re.fullmatch(r"([A-Z]\w+(?:\.\w+)*)(?:\(.*\))?", span))}
    unknown = {name for name in spoken if not any(has(home, name) for home in HOMES)}
    assert not unknown, f"{page.name} names {sorted(unknown)}"


HOMES = (latentgen, latentgen.sampler, modalities.graphs, modalities.images, modalities.mixtures, modalities.text,
         modalities.points)
"""Where a name in backticks without a module may live."""


def has(home: types.ModuleType, name: str) -> bool:
    """Whether ``home`` has the (dotted) name."""
    try:
        resolve(f"{home.__name__}.{name}")
    except (ImportError, AttributeError):
        return False
    return True


def test_the_reference_names_what_exists_and_all_public_names() -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\.\. auto\w+:: ([\w.]+)$", text, re.MULTILINE)
    for name in listed:
        resolve(name if name.split(".")[0] in ("latentgen", "modalities") else f"latentgen.{name}")
    missing = set(latentgen.__all__) - {name.rpartition(".")[2] for name in listed}
    assert not missing, f"api.md lacks {sorted(missing)}"


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "yaml")], ids=page_id)
def test_configurations_are_accepted(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number, text in enumerate(blocks(page, "yaml")):
        if {"modality", "recipe"} <= yaml.safe_load(text).keys():
            (tmp_path / f"{number}.yaml").write_text(text, encoding="utf-8")
            job = read_job([f"{number}.yaml"])
            assert job.options.steps >= 1


def commands(page: Path) -> list[list[str]]:
    """Calls of our own program in shell blocks, as words."""
    lines = "\n".join(blocks(page, "sh") + blocks(page, "")).splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("latentgen ")]


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=page_id)
def test_commands_are_accepted(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but ``train`` are parsed as they stand; ``train`` with a small file of its own in the place of CONFIG."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.jsonl").write_text('{"n": 3, "edges": [[0, 1]]}\n' * 5, encoding="utf-8")
    config = {"modality": "Graphs", "recipe": "LSGM"}
    for words in commands(page):
        if words[0] != "train":
            make_parser().parse_args(words)
        elif not any(".help" in word for word in words):
            if not words[1].startswith("-"):
                (tmp_path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
                words = ["train", "config.yaml", *words[2:]]
            assert read_job(words[1:]).options.steps >= 1
