"""Write the table of checks in docs/how-to/audit.md from the checks themselves."""

from __future__ import annotations

from pathlib import Path

from instructsel.audits.checks.registry import checks

PAGE = Path(__file__).with_name("how-to") / "audit.md"
BEGIN, END = "| kind | severity |", "\n\n`template-rewrites`"


def page() -> str:
    """The page's text, with the table of today's checks."""
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    rows = [f"| `{check.kind}` | {check.severity} | {check.unit} | {check.cause} | {check.fix} |" for check in checks()]
    return head + "\n".join([f"{BEGIN} of | cause | fix |", "| --- | --- | --- | --- | --- |", *rows]) + end + tail


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
