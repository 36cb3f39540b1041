"""The command line: train, sample, evaluate, compare, report, check, doctor.

An error of the user's is one sentence on the standard error stream and exit code 2; set
LATENTGEN_DEBUG=1 for the traceback.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

Command = Callable[[argparse.Namespace], int]

USER_ERRORS = (ValueError, TypeError, OSError, ImportError, RuntimeError)
USAGE_ERROR = 2
INTERRUPTED = 130
DEBUG = "LATENTGEN_DEBUG"

DESCRIPTION = """\
Latent generative models of any kind of data.

  latentgen train configs/graphs/communities_lsgm.yaml    train, measure, write a report
  latentgen sample runs/communities_lsgm --n 16           generate from a trained model
  latentgen compare runs/a runs/b                         quality, coverage and speed side by side
  latentgen check my_module.py:MyModality                 does my own data type keep the rules?
  latentgen doctor                                        what is installed, what to mend
"""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one sentence."""

    def error(self, message: str) -> NoReturn:
        """Print the sentence and exit with code 2."""
        self.exit(USAGE_ERROR, f"{self.prog}: {message}; see {self.prog} --help.\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: of the command line; those of this process when None.

    Returns:
        The exit code: 0, 1 when a check fails or training diverges, 2 for a user's error, 130 for Ctrl-C.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a Windows pipe has 256 characters: no minus sign, no emoji
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            return _run(given)
    except KeyboardInterrupt:
        print("latentgen: interrupted.", file=sys.stderr)
        return INTERRUPTED
    except USER_ERRORS as error:
        if os.environ.get(DEBUG, "") not in ("", "0"):
            raise
        print(f"latentgen: {sentence(error)}", file=sys.stderr)
        return 1 if type(error).__name__ == "TrainingDiverged" else USAGE_ERROR


def _run(given: list[str]) -> int:
    if given[:1] == ["train"]:
        from .train import train

        return train(given[1:])
    options = make_parser().parse_args(given)
    run: Command = options.run_command
    return run(options)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """A warning of ours as one sentence; those for developers are left out."""
    if not issubclass(category, DeprecationWarning | FutureWarning):
        print(f"warning: {message}", file=sys.stderr)


def sentence(error: BaseException) -> str:
    """An error as one line; the way to the traceback where the message may not say enough."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, ValueError | OSError | ImportError):
        return text
    return f"{text} ({type(error).__name__}; {DEBUG}=1 shows where)"


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands (``train`` takes its options from a configuration)."""
    from .compare import add_command
    from .trained import add_commands

    parser = Parser(
        prog="latentgen",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    from .. import __version__

    parser.add_argument("--version", action="version", version=f"latentgen {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    commands.add_parser(
        "train", help="train a model from a YAML file (latentgen train --help)", add_help=False
    )
    add_commands(commands)
    add_command(commands)
    _add_check(commands)
    _add_doctor(commands)
    return parser


def _add_check(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = commands.add_parser(
        "check",
        help="check a modality, process or sampler of your own",
        description="Build a class of your own and check the contract that the framework relies "
        "on. Every rule is one line; a broken one says what to change. Exit code 1 when a rule "
        "is broken.",
    )
    parser.add_argument(
        "target",
        metavar="MODULE:CLASS",
        help="my_module:MyModality, my_module.py:MyModality or package.module:MyProcess; the "
        "module is imported, which runs its code",
    )
    parser.add_argument(
        "--init_args",
        "--init-args",
        nargs="*",
        default=[],
        metavar="NAME=VALUE",
        help="arguments of the class, values in YAML: data=graphs.jsonl latent=4",
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    parser.set_defaults(run_command=_check)


def _add_doctor(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = commands.add_parser(
        "doctor",
        help="show versions, devices, missing packages and what to mend",
        description="Show versions, devices, threads, missing optional packages and the run "
        "folder, and for each problem the line that mends it.",
    )
    parser.add_argument("--run", default="runs", metavar="FOLDER", help="where runs are written")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run_command=_doctor)


def _check(options: argparse.Namespace) -> int:
    from .check import check

    return check(options)


def _doctor(options: argparse.Namespace) -> int:
    import json

    from ..doctor import examine, report_text

    found = examine(options.run)
    print(json.dumps(found, indent=1) if options.json else report_text(found))
    return 0
