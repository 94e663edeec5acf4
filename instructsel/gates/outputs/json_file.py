"""The verdict as JSON, every finding in it."""

from __future__ import annotations

from typing import ClassVar

from instructsel.gates.outputs.base import Output, Setting, json_bytes
from instructsel.gates.verdict import Verdict


class JsonFile(Output):
    """The verdict as JSON."""

    name: ClassVar[str] = "json"
    ending: ClassVar[str] = ".json"
    source: ClassVar[str] = "instructsel schema gate"
    file: ClassVar[str] = "gate.json"
    mark: ClassVar[bytes] = b'"kind": "gate"'

    def render(self, verdict: Verdict, setting: Setting) -> bytes:
        """All of it."""
        return json_bytes(verdict.as_dict(setting.fail_on))
