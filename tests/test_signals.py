"""Signals that ask a run to end reach the trainer, and no data worker."""

from __future__ import annotations

import os
import signal
import threading

import pytest
import torch
from toy import Toy

from latentgen.signals import noted
from latentgen.stream import BatchStream, stream_loader

KINDS = [signal.SIGTERM, signal.SIGINT, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_signal_is_noted_and_the_handler_given_back(kind: signal.Signals) -> None:
    before, seen = signal.getsignal(kind), []
    with noted(seen.append):
        os.kill(os.getpid(), kind)
    assert seen == [kind]
    assert signal.getsignal(kind) is before


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
        ignored = [signal.getsignal(kind) == signal.SIG_IGN for kind in KINDS]
        return {"x": torch.tensor([float(all(ignored)), float(os.getpid() != MAIN)])}


MAIN = os.getpid()


def test_data_workers_ignore_them() -> None:
    loader = iter(stream_loader(Toy(), Handlers(), BatchStream(8, 4, 0), workers=1))
    batch = next(loader)
    assert torch.equal(batch["x"], torch.ones(4, 2))
