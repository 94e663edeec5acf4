"""Progress: what is shown on a terminal and elsewhere, and that nothing sticks to it."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable

import pytest

from instructsel.commands._console import watching
from instructsel.commands._progress import Progress, Stages, _shown, close_all, span
from instructsel.commands._runs import RunsDisplay
from instructsel.experiments.execute import Progress as EngineProgress


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def stages() -> Callable[..., tuple[Stages, Clock]]:
    def made(names: dict[str, float] | list[str]) -> tuple[Stages, Clock]:
        clock = Clock()
        return Stages(names, quiet=False, every=10, clock=clock), clock

    return made


def test_the_time_left_is_of_the_step_and_of_all_steps(stages: Callable[..., tuple[Stages, Clock]]) -> None:
    shown, clock = stages({"reading": 1, "embedding": 8, "ranking": 1})
    read = shown("reading", unit="bytes")
    read(0, 4)
    clock.now = 5
    read(2, 4)
    # 5 s for half of the step, which is a twentieth of all.
    assert shown.line() == "reading (1 of 3): 2 of 4 bytes, about 5 s left, all done in about 95 s"
    clock.now = 10
    read(4, 4)
    embed = shown("embedding")
    embed(0, 10)
    clock.now = 50
    embed(5, 10)
    assert shown.line() == "embedding (2 of 3): 5 of 10 rows, about 40 s left, all done in about 50 s"


def test_the_time_left_of_runs_is_the_engines_own_and_no_second_estimate(stages: Callable[..., tuple[Stages, Clock]]) -> None:
    shown, clock = stages(["study"])
    shown("study", unit="runs")
    runs = RunsDisplay("study", shown, quiet=False, unit="runs")
    runs.counted(2, 6)
    clock.now = 30
    # 20 s a run by the records: the display alone would say 90 s, of the one run since it began.
    runs.counted(3, 6, 60.0)
    assert shown.line() == "study: 3 of 6 runs, about 60 s left"
    clock.now = 40
    runs.training(5, 10, 1.0)
    assert shown.line() == "study: 3 of 6 runs, step 5 of 10, about 50 s left"
    clock.now = 95
    assert shown.line() == "study: 3 of 6 runs, step 5 of 10"
    runs.report(EngineProgress(4, 6, None, seconds_left=40.0))
    assert shown.line() == "study: 4 of 6 runs, about 40 s left"


def test_a_step_that_cannot_count_says_how_long_it_has_been_at_work(stages: Callable[..., tuple[Stages, Clock]]) -> None:
    shown, clock = stages({"near-duplicates": 1, "ranking": 1})
    shown("near-duplicates")
    clock.now = 30
    assert shown.line() == "near-duplicates (1 of 2): 30 s so far"
    shown("ranking")(0, 2)
    # Asking for the next step ended it.
    assert shown.stages["near-duplicates"].fraction() == 1


def test_what_an_earlier_run_did_does_not_count_as_speed(stages: Callable[..., tuple[Stages, Clock]]) -> None:
    shown, clock = stages(["runs"])
    report = shown("runs", unit="runs")
    report(90, 100)
    clock.now = 10
    report(91, 100)
    assert shown.line() == "runs: 91 of 100 runs, about 90 s left"


def test_the_part_of_a_run_that_is_done_counts(stages: Callable[..., tuple[Stages, Clock]]) -> None:
    shown, clock = stages(["study"])
    report = shown("study", unit="runs")
    report(0, 4)
    clock.now = 10
    shown.within("step", 50, 100)
    assert shown.line() == "study: 0 of 4 runs, step 50 of 100, about 70 s left"
    clock.now = 20
    report(1, 4)
    assert shown.line() == "study: 1 of 4 runs, about 60 s left"


def test_without_expected_shares_nothing_is_said_of_all_steps(stages: Callable[..., tuple[Stages, Clock]]) -> None:
    shown, clock = stages(["a", "b"])
    report = shown("a")
    report(1, 10)
    clock.now = 10
    report(2, 10)
    assert shown.line() == "a (1 of 2): 2 of 10 rows, about 80 s left"


def test_between_two_steps_the_line_says_what_is_made_ready_and_for_how_long(stages: Callable[..., tuple[Stages, Clock]]) -> None:
    shown, clock = stages(["reading", "ppl"])
    shown("reading", unit="bytes")(4, 4)
    assert shown.line() == "reading (1 of 2): 4 of 4 bytes"
    clock.now = 40
    assert shown.line() == "reading (1 of 2): done; getting ready for ppl, 40 s so far"
    shown("ppl")(0, 3)
    assert shown.line() == "ppl (2 of 2): 0 of 3 rows"


def test_a_plain_line_comes_every_ten_seconds_and_at_the_end(
    stages: Callable[..., tuple[Stages, Clock]], capsys: pytest.CaptureFixture[str]
) -> None:
    shown, clock = stages(["len"])
    report = shown("len", unit="examples")
    for second in range(25):
        clock.now = second
        report(second, 24)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in lines] == [f"len: {n} of 24 examples" for n in (10, 20, 24)]


def test_nothing_is_shown_when_quiet_or_soon_done(capsys: pytest.CaptureFixture[str]) -> None:
    for quiet in (True, False):
        progress = Progress("len", quiet=quiet, every=0.0 if quiet else 10.0)
        for number in range(3):
            progress(number + 1, 3)
    assert capsys.readouterr().err == ""


def test_a_display_that_is_asked_for_again_is_the_one_that_is_shown_and_ends_with_it() -> None:
    watch = watching(quiet=False)
    watch("plausibility")(311, 341)
    assert len(_shown) == 1
    watch("plausibility")(341, 341)
    assert not _shown and watch("plausibility").stage.total is None


def test_an_error_stops_the_display(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress("len", quiet=False, every=0.01)
    progress(1, 3)
    close_all()
    before = capsys.readouterr().err
    time.sleep(0.1)
    assert capsys.readouterr().err == "" and before.count("len") == before.count("\n")
    progress.close()


SCRIPT = """
import sys, time
from instructsel.commands._console import reported, say
from instructsel.commands._progress import Progress
@reported
def main():
    progress = Progress("len", quiet=False)
    for number in range(1000):
        progress(number, 1000)
        time.sleep(0.05)
        if number == 5:
            say("a note")
            print("ready", flush=True)
