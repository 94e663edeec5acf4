"""The verdict as JSON, every finding in it."""

from __future__ import annotations

from typing import ClassVar

from instructsel.gates.outputs.base import Output, Setting, json_bytes, parsed
from instructsel.gates.verdict import Verdict
from instructsel.kinds import GATE


class JsonFile(Output):
    """The verdict as JSON."""

    name: ClassVar[str] = "json"
    ending: ClassVar[str] = ".json"
    source: ClassVar[str] = "instructsel schema gate"
    file: ClassVar[str] = "gate.json"

    def is_ours(self, data: bytes) -> bool:
        """Whether it is an object of this kind."""
        record = parsed(data)
        return isinstance(record, dict) and record.get("kind") == GATE

    def render(self, verdict: Verdict, setting: Setting) -> bytes:
        """All of it."""
        return json_bytes(verdict.as_dict(setting.fail_on))
