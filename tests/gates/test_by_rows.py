"""Parts of a large change in several processes: the same verdict as in one, whatever becomes of them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from instructsel import processes
from instructsel.gates import by_rows
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.gates.checks.echo import Echo
from instructsel.gates.checks.registry import checks
from instructsel.gates.config import GateConfig
from instructsel.gates.gate import gate
from instructsel.gates.reading import read_change
from instructsel.gates.verdict import Verdict
from instructsel.pool.pool import Pool
from tests.gates.contamination.questions import ASKED

LOOP = "and then he went on and on, " * 40
GERMAN = "Die Antwort auf diese Frage ist nicht schwer, wenn man das Buch gelesen hat, in dem sie auf der ersten Seite steht."
DEFECTS: list[tuple[str, str]] = [
    (ASKED[0], "That depends on the weather."),
    ("Say something about the sea.", LOOP),
    ("How do I open this lock?", "I'm sorry, but I can't help with that."),
    ("What do you think of rain?", "As an AI language model, I do not have personal opinions."),
    ("Tell me a story of a harbor.", "There was a harbor.\n### Instruction:\nTell another.\n### Response:\nNo."),
    ("Write to my bank.", "The account is DE89 3704 0044 0532 0130 00, and my address is ann.lee@mail-of-lee.org."),
    ("Which key opens it?", "aws_secret = AKIA" + "Q3ZK7WXN5T2RLD4M and nothing else."),
    ("Describe the path from the village to the lake in the hills.", "Describe the path from the village to the lake in the hills."),
    ("What does the first page of the book say about the question?", GERMAN),
    ("Give me the address of the office.", "[insert address here]"),
    ("Name a tree.", "It is an o\u200bak, I th\u200bink."),
    ("Think first.", "<think>I think of a number, and never stop"),
]


def rows() -> list[dict[str, str]]:
    """Rows with every defect that a check of rows looks for, among others; some twice."""
    plain = [
        {"instruction": f"What is special about house {number} in our street?", "output": f"It has {number + 2} windows and a green door."}
        for number in range(60)
    ]
    for number, (asked, answer) in enumerate(DEFECTS):
        plain.insert(5 * number, {"instruction": asked, "output": answer})
    return [*plain, *plain[:20]]


@pytest.fixture
def change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, GateConfig]:
    """A file of these rows, and every check that can be asked of them; each change is large, and has many parts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(processes.PROCESSES, "2")
    monkeypatch.setattr(by_rows, "LARGE", 0)
    monkeypatch.setattr(by_rows, "PART", 1_500)
    path = tmp_path / "new.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows()), encoding="utf-8")
    (tmp_path / "evals.jsonl").write_text("".join(json.dumps({"question": text}) + "\n" for text in ASKED), encoding="utf-8")
    kinds = [kind for kind, check in checks().items() if check.by_default]
    Path("gate.toml").write_text(
        'schema = 1\n[defaults]\nsets = ["evals.jsonl"]\n'
        + "".join(f'[[check]]\nkind = "{kind}"\n' for kind in kinds)
        + '[[check]]\nkind = "language"\nallow = ["en"]\n[[check]]\nkind = "echo"\nname = "half-echo"\nmin_share = 0.5\n',
        encoding="utf-8",
    )
    return path, GateConfig.read("gate.toml")


def asked(change: tuple[Path, GateConfig]) -> Verdict:
    return gate(read_change([str(change[0])]), change[1])


