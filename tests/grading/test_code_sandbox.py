"""Programs that a model wrote: what they may not do, and the estimate of pass@k."""

from __future__ import annotations

import itertools
import os
import socket
from pathlib import Path

import pytest

from instructsel.grading.code_sandbox import LIMITS, NAMESPACES, pass_at_k, run_program, run_programs

ISOLATED = run_program("pass").isolation == NAMESPACES
only_isolated = pytest.mark.skipif(not ISOLATED, reason="this system has no user namespaces")


def test_a_program_passes_where_it_comes_to_its_end() -> None:
    good = "def add(a, b):\n    return a + b\n\nimport math, typing, collections\nassert add(1, 2) == 3\n"
    outcomes = run_programs([good, good.replace("a + b", "a - b"), "def f(:", good])
    assert [outcome.passed for outcome in outcomes] == [True, False, False, True]
    assert {outcome.isolation for outcome in outcomes} <= {NAMESPACES, LIMITS}
    assert run_programs([]) == []


@pytest.mark.parametrize(
    "program",
    [
        "import os; os._exit(0)",
        "raise SystemExit(0)",
        "import sys; sys.exit()",
        "while True: pass",
        "x = bytearray(1 << 33)",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "def f(): f()\nf()",
        "assert False",
        "import ctypes; ctypes.string_at(0)",
    ],
)
def test_a_program_that_ends_otherwise_fails(program: str) -> None:
    assert not run_program(program, seconds=1).passed


def test_a_program_that_waits_is_ended() -> None:
    assert not run_program("import time\nwhile True: time.sleep(0.1)", seconds=1, patience=2).passed


def test_a_program_knows_nothing_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    assert run_program("import os; assert 'SECRET_TOKEN' not in os.environ and not os.listdir('.')").passed
    assert not run_program("import sys; sys.stdin.read()").passed


@only_isolated
def test_a_program_writes_and_removes_no_file(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("kept")
    tries = [
        f"open({str(precious)!r}, 'w')",
        f"import os; os.remove({str(precious)!r})",
        f"import os; os.mkdir({str(tmp_path / 'new')!r})",
        f"import os; os.rename({str(precious)!r}, {str(tmp_path / 'moved')!r})",
        f"import os; os.chmod({str(precious)!r}, 0)",
        "open('here', 'w').write('x')",
        "open('/dev/shm/x', 'w').write('x')",
    ]
    assert [outcome.passed for outcome in run_programs(tries)] == [False] * len(tries)
    assert precious.read_text() == "kept" and [path.name for path in tmp_path.iterdir()] == ["precious"]
    # It cannot make the files writable again, either.
    undo = (
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "assert libc.mount(b'none', b'/', None, 0x20 | 0x1000, None) == 0 or libc.unshare(0x10000000 | 0x20000) == 0\n"
        f"open({str(precious)!r}, 'w').write('x')"
    )
    assert not run_program(undo).passed and precious.read_text() == "kept"


@only_isolated
def test_a_program_reaches_no_network_and_no_other_process() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert not run_program(f"import socket; socket.create_connection(('127.0.0.1', {port}), 1)").passed
    assert not run_program(f"import os; os.kill({os.getpid()}, 0)").passed
    assert run_program("import os; assert os.getpid() < 5").passed


def test_the_estimate_of_pass_at_k_is_the_share_of_draws_with_a_passing_sample() -> None:
    for n, correct, k in ((5, 2, 1), (5, 2, 3), (6, 1, 2), (4, 4, 2), (4, 0, 4), (20, 3, 10)):
        draws = list(itertools.islice(itertools.combinations(range(n), k), 200_000))
        share = sum(any(sample < correct for sample in draw) for draw in draws) / len(draws)
        assert pass_at_k(n, correct, k) == pytest.approx(share, abs=1e-12)
