"""Whatever else an audit finds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from instructsel.gates.audited import AuditCheck
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit
from instructsel.text import counted

if TYPE_CHECKING:
    from instructsel.audits.finding import Finding

OTHERS: Final = frozenset(
    {
        *("not-a-prefix", "truncated-response", "lost-end-mark", "prompt-fills-length", "empty-response", "duplicate-tokens"),
        *("same-role-twice", "assistant-first", "rows-not-read"),
    }
)
"""Kinds that have a check of their own in the gate."""


@dataclass(frozen=True)
class AuditFindings(AuditCheck):
    """Errors and warnings of `instructsel audit` that no other check is about."""

    number: ClassVar[str] = "IS007"
    kind: ClassVar[str] = "audit"
    severity: ClassVar[str] = "error"
    source: ClassVar[str] = "instructsel's audit; docs/how-to/audit.md says of each kind what it is"
    fix: ClassVar[str] = "Look at the row with: instructsel audit FILE --tokenizer TOKENIZER --show 5."

    counts: Literal["errors", "warnings"] = "errors"
    """errors: the audit's warnings are reported, one severity below, and fail nothing; warnings: they count as its errors do."""

    def hits(self, change: Change) -> Iterator[Hit]:
        """Each finding in each row that it is about; one of the template, the tokenizer or the base is of no row. Warnings are mild."""
        audited = self.audited(change)
        causes = {finding.kind: finding for finding in audited.audit.findings if finding.severity != "info" and finding.kind not in OTHERS}
        named: set[str] = set()
        for position, row in audited.rows():
            for kind in row["flags"].split():
                if (finding := causes.get(kind)) is not None:
                    named.add(kind)
                    yield Hit(position, f"{kind}: {finding.cause}", key=kind, fix=finding.fix, is_mild=self._is_mild(finding))
        for kind, finding in causes.items():
            if kind not in named:
                seen = f" ({finding.detail})" if finding.detail else ""
                what = counted(finding.count, finding.unit)
                yield Hit(None, f"{kind}, {what}: {finding.cause}{seen}", key=kind, fix=finding.fix, is_mild=self._is_mild(finding))

    def _is_mild(self, finding: Finding) -> bool:
        return finding.severity == "warning" and self.counts == "errors"


def kinds() -> tuple[str, ...]:
    """The kinds of the audit that this check is about."""
    from instructsel.audits.checks.registry import checks as audit_checks

    return tuple(check.kind for check in audit_checks() if check.severity != "info" and check.kind not in OTHERS)


__all__ = ["OTHERS", "AuditFindings", "kinds"]
