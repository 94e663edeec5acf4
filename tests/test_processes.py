"""Both cores: the same results, in the same order, however many processes work and whatever becomes of them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from instructsel import processes
from instructsel.errors import UsageError
from instructsel.processes import Beside, in_order, in_threads, usable

ROOT = Path(__file__).parents[1]


def here_alone(number: int) -> int:
    """No other process can import this file."""
    return number * number


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The processes that a test starts."""
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def popen(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(real(*args, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", popen)
    return started


@pytest.mark.parametrize("count", ["1", "2", "3"])
def test_results_come_in_order_however_many_processes_work(
    count: str, monkeypatch: pytest.MonkeyPatch, started: list[subprocess.Popen[bytes]]
) -> None:
    monkeypatch.setenv(processes.PROCESSES, count)
    batches = [f"{number} " * (number % 7) for number in range(200)]
    assert list(in_order(str.split, iter(batches))) == [batch.split() for batch in batches]
    assert len(started) == int(count) - 1
    assert all(process.poll() is not None for process in started)
    assert list(in_threads(len, iter(batches))) == [len(batch) for batch in batches]


def test_a_few_batches_start_no_process(monkeypatch: pytest.MonkeyPatch, started: list[subprocess.Popen[bytes]]) -> None:
    monkeypatch.setenv(processes.PROCESSES, "4")
    assert list(in_order(len, [])) == []
    assert list(in_order(len, ["a", "bc"])) == [1, 2]
    assert not started


def test_a_batch_that_another_process_cannot_do_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(processes.PROCESSES, "2")
    assert list(in_order(here_alone, range(30))) == [number * number for number in range(30)]


def test_a_process_that_ends_loses_nothing(monkeypatch: pytest.MonkeyPatch, started: list[subprocess.Popen[bytes]]) -> None:
    monkeypatch.setenv(processes.PROCESSES, "2")
    monkeypatch.setattr(processes, "_PROGRAM", "raise SystemExit({})")
    assert list(in_order(str.upper, ["a"] * 50)) == ["A"] * 50
    assert len(started) == 1


def test_an_error_of_a_batch_is_raised_here_and_ends_the_processes(
    monkeypatch: pytest.MonkeyPatch, started: list[subprocess.Popen[bytes]]
) -> None:
    monkeypatch.setenv(processes.PROCESSES, "2")
    with pytest.raises(ValueError, match="invalid literal"):
        list(in_order(int, ["1"] * 20 + ["x"] + ["1"] * 20))
    assert all(process.poll() is not None for process in started)


def test_who_stops_asking_leaves_no_process_behind(monkeypatch: pytest.MonkeyPatch, started: list[subprocess.Popen[bytes]]) -> None:
    monkeypatch.setenv(processes.PROCESSES, "2")
    results = in_order(str.upper, iter("abcdefghijklmnopqrstuvwxyz"))
    assert [next(results) for _ in range(8)] == list("ABCDEFGH")
    results.close()  # type: ignore[attr-defined]
    assert started
    assert all(process.poll() is not None for process in started)


def test_the_number_of_processes_is_stated_or_that_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(processes.PROCESSES, "3")
    assert usable() == 3
    monkeypatch.delenv(processes.PROCESSES)
    assert 1 <= usable() <= processes.MOST


@pytest.mark.parametrize("stated", ["0", "65", "many", "-1", "1.5", "9" * 30])
def test_a_number_of_processes_that_is_none_is_refused(stated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(processes.PROCESSES, stated)
    with pytest.raises(UsageError, match="from 1 to 64"):
        list(in_order(len, ["a"]))


def test_an_answer_that_cannot_be_unpacked_is_computed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(processes.PROCESSES, "2")
    real, received = processes.receive, []

    def receive(connection: Any) -> Any:
        received.append(real(connection))
        raise AttributeError("no such name in this release")

    monkeypatch.setattr(processes, "receive", receive)
    batches = [f"{number} " * 3 for number in range(40)]
    assert list(in_order(str.split, iter(batches))) == [batch.split() for batch in batches] and received


def test_a_batch_that_cannot_be_packed_is_computed_here_and_costs_no_process(
    monkeypatch: pytest.MonkeyPatch, started: list[subprocess.Popen[bytes]]
) -> None:
    monkeypatch.setenv(processes.PROCESSES, "2")
    batches: list[Any] = [(number for number in range(3)) if number % 2 else [number] for number in range(30)]
    assert sum(map(len, in_order(sorted, iter(batches), alone=0))) == 15 * 3 + 15
    assert len(started) == 1


@pytest.mark.parametrize("count", ["1", "2", "3"])
def test_what_others_compute_beside_comes_in_order_too(
    count: str, monkeypatch: pytest.MonkeyPatch, started: list[subprocess.Popen[bytes]]
) -> None:
    monkeypatch.setenv(processes.PROCESSES, count)
    batches = [f"{number} " * (number % 7) for number in range(200)]
    with Beside[str, list[str]](["json", "there_is_no_such_module"]) as work:
        work.give(str.split, iter(batches))
        assert work.results() == [batch.split() for batch in batches]
    assert len(started) == int(count) - 1
    assert all(process.poll() is not None for process in started)


def test_nothing_given_and_nothing_to_do_end_at_once(monkeypatch: pytest.MonkeyPatch, started: list[subprocess.Popen[bytes]]) -> None:
    monkeypatch.setenv(processes.PROCESSES, "2")
    with Beside[str, int]():
        pass
    with Beside[str, int]() as work:
        work.give(len, [])
        assert work.results() == []
    assert len(started) == 2 and all(process.poll() is not None for process in started)


def test_what_another_process_cannot_do_is_done_here_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(processes.PROCESSES, "2")
    with Beside[int, int]() as work:
        work.give(here_alone, range(30))
        assert work.results() == [number * number for number in range(30)]
    monkeypatch.setattr(processes, "_PROGRAM", "raise SystemExit({})")
    with Beside[str, str]() as work:
        work.give(str.upper, ["a"] * 50, here=lambda batch: batch.upper())
        assert work.results() == ["A"] * 50


def test_what_a_batch_or_its_making_raises_is_raised_by_who_asks_for_the_results(
    monkeypatch: pytest.MonkeyPatch, started: list[subprocess.Popen[bytes]]
) -> None:
    def made() -> Iterator[str]:
        yield "1"
        raise LookupError("no more")

    monkeypatch.setenv(processes.PROCESSES, "2")
    for batches, error in ((["1"] * 20 + ["x"] + ["1"] * 20, ValueError), (made(), LookupError)):
        with Beside[str, int]() as work:
            work.give(int, batches)
            with pytest.raises(error, match=r"invalid literal|no more"):
                work.results()
    assert len(started) == 2 and all(process.poll() is not None for process in started)


def test_a_process_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch, started: list[subprocess.Popen[bytes]]) -> None:
    monkeypatch.setenv(processes.PROCESSES, "2")
    monkeypatch.setattr(processes, "PATIENCE", 0.2)
    monkeypatch.setattr(processes, "_PROGRAM", "import time; time.sleep(10 ** 6 + {})")
    assert list(in_order(len, map(str, range(30)))) == [len(str(number)) for number in range(30)]
    assert all(process.poll() is not None for process in started)


def test_where_the_system_gives_no_thread_all_is_computed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(processes.PROCESSES, "3")

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert list(in_order(len, map(str, range(30)))) == [len(str(number)) for number in range(30)]
    assert list(in_threads(len, map(str, range(30)))) == [len(str(number)) for number in range(30)]
    with Beside[str, int](first=(len, "abc")) as work:
        work.give(len, map(str, range(30)))
        assert work.first_result() is None
        assert work.results() == [len(str(number)) for number in range(30)]


@pytest.mark.parametrize("fault", [OSError("too many open files"), None])
def test_where_no_process_can_be_started_all_is_computed_here(fault: OSError | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(processes.PROCESSES, "3")

    def refused() -> None:
        assert fault is not None
        raise fault

    if fault is None:
        monkeypatch.setattr(sys, "executable", None)
    else:
        monkeypatch.setattr(socket, "socketpair", refused)
    assert list(in_order(len, map(str, range(30)))) == [len(str(number)) for number in range(30)]


PROGRAM = """
import os
import instructsel.processes as processes
from instructsel.neighbors.shingles import Shingles
from instructsel.processes import in_order

made = []
real = processes._Helper.call

def call(helper, function, batch):
    try:
        result = real(helper, function, batch)
    except processes._Lost:
        made.append("lost")
        raise
    made.append("there")
    return result

processes._Helper.call = call
assert list(in_order(str.upper, ["a"] * 40)) == ["A"] * 40
print(sorted(set(made)))
"""


@pytest.mark.parametrize("how", ["a script", "standard input", "a notebook", "a process that may have no children"])
def test_another_process_helps_whoever_asks(how: str, tmp_path: Path) -> None:
    # None of them has a guard for its main part, and no folder of ours on its path but the current one.
    script = tmp_path / "script.py"
    script.write_text(PROGRAM)
    programs = {
        "a script": [f"{script}"],
        "standard input": ["-"],
        "a notebook": ["-c", f"exec(open({str(script)!r}).read(), {{'__name__': '__main__'}})"],
        "a process that may have no children": [
            "-c",
            "import multiprocessing as mp\n"
            f"p = mp.get_context('fork').Process(target=exec, args=(open({str(script)!r}).read(), {{}}), daemon=True)\n"
            "p.start(); p.join()",
        ],
    }
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {processes.PROCESSES: "2"}
    if how == "a script":
        environment["PYTHONPATH"] = str(ROOT)
    answer = subprocess.run(
        [sys.executable, *programs[how]], cwd=ROOT, env=environment, input=PROGRAM, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "['there']"
