"""The gate in tests: `def test_new_rows(instructsel_gate): instructsel_gate("data/new.jsonl")`.

pytest loads this module by itself where instructsel is installed; until a test asks for the fixture, nothing else of instructsel is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from instructsel.gates.change import Change
    from instructsel.gates.config import GateConfig
    from instructsel.gates.verdict import Verdict
    from instructsel.pool.pool import Pool

LISTED: Final = 10
"""Findings of a check that a message lists."""
INI: Final = {
    "instructsel_gate_config": (
        "",
        "the configuration of instructsel_gate; by default gate.toml or [tool.instructsel.gate] beside this file",
    ),
    "instructsel_gate_baseline": ("", "the baseline of instructsel_gate, as instructsel gate baseline wrote it"),
    "instructsel_gate_fail_on": ("error", "from which severity on instructsel_gate fails a test: error, warning or never"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """The settings of an ini file, or of [tool.pytest.ini_options]."""
    for name, (default, text) in INI.items():
        parser.addini(name, text, default=default)


@dataclass(frozen=True)
class GateFixture:
    """Gates files or rows, and fails the test where they may not join."""

    root: Path
    """Where relative paths of the ini file begin."""
    config: str
    baseline: str
    fail_on: str

    def __call__(
        self,
        *rows: str | Path | Pool | Iterable[Mapping[str, Any]],
        config: str | Path | GateConfig | None = None,
        baseline: str | Path | None = None,
        fail_on: str | None = None,
    ) -> Verdict:
        """The verdict, where the rows may join.

        Args:
            rows: files and folders; or a pool, or rows as dicts.
            config: which checks, in place of the ini file's.
            baseline: the pool that the rows want to join, in place of the ini file's.
            fail_on: error, warning or never, in place of the ini file's.
        """
        from instructsel.gates.gate import gate

        __tracebackhide__ = True
        settings = self._settings(config, baseline)
        verdict = gate(_change(rows, settings), settings)
        severity = fail_on or self.fail_on
        code = verdict.exit_code(severity)
        # Fewer checks than were meant are no answer either: see the exit codes of instructsel gate.
        if code and severity != "never":
            pytest.fail(message(verdict, severity, code), pytrace=False)
        return verdict

    def _settings(self, config: str | Path | GateConfig | None, baseline: str | Path | None) -> GateConfig:
        from dataclasses import replace

        from instructsel.gates.config import GateConfig

        if isinstance(config, GateConfig):
            settings = config
        elif config or self.config:
            named = str(config or self.config)
            settings = GateConfig.read(named if config or named.startswith("@") else self.root / named)
        else:
            settings = GateConfig.near(self.root)
        if baseline or self.baseline:
            settings = replace(settings, baseline=Path(baseline) if baseline else self.root / self.baseline)
        return settings


def _change(rows: tuple[Any, ...], settings: GateConfig) -> Change | Pool:
    from instructsel.errors import UsageError
    from instructsel.gates.reading import read_change, reading_of
    from instructsel.pool.pool import Pool

    if rows and all(isinstance(entry, str | Path) for entry in rows):
        return read_change([str(entry) for entry in rows], baseline=settings.baseline, reading=reading_of(settings))
    if len(rows) != 1:
        raise UsageError(
            "instructsel_gate takes files, or one pool, or one list of rows.", fix='For example: instructsel_gate("new.jsonl")'
        )
    return rows[0] if isinstance(rows[0], Pool) else Pool.of(list(rows[0]))


def message(verdict: Verdict, fail_on: str, code: int) -> str:
    """Why rows may not join, for people: each check that failed, its findings with file, line and fix."""
    from instructsel.gates.outputs.base import plain, shown_place

    lines = [f"instructsel gate: {verdict.outcome(fail_on)} (exit code {code}). {plain(verdict.report.sentence())}"]
    lines += [plain(trouble) for trouble in verdict.troubles]
    for result in verdict.failing(fail_on):
        lines.append(f"{result.check.number} {plain(result.label)}: {plain(result.statement)}")
        for finding in result.counted[:LISTED]:
            where = f"{shown_place(finding.place)}: " if finding.place else ""
            lines.append(f"  {where}{plain(finding.message)}")
        if len(result.counted) > LISTED:
            lines.append(f"  and {len(result.counted) - LISTED:,} more")
        lines.append(f"  {plain(result.check.fix)}")
    lines += [
        f"{result.check.number} {plain(result.label)} did not run: {plain(result.statement)}"
        for result in verdict.not_asked
        if result.exit_code
    ]
    return "\n".join(lines)


@pytest.fixture(scope="session")
def instructsel_gate(pytestconfig: pytest.Config) -> Callable[..., Verdict]:
    """Check that rows may join a pool: `instructsel_gate("new.jsonl")`, or rows, or a pool; see GateFixture."""
    values = {name: str(pytestconfig.getini(name)) for name in INI}
    return GateFixture(
        pytestconfig.rootpath, values["instructsel_gate_config"], values["instructsel_gate_baseline"], values["instructsel_gate_fail_on"]
    )


__all__ = ["GateFixture", "instructsel_gate", "pytest_addoption"]
