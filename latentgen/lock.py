"""One run per folder: a lock file that a crash cannot leave behind for good."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["RunLock", "process_alive", "process_start"]


def process_start(pid: int) -> str | None:
    """A mark that tells two processes of the same number apart, where the system offers one.

    On Linux it is the start time in clock ticks since boot (proc(5), field 22 of `stat`).
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[19] if len(fields) > 19 else None


def process_alive(pid: int) -> bool:
    """Whether a process of this number runs on this machine (a zombie does not)."""
    if sys.platform == "win32":
        import ctypes

        kernel = ctypes.windll.kernel32
        handle = kernel.OpenProcess(0x1000, False, pid)  # PROCESS_QUERY_LIMITED_INFORMATION
        if not handle:
            return bool(kernel.GetLastError() == 5)  # access denied: another user's
        code = ctypes.c_ulong()
        kernel.GetExitCodeProcess(handle, ctypes.byref(code))
        kernel.CloseHandle(handle)
        return code.value == 259  # STILL_ACTIVE
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    with suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return not state or state[0] not in "ZX"
    return True


class RunLock:
    """A lock on a run folder, held from `acquire` (or `with`) to `release`.

    The file `run.lock` is created with O_EXCL and names host, process and the process's start. A
    lock whose process is gone from this host is replaced; one of another host cannot be judged and
    stands.

    Args:
        folder: The run folder; it is made when the lock is taken.
    """

    def __init__(self, folder: Path) -> None:
        self.path = Path(folder) / "run.lock"
        self._owner: dict[str, Any] | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            RuntimeError: If another living process, or one on another host, holds it.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        pid = os.getpid()
        owner = {"host": socket.gethostname(), "pid": pid, "start": process_start(pid)}
        with _one_at_a_time(self.path.parent) as guarded:
            if not self._create(owner):
                self._refuse_if_held(guarded)
                self.path.unlink(missing_ok=True)
                if not self._create(owner):
                    self._refuse_if_held(guarded=False)
        self._owner = owner

    def release(self) -> None:
        """Give the lock back; a lock that was taken over by another process is left alone."""
        owner, self._owner = self._owner, None
        if owner is not None and owner["pid"] == os.getpid() and self._read() == owner:
            self.path.unlink(missing_ok=True)

    def __enter__(self) -> RunLock:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _create(self, owner: dict[str, Any]) -> bool:
        try:
            descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            json.dump(owner, handle)
        return True

    def _read(self) -> dict[str, Any] | None:
        """The owner in the file; None if the file is gone or not readable."""
        with suppress(OSError, ValueError, RecursionError):
            owner = json.loads(self.path.read_text(encoding="utf-8"))
            if isinstance(owner, dict) and type(owner.get("pid")) is int and owner["pid"] > 0:
                return owner
        return None

    def _refuse_if_held(self, guarded: bool) -> None:
        owner = self._read()
        if owner is None:
            # Under the guard nobody is in the middle of writing: its writer died there.
            held = not guarded
            who = "a process that left no readable name"
        else:
            pid, host = owner["pid"], owner.get("host")
            held = host != socket.gethostname() or _same_process(pid, owner.get("start"))
            who = f"process {pid} on {host}"
        if held:
            raise RuntimeError(
                f"folder {self.path.parent} is in use by {who}; expected one run per folder: "
                f"choose another folder, or delete {self.path} if that run is over"
            )


def _same_process(pid: int, start: object) -> bool:
    """Whether the process that wrote the lock still lives."""
    if not process_alive(pid):
        return False
    now = process_start(pid)
    return start is None or now is None or now == start


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[bool]:
    """Let one process at a time look at the lock file; yields whether that is guaranteed.

    The kernel drops this guard when its process dies, so it can never be stale itself.
    """
    if sys.platform == "win32":
        yield False
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            guarded = True
        except OSError:  # network file systems may not offer it
            guarded = False
        yield guarded
    finally:
        os.close(descriptor)
