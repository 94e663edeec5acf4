"""Write docs/reference/checks.md from the checks of a gate themselves."""

from __future__ import annotations

import json
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from instructsel.commands._groups import docs_of
from instructsel.gates.checks.base import Check, RowCheck
from instructsel.gates.checks.registry import checks

PAGE = Path(__file__).with_name("reference") / "checks.md"
HEAD = """# Checks of a gate

Written by `python docs/build_checks.py` from the checks themselves. `instructsel gate checks` lists those of an installation.

A configuration names a check by its kind or its number, which never changes:

```toml
[[check]]
kind = "empty-response"
severity = "warning"     # error, warning, info, or off
max_rate = 0.01
```

"by default" are the checks that run where no configuration names any; of these, one that needs what is not there is skipped and says what
would let it run. A check that a configuration names and that cannot run ends the gate with exit code 4.

Checks of rows have two settings besides their own:

"""


def page() -> str:
    """The page's text."""
    listed = list(checks().values())
    shared = {setting.name for setting in fields(RowCheck)}
    docs = docs_of(RowCheck)
    lines = [HEAD.rstrip("\n"), ""]
    lines += _table(list(fields(RowCheck)), docs)
    lines += ["", "| number | kind | severity | by default | what it finds |", "| --- | --- | --- | --- | --- |"]
    for check in listed:
        default = "yes" if check.by_default else "no"
        lines.append(
            f"| [{check.number}](#{check.number.lower()}-{check.kind}) | `{check.kind}` | {check.severity} | {default} | {_cell(check.title())} |"
        )
    for check in listed:
        lines += _section(check, shared)
    return "\n".join(lines) + "\n"


def _section(check: type[Check], shared: set[str]) -> list[str]:
    settings = [setting for setting in fields(check) if not (issubclass(check, RowCheck) and setting.name in shared)]
    lines = ["", f"## {check.number} {check.kind}", "", _cell(check.title()), ""]
    lines.append(
        f"Severity: {check.severity}. Run by default: {'yes' if check.by_default else 'no'}."
        + (f" Needs: {'; '.join(check.needs)}." if check.needs else "")
    )
    lines += ["", f"What to do: {_cell(check.fix)}", "", f"Source: {check.source.rstrip('.')}."]
    return [*lines, "", *_table(settings, docs_of(check))] if settings else lines


def _table(settings: list[Field[Any]], docs: dict[str, str]) -> list[str]:
    rows = [f"| `{setting.name}` | {_default(setting)} | {_cell(docs.get(setting.name, ''))} |" for setting in settings]
    return ["| setting | by default | what it is |", "| --- | --- | --- |", *rows]


def _default(setting: Field[Any]) -> str:
    value = (
        setting.default if setting.default is not MISSING else setting.default_factory() if setting.default_factory is not MISSING else None
    )
    return "not set" if value is None or value == "" else f"`{json.dumps(list(value) if isinstance(value, tuple) else value)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