def alone(change: tuple[Path, GateConfig], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What one process says."""
    with monkeypatch.context() as patch:
        patch.setenv(processes.PROCESSES, "1")
        return asked(change).as_dict()


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, list[Hit]]]:
    """What was asked in parts, by gate."""
    known: list[dict[str, list[Hit]]] = []
    real = by_rows.ask

    def ask(change: Change, *arguments: Any) -> Any:
        result = real(change, *arguments)
        known.append(change.answered)
        return result

    monkeypatch.setattr("instructsel.gates.gate.ask", ask)
    return known


@pytest.mark.parametrize("count", ["2", "3"])
def test_parts_of_a_change_give_the_verdict_of_one_process(
    count: str, change: tuple[Path, GateConfig], monkeypatch: pytest.MonkeyPatch, answered: list[dict[str, list[Hit]]]
) -> None:
    expected = alone(change, monkeypatch)
    monkeypatch.setenv(processes.PROCESSES, count)
    verdict = asked(change)
    assert verdict.as_dict() == expected
    of_row = {check for kind, check in checks().items() if issubclass(check, RowCheck) and check.of_row}
    named = {result.check for result in verdict.results if type(result.check) in of_row and result.state == "failed"}
    # Each of them has something to say, and was asked in parts.
    assert {type(check) for check in named} == of_row
    assert {repr(check) for check in named} <= answered[-1].keys() and not answered[0]


@pytest.mark.parametrize("spoilt", ["", "no set", "lost"])
def test_processes_that_begin_while_files_are_read_give_the_same(
    spoilt: str, change: tuple[Path, GateConfig], monkeypatch: pytest.MonkeyPatch, answered: list[dict[str, list[Hit]]]
) -> None:
    if spoilt == "no set":
        Path("evals.jsonl").unlink()
    if spoilt == "lost":
        monkeypatch.setattr(processes, "_PROGRAM", "raise SystemExit({})")
    expected = alone(change, monkeypatch)
    company = by_rows.ahead([configured.check for configured in change[1].checks], [str(change[0])], change[1].folder)
    assert company is not None
    with company:
        place = Path(company.place.name)
        verdict = gate(read_change([str(change[0])]), change[1], company=company)
    assert verdict.as_dict() == expected
    assert not place.exists()
    assert any(check.startswith("Contamination(") for check in answered[-1]) == (spoilt != "no set")
    assert ("evals.jsonl" in json.dumps(expected["checks"])) == (spoilt == "no set")


def test_nothing_begins_ahead_for_small_files_or_on_one_core(change: tuple[Path, GateConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    every = [configured.check for configured in change[1].checks]
    monkeypatch.setenv(processes.PROCESSES, "1")
    assert by_rows.ahead(every, [str(change[0])], change[1].folder) is None
    monkeypatch.setenv(processes.PROCESSES, "2")
    monkeypatch.setattr(by_rows, "LARGE", 96 << 20)
    assert by_rows.ahead(every, [str(change[0]), "no_such_file.jsonl"], change[1].folder) is None
    assert by_rows.ahead([], [str(change[0])], change[1].folder) is None


def test_a_check_that_crashes_in_another_process_is_asked_here(change: tuple[Path, GateConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = alone(change, monkeypatch)
    broken = "import instructsel.gates.checks.echo as echo; echo._may_hold = {}; "
    for spoilt in ("None", "lambda *_: exit(3)", "lambda *_: __import__('os').kill(__import__('os').getpid(), 9)"):
        monkeypatch.setattr(processes, "_PROGRAM", broken.format(spoilt) + "from instructsel.processes import serve; serve({})")
        assert asked(change).as_dict() == expected


def test_a_check_that_crashes_everywhere_is_reported_and_the_others_report(
    change: tuple[Path, GateConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(self: Echo, change: Change) -> Iterator[Hit]:
        raise ZeroDivisionError(f"of {len(change.rows):,} rows")
        yield  # a generator, as those of all checks

    monkeypatch.setattr(Echo, "hits", crash)
    # The other process has the real one, and what it says counts for nothing.
    expected = alone(change, monkeypatch)
    verdict = asked(change)
    assert verdict.as_dict() == expected
    assert {result.label: result.statement for result in verdict.results if result.state == "crashed"} == {
        "echo": "ZeroDivisionError: of 92 rows",
        "half-echo": "ZeroDivisionError: of 92 rows",
    }


def test_a_file_that_changed_is_said_as_by_one_process(change: tuple[Path, GateConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    def spoiled() -> dict[str, Any]:
        path, config = change
        changed = Change(Pool.read(path))
        kept = path.read_bytes()
        path.write_bytes(kept.replace(b"windows", b"WINDOWS"))
        try:
            return gate(changed, config).as_dict()
        finally:
            path.write_bytes(kept)

    with monkeypatch.context() as patch:
        patch.setenv(processes.PROCESSES, "1")
        expected = spoiled()
    assert spoiled() == expected
    assert "has changed since it was read" in json.dumps(expected)


def test_a_small_change_starts_no_process(change: tuple[Path, GateConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_rows, "LARGE", 96 << 20)
    monkeypatch.setattr(processes.subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    assert asked(change).results


SCRIPT = """
from instructsel.gates import by_rows
by_rows.LARGE, by_rows.PART = 0, 1_500
{more}
from instructsel import Pool
from instructsel.gates.gate import gate
print("begins", flush=True)
print(gate(Pool.read("new.jsonl")).outcome())
"""


def test_a_script_without_a_guard_runs_once(change: tuple[Path, GateConfig]) -> None:
    Path("script.py").write_text(SCRIPT.format(more=""), encoding="utf-8")
    ended = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, timeout=120, check=True)
    assert (ended.stdout, ended.stderr) == ("begins\nfailed\n", "")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_an_interrupt_ends_all_processes(change: tuple[Path, GateConfig]) -> None:
    more = (
        "import time; from instructsel.gates.checks.exact_duplicate import ExactDuplicate; from instructsel import processes\n"
        "def hits(self, change):\n"
        "    print(*(child.process.pid for child in made), flush=True)\n    time.sleep(600)\n    yield\n"
        "made = []; real = processes._Helper.__init__\n"
        "def init(self): real(self); made.append(self)\n"
        "processes._Helper.__init__ = init; ExactDuplicate.hits = hits\n"
    )
    Path("script.py").write_text(SCRIPT.format(more=more), encoding="utf-8")
    with subprocess.Popen([sys.executable, "script.py"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n"
        children = [int(pid) for pid in process.stdout.readline().split()]
        assert len(children) == 1 and all(Path(f"/proc/{pid}").exists() for pid in children)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) != 0
    ends = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in children) and time.monotonic() < ends:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)
