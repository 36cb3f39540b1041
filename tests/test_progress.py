"""One bar or plain lines, and a log without holes or doubles."""

import io
import json
import os
from pathlib import Path

import pytest
import torch

from latentgen.progress import (
    MetricsLog,
    Progress,
    format_seconds,
    read_metrics,
    resume_steps,
)


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")


class Reluctant:
    """A value that counts how often it is read, as a device tensor would wait."""

    reads = 0

    def __float__(self) -> float:
        self.reads += 1
        return 1.5


def test_plain_lines_every_interval() -> None:
    clock, stream, loss = Clock(), io.StringIO(), Reluctant()
    with Progress(1000, initial=200, stream=stream, clock=clock) as progress:
        for step in range(201, 226):
            clock.now += 1
            progress.update(step, {"loss": loss, "kl": torch.tensor(0.25)})
    lines = stream.getvalue().splitlines()
    assert lines == [
        "step 210/1000 (21.0%)  loss 1.5  kl 0.25  1 it/s, 13:10 left",
        "step 220/1000 (22.0%)  loss 1.5  kl 0.25  1 it/s, 13:00 left",
        "step 225/1000 (22.5%)  loss 1.5  kl 0.25  1 it/s, 12:55 left",
    ]
    assert loss.reads == 3


def test_slow_and_stalled_runs() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = Progress(10, stream=stream, clock=clock)
    clock.now = 40
    progress.update(2, {})
    clock.now = 60
    progress.update(2, {})
    assert stream.getvalue().splitlines() == [
        "step 2/10 (20.0%)  20 s/it, 2:40 left",
        "step 2/10 (20.0%)  0 it/s, ? left",
    ]


def test_one_bar_in_a_terminal() -> None:
    stream = Terminal()
    with Progress(50, stream=stream) as progress:
        progress.update(25, {"loss": 0.125})
        progress.write("checkpoint saved")
        progress.update(50, {"loss": torch.tensor(0.0625)})
    text = stream.getvalue()
    assert "checkpoint saved\n" in text
    last = text.rstrip("\n").split("\r")[-1]
    assert last.startswith("50/50 |") and "loss 0.0625" in last and "it/s" in last
    assert last.rstrip().endswith("left")


@pytest.mark.parametrize(("name", "value"), [("CI", "true"), ("CI", "1"), ("TERM", "dumb")])
def test_no_bar_in_ci_or_dumb_terminals(monkeypatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    stream = Terminal()
    with Progress(2, stream=stream) as progress:
        progress.update(2, {"loss": 1.0})
    assert "\r" not in stream.getvalue() and stream.getvalue().startswith("step 2/2 (100.0%)")


def test_silent_on_other_processes() -> None:
    stream, loss = Terminal(), Reluctant()
    with Progress(2, enabled=False, stream=stream, interval=0) as progress:
        progress.update(1, {"loss": loss})
        progress.write("text")
    assert stream.getvalue() == "" and loss.reads == 0


def test_close_twice() -> None:
    stream = io.StringIO()
    progress = Progress(2, stream=stream)
    progress.update(1, {})
    progress.close()
    progress.close()
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (65.4, "1:05"), (3599.6, "1:00:00"), (7391, "2:03:11"), (93_791, "1d 02:03:11")],
)
def test_durations(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def fill(log: MetricsLog, steps: range) -> None:
    for step in steps:
        log.write(step, {"loss": step / 3, "kl": torch.tensor(float(step))})


def expected(steps: range) -> list[dict]:
    return [{"step": step, "loss": step / 3, "kl": float(step)} for step in steps]


def test_rows_come_back_exactly(tmp_path: Path) -> None:
    path = tmp_path / "run" / "metrics.jsonl"
    fill(MetricsLog(path), range(5))
    assert read_metrics(path) == expected(range(5))
    assert read_metrics(tmp_path / "none.jsonl") == [] == resume_steps(tmp_path / "none.jsonl")


def test_every_row_is_strict_json(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    MetricsLog(path).write(1, {"a": float("nan"), "b": torch.tensor(float("inf")), "n": 2**60})

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    row = json.loads(path.read_text(), parse_constant=refuse)
    assert row == {"step": 1, "a": None, "b": None, "n": 2**60} == read_metrics(path)[0]


def test_resume_drops_what_will_be_written_again(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    fill(MetricsLog(path), range(10))
    fill(MetricsLog(path, resumed_step=6), range(7, 9))
    fill(MetricsLog(path, resumed_step=8), range(9, 12))
    assert read_metrics(path) == expected(range(12))
    assert resume_steps(path) == [6, 8]
    fill(MetricsLog(path, resumed_step=3), range(4, 5))
    assert read_metrics(path) == expected(range(5))
    assert resume_steps(path) == [3]
    MetricsLog(path, resumed_step=3)
    assert resume_steps(path) == [3]


def test_a_cut_at_any_byte_is_repaired(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    fill(MetricsLog(path), range(4))
    whole = path.read_bytes()
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        rows = read_metrics(path)
        assert rows == expected(range(whole[:size].count(b"}")))
        last = int(rows[-1]["step"]) if rows else -1
        fill(MetricsLog(path, resumed_step=max(last, 0)), range(last + 1, 6))
        assert [row["step"] for row in read_metrics(path)] == list(range(6))
        assert all(json.loads(line) for line in path.read_text().splitlines())


def test_broken_lines_inside_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    junk = b'\0\0\0\n[1]\n{"loss": 1}\n{"step": "1"}\n' + b"[" * 99_999 + b"\n\xff\n"
    path.write_bytes(b'{"step": 1}\n' + junk + b'{"step": 2}\n')
    assert read_metrics(path) == [{"step": 1}, {"step": 2}]
    MetricsLog(path, resumed_step=2)
    assert path.read_bytes().startswith(b'{"step": 1}\n{"step": 2}\n')


def test_a_fresh_run_puts_the_old_log_aside(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    fill(MetricsLog(path), range(3))
    fill(MetricsLog(path), range(1))
    assert read_metrics(path) == expected(range(1))
    assert read_metrics(tmp_path / "metrics.previous.jsonl") == expected(range(3))


def test_other_processes_write_nothing(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    fill(MetricsLog(path), range(3))
    before = path.read_bytes()
    for resumed_step in (None, 1):
        fill(MetricsLog(path, resumed_step, enabled=False), range(3))
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["metrics.jsonl"]


def test_reserved_names(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    for name in ("step", "event"):
        with pytest.raises(ValueError, match=f"values has '{name}'.*rename it"):
            log.write(1, {name: 2.0})


def test_a_full_disk_costs_rows_not_the_run(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path)
    fill(log, range(1))
    path.rename(tmp_path / "aside")
    path.mkdir()  # now it cannot be opened
    with pytest.warns(UserWarning, match="a row of .* was lost"):
        fill(log, range(1, 2))
    path.rmdir()
    (tmp_path / "aside").rename(path)
    fill(log, range(2, 4))
    assert [row["step"] for row in read_metrics(path)] == [0, 2, 3]


def test_a_torn_write_costs_one_row(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path)
    fill(log, range(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 9, hard))
    try:
        fill(log, range(1, 2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    fill(log, range(2, 4))
    assert [row["step"] for row in read_metrics(path)] == [0, 2, 3]
