"""Writing waivers into a configuration, whose text stays as it is."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from instructsel.artifact import atomic_write
from instructsel.errors import UsageError
from instructsel.gates.config import GATE_TOML, MOST_BYTES, PYPROJECT, REFUSAL, YAML, GateConfig, table_of
from instructsel.gates.waivers import EVERY, LEAST, Waiver
from instructsel.structured import read_bytes
from instructsel.text import in_toml

BY_HAND: Final = "Write it by hand: a [[waiver]] with check, row, reason and expires."


@dataclass(frozen=True)
class Written:
    """What was written."""

    path: Path
    added: tuple[Waiver, ...]
    known: tuple[Waiver, ...]
    """Those that stood there already."""


def waivers_of(names: Sequence[str], findings: Iterable[Mapping[str, Any]], reason: str, expires: date, check: str = "") -> list[Waiver]:
    """A waiver for each finding that is named.

    Args:
        names: CHECK=ROW with the id of a row, a fingerprint, the beginning of either, or *; or of a finding its fingerprint, the id of its row, or
            its FILE:LINE.
        findings: of a verdict, as plain data.
        reason: why they may join.
        expires: the last day.
        check: kind or number of the check whose findings are meant; of every check by default.

    Raises:
        UsageError: a name that no finding has, or a waiver that cannot be.
    """
    known = list(findings)
    waivers: dict[tuple[str, str], Waiver] = {}
    for name in names:
        kind, equals, row = name.partition("=")
        if equals:
            waivers[kind, row] = Waiver(kind, row, reason, expires)
            continue
        named = [
            finding for finding in known if _is_named(finding, name) and check in ("", finding["kind"], finding["check"], finding["name"])
        ]
        if not named:
            raise UsageError(
                f"No finding of the verdict is {name}{f' of {check}' if check else ''}.",
                fix="Name a fingerprint, the id of a row, FILE:LINE, or CHECK=ROW.",
            )
        for finding in named:
            # By its fingerprint: it follows the row to another line, and waives no other finding of the row.
            waivers[finding["name"], finding["fingerprint"]] = Waiver(finding["name"], finding["fingerprint"], reason, expires)
    return list(waivers.values())


def _is_named(finding: Mapping[str, Any], name: str) -> bool:
    place = f"{finding['file']}:{finding['line']}"
    begins = len(name) >= LEAST and any(str(finding[key] or "").startswith(name) for key in ("row", "fingerprint"))
    return name in (place, finding["row"], finding["fingerprint"]) or begins


def where_of(config: str | Path | None, folder: str | Path = ".") -> Path:
    """The configuration that waivers go into: the one that is named, else that of the folder, else a new gate.toml."""
    if config is not None:
        return Path(config)
    where = GateConfig.near(folder).where
    return Path(where) if where else Path(folder) / GATE_TOML


def write_waivers(path: str | Path, waivers: Sequence[Waiver]) -> Written:
    """Append waivers to a configuration. What stands there stays byte for byte; a file that is missing is made.

    Raises:
        UsageError: the file is no configuration, or of a form to which nothing can be appended.
        EnvironmentFault: it cannot be written.
    """
    target = Path(path)
    if target.suffix.lower() in YAML:
        raise UsageError(f"{path} is YAML, to which no waiver is appended.", fix=BY_HAND)
    data = read_bytes(target, REFUSAL, max_bytes=MOST_BYTES) if target.exists() else b"schema = 1\n"
    prefix = "tool.instructsel.gate." if target.name == PYPROJECT else ""
    config = _parsed(data, target)
    standing = {(waiver.check, waiver.row) for waiver in config.waivers}
    added = tuple(waiver for waiver in waivers if (waiver.check, waiver.row) not in standing)
    known = tuple(waiver for waiver in waivers if waiver not in added)
    line_end = b"\r\n" if b"\r\n" in data else b"\n"
    text = data if not data or data.endswith(b"\n") else data + line_end
    for waiver in added:
        text += line_end + _entry(waiver, prefix).replace("\n", line_end.decode()).encode()
    try:
        result = _parsed(text, target)
    except UsageError as error:
        raise UsageError(f"A waiver cannot be appended to {path}: {error.message}", fix=BY_HAND) from error
    if result.waivers != (*config.waivers, *added) or result.checks != config.checks:
        raise UsageError(f"A waiver cannot be appended to {path}: what stands there would mean something else.", fix=BY_HAND)
    if added:
        with atomic_write(target) as file:
            file.write(text)
    return Written(target, added, known)


def _parsed(data: bytes, path: Path) -> GateConfig:
    try:
        content = tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise REFUSAL.of(path, str(error)) from error
    table = (table_of(content) or {}) if path.name == PYPROJECT else content
    return GateConfig.of(table, path.parent, where=str(path))


def _entry(waiver: Waiver, prefix: str) -> str:
    values = "".join(
        f"{key} = {in_toml(json.dumps(value, ensure_ascii=False))}\n"
        for key, value in (("check", waiver.check), ("row", waiver.row), ("reason", waiver.reason))
    )
    return f"[[{prefix}waiver]]\n{values}expires = {waiver.expires.isoformat()}\n"


__all__ = ["EVERY", "Written", "waivers_of", "where_of", "write_waivers"]
