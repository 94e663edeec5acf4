"""Shared fixtures; no test reaches the network, the user's cache, or a hub; no skip goes unnoticed."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")
# pytest-xdist sets it in its workers; lines for programs are not wrapped where no width is stated.
os.environ.pop("COLUMNS", None)

ROOT = Path(__file__).resolve().parent.parent
EXPECTED_SKIPS = Path(__file__).with_name("expected_skips.txt")
LOOPBACK = ("127.", "::1", "localhost")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real pools, beside the checkout or where INSTRUCTSEL_DATA says."""
    folder = Path(os.environ.get("INSTRUCTSEL_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("shared data is absent")
    return folder


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests never touch the user's cache."""
    before = os.environ.get("INSTRUCTSEL_CACHE")
    folder = tmp_path_factory.mktemp("instructsel-cache")
    folder.chmod(0o700)
    os.environ["INSTRUCTSEL_CACHE"] = str(folder)
    yield
    if before is None:
        del os.environ["INSTRUCTSEL_CACHE"]
    else:
        os.environ["INSTRUCTSEL_CACHE"] = before


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """Connections leave this machine for nothing."""
    real = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else str(address)
        if self.family != getattr(socket, "AF_UNIX", None) and not str(host).startswith(LOOPBACK):
            raise AssertionError(f"A test tried to reach {host}.")
        real(self, address)

    socket.socket.connect = guarded  # type: ignore[method-assign]
    yield
    socket.socket.connect = real  # type: ignore[method-assign]


LONGEST = (
    *("adapters/test_training.py", "commands/test_commands.py", "commands/test_verify_path.py", "commands/test_score_models.py"),
    *(
        "crash/test_crash.py",
        "commands/test_demo.py",
        "grading/test_judge.py",
        "adapters/test_lm_eval.py",
        "commands/test_verify_command.py",
    ),
    *("test_embedded_judge.py", "test_embedded_training.py", "test_embedded_reward_page.py", "test_benchmarks.py", "test_packaging.py"),
)
"""Files whose tests take longest. Begun first, so that no worker is left with one of them when the others are through."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The long versions run only when they are asked for; the longest files come first."""
    places = {str(ROOT / "tests" / name): place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(str(item.path), len(places)))
    if "soak" not in (config.option.markexpr or ""):
        kept = [item for item in items if item.get_closest_marker("soak") is None]
        if len(kept) < len(items):
            config.hook.pytest_deselected(items=[item for item in items if item not in kept])
            items[:] = kept


def _reason(report: Any) -> str:
    return str(report.longrepr[2]).removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else str(report.longrepr)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Name every skip that nobody expected; sessionfinish below turns them into a failure."""
    surprising = _surprising(terminalreporter)
    for reason in sorted(surprising):
        terminalreporter.write_line(f"unexpected skip: {reason} (tests/expected_skips.txt does not list it)", red=True)


def _surprising(reporter: Any) -> set[str]:
    expected = [
        line.strip() for line in EXPECTED_SKIPS.read_text(encoding="utf-8").split("\n") if line.strip() and not line.startswith("#")
    ]
    reasons = {_reason(report) for report in reporter.stats.get("skipped", [])}
    return {reason for reason in reasons if not any(reason.startswith(prefix) for prefix in expected)}


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A run with an unexpected skip is a failed run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and exitstatus == 0 and _surprising(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
