"""What a contract check says: one result a rule, and nothing stops at the first failure."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

LIBRARIES = (Path(__file__).parents[1], Path(sysconfig.get_path("stdlib")))


@dataclass(frozen=True)
class CheckResult:
    """The verdict on one rule.

    Attributes:
        name: the rule, in one to three words.
        passed: whether it holds (a rule that does not apply passes).
        detail: what was found, one sentence; empty where there is nothing to say.
        fix: what to change, one sentence; empty for a rule that holds.
    """

    name: str
    passed: bool
    detail: str = ""
    fix: str = ""


class BrokenRule(Exception):
    """Raised by a check: what was found, and what to change."""

    def __init__(self, detail: str, fix: str) -> None:
        super().__init__(detail)
        self.detail, self.fix = detail, fix


def require(holds: object, detail: str, fix: str) -> None:
    """Go on if the rule holds.

    Raises:
        BrokenRule: if it does not.
    """
    if not holds:
        raise BrokenRule(detail, fix)


Check = Callable[[], str | None]


class Checks:
    """Runs checks one after another and keeps their results.

    A check is a function that returns a remark or None, and raises :class:`BrokenRule` where the
    rule does not hold. Any other exception is a failure too, reported with the last line of
    the user's own that led to it. Every check starts from the same random state, and the caller's
    is put back.
    """

    def __init__(self) -> None:
        self.results: list[CheckResult] = []

    def run(self, name: str, check: Check, needs: Sequence[str] = ()) -> bool:
        """Run one check, unless one that it needs has failed; returns whether it passed."""
        failed = [result.name for result in self.results if not result.passed]
        missing = [need for need in needs if need in failed]
        if missing:
            result = CheckResult(
                name, False, f"not run, since {missing[0]!r} failed", f"mend {missing[0]!r} first"
            )
        else:
            result = _judge(name, check)
        self.results.append(result)
        return result.passed


def _judge(name: str, check: Check) -> CheckResult:
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return CheckResult(name, True, check() or "")
    except BrokenRule as broken:
        return CheckResult(name, False, broken.detail, broken.fix)
    except Exception as error:
        return CheckResult(name, False, f"raised {_first_line(error)}", _fix(error))


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def _fix(error: Exception) -> str:
    """The deepest line of the user's own to mend; where there is none, where the exception arose."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not _is_library(frame)]
    if own:
        return f"mend {_place(own[-1])}"
    shown = [frame for frame in frames if "torch" not in Path(frame.filename).parts] or list(frames)
    return f"look at what the part under test gives: the exception arose in {_place(shown[-1])}"


def _is_library(frame: traceback.FrameSummary) -> bool:
    """Whether a line is of latentgen, of an installed package or of Python itself."""
    path = Path(frame.filename)
    installed = not {"site-packages", "dist-packages"}.isdisjoint(path.parts)
    return installed or any(path.is_relative_to(folder) for folder in LIBRARIES)


def _place(frame: traceback.FrameSummary) -> str:
    return f"{frame.filename}:{frame.lineno}, in {frame.name}"


def format_results(results: Iterable[CheckResult]) -> str:
    """Results as text, a line each, with the fix below what failed."""
    lines = []
    for result in results:
        mark = "pass" if result.passed else "FAIL"
        lines.append(f"{mark}  {result.name:<16} {result.detail}".rstrip())
        if result.fix:
            lines.append(f"      {'':<16} fix: {result.fix}")
    return "\n".join(lines)


def assert_passed(results: Iterable[CheckResult]) -> None:
    """For test suites: ``assert_passed(check_modality(MyModality()))``.

    Raises:
        AssertionError: naming everything that failed, with its fix.
    """
    failed = [result for result in results if not result.passed]
    if failed:
        raise AssertionError(f"{len(failed)} checks failed:\n{format_results(failed)}")
