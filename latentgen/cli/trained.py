"""``latentgen sample``, ``evaluate`` and ``report``: what is done with a trained model."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from ..model import LatentGenerativeModel

COST = "number of steps; most samplers call the network once a step"


def add_commands(commands: Any) -> None:
    """Add the three commands to the main parser."""
    sample = commands.add_parser(
        "sample",
        help="generate from a trained model",
        description="Generate data: samples.safetensors, the first ones as samples.png, and all as files of the "
        "data's own kind, where the modality has them. Sample i depends on the seed and on i alone.",
    )
    _add_model(sample)
    sample.add_argument("--n", type=int, default=16, help="number of samples (default: 16)")
    sample.add_argument("--sampler", help="dpm, ode, heun, ddim, ancestral, euler, pc, gan (default: the prior's)")
    sample.add_argument("--steps", type=int, help=COST)
    sample.add_argument(
        "--option", nargs="+", default=[], metavar="NAME=VALUE",
        help="other arguments of the sampler: spacing=time variance=large makes ancestral steps DDPM's",
    )
    sample.add_argument("--seed", type=int, default=0, help="of the samples (default: 0)")
    sample.add_argument("--label", help="number or name of a class, for class-conditional models")
    sample.add_argument(
        "--guidance", type=float, default=1.0, help="weight of classifier-free guidance (default: 1)"
    )
    sample.add_argument(
        "--autoguidance", type=float, metavar="W", default=1.0,
        help="weight of guidance away from a weaker prior, 1.5 to 3 (default: 1, none; twice the calls)",
    )
    sample.add_argument(
        "--without", type=int, nargs="+", metavar="BLOCK", default=None,
        help="blocks of the network that the weaker prior lacks (default: 0)",
    )
    sample.add_argument("--weak", metavar="RUN", help="a weaker model of the same latents, instead of --without")
    sample.add_argument(
        "--precision", choices=("no", "bf16"), default="no", help="of the networks: fp32 or bf16 autocast (default: no)"
    )
    sample.add_argument("--out", type=Path, help="folder to write to (default: samples in RUN)")
    sample.set_defaults(run_command=_sample)
    evaluate = commands.add_parser(
        "evaluate",
        help="measure a trained model",
        description="Measure a model by its modality's own figures: real data, reconstruction and "
        "no prior first, then the prior at several costs. Only the table (or JSON) is printed on "
        "the standard output.",
    )
    _add_model(evaluate)
    evaluate.add_argument("--data", help="other data than the model was trained on")
    evaluate.add_argument(
        "--modality",
        nargs="*",
        default=[],
        metavar="NAME=VALUE",
        help="other arguments of the modality, values in YAML: valid=planar",
    )
    evaluate.add_argument("--samples", type=int, default=1000, help="a sample set (default: 1000)")
    evaluate.add_argument("--sets", type=int, default=1, help="sample sets a row (default: 1)")
    evaluate.add_argument("--calls", default="2,4,10,25", help="costs (default: 2,4,10,25)")
    evaluate.add_argument("--sampler", default="dpm", help="of these rows (default: dpm)")
    evaluate.add_argument("--seed", type=int, default=0, help="of the samples (default: 0)")
    evaluate.add_argument(
        "--features", type=Path, help="file of the network that figures are computed on, such as Inception's weights"
    )
    evaluate.add_argument(
        "--profile", choices=("paper",), help="paper: beside the figures that the configuration says are published"
    )
    evaluate.add_argument("--json", action="store_true", help="print JSON instead of a table")
    evaluate.set_defaults(run_command=_evaluate)
    report = commands.add_parser(
        "report",
        help="write report.html from what a run folder holds",
        description="Write report.html, one file that opens without a network, from whatever the "
        "run folder holds, also while it trains.",
    )
    report.add_argument("run", metavar="RUN", type=Path, help="run folder")
    report.set_defaults(run_command=_report)


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run",
        metavar="RUN",
        help="run folder, folder or file of a saved model, or a name on the Hugging Face Hub",
    )
    parser.add_argument("--device", help="cpu, cuda, mps (default: cuda if there is one)")
    parser.add_argument("--threads", type=int, help="CPU threads; small models are fastest with 1")
    parser.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="allow the model to name classes outside latentgen, modalities and registered packages",
    )


def load_model(options: argparse.Namespace) -> LatentGenerativeModel:
    """The model that RUN names, on the chosen device.

    Raises:
        ValueError: if it is damaged, or names a class that is not trusted.
        FileNotFoundError: if there is no model.
    """
    import sys

    import torch

    from ..model import LatentGenerativeModel

    if options.threads is not None:
        torch.set_num_threads(options.threads)
    if options.trust_remote_code and "" not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        model = LatentGenerativeModel.from_pretrained(
            options.run, trust_remote_code=options.trust_remote_code
        )
    except ValueError as error:
        text = str(error).replace("trust_remote_code=True", "--trust-remote-code")
        raise ValueError(text) from error
    default = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return model.to(options.device or default)
    except (AssertionError, RuntimeError) as error:
        given, reason = options.device or default, str(error).splitlines()[0]
        raise ValueError(f"device is {given!r}, which cannot be used here ({reason}); try cpu.") from error


def _sample(options: argparse.Namespace) -> int:
    import torch

    from ..sampler import make_sampler
    from ..storage import export_safetensors
    from .check import init_arguments

    changes, sampler = init_arguments(options.option), options.sampler
    for name in changes.keys() & {"sampler", "steps"}:
        raise ValueError(f"option is {name}={changes[name]}; give --{name} {changes[name]} instead.")
    if changes and sampler is None:
        raise ValueError(f"option is {' '.join(options.option)} without a sampler; name one too: --sampler ancestral.")
    chosen = make_sampler(sampler, options.steps, **changes)  # refuses before a model is loaded
    model = _autoguided(load_model(options), options)
    # latents and solvers stay in fp32, as in training
    with torch.autocast(model.device.type, torch.bfloat16, enabled=options.precision == "bf16"):
        batch = model.sample(
            options.n, None if sampler is None else chosen, options.steps if sampler is None else None, options.seed,
            _condition(model, options), options.guidance,
        )
    batch = {key: value.cpu() for key, value in batch.items()}
    run = Path(options.run)
    folder = options.out or (run if run.is_dir() else run.parent) / "samples"
    folder.mkdir(parents=True, exist_ok=True)
    origin: dict[str, object] = {"model": str(options.run), "seed": options.seed, "calls": model.calls}
    if options.precision != "no":
        origin["precision"] = options.precision
    if options.autoguidance != 1:
        blocks = options.without if options.without is not None else [0]
        origin |= {"autoguidance": options.autoguidance, "weak": options.weak or f"without blocks {blocks}"}
    written, picture = [folder / "samples.safetensors"], folder / "samples.png"
    export_safetensors(written[0], batch, origin)
    model.modality.render(batch, picture)
    for path in [*written, *([picture] if picture.exists() else []), *model.modality.export(batch, folder)]:
        print(path)
    return 0


def _autoguided(model: LatentGenerativeModel, options: argparse.Namespace) -> LatentGenerativeModel:
    """The model, autoguided where that is asked for."""
    from ..autoguidance import autoguided

    if options.autoguidance == 1:
        for name in ("without", "weak"):
            if getattr(options, name) is not None:
                raise ValueError(f"{name} is given without --autoguidance; give its weight too, such as 2.")
        return model
    generator = getattr(getattr(model.prior, "gan", None), "generator", None)
    if options.sampler == "gan" and generator is not None and not generator.refines:
        raise ValueError("autoguidance does not reach this model's generator; leave it out, or take another sampler.")
    if options.weak is None:
        return autoguided(model, options.autoguidance, options.without if options.without is not None else (0,))
    weak = load_model(argparse.Namespace(**{**vars(options), "run": options.weak}))
    return autoguided(model, options.autoguidance, options.without or (), weak)


def _condition(model: LatentGenerativeModel, options: argparse.Namespace) -> Tensor | None:
    """The one-hot condition [n, K] of a class."""
    import torch

    from ..prior import NormalPrior

    count, label = model.modality.condition_dim, options.label
    if label is not None and isinstance(model.prior, NormalPrior):
        raise ValueError(f"label is {label}, and this model's prior, N(0, I), knows no classes; leave label out.")
    if label is None:
        if options.guidance != 1:
            raise ValueError(f"guidance is {options.guidance:g} without a label; give one, or leave guidance out.")
        return None
    names = model.modality.classes if count else ()  # a class may be called 5 and not be number 5
    number = names.index(label) if label in names else int(label) if label.isdigit() else -1
    if not 0 <= number < count:
        called = f", called {', '.join(names)}" if names else ""
        numbers = f"its classes are 0 to {count - 1}{called}"
        known = numbers if count else "it was trained without classes; leave label out"
        raise ValueError(f"label is {label} for this model; {known}.")
    return torch.eye(count, device=model.device)[number].expand(options.n, -1)


def _evaluate(options: argparse.Namespace) -> int:
    from ..evaluation import evaluate, write_evaluation
    from ..reproduction import beside_published, format_reproduction, read_published, write_reproduction
    from ..table import format_table

    calls = whole_numbers("calls", options.calls)
    for name in ("samples", "sets"):
        if getattr(options, name) < 1:
            raise ValueError(f"{name} is {getattr(options, name)}; give at least 1.")
    published = read_published(options.run) if options.profile else []
    model = load_model(options)
    overrides = overrides_of(options)
    if overrides:
        change_data(model, overrides, options.trust_remote_code)
    if options.features is not None:
        model.modality.use_features(model.modality.features_from(options.features))
    result = evaluate(model, options.samples, options.sets, calls, options.sampler, options.seed)
    run = Path(options.run)
    found = beside_published(model, result, published, run) if published else {}
    if published:
        print(json.dumps(found, indent=1) if options.json else format_reproduction(found), flush=True)
    else:
        print(json.dumps(result, indent=1) if options.json else format_table(result), flush=True)
    # written after it was printed: a full disk does not cost the measurement
    if run.is_dir() and not overrides and options.features is None:
        write_evaluation(run, result)
    if published:
        write_reproduction(run, found)
    return 0


def whole_numbers(name: str, text: str) -> list[int]:
    """The whole numbers of a list such as 2,4,10."""
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise ValueError(f"{name} is {text!r}; give whole numbers of at least 1, such as 2,4,10.")
    return numbers


def overrides_of(options: argparse.Namespace) -> dict[str, Any]:
    """Arguments of the modality given on the command line."""
    from .check import init_arguments

    given = init_arguments(options.modality)
    return given if options.data is None else {**given, "data": options.data}


def change_data(model: LatentGenerativeModel, overrides: dict[str, Any], trust: bool) -> None:
    """Give the model a modality with other arguments, and what it learned from its own data."""
    from ..component import describe
    from ..config import build

    described = describe(model.modality)
    described["init_args"].update(overrides)
    modality = build(described, trust)
    modality.load_state(model.modality.state())
    model.modality = modality


def _report(options: argparse.Namespace) -> int:
    from ..report import write_report

    parts = ("config.yaml", "env.json", "metrics.jsonl", "evaluation.json")
    if options.run.is_dir() and not any((options.run / part).exists() for part in parts):
        raise ValueError(f"run is {str(options.run)!r}, which has none of {', '.join(parts)}; give a run's own folder.")
    print(write_report(options.run))
    return 0
