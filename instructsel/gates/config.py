"""What a gate asks: `gate.toml`, or `[tool.instructsel.gate]` of pyproject.toml.

schema = 1
mode = "pull-request"            # or "nightly"

[defaults]                       # for every check that has such a setting and does not set it
tokenizer = "my-org/my-base"

[[check]]
kind = "near-duplicate"          # its name or its number
max_rate = 0.02
severity = "warning"

[[waiver]]
check = "near-duplicate"
row = "9f3a01bc"
reason = "a paraphrase on purpose"
expires = 2027-03-01
"""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from pathlib import Path
from typing import Any, Final, Literal, Required, Self, TypedDict

from instructsel.errors import UsageError
from instructsel.experiments.limits import check_limits
from instructsel.gates.checks.base import Check
from instructsel.gates.checks.registry import check_named
from instructsel.gates.checks.registry import checks as all_checks
from instructsel.gates.finding import SEVERITIES
from instructsel.gates.waivers import Waiver
from instructsel.shapes import Misfit, checked
from instructsel.structured import Refusal, read_toml

SCHEMA: Final = 1
MODES: Final = ("pull-request", "nightly")
OFF: Final = "off"
"""In place of a severity: the check is not asked."""
REFUSAL: Final = Refusal(UsageError, "See docs/how-to/gate.md, or write one with: instructsel gate init POOL", "a configuration of a gate")
PYPROJECT: Final = "pyproject.toml"


class DataShape(TypedDict, total=False):
    """Which rows, and how they are read."""

    new: list[str]
    format: str
    map: str
    source_field: str


class BaselineShape(TypedDict, total=False):
    """The pool that the rows want to join."""

    path: Required[str]


class WaiverShape(TypedDict, total=False):
    """A finding that does not count."""

    check: Required[str]
    row: Required[str]
    reason: Required[str]
    expires: Required[Any]


class ConfigShape(TypedDict, total=False):
    """A configuration."""

    schema: int
    mode: Literal["pull-request", "nightly"]
    data: DataShape
    baseline: BaselineShape
    defaults: dict[str, Any]
    check: list[dict[str, Any]]
    waiver: list[WaiverShape]


@dataclass(frozen=True)
class ConfiguredCheck:
    """A check with its settings."""

    check: Check
    severity: str
    name: str = ""
    """What tells it from another of its kind; its kind by default."""


@dataclass(frozen=True)
class GateConfig:
    """Which checks are asked with which settings, against which baseline, and what is waived."""

    checks: tuple[ConfiguredCheck, ...]
    waivers: tuple[Waiver, ...] = ()
    nightly: bool = False
    """Whether a rate fails when it is above its limit, and not only when the lower bound of its interval is."""
    data: DataShape = field(default_factory=DataShape)
    baseline: Path | None = None
    folder: Path = field(default_factory=Path.cwd)
    """Where relative paths begin."""

    @classmethod
    def default(cls) -> Self:
        """Every check that is asked by default, with its own settings."""
        return cls(tuple(ConfiguredCheck(check(), check.severity) for check in all_checks().values() if check.by_default))

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """A file: gate.toml, or pyproject.toml with its table.

        Raises:
            UsageError: it cannot be read, is of another shape, or names what there is not.
        """
        target = Path(path)
        if target.name == PYPROJECT:
            content = read_toml(target, dict, REFUSAL)
            tool = content.get("tool", {})
            table = (
                tool.get("instructsel", {}).get("gate")
                if isinstance(tool, dict) and isinstance(tool.get("instructsel", {}), dict)
                else None
            )
            if not isinstance(table, dict):
                raise UsageError(
                    f"{path} has no table [tool.instructsel.gate].", fix="Name the file that has the gate's settings with --config."
                )
        else:
            table = read_toml(target, dict, REFUSAL)
        return cls.of(table, target.parent, where=str(path))

    @classmethod
    def of(cls, table: Mapping[str, Any], folder: Path, *, where: str) -> Self:
        """From the content of a file.

        Raises:
            UsageError: it is of another shape, or names what there is not.
        """
        try:
            checked(dict(table), ConfigShape)
        except Misfit as misfit:
            raise REFUSAL.of(where, str(misfit)) from misfit
        _only_known(table, ConfigShape.__annotations__, f"in {where}")
        for name, shape in (("data", DataShape), ("baseline", BaselineShape)):
            _only_known(table.get(name, {}), shape.__annotations__, f"in [{name}] of {where}")
        if table.get("schema", SCHEMA) != SCHEMA:
            raise UsageError(
                f"{where} is of schema {table['schema']}; this release reads {SCHEMA}.", fix="Install a newer release of instructsel."
            )
        defaults = table.get("defaults", {})
        _only_known(
            defaults, {setting.name: None for check in all_checks().values() for setting in fields(check)}, f"in [defaults] of {where}"
        )
        listed = table.get("check", [{"kind": kind} for kind, check in all_checks().items() if check.by_default])
        configured = tuple(a for a in (_configured(entry, defaults, where) for entry in listed) if a is not None)
        labels = [a.name or a.check.kind for a in configured]
        for label in labels:
            if labels.count(label) > 1:
                raise UsageError(
                    f"Two checks of {where} are called {label}.", fix=f'Tell them apart: name = "{label}-2" beneath one of them.'
                )
        return cls(
            configured,
            tuple(_waiver(entry, where) for entry in table.get("waiver", ())),
            table.get("mode") == "nightly",
            table.get("data", {}),
            folder / table["baseline"]["path"] if "baseline" in table else None,
            folder,
        )


def _only_known(table: Mapping[str, Any], known: Sequence[str] | Mapping[str, Any], where: str) -> None:
    for key in table:
        if key not in known:
            raise UsageError.named(key, known, noun="setting", where=where)


def _configured(entry: Mapping[str, Any], defaults: Mapping[str, Any], where: str) -> ConfiguredCheck | None:
    """A check of a configuration; None where it is off."""
    kind = entry.get("kind")
    if not isinstance(kind, str):
        raise UsageError(f"A [[check]] of {where} has no kind.", fix=f"For example: kind = {next(iter(all_checks()))!r}")
    check = check_named(kind)
    hints = typing.get_type_hints(check)
    settings = {setting.name: hints[setting.name] for setting in fields(check)}
    _only_known(entry, [*settings, "kind", "severity", "name"], f"of the check {kind} in {where}")
    severity = entry.get("severity", check.severity)
    if severity == OFF:
        return None
    if severity not in SEVERITIES:
        raise UsageError.named(str(severity), [*SEVERITIES, OFF], noun="severity", where=f"of the check {kind} in {where}")
    values = {name: value for name, value in {**defaults, **entry}.items() if name in settings}
    for name, value in values.items():
        try:
            checked(value, settings[name], name)
        except Misfit as misfit:
            raise REFUSAL.of(where, f"check {kind}: {misfit}") from misfit
    asked = check(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
    check_limits(asked)
    return ConfiguredCheck(asked, severity, str(entry.get("name", "")))


def _waiver(entry: Mapping[str, Any], where: str) -> Waiver:
    _only_known(entry, WaiverShape.__annotations__, f"of a [[waiver]] in {where}")
    expires = entry["expires"]
    if isinstance(expires, str):
        try:
            expires = date.fromisoformat(expires)
        except ValueError:
            expires = None
    if not isinstance(expires, date):
        raise UsageError(f"A waiver of {where} has an expires that is no date.", fix="Write a day: expires = 2027-03-01")
    return Waiver(entry["check"], entry["row"], entry["reason"], date(expires.year, expires.month, expires.day))


__all__ = ["MODES", "ConfiguredCheck", "GateConfig"]
