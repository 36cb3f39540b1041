"""One run per folder."""

import json
import multiprocessing
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from latentgen.lock import RunLock, process_alive, process_start


@pytest.fixture
def dead() -> int:
    """The number of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def write(folder: Path, **owner: object) -> None:
    (folder / "run.lock").write_text(json.dumps(owner))


def test_second_run_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "run"
    with RunLock(folder):
        owner = json.loads((folder / "run.lock").read_text())
        assert (owner["host"], owner["pid"]) == (socket.gethostname(), os.getpid())
        with pytest.raises(
            RuntimeError, match=rf"in use by process {os.getpid()} on .*expected one"
        ) as e:
            RunLock(folder).acquire()
        assert "\n" not in str(e.value) and str(folder / "run.lock") in str(e.value)
    assert not (folder / "run.lock").exists()
    with RunLock(folder):
        pass


def test_lock_of_a_living_process_is_respected(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        write(tmp_path, host=socket.gethostname(), pid=child.pid, start=process_start(child.pid))
        with pytest.raises(RuntimeError, match=f"process {child.pid}"):
            RunLock(tmp_path).acquire()
        child.communicate(b"\n")
    with RunLock(tmp_path):
        pass


def test_lock_of_a_dead_process_is_recovered(tmp_path: Path, dead: int) -> None:
    write(tmp_path, host=socket.gethostname(), pid=dead, start="1")
    with RunLock(tmp_path):
        assert json.loads((tmp_path / "run.lock").read_text())["pid"] == os.getpid()


@pytest.mark.skipif(process_start(os.getpid()) is None, reason="no start times here")
def test_reused_process_number_is_recovered(tmp_path: Path) -> None:
    """A restarted container gives every run the same number."""
    write(tmp_path, host=socket.gethostname(), pid=os.getpid(), start="1")
    with RunLock(tmp_path):
        pass


def test_lock_of_another_host_stands(tmp_path: Path, dead: int) -> None:
    write(tmp_path, host="elsewhere", pid=dead, start="1")
    with pytest.raises(RuntimeError, match=rf"process {dead} on elsewhere.*delete .*run.lock"):
        RunLock(tmp_path).acquire()


@pytest.mark.skipif(sys.platform == "win32", reason="no guard there")
@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', '{"pid": -1}', "[" * 10**5])
def test_lock_whose_writer_died_is_recovered(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.lock").write_text(text)
    with RunLock(tmp_path):
        pass


def test_release_leaves_a_lock_that_is_not_ours(tmp_path: Path) -> None:
    lock = RunLock(tmp_path)
    lock.acquire()
    write(tmp_path, host="elsewhere", pid=1, start="1")
    lock.release()
    lock.release()
    assert (tmp_path / "run.lock").exists()


def test_error_inside_releases(tmp_path: Path) -> None:
    with pytest.raises(KeyError), RunLock(tmp_path):
        raise KeyError
    assert not (tmp_path / "run.lock").exists()


def test_alive(dead: int) -> None:
    assert process_alive(os.getpid()) and not process_alive(dead)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs proc")
def test_unreaped_process_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    child.stdout.read()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not process_alive(child.pid)
    child.wait()


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="forks")
def test_of_many_that_meet_a_stale_lock_one_wins(tmp_path: Path, dead: int) -> None:
    context = multiprocessing.get_context("fork")
    for _ in range(5):
        write(tmp_path, host=socket.gethostname(), pid=dead, start="1")
        start, done, results = context.Event(), context.Event(), context.SimpleQueue()
        runs = [
            context.Process(target=_contend, args=(tmp_path, start, done, results))
            for _ in range(6)
        ]
        for run in runs:
            run.start()
        start.set()
        won = [results.get() for _ in runs]
        done.set()
        for run in runs:
            run.join()
        assert sum(won) == 1


def _contend(folder: Path, start, done, results) -> None:
    start.wait()
    try:
        with RunLock(folder):
            results.put(True)
            done.wait()
    except RuntimeError:
        results.put(False)
