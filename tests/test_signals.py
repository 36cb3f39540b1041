"""Signals that ask a run to end reach the trainer, and no data worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from toy import Toy

from latentgen.signals import noted
from latentgen.stream import BatchStream, stream_loader

ROOT = Path(__file__).parent.parent
KINDS = [signal.SIGTERM, signal.SIGINT, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_signal_is_noted_and_the_handler_given_back(kind: signal.Signals) -> None:
    seen: list[int] = []
    outside = signal.signal(kind, own := lambda number, frame: None)  # nohup may ignore it out there
    try:
        with noted(seen.append):
            os.kill(os.getpid(), kind)
        assert seen == [kind]
        assert signal.getsignal(kind) is own
    finally:
        signal.signal(kind, outside)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP here")
def test_a_signal_that_nohup_ignores_stays_ignored() -> None:
    before, seen = signal.signal(signal.SIGHUP, signal.SIG_IGN), []
    try:
        with noted(seen.append):
            os.kill(os.getpid(), signal.SIGHUP)
        assert seen == [] and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_leaves_signals_alone() -> None:
    before, found = [signal.getsignal(kind) for kind in KINDS], []

    def work() -> None:
        with noted(lambda number: None):
            found.extend(signal.getsignal(kind) for kind in KINDS)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == before


class Handlers:
    """A data set that tells how its process treats the signals."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
        if os.getpid() == MAIN:
            return {"x": torch.zeros(2)}
        deaf = all(signal.getsignal(kind) == signal.SIG_IGN for kind in KINDS if kind != signal.SIGTERM)
        if signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
            os.kill(os.getpid(), signal.SIGTERM)  # the first one is passed over, a second would be obeyed
        return {"x": torch.tensor([float(deaf), float(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)])}


MAIN = os.getpid()


def test_data_workers_pass_over_what_is_sent_to_the_group() -> None:
    loader = iter(stream_loader(Toy(), Handlers(), BatchStream(8, 1, 0), workers=1))
    assert torch.equal(next(loader)["x"], torch.ones(1, 2))


STUCK = """
import time
import torch
from toy import Toy
from latentgen import signals
from latentgen.stream import BatchStream, stream_loader


class Stuck:
    def __len__(self):
        return 8

    def __getitem__(self, number):
        if number != first:
            time.sleep(600)
        return {"x": torch.zeros(2)}


signals.GRACE = 1
stream = BatchStream(8, 1, 0)
(first,) = next(iter(stream))
loader = iter(stream_loader(Toy(), Stuck(), stream, workers=1))
next(loader)
print("done", flush=True)
"""


def test_a_worker_that_is_stuck_does_not_keep_the_process(tmp_path: Path) -> None:
    (tmp_path / "stuck.py").write_text(STUCK)
    places = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = {**os.environ, "PYTHONPATH": places, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "stuck.py"], cwd=tmp_path, env=environment, capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.stdout == "done\n" and done.returncode == 0, done.stderr
