"""instructsel gate checks: what a gate can ask."""

from __future__ import annotations

from typing import Any, Final

from instructsel.commands import _options as options
from instructsel.commands._console import display, reported, write_json

WIDTH: Final = 80
INDENT: Final = 6
EXAMPLES: Final = "Examples:\n  instructsel gate checks\n  instructsel gate checks --json\n"


@reported
def command(json: options.Json = False, show_traceback: options.Traceback = False) -> None:
    """List the checks: number, kind, severity, what each needs.

    Each goes into a configuration as a [[check]] with its kind or its number; docs/reference/checks.md has their settings.
    """
    from instructsel.gates.checks.registry import checks
    from instructsel.text import wrapped

    listed = list(checks().values())
    if json:
        write_json([plain(check) for check in listed])
        return
    for check in listed:
        named = "" if check.by_default else "; run where a configuration names it"
        needed = f"; needs {needs(check)}" if check.needs else ""
        for line in wrapped(f"{check.number} {check.kind}: {check.severity}{named}{needed}", WIDTH - INDENT):
            display(line if line.startswith(check.number) else f"{' ' * INDENT}{line}")
        for line in wrapped(check.title(), WIDTH - INDENT):
            display(f"{' ' * INDENT}{line}")


def needs(check: Any) -> str:
    """What a check needs besides the rows, in words."""
    return ", ".join(check.needs)


def plain(check: Any) -> dict[str, Any]:
    """A check as plain data."""
    return {
        "number": check.number,
        "kind": check.kind,
        "severity": check.severity,
        "by_default": check.by_default,
        "needs": list(check.needs),
        "title": check.title(),
        "fix": check.fix,
        "source": check.source,
    }


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"
