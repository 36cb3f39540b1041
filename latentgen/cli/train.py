"""``latentgen train CONFIG``: one YAML file is one run; constructors are its schema."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml
from jsonargparse import ActionYesNo, ArgumentParser, Namespace, set_parsing_settings

from ..component import describe
from ..config import trusted_packages
from ..modality import Modality
from ..recipe import Recipe
from ..reproduction import check_published
from ..storage import replace_file
from ..trainer import Trainer, every
from ..training_options import TrainingOptions
from .aliases import refuse_bombs
from .names import full_name

if TYPE_CHECKING:
    from ..trainer import Hook

TRUST = "--trust-remote-code"

DESCRIPTION = f"""\
Train a model, measure it, and write a report. CONFIG is a YAML file with the keys modality,
recipe, trainer and run; every value can be changed on the command line:

  latentgen train CONFIG --trainer.steps 500 --modality.init_args.data graphs.jsonl --run runs/a

The same command continues a run that was stopped. On several devices or machines:
accelerate launch -m latentgen train CONFIG. A configuration may name classes of latentgen,
modalities and registered packages; {TRUST} on the command line allows all others.
Help on a class: --modality.help modalities.graphs.Graphs, --recipe.help LSGM.
"""


@dataclass(frozen=True)
class Job:
    """One run, ready to start."""

    modality: Modality
    recipe: Recipe
    options: TrainingOptions
    run: Path
    settings: Namespace


def train(arguments: Sequence[str]) -> int:
    """Train, and evaluate unless told not to."""
    job = read_job(arguments)
    torch.set_num_threads(job.settings.threads or torch.get_num_threads())
    torch.manual_seed(job.options.seed)
    prepared = job.recipe.prepare(job.modality)
    if job.settings.evaluate:
        # a source without test data, or a feature map without its file, is refused now, not after the training
        len(job.modality.dataset("test"))
        job.modality.feature_map()
    if job.settings.dry_run:
        from .plan import plan

        if text := plan(job.modality, prepared, job.options):
            print(text, flush=True)
        return 0
    trainer = Trainer(
        prepared.model, prepared.objectives, job.run, job.options, _hooks(job), quiet=job.settings.quiet
    )
    if trainer.accelerator.is_main_process and not job.settings.quiet:
        print(_headline(job, trainer), file=sys.stderr)
    model = trainer.fit()
    if trainer.accelerator.is_main_process:
        _finish(job, model)
    return 0


def _headline(job: Job, trainer: Trainer) -> str:
    count = sum(parameter.numel() for parameter in trainer.model.parameters())
    examples = len(job.modality.dataset("train"))
    return (
        f"{job.run}: {type(job.recipe).__name__} on {examples:,} examples, {count:,} parameters, "
        f"{trainer.accelerator.num_processes} x {trainer.accelerator.device}, "
        f"{torch.get_num_threads()} CPU threads"
    )


def _hooks(job: Job) -> list[Hook]:
    from ..hooks import draw_samples

    def keep(trainer: Trainer) -> None:
        """Write what was asked for, so that the run can be made again from its folder."""
        if trainer.step == trainer.resumed_from + 1 and trainer.accelerator.is_main_process:
            text = yaml.safe_dump(resolved(job), sort_keys=False)
            replace_file(trainer.run / "train.yaml", text.encode())

    pictures = job.settings.pictures
    return [every(1, keep), *([draw_samples(pictures)] if pictures else [])]


def resolved(job: Job) -> dict[str, Any]:
    """The run as a configuration for ``latentgen train``."""
    return {
        "modality": describe(job.modality),
        "recipe": describe(job.recipe),
        "trainer": describe(asdict(job.options)),
        "run": str(job.run),
        **({"published": list(job.settings.published)} if job.settings.published else {}),
    }


def _finish(job: Job, model: Any) -> None:
    from ..hooks import finish
    from ..report import write_report

    settings = job.settings
    if settings.evaluate:
        finish(model, job.run, settings.samples, settings.sets, settings.calls, job.options.seed)
        return
    print(f"model: {job.run / 'export'}\nreport: {write_report(job.run)}", flush=True)


def read_job(arguments: Sequence[str]) -> Job:
    """Parse the command line and build what it names.

    Args:
        arguments: those behind ``latentgen train``.

    Raises:
        ValueError: naming the key, what was given and what is expected.
    """
    given = list(arguments)
    trust = TRUST in given
    given = [argument for argument in _listed(given) if argument != TRUST]
    config = None
    if given and not given[0].startswith("-"):
        config = Path(given.pop(0))
        given = ["--config", str(config), *given]
    refuse_bombs(config)
    _know_short_names(given, config)
    _restrict_imports(given, config, trust)
    parser = make_parser()
    try:
        parsed = parser.parse_args(given)
        _require_data(parsed)
        built = parser.instantiate(parsed)
    except argparse.ArgumentError as error:
        where = f"{config}: " if "parsing config" in str(error) else ""
        raise ValueError(where + plain(str(error))) from error
    check_published(built.published)
    if min(built.calls, default=1) < 1:
        raise ValueError(f"calls is {built.calls}; give whole numbers of at least 1, such as 2,4,10.")
    default = Path("runs") / (config.stem if config else type(built.modality).__name__.lower())
    run = Path(built.run) if built.run else default
    return Job(built.modality, built.recipe, built.trainer, run, built)


def _listed(given: Sequence[str]) -> list[str]:
    """``--calls 2,4``, as ``latentgen evaluate`` takes it, in the parser's words: ``--calls [2,4]``."""
    spaced = [False, *(argument == "--calls" for argument in given)]
    return [
        re.sub(r"^(--calls=)?(\d+(?:,\d+)*)$", r"\1[\2]", argument)
        if follows or argument.startswith("--calls=") else argument
        for argument, follows in zip(given, spaced, strict=False)
    ]


