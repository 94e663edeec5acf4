"""What a gate asks: `gate.toml`, or `[tool.instructsel.gate]` of pyproject.toml.

schema = 1
mode = "pull-request"            # or "nightly"

[data]
new = ["data/incoming/*.jsonl"]

[limits]
max_bad_rows = 0

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

import glob
import os
import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date
from pathlib import Path
from typing import Any, Final, Literal, Required, Self, TypedDict

from instructsel.errors import UsageError
from instructsel.experiments.limits import MOST_ROWS, check_limits
from instructsel.extras import require
from instructsel.gates.checks.base import Check
from instructsel.gates.checks.registry import check_named, kinds
from instructsel.gates.checks.registry import checks as all_checks
from instructsel.gates.checks.unreadable_row import UnreadableRow
from instructsel.gates.finding import SEVERITIES
from instructsel.gates.waivers import Waiver
from instructsel.pool.naming import is_here, is_pattern, matched, matches_pattern, unmatched
from instructsel.shapes import Misfit, checked
from instructsel.structured import Refusal, read_bytes, read_toml

SCHEMA: Final = 1
PULL_REQUEST: Final = "pull-request"
NIGHTLY: Final = "nightly"
MODES: Final = (PULL_REQUEST, NIGHTLY)
OFF: Final = "off"
"""In place of a severity: the check is not asked."""
REFUSAL: Final = Refusal(UsageError, "See docs/how-to/gate.md, or write one with: instructsel gate init POOL", "a configuration of a gate")
GATE_TOML: Final = "gate.toml"
PYPROJECT: Final = "pyproject.toml"
STRUCTURE: Final = "@structure"
"""In place of a file: STRUCTURAL alone."""
STRUCTURAL: Final = (
    *("unreadable-row", "dropped-row", "roles", "invisible-text", "empty-prompt", "empty-response", "placeholder", "chat-markup", "secret"),
    *("tool-schema", "tool-arguments", "unanswered-call", "unclosed-reasoning", "reasoning-without-answer"),
)
"""The checks that the plain package asks fast enough for every commit: whether rows are whole, and hold no secret."""
YAML: Final = (".yaml", ".yml")
MOST_BYTES: Final = 16 << 20
"""Of a configuration."""
ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|[\\/]{2}")
"""How the name of what lies on another machine begins."""


class DataShape(TypedDict, total=False):
    """Which rows, and how they are read; the names are those of the options."""

    new: list[str]
    format: str
    map: str
    columns: str
    delimiter: str
    oasst: str
    on_duplicate_key: str
    role: list[str]
    reasoning: str
    undesirable: str
    source_field: str


class BaselineShape(TypedDict, total=False):
    """The pool that the rows want to join."""

    path: Required[str]


class LimitsShape(TypedDict, total=False):
    """Where reading ends in an error."""

    max_bad_rows: int


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
    limits: LimitsShape
    check: list[dict[str, Any]]
    waiver: list[WaiverShape]


@dataclass(frozen=True)
class ConfiguredCheck:
    """A check with its settings."""

    check: Check
    severity: str
    name: str = ""
    """What tells it from another of its kind; its kind by default."""
    named: bool = False
    """Whether a configuration names it: where it cannot be asked, the gate ends with 4."""


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
    where: str = ""
    """The file that it is from; "" for the defaults."""

    @classmethod
    def default(cls) -> Self:
        """Every check that is asked by default, with its own settings."""
        return cls(tuple(ConfiguredCheck(check(), check.severity) for check in all_checks().values() if check.by_default))

    @classmethod
    def near(cls, folder: str | Path = ".") -> Self:
        """The configuration of a folder: its gate.toml, else the gate's table of its pyproject.toml, else the defaults.

        Raises:
            UsageError: there is one that cannot be read.
        """
        local = Path(folder) / GATE_TOML
        if local.is_file():
            return cls.read(local)
        project = Path(folder) / PYPROJECT
        if project.is_file() and b"instructsel" in read_bytes(project, REFUSAL, max_bytes=MOST_BYTES):
            table = table_of(read_toml(project, dict, REFUSAL))
            if table is not None:
                return cls.of(table, project.parent, where=str(project))
        return replace(cls.default(), folder=Path(folder))

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """A file: gate.toml, pyproject.toml with its table, or the same as YAML; or @structure.

        Raises:
            UsageError: it cannot be read, is of another shape, or names what there is not.
            MissingExtra: it is YAML, and PyYAML is not installed.
        """
        target = Path(path)
        if str(path) == STRUCTURE:
            known = [check_named(kind) for kind in STRUCTURAL]
            return cls(tuple(ConfiguredCheck(check(), check.severity) for check in known), where=STRUCTURE)
        if target.name == PYPROJECT:
            table = table_of(read_toml(target, dict, REFUSAL))
            if table is None:
                raise UsageError(
                    f"{path} has no table [tool.instructsel.gate].", fix="Name the file that has the gate's settings with --config."
                )
        elif str(path).startswith("@") and not target.exists():
            raise UsageError.named(str(path), [STRUCTURE], noun="configuration")
        elif target.suffix.lower() in YAML:
            table = _yaml(target)
        else:
            table = read_toml(target, dict, REFUSAL)
        return cls.of(table, target.parent, where=str(path))

    @classmethod
    def of(cls, table: Mapping[str, Any], folder: Path, *, where: str) -> Self:
        """From the content of a file.

        Raises:
            UsageError: it is of another shape, or names what there is not.
        """
        # Before the shapes: of a misspelled key it is the name that is wrong, and not what another one lacks.
        _only_known(table, ConfigShape.__annotations__, f"in {where}")
        for name, shape in SHAPES.items():
            inner = table.get(name, {})
            if isinstance(inner, Mapping):
                _only_known(inner, shape.__annotations__, f"in [{name}] of {where}")
        if isinstance(named := table.get("check"), Mapping):
            kind = "refusal" if "kind" in named else next(iter(named), "refusal")
            raise UsageError(
                f"{where} has [check] as one table; a gate has a list of checks.",
                fix=f'Begin each with [[check]], and beneath it kind = "{kind}".',
            )
        for entry in table["waiver"] if isinstance(table.get("waiver"), list) else ():
            if isinstance(entry, Mapping):
                _only_known(entry, WaiverShape.__annotations__, f"of a [[waiver]] in {where}")
        try:
            checked(dict(table), ConfigShape)
        except Misfit as misfit:
            raise REFUSAL.of(where, str(misfit)) from misfit
        if table.get("schema", SCHEMA) != SCHEMA:
            raise UsageError(
                f"{where} is of schema {table['schema']}; this release reads {SCHEMA}.", fix="Install a newer release of instructsel."
            )
        data = typing.cast(DataShape, table.get("data", {}))
        _check_addresses(data.get("new", ()), where)
        configured = _all_configured(table, where)
        if not configured:
            # Everything would pass.
            raise UsageError(f"{where} names no check.", fix="Name one with [[check]], or leave all of them out for those by default.")
        return cls(
            configured,
            tuple(_waiver(entry, configured, where) for entry in table.get("waiver", ())),
            table.get("mode") == NIGHTLY,
            data,
            folder / table["baseline"]["path"] if "baseline" in table else None,
            folder,
            where,
        )

    def files(self) -> list[str]:
        """The files that `[data] new` names, patterns as what they match; [] where it names none.

        Raises:
            UsageError: a name without a pattern leads to no file, or a pattern's folders are parted as on Windows alone.
        """
        files: list[str] = []
        for name in self.data.get("new", ()):
            if is_pattern(name, self.folder):
                places = matched([name], self.folder)
                if not places and "\\" in name and os.sep == "/":
                    # Like no file it would be a gate that never looks at a row.
                    slashed = name.replace("\\", "/")
                    raise UsageError(
                        f"{self.where} names {name} in [data], and no file is like it.", fix=f"Write folders with /: {slashed}"
                    )
                files += places
            elif not is_here(str(self.folder / name)):
                raise UsageError(f"{self.where} names {name} in [data], and there is no such file.", fix="Correct it, or write a pattern.")
            else:
                files.append(str(self.folder / name))
        return list(dict.fromkeys(files))

    def unmatched(self) -> list[str]:
        """The patterns of `[data] new` that are like no file, and its folders without a data file."""
        return unmatched(self.data.get("new", ()), self.folder)

    def names_file(self, path: Path) -> bool:
        """Whether a file, which need not be there, is one that a pattern of `[data] new` names."""
        return any(matches_pattern(name, path, self.folder) for name in self.data.get("new", ()) if glob.has_magic(name))


SHAPES: Final[Mapping[str, Any]] = {"data": DataShape, "baseline": BaselineShape, "limits": LimitsShape}
"""Table → what it may hold."""


def table_of(content: Any) -> dict[str, Any] | None:
    """[tool.instructsel.gate] of a pyproject.toml; None where there is none.

    Raises:
        UsageError: it is no table.
    """
    for name in ("tool", "instructsel", "gate"):
        content = content.get(name) if isinstance(content, dict) else None
    if content is not None and not isinstance(content, dict):
        # Passed over, another gate would be asked than the one that somebody wrote down.
        raise UsageError(
            f"tool.instructsel.gate of {PYPROJECT} is no table.", fix="Write the gate's settings beneath [tool.instructsel.gate]."
        )
    return content


def _yaml(path: Path) -> dict[str, Any]:
    """The content of a YAML file.

    Raises:
        UsageError: it cannot be read, or is no mapping.
        MissingExtra: PyYAML is not installed.
    """
    data = read_bytes(path, REFUSAL, max_bytes=MOST_BYTES)
    yaml = require("yaml", needed_by=f"A configuration in YAML, as {path} is,")
    try:
        # An alias can stand for itself many times over.
        has_alias = any(isinstance(token, yaml.AliasToken) for token in yaml.scan(data))
        content = None if has_alias else yaml.safe_load(data)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise REFUSAL.of(path, " ".join(str(error).split()) or type(error).__name__) from error
    if has_alias:
        raise REFUSAL.of(path, "it has an alias, and a configuration has none")
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise REFUSAL.of(path, "it is no mapping of names")
    return content


def _check_addresses(names: Sequence[str], where: str) -> None:
    for name in names:
        if ADDRESS.match(name):
            raise UsageError(
                f"{where} names {name} in [data]: what a file has read lies on this machine.", fix="Name it on the command line."
            )


def _only_known(table: Mapping[str, Any], known: Sequence[str] | Mapping[str, Any], where: str) -> None:
    for key in table:
        if key not in known:
            raise UsageError.named(str(key), known, noun="setting", where=where)


def _all_configured(table: Mapping[str, Any], where: str) -> tuple[ConfiguredCheck, ...]:
    """The checks that a configuration names; those by default where it names none."""
    defaults = table.get("defaults", {})
    if defaults:
        settings = [setting.name for check in all_checks().values() for setting in fields(check)]
        _only_known(defaults, settings, f"in [defaults] of {where}")
    named = table.get("check")
    listed = [{"kind": kind} for kind, check in all_checks().items() if check.by_default] if named is None else named
    entries = (_configured(entry, defaults, where) for entry in listed)
    configured = tuple(replace(entry, named=named is not None) for entry in entries if entry is not None)
    labels = [check.name or check.check.kind for check in configured]
    for label in labels:
        if labels.count(label) > 1:
            raise UsageError(f"Two checks of {where} are called {label}.", fix=f'Tell them apart: name = "{label}-2" beneath one of them.')
    most = table.get("limits", {}).get("max_bad_rows")
    if most is None:
        return configured
    if not 0 <= most <= MOST_ROWS:
        raise REFUSAL.of(where, f"limits.max_bad_rows is {most}; a whole number from 0 is expected")
    set_themselves = {entry.get("kind") for entry in listed if {"max_rows", "max_rate"} & entry.keys()}
    limited = tuple(
        replace(entry, check=replace(entry.check, max_rows=most))
        if isinstance(entry.check, UnreadableRow) and not {entry.check.kind, entry.check.number} & set_themselves
        else entry
        for entry in configured
    )
    if any(isinstance(entry.check, UnreadableRow) for entry in limited):
        return limited
    return (ConfiguredCheck(UnreadableRow(max_rows=most), UnreadableRow.severity, named=True), *limited)


def _configured(entry: Mapping[str, Any], defaults: Mapping[str, Any], where: str) -> ConfiguredCheck | None:
    """A check of a configuration; None where it is off."""
    kind = entry.get("kind")
    if not isinstance(kind, str):
        raise UsageError(f"A [[check]] of {where} has no kind.", fix=f'For example: kind = "{next(iter(kinds()))}"')
    check = check_named(kind)
    hints = typing.get_type_hints(check)
    settings = {setting.name: _as_written(hints[setting.name]) for setting in fields(check)}
    _only_known(entry, [*settings, "kind", "severity", "name"], f"of the check {kind} in {where}")
    severity, name = entry.get("severity", check.severity), entry.get("name", "")
    if severity == OFF:
        return None
    if severity not in SEVERITIES:
        raise UsageError.named(str(severity), [*SEVERITIES, OFF], noun="severity", where=f"of the check {kind} in {where}")
    if not isinstance(name, str) or (name and not NAME.fullmatch(name)):
        raise UsageError(f"A check {kind} of {where} is called {str(name)[:80]!r}.", fix="Use letters, figures and hyphens.")
    if name in {*kinds(), *kinds().values()} - {check.kind, check.number}:
        # A waiver, or an output, of the one would be taken for that of the other.
        raise UsageError(
            f"A check {kind} of {where} is called {name}, which is another check.", fix=f'Call it otherwise: name = "{check.kind}-2"'
        )
    if {"max_rows", "max_rate"} <= entry.keys():
        raise UsageError(f"The check {kind} of {where} has both max_rows and max_rate.", fix="Leave one out: the rate would count alone.")
    values = {setting: value for setting, value in {**defaults, **entry}.items() if setting in settings}
    for setting, value in values.items():
        try:
            checked(value, settings[setting], setting)
        except Misfit as misfit:
            raise REFUSAL.of(where, f"check {kind}: {misfit}") from misfit
    try:
        configured_check = check(**{setting: tuple(value) if isinstance(value, list) else value for setting, value in values.items()})
        check_limits(configured_check)
    except UsageError as error:
        raise UsageError(f"{where}, check {kind}: {error.message}", fix=error.fix) from error
    return ConfiguredCheck(configured_check, severity, name)


def _as_written(shape: Any) -> Any:
    """The shape of a setting in a file: a list where the check has a tuple of any length."""
    inner = typing.get_args(shape)
    return list[inner[0]] if typing.get_origin(shape) is tuple and inner[1:] == (Ellipsis,) else shape  # type: ignore[valid-type]


NAME: Final = re.compile(r"[\w.-]{1,64}")


def _waiver(entry: Mapping[str, Any], configured: Sequence[ConfiguredCheck], where: str) -> Waiver:
    known = [*kinds(), *kinds().values(), *(label for entry in configured for label in (entry.name, entry.check.kind) if label)]
    if entry["check"] not in known:
        raise UsageError.named(entry["check"], known, noun="check", where=f"that a [[waiver]] in {where} could be for")
    expires = entry["expires"]
    if isinstance(expires, str):
        try:
            expires = date.fromisoformat(expires)
        except ValueError:
            expires = None
    if not isinstance(expires, date):
        raise UsageError(f"A waiver of {where} has an expires that is no date.", fix="Write a day: expires = 2027-03-01")
    return Waiver(entry["check"], entry["row"], entry["reason"], date(expires.year, expires.month, expires.day))


__all__ = ["MODES", "NIGHTLY", "PULL_REQUEST", "ConfiguredCheck", "DataShape", "GateConfig"]
