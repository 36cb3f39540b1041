"""Signals that ask a run to end: noted, so that it ends after the step with a checkpoint, and kept from its workers."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType

GRACE = 30
"""Seconds that a data worker goes on after a first SIGTERM."""


def _kinds() -> list[signal.Signals]:
    """Those that there are here, SIGHUP being what a closed terminal sends."""
    return [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)]


@contextlib.contextmanager
def noted(note: Callable[[int], None]) -> Iterator[None]:
    """Call ``note`` with the number of a signal instead of ending the process.

    A signal that is ignored already, as under nohup, stays so; outside of the main thread all stay as they are.
    """

    def handler(number: int, frame: FrameType | None) -> None:
        note(number)

    kinds = [kind for kind in _kinds() if signal.getsignal(kind) != signal.SIG_IGN]
    try:
        before = [signal.signal(kind, handler) for kind in kinds]
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        for kind, old in zip(kinds, before, strict=True):
            signal.signal(kind, old)


def leave_to_the_parent(worker: int) -> None:
    """For the start of a data worker: a signal to the whole group is its parent's affair.

    Schedulers signal all processes of a group, and a worker that died of it would take the last checkpoint along. The
    first SIGTERM therefore leaves it ``GRACE`` seconds, and a second one is obeyed: its parent ends it so, in the end.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        os._exit(0)  # another code would be an error in the parent

    def once(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, leave)
        signal.alarm(GRACE)

    for kind in _kinds():
        if kind != signal.SIGTERM:
            signal.signal(kind, signal.SIG_IGN)
        elif hasattr(signal, "SIGALRM"):
            signal.signal(kind, once)
