"""The verdict as GitLab's code quality report."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Any, ClassVar, Final

from instructsel.gates.finding import Place
from instructsel.gates.outputs.base import Output, Setting, in_checkout, json_bytes, parsed, place_of, placed, plain
from instructsel.gates.verdict import Verdict
from instructsel.text import safe_path

FIELDS: Final = frozenset({"description", "check_name", "fingerprint", "severity", "location"})
NUMBER: Final = re.compile(r"IS\d{3} |cannot be read$")
CANNOT_BE_READ: Final = "cannot be read"
"""In place of a check, of a file that is no pool."""
SEVERITIES: Final = {"error": "critical", "warning": "major", "info": "info"}


def _unread(text: str, place: Place) -> dict[str, Any]:
    return {
        "description": plain(text),
        "check_name": CANNOT_BE_READ,
        "fingerprint": blake2b(f"{CANNOT_BE_READ}\0{place.file}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest(),
        "severity": SEVERITIES["error"],
        "location": {"path": safe_path(place.file), "lines": {"begin": place.line}},
    }


class GitLab(Output):
    """A list of findings with file and line."""

    name: ClassVar[str] = "gitlab"
    ending: ClassVar[str] = ".json"
    source: ClassVar[str] = "GitLab: code quality report format"
    file: ClassVar[str] = "gate.gitlab.json"

    def is_ours(self, data: bytes) -> bool:
        """Whether it is a list of findings of checks, or of none."""
        rows = parsed(data)
        if not isinstance(rows, list):
            return False
        return all(isinstance(row, dict) and set(row) == FIELDS and NUMBER.match(str(row["check_name"])) for row in rows)

    def render(self, verdict: Verdict, setting: Setting) -> bytes:
        """Files that cannot be read, and every finding that counts; one of the change as a whole stands at the head of the first file."""
        rows = [_unread(placed(text, place), in_checkout(place)) for text, place in verdict.placed_troubles if place is not None]
        for finding in verdict.findings:
            place = place_of(finding, verdict)
            if finding.waived is None and place is not None:
                rows.append(
                    {
                        "description": plain(finding.message),
                        "check_name": f"{finding.check} {finding.kind}",
                        "fingerprint": finding.fingerprint,
                        "severity": SEVERITIES[finding.severity],
                        "location": {"path": safe_path(place.file), "lines": {"begin": place.line}},
                    }
                )
        return json_bytes(rows)