def make_parser() -> ArgumentParser:
    """The parser of configurations; it exits only for --help."""
    parser = ArgumentParser(
        prog="latentgen train",
        usage="latentgen train CONFIG [--KEY VALUE ...]",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        exit_on_error=False,
    )
    add = parser.add_argument
    add("--config", action="config", help="a YAML file; the same as CONFIG")
    add("--modality", type=Modality, required=True, help="what the data are")
    add("--recipe", type=Recipe, required=True, help="how the model is put together")
    add("--trainer", type=TrainingOptions, default=TrainingOptions())
    add("--run", type=str, default=None, help="folder of the run; runs/CONFIG unless given")
    add("--published", type=list[dict[str, Any]], default=[], help="a paper's figures, for evaluate --profile paper")
    _yes_no = {"yes_prefix": "", "no_prefix": "no-"}
    add("--evaluate", action=ActionYesNo(**_yes_no), default=True, help="measure the model at the end")
    add("--samples", type=int, default=1000, help="samples generated for each row of the table")
    add("--sets", type=int, default=1, help="sample sets of each row")
    add("--calls", type=list[int], default=[2, 4, 10, 25], help="costs at which the prior is sampled")
    add("--pictures", type=int, default=0, help="steps between pictures of samples; 0: none")
    add("--threads", type=int, default=None, help="CPU threads; small models are fastest with 1")
    add("--quiet", action=ActionYesNo(**_yes_no), default=False, help="show no progress")
    add("--dry-run", action="store_true", help="a few steps; print shapes, memory and time, write nothing")
    return parser


def _know_short_names(given: Sequence[str], config: Path | None) -> None:
    """Import the modality that is given by its class name alone, so that the parser knows it."""
    for name in (*_values(given, "--modality"), *_config_modality(config)):
        if name.isidentifier():
            full_name(name)


def _values(given: Sequence[str], option: str) -> Iterator[str]:
    for position, argument in enumerate(given):
        if argument == option or argument == f"{option}.class_path":
            yield from given[position + 1 : position + 2]
        elif argument.startswith((f"{option}=", f"{option}.class_path=")):
            yield argument.partition("=")[2]


def _config_modality(config: Path | None) -> Iterator[str]:
    value = _load(config).get("modality")
    name = value.get("class_path") if isinstance(value, dict) else value
    if isinstance(name, str):
        yield name


def _load(config: Path | None) -> dict[str, Any]:
    """The configuration as plain data; {} where the parser will complain."""
    if config is None or not config.is_file():
        return {}
    try:
        found = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _restrict_imports(given: Sequence[str], config: Path | None, trust: bool) -> None:
    """Let the parser import classes of trusted packages alone, whatever key they stand under."""
    allowed = trusted_packages()
    if trust:
        named = [*_class_paths(_load(config)), *(part.rpartition("=")[2] for part in given)]
        packages = {name.split(".")[0] for name in named if re.fullmatch(r"\w+(\.\w+)+", name)}
        allowed |= {package for package in packages if package.isidentifier()}
        if str(Path.cwd()) not in sys.path:
            sys.path.insert(0, str(Path.cwd()))
    set_parsing_settings(
        import_path_denylist=["*", *sorted(_allowed_before - allowed)],
        import_path_allowlist=sorted(allowed),
        instantiate_subclass_spec_in_any=False,
    )
    _allowed_before.update(allowed)


_allowed_before: set[str] = set()  # the parser's policy is one for the process, and only grows


def _class_paths(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, str) and key in ("class_path", "modality", "recipe"):
                yield item
            yield from _class_paths(item)
    elif isinstance(value, list):
        for item in value:
            yield from _class_paths(item)


def _require_data(parsed: Namespace) -> None:
    arguments = parsed.get("modality.init_args") or {}
    if "data" in arguments and arguments["data"] is None:
        raise ValueError(
            "modality.init_args.data is null; give the path of your data with "
            "--modality.init_args.data PATH."
        )


def plain(message: str) -> str:
    """One sentence out of the parser's nested message."""
    denied = re.search(r"Importing '([^']+)' is not allowed", message)
    if denied:
        return (
            f"class_path is {denied[1]!r}, whose package is not one of "
            f"{', '.join(sorted(trusted_packages()))}; add {TRUST} if you trust its code."
        )
    keys = ".".join(re.findall(r'[Kk]ey "([^"]+)"', message))
    lines = [line.strip(" -\t") for line in message.splitlines()]
    kept = [re.sub(r'^Parser key "[^"]+":\s*', "", line) for line in lines]
    kept = [line for line in kept if line and not _STRUCTURE.match(line)]
    text = "; ".join(line.rstrip(".:") for line in kept)
    for pattern, better in _REWORDED:
        text = re.sub(pattern, better, text)
    return f"{keys}: {text}." if keys else f"{text}."


_STRUCTURE = re.compile(
    r"Parser key|Problem with given class_path|Subtypes:|Errors:|Given value|Does not validate|"
    r"Expected a <class 'NoneType'>"
)
_REWORDED = (
    (r"<class '(?:[\w.]*\.)?(\w+)'>", r"\1"),
    (r"Expected a list\. Got value: (.*)", r"expected a list, got \1; put it in brackets, such as [2, 4]"),
    (r"Expected a dot import path string: (.*)", r"no class is called \1, write its full name"),
    (r"is not accepted", "is not accepted; --recipe.help and --modality.help list the options"),
)