main()
"""


def on_a_terminal(code: str, *, interrupt: bool, **environment: str) -> str:
    """What a script writes to a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    plain = {name: value for name, value in os.environ.items() if name not in ("CI", "COLUMNS")}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=theirs, stdout=subprocess.PIPE, env={**plain, "TERM": "xterm", **environment}
    )
    os.close(theirs)
    assert process.stdout is not None
    process.stdout.readline()
    if interrupt:
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
    text = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:
            break
        if not piece:
            break
        text += piece
    process.wait()
    os.close(ours)
    return text.decode()


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are of POSIX")
@pytest.mark.parametrize("environment", [{}, {"TERM": "dumb"}], ids=["bar", "plain"])
def test_interrupted_begins_a_line_of_its_own(environment: dict[str, str]) -> None:
    text = on_a_terminal(SCRIPT, interrupt=True, **environment)
    # A moving line is overwritten: what a reader sees of it begins after its last return.
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).rpartition("\r")[2] for line in text.replace("\r\n", "\n").split("\n")]
    assert any(line.startswith("interrupted; ") for line in lines), text
    assert "a note" in lines
    assert all(len(line) <= 80 for line in lines)
    assert ("len: " in text) == (not environment)


@pytest.mark.parametrize("seconds, text", [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (7300, "2 h 2 min"), (400_000, "5 days")])
def test_times_are_written_in_the_unit_that_suits_them(seconds: float, text: str) -> None:
    assert span(seconds) == text
