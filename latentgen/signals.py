"""Signals that ask a run to end: noted, so that it ends after the step with a checkpoint, and kept from its workers."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType


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
    """For the start of a data worker: it ignores these signals, and ends when its parent does.

    Schedulers signal all processes of a group, and a worker that died of it would take the last checkpoint along.
    """
    for kind in _kinds():
        signal.signal(kind, signal.SIG_IGN)
