"""An end of turn at which generation does not stop."""

from __future__ import annotations

import json
from typing import ClassVar

from instructsel.audits.checks.base import Pooled, Seen, TemplateCheck
from instructsel.audits.subject import Subject


class UnreachableEndOfTurn(TemplateCheck):
    """An end of turn at which generation does not stop."""

    kind: ClassVar[str] = "unreachable-end-of-turn"
    severity: ClassVar[str] = "error"
    unit: ClassVar[str] = "base"
    cause: ClassVar[str] = (
        "The end of turn that is trained on is no token at which generation stops: neither the tokenizer's end of sequence nor "
        "one of generation_config, so the tuned model writes on behind it."
    )
    fix: ClassVar[str] = (
        "Add the end of turn to eos_token_id of generation_config.json, as instructsel train does, or set it as eos_token (TRL: "
        "SFTConfig(eos_token=…)). One that is text and no token: give its text to generation as a stop string."
    )

    def see(self, subject: Subject, pooled: Pooled) -> Seen | None:
        """What is wrong; None where nothing is."""
        if not subject.end or not subject.template.closing.strip() or subject.stops & set(subject.end):
            return None
        is_token = bool(subject.template.end_of_turn)
        trained = subject.named(subject.end) if is_token else f"the text {json.dumps(subject.template.end_text, ensure_ascii=False)}"
        return Seen(detail=f"trained: {trained}; stops at: {subject.named(sorted(subject.stops))}")


__all__ = ["UnreachableEndOfTurn"]
